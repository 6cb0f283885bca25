#include "cloud/store/scrubber.hpp"

#include "cloud/store/damage_of.hpp"

#include <spdlog/spdlog.h>

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace skerry::cloud {

namespace {

constexpr int scrubber_niceness = 15;
constexpr std::uint64_t slice_bytes = 256 << 10; // read at once, and within one transaction
constexpr auto write_again = std::chrono::seconds{10};

} // namespace

scrubber::scrubber(scrub_settings settings, partition_catalog& partitions, damage_ledger& damages,
                   store_metrics& metrics)
    : settings_(settings), partitions_(partitions), damages_(damages), metrics_(metrics) {
  damages_.changed = [this] {
    {
      const std::lock_guard lock{mutex_};
      found_ = true;
    }
    wake_.notify_all();
  };
}

void scrubber::start() {
  thread_ = std::thread{[this] { run(); }};
}

void scrubber::stop() noexcept {
  {
    const std::lock_guard lock{mutex_};
    stop_ = true;
  }
  wake_.notify_all();
  if (!thread_.joinable())
    return;
  thread_.join();
  if (const auto written = damages_.flush(); !written)
    spdlog::error("store: what was found damaged is not written down, and will have to be found again: {}",
                  written.error().message);
}

bool scrubber::stopping() {
  const std::lock_guard lock{mutex_};
  return stop_;
}

void scrubber::run() {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), scrubber_niceness);
  auto next = std::chrono::steady_clock::now();
  while (!stopping()) {
    if (settings_.bytes_per_second != 0 && std::chrono::steady_clock::now() >= next) {
      next = std::chrono::steady_clock::now() + settings_.interval;
      pass();
    }
    std::unique_lock lock{mutex_};
    const auto woken = [&] { return stop_ || found_; };
    if (settings_.bytes_per_second == 0)
      wake_.wait(lock, woken);
    else
      wake_.wait_until(lock, next, woken);
    lock.unlock();
    (void)pace(0);
  }
}

void scrubber::pass() {
  metrics_.scrub_progress.Set(0);
  const auto all = partitions_.overlapping(INT64_MIN, INT64_MAX);
  for (std::size_t i = 0; i < all.size(); ++i) {
    check(all[i]);
    if (stopping())
      return;
    metrics_.scrub_partitions.Increment();
    metrics_.scrub_progress.Set(static_cast<double>(i + 1) / static_cast<double>(all.size()));
  }
  metrics_.scrub_progress.Set(1);
  metrics_.scrub_passes.Increment();
}

void scrubber::check(const partition_id& id) {
  {
    const auto of = partitions_.open(id);
    if (!of) { // deleted since, or damaged: then it was noted as it was opened
      if (of.error().code != errc::not_found && !is_damage(of.error()))
        spdlog::warn("store: partition {} could not be checked: {}", to_string(id), of.error().message);
      return;
    }
    if (check_pages_of(id, *of.value())) {
      if (const auto read = check_blocks_of(*of.value()); !read)
        spdlog::warn("store: partition {} could not be checked: {}", to_string(id), read.error().message);
      return;
    }
  }
  partitions_.distrust(id);
  (void)partitions_.open(id); // sets it aside, if nobody reads it
}

bool scrubber::check_pages_of(const partition_id& id, const partition& of) {
  const auto version = [&]() -> std::uint64_t {
    const auto reader = of.read();
    return reader ? reader.value().version() : 0;
  };
  const auto before = version();
  const auto checked =
      partition::check(partitions_.path_of(id), [this](std::uint64_t bytes) { return pace(bytes); });
  if (checked || checked.error().code != errc::corrupt || stopping() || before == 0 || version() != before)
    return true; // sound, or written to meanwhile: the next pass tells
  damages_.note(lost_partition(id), "partition", checked.error().message);
  return false;
}

result<void> scrubber::check_blocks_of(const partition& of) {
  std::uint32_t sources = 0;
  {
    BOOST_OUTCOME_TRY(reader, of.read());
    BOOST_OUTCOME_TRY(count, reader.source_count());
    sources = count;
  }
  for (std::uint32_t number = 0; number < sources; ++number) {
    const auto read = check_source(of, number);
    if (!read && !is_damage(read.error()))
      return read;
    if (!read)
      damages_.note(lost_in_partition(of.id(), "source"), "source", read.error().message);
    if (!pace(0))
      return ok();
  }
  return ok();
}

result<void> scrubber::check_source(const partition& of, std::uint32_t number) {
  partition_source source;
  std::vector<block_place> blocks;
  {
    BOOST_OUTCOME_TRY(reader, of.read());
    BOOST_OUTCOME_TRY(found, reader.source(number));
    source = std::move(found);
    const auto read =
        reader.each_block(number, INT64_MIN, INT64_MAX, [&](const block_place& at) -> result<void> {
          blocks.push_back(at);
          return ok();
        });
    if (!read && !is_damage(read.error()))
      return read;
    if (!read)
      damages_.note(lost_source(of.id(), source), "source", read.error().message);
  }
  for (auto at = blocks.begin(); at != blocks.end();) {
    std::uint64_t bytes = 0;
    {
      BOOST_OUTCOME_TRY(reader, of.read()); // blocks never move
      for (; at != blocks.end() && bytes < slice_bytes; ++at) {
        const auto sound = [&]() -> result<void> {
          BOOST_OUTCOME_TRY(block, reader.block(*at));
          BOOST_OUTCOME_TRYV(decoder_.read_index(block, index_));
          for (std::size_t g = 0; g < index_.groups.size(); ++g) {
            BOOST_OUTCOME_TRYV(decoder_.read_group(block, index_, g, group_));
          }
          return ok();
        }();
        bytes += at->bytes;
        if (!sound && !is_damage(sound.error()))
          return sound;
        if (!sound)
          damages_.note(lost_block(of.id(), source, *at), "block", sound.error().message);
      }
    }
    if (!pace(bytes))
      return ok();
  }
  return ok();
}

bool scrubber::pace(std::uint64_t bytes) {
  metrics_.scrub_bytes.Increment(static_cast<double>(bytes));
  owed_bytes_ += bytes;
  std::unique_lock lock{mutex_};
  if (owed_bytes_ >= slice_bytes) {
    const std::chrono::duration<double> due{static_cast<double>(owed_bytes_)
                                            / static_cast<double>(settings_.bytes_per_second)};
    owed_bytes_ = 0;
    wake_.wait_for(lock, due, [&] { return stop_ || found_; });
  }
  if (found_ && !stop_) {
    found_ = false;
    lock.unlock();
    const auto written = damages_.flush();
    lock.lock();
    if (!written) {
      if (!std::exchange(told_, true))
        spdlog::error("store: what was found damaged cannot be written down, trying again: {}",
                      written.error().message);
      wake_.wait_for(lock, write_again, [&] { return stop_; });
      found_ = true;
    } else {
      told_ = false;
    }
  }
  return !stop_;
}

} // namespace skerry::cloud
