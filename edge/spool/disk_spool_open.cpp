// Opening: what is there, what of it is sound, and a new epoch.

#include "actors/base/page_check.hpp"
#include "edge/spool/disk_spool.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace skerry::edge {

namespace fs = std::filesystem;

result<void> spool_config::validate() const {
  if (directory.empty())
    return fail(errc::invalid_argument, "spool: no directory is configured");
  if (edge == edge_id::none)
    return fail(errc::invalid_argument, "spool: the edge has no id yet; it gets one when it joins");
  return validate_sizes();
}

result<void> spool_config::validate_sizes() const {
  if (segment_bytes < segment_bytes_min || segment_bytes > (std::uint64_t{4} << 30))
    return fail(errc::invalid_argument, fmt::format("spool: segment_bytes is {}; it must be from {} to 4 GiB",
                                                    segment_bytes, segment_bytes_min));
  if (bytes_max < segment_bytes)
    return fail(errc::invalid_argument,
                fmt::format("spool: bytes_max is {}; it must be at least segment_bytes, {}", bytes_max,
                            segment_bytes));
  if (clock_jump_wait.count() < 0)
    return fail(errc::invalid_argument,
                "spool: clock_jump_wait must not be below 0; 0 believes the clock at once");
  if (replace_bytes >= bytes_max)
    return fail(errc::invalid_argument,
                fmt::format("spool: replace_bytes is {}; it must be less than bytes_max, {}", replace_bytes,
                            bytes_max));
  return ok();
}

result<std::unique_ptr<spool>> spool::open(spool_config config, clock_source& clock, random_source& random,
                                           prometheus::Registry& metrics) {
  BOOST_OUTCOME_TRYV(config.validate());
  try {
    auto made = std::make_unique<disk_spool>(std::move(config), clock, random, metrics);
    BOOST_OUTCOME_TRYV(made->start());
    return std::unique_ptr<spool>{std::move(made)};
  } catch (
      const std::exception& e) { // file systems and threads throw where the system has nothing left to give
    return fail(errc::io, fmt::format("cannot open the spool: {}", e.what()));
  }
}

disk_spool::disk_spool(spool_config config, clock_source& clock, random_source& random,
                       prometheus::Registry& metrics)
    : config_(std::move(config)),
      clock_(clock),
      random_(random),
      metrics_(metrics),
      age_(config_.directory / "CLOCK", config_.clock_jump_wait,
           config_.drops_by_age || config_.local_retention.count() != 0, clock_, metrics_.clock_waits),
      commit_clock_(config_.directory / "STAMP", clock_, boot_id()),
      state_file_(config_.directory / "STATE") {
  if (!config_.examine_command.empty())
    examiner_.emplace(examiner_config{config_.examine_command, config_.examine_time}, stopping_);
}

disk_spool::~disk_spool() { stop_repairing(); }

result<void> disk_spool::start() {
  BOOST_OUTCOME_TRYV(make_private_directory(config_.directory));
  BOOST_OUTCOME_TRYV(make_private_directory(config_.directory / "segments"));
  BOOST_OUTCOME_TRY(lock, lock_directory(config_.directory));
  lock_ = std::move(lock);
  bool healed = false;
  auto format = check_format(config_.directory, healed);
  if (!format && format.error().code == errc::exhausted) {
    give_up_reserve();
    format = check_format(config_.directory, healed);
  }
  BOOST_OUTCOME_TRYV(std::move(format));
  if (healed)
    report_.damaged.push_back(
        {config_.directory / "FORMAT", "the format file was damaged; it is written anew", 0, 0});
  BOOST_OUTCOME_TRY(loaded, state_file_.load());

  std::vector<suspected> damaged;
  next_segment_ = loaded.state.next_segment;
  BOOST_OUTCOME_TRYV(load_segments(damaged));
  const bool fresh = !loaded.found && !loaded.damaged && segments_.empty() && damaged.empty();
  report_.clean = fresh || (loaded.found && !loaded.damaged && loaded.state.clean);
  report_.previous_boot_counter = loaded.state.epoch.boot_counter;
  std::vector<std::int64_t> commits;
  if (loaded.state.last_commit_ns != 0)
    commits.push_back(loaded.state.last_commit_ns);
  if (loaded.damaged)
    spdlog::warn("spool: a copy of {} is damaged; {}", (config_.directory / "STATE").string(),
                 loaded.found ? "the other one is used" : "it is made anew from the segments");
  if (loaded.damaged && !loaded.found)
    report_.damaged.push_back({config_.directory / "STATE", "both copies of the state are damaged", 0, 0});
  for (auto& [key, memory] : loaded.state.streams) {
    auto& info = streams_[key];
    info.last = memory.last;
    info.released = std::move(memory.released);
    info.lost = std::move(memory.lost);
  }
  previous_epoch_ = loaded.state.epoch;
  if (!report_.clean && !segments_.empty()) {
    const auto newest = segments_.rbegin()->second;
    if (auto seen = examine(newest->directory, false); seen.wrong)
      damaged.push_back({newest, *seen.wrong, std::move(seen.answer)});
  }
  for (const auto& [number, one] : segments_)
    for (const auto& [key, stream] : one->streams) {
      commits.push_back(stream.stored.last_commit_ns);
      if (key.edge == config_.edge)
        report_.previous_boot_counter = std::max(report_.previous_boot_counter, key.epoch.boot_counter);
    }
  build_streams();

  epoch_.boot_counter = report_.previous_boot_counter + 1;
  epoch_.random = random_.next_128();
  const auto seed = random_.next_128();
  std::memcpy(&filter_seed_, seed.data(), sizeof filter_seed_);
  last_commit_ns_ = report_.last_commit_ns = commit_clock_.load(commits);
  commit_clock_.note();
  age_.load(report_.last_commit_ns);
  std::sort(damaged.begin(), damaged.end(),
            [](const auto& a, const auto& b) { return a.which->number < b.which->number; });
  for (auto& [one, what, answer] : damaged) {
    if (!answer)
      answer = examine(one->directory, true).answer;
    if (const auto done = set_aside(one, what, *answer, &report_); !done) {
      spdlog::error("spool: {}", done.error().message);
      report_.damaged.push_back({one->directory, done.error().message, 0, 0});
    }
    answer.reset();
  }
  // Salvage may have found older epochs of which nothing else was left.
  for (const auto& [key, info] : streams_)
    if (key.edge == config_.edge)
      epoch_.boot_counter = std::max(epoch_.boot_counter, key.epoch.boot_counter + 1);
  // A number of this edge that is neither here nor known to be released went with its file.
  std::uint64_t vanished = 0;
  for (auto& [key, info] : streams_) {
    if (key.edge != config_.edge || info.last == 0)
      continue;
    auto accounted = info.held;
    accounted.add(info.released);
    accounted.add(info.lost);
    const auto missing = accounted.missing_in({1, info.last});
    vanished += missing.count();
    info.lost.add(missing);
  }
  if (vanished != 0) {
    metrics_.records_lost.Increment(static_cast<double>(vanished));
    report_.damaged.push_back(
        {config_.directory / "segments", "records are neither there nor released", 0, vanished});
    spdlog::error("spool: {} records are neither in {} nor known to be released", vanished,
                  config_.directory.string());
  }
  BOOST_OUTCOME_TRYV(store_state(false)); // boot counter and epoch are on stable storage from here on
  BOOST_OUTCOME_TRYV(delete_drained());
  if (!regain_reserve()) {
    spdlog::warn(
        "spool: the disk of {} has no room for the reserve of {} bytes: only small commits are stored",
        config_.directory.string(), config_.reserve_bytes);
    give_up_reserve();
  }
  {
    const std::lock_guard table{table_};
    report_.segments = segments_.size();
    for (const auto& [number, one] : segments_)
      for (const auto& [key, stream] : one->streams)
        report_.records +=
            stream.remaining == stream.stored.stored ? stream.stored.records : stream.remaining.count();
    update_gauges();
  }
  if (!report_.clean && report_.segments > 1) {
    // Newest first: what is read next is most likely there. The newest itself was examined before.
    std::vector<segment_ptr> all;
    {
      const std::lock_guard table{table_};
      all = newest_first();
    }
    all.erase(all.begin());
    suspect_later(all);
  }
  return ok();
}

result<void> disk_spool::load_segments(std::vector<suspected>& damaged) {
  std::error_code code;
  std::vector<fs::path> found;
  for (fs::directory_iterator it{config_.directory / "segments", code}, end; !code && it != end;
       it.increment(code))
    found.push_back(it->path());
  if (code)
    return fail(errc::io,
                fmt::format("cannot list {}: {}", (config_.directory / "segments").string(), code.message()));
  for (fs::directory_iterator it{config_.directory / "damaged", code}, end; !code && it != end;
       it.increment(code))
    damaged_bytes_ += file_bytes(data_file(it->path()));
  for (const auto& path : found) {
    const auto name = path.filename().string();
    std::uint64_t number = 0;
    const auto [stop, wrong] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (wrong != std::errc{} || stop != name.data() + name.size() || number == 0) {
      spdlog::warn("spool: {} is not a segment; it is left alone", path.string());
      continue;
    }
    next_segment_ = std::max(next_segment_, number + 1);
    auto one = std::make_shared<segment>();
    one->number = number;
    one->directory = path;
    one->bytes = file_bytes(data_file(path));
    const auto reader = segment_reader::open(path);
    // A crash between making a segment and its first commit.
    if (one->bytes == 0 || (reader && reader.value().never_written()) || never_committed(data_file(path))) {
      spdlog::info("spool: {} was made and not written when the node ended; it is removed", path.string());
      fs::remove_all(path, code);
      continue;
    }
    auto index = reader ? reader.value().load_index() : result<segment_index>{reader.error()};
    if (!index) {
      damaged.push_back({one, index.error().message, std::nullopt});
      continue;
    }
    for (auto& [key, stream] : index.value().streams)
      one->streams[key].stored = std::move(stream);
    for (auto& [key, entry] : index.value().released) {
      auto& info = streams_[key];
      info.released.add(entry.released);
      info.last = std::max(info.last, entry.last);
    }
    segments_[number] = std::move(one);
  }
  return ok();
}

void disk_spool::build_streams() {
  for (auto& [number, one] : segments_)
    for (auto& [key, stream] : one->streams) {
      auto& info = streams_[key];
      stream.remaining = stream.stored.stored;
      for (const auto& range : info.released.ranges())
        stream.remaining.remove(range);
    }
  std::vector<stream_key> keys;
  for (const auto& [key, info] : streams_)
    keys.push_back(key);
  for (const auto& key : keys) {
    recount(key);
    auto& info = streams_[key];
    for (const auto& range : info.released.ranges())
      info.lost.remove(range);
  }
}

} // namespace skerry::edge
