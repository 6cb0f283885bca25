#include "cloud/store/partitions.hpp"

#include "cloud/store/damage_of.hpp"
#include "cloud/store/directory.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>

namespace skerry::cloud {

partition_catalog::partition_catalog(std::filesystem::path root, std::filesystem::path damaged,
                                     std::size_t open_max, store_metrics& metrics, data_changes& changes,
                                     damage_ledger& damages)
    : root_(std::move(root)),
      damaged_(std::move(damaged)),
      open_max_(open_max),
      metrics_(metrics),
      changes_(changes),
      damages_(damages) {}

result<void> partition_catalog::load() {
  BOOST_OUTCOME_TRYV(make_directory(root_));
  BOOST_OUTCOME_TRY(names, list_directory(root_));
  const std::lock_guard lock{mutex_};
  for (const auto& name : names) {
    if (name.ends_with(deleted_suffix)) {
      remove_directory(root_ / name);
      continue;
    }
    const auto id = parse_partition_id(name);
    if (!id) {
      spdlog::warn("store: {} is no partition and is left alone", (root_ / name).string());
      continue;
    }
    slots_.emplace(*id, std::make_shared<slot>());
  }
  metrics_.partitions.Set(static_cast<double>(slots_.size()));
  std::error_code ec;
  if (!std::filesystem::is_directory(damaged_, ec)) // nothing was ever damaged
    return ok();
  BOOST_OUTCOME_TRY(aside, list_directory(damaged_));
  const auto prefix = root_.filename().string() + '-'; // "<folder>-<id>.<n>", as set_aside() names them
  for (const std::string_view name : aside)
    if (name.starts_with(prefix))
      if (const auto id = parse_partition_id(name.substr(prefix.size(), name.rfind('.') - prefix.size())))
        damages_.note(lost_partition(*id), "partition", fmt::format("it lies in {}", damaged_.string()));
  return ok();
}

std::vector<partition_id> partition_catalog::overlapping(std::int64_t from_ns, std::int64_t to_ns) const {
  std::vector<partition_id> found;
  const std::lock_guard lock{mutex_};
  for (auto it = slots_.rbegin(); it != slots_.rend(); ++it)
    if (it->first.overlaps(from_ns, to_ns))
      found.push_back(it->first);
  return found;
}

result<std::shared_ptr<partition>> partition_catalog::open_slot(const partition_id& id, slot& in) {
  const std::lock_guard opening{in.opening};
  in.used_at = ++uses_;
  if (in.gone)
    return fail(errc::not_found, fmt::format("partition {} does not exist any more", to_string(id)));
  if (in.distrusted && (!in.open || in.open.use_count() == 1)) {
    in.open.reset();
    in.checked = in.distrusted = false;
  }
  if (in.open)
    return in.open;
  auto opened = partition::open(path_of(id), id, !in.checked);
  if (!opened) {
    if (is_damage(opened.error()))
      damages_.note(lost_partition(id), "partition", opened.error().message);
    if (opened.error().code != errc::corrupt)
      return opened;
    spdlog::error("store: partition {} is moved to {}", to_string(id), damaged_.string());
    set_aside(path_of(id), damaged_);
    in.gone = true;
    changes_.note_all();
    const std::lock_guard lock{mutex_};
    if (const auto it = slots_.find(id); it != slots_.end() && it->second.get() == &in)
      slots_.erase(it);
    metrics_.partitions.Set(static_cast<double>(slots_.size()));
    return opened;
  }
  in.checked = true;
  in.open = opened.value();
  if (const auto reader = in.open->read())
    if (const auto samples = reader.value().samples())
      in.samples = samples.value();
  return in.open;
}

result<std::shared_ptr<partition>> partition_catalog::open(const partition_id& id) {
  std::shared_ptr<slot> in;
  {
    const std::lock_guard lock{mutex_};
    const auto it = slots_.find(id);
    if (it == slots_.end())
      return fail(errc::not_found, fmt::format("partition {} does not exist", to_string(id)));
    in = it->second;
  }
  auto opened = open_slot(id, *in);
  if (opened)
    close_least_used();
  return opened;
}

result<std::shared_ptr<partition>> partition_catalog::open_to_write(const partition_id& id) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    std::shared_ptr<slot> in;
    {
      const std::lock_guard lock{mutex_};
      auto& have = slots_[id];
      if (!have)
        have = std::make_shared<slot>();
      in = have;
      metrics_.partitions.Set(static_cast<double>(slots_.size()));
    }
    auto opened = open_slot(id, *in);
    if (!opened && (opened.error().code == errc::corrupt || opened.error().code == errc::not_found))
      continue; // it was set aside: a new one takes its place
    if (opened && opened.value()->nearly_full()) {
      // Reopened with more room, once no query reads it.
      opened.value().reset();
      const std::lock_guard opening{in->opening};
      for (int wait = 0; in->open && in->open.use_count() > 1; ++wait) {
        if (wait == 500)
          return fail(errc::unavailable,
                      fmt::format("partition {} needs more room and is being read", to_string(id)));
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
      }
      in->open.reset();
      BOOST_OUTCOME_TRY(again, partition::open(path_of(id), id, false));
      in->open = again;
      return again;
    }
    if (opened)
      close_least_used();
    return opened;
  }
  return fail(errc::corrupt,
              fmt::format("partition {} is damaged again as soon as it is made", to_string(id)));
}

void partition_catalog::close_least_used() {
  std::vector<std::shared_ptr<slot>> all;
  {
    const std::lock_guard lock{mutex_};
    for (const auto& [id, each] : slots_)
      all.push_back(each);
  }
  std::vector<std::pair<std::uint64_t, slot*>> open;
  for (const auto& each : all) {
    const std::unique_lock opening{each->opening, std::try_to_lock};
    if (opening && each->open)
      open.emplace_back(each->used_at, each.get());
  }
  if (open.size() <= open_max_)
    return;
  std::sort(open.begin(), open.end());
  for (std::size_t i = 0; i < open.size() - open_max_; ++i) {
    const std::unique_lock opening{open[i].second->opening, std::try_to_lock};
    // Whoever reads it keeps it open: one environment must not be open twice.
    if (opening && open[i].second->open && open[i].second->open.use_count() == 1)
      open[i].second->open.reset();
  }
}

void partition_catalog::distrust(const partition_id& id) {
  std::shared_ptr<slot> in;
  {
    const std::lock_guard lock{mutex_};
    const auto it = slots_.find(id);
    if (it == slots_.end())
      return;
    in = it->second;
  }
  const std::lock_guard opening{in->opening};
  in->distrusted = true;
}

std::int64_t partition_catalog::newest_ns() {
  auto newest = INT64_MIN;
  for (const auto& id : overlapping(INT64_MIN, INT64_MAX)) {
    if (id.last_ns() <= newest)
      continue;
    if (const auto part = open(id))
      if (const auto reader = part.value()->read())
        if (const auto of_it = reader.value().newest_ns()) // or no later than its end, where it does not say
          newest = std::max(newest, std::min(of_it.value(), id.last_ns()));
  }
  return newest;
}

std::vector<partition_catalog::size_of_one> partition_catalog::ending_before(std::int64_t time_ns) const {
  std::vector<size_of_one> found;
  const std::lock_guard lock{mutex_};
  for (const auto& [id, each] : slots_)
    if (id.ends_before(time_ns))
      found.push_back({id, each->samples});
  return found;
}

void partition_catalog::expire(const partition_id& id) {
  std::shared_ptr<slot> gone;
  {
    const std::lock_guard lock{mutex_};
    const auto it = slots_.find(id);
    if (it == slots_.end())
      return;
    gone = it->second;
    slots_.erase(it);
    metrics_.partitions.Set(static_cast<double>(slots_.size()));
  }
  {
    const std::lock_guard opening{gone->opening};
    gone->gone = true;
    gone->open.reset(); // queries that read it keep the file
    remove_directory(path_of(id));
  }
  metrics_.partitions_expired.Increment();
  changes_.note_all();
}

void partition_catalog::note_samples(const partition_id& id, std::uint64_t samples) {
  const std::lock_guard lock{mutex_};
  if (const auto it = slots_.find(id); it != slots_.end())
    it->second->samples = samples;
}

std::uint64_t partition_catalog::samples() const {
  std::uint64_t n = 0;
  const std::lock_guard lock{mutex_};
  for (const auto& [id, each] : slots_)
    n += each->samples;
  return n;
}

std::size_t partition_catalog::size() const {
  const std::lock_guard lock{mutex_};
  return slots_.size();
}

} // namespace skerry::cloud
