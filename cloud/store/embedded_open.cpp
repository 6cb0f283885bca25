// Opening: lock, format, logs. Damaged logs are salvaged here.

#include "actors/base/files.hpp"
#include "actors/base/page_check.hpp"
#include "cloud/store/embedded_engine.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <charconv>

namespace skerry::cloud {

namespace {

constexpr std::string_view salvage_suffix = ".salvage"; // a copy of what is sound in a damaged log
constexpr std::string_view fence_prefix = "engine/fence/";

std::optional<std::uint64_t> parse_number(std::string_view name) {
  std::uint64_t n = 0;
  const auto [end, ec] = std::from_chars(name.data(), name.data() + name.size(), n);
  return ec == std::errc{} && end == name.data() + name.size() && !name.empty() ? std::optional{n}
                                                                                : std::nullopt;
}

// Ends what open_log() was at when the process ended: a damaged log is moved away only when its copy is whole and
// synced, so a copy without its log takes its place, and one beside it is made anew.
result<void> end_salvage(const std::filesystem::path& copy) {
  const auto log = copy.parent_path() / copy.stem();
  std::error_code ec;
  if (std::filesystem::exists(log, ec)) {
    remove_directory(copy);
    return ok();
  }
  std::filesystem::rename(copy, log, ec);
  if (ec)
    return fail(errc::io, fmt::format("cannot rename {}: {}", copy.string(), ec.message()));
  spdlog::warn("store: {} was damaged and is replaced by what could be read of it", log.string());
  return sync_directory(log.parent_path());
}

} // namespace

std::filesystem::path log_directory(const embedded_config& config, std::uint64_t number) {
  return config.directory / "log" / fmt::format("{:010}", number);
}

std::uint64_t log_map_bytes(const embedded_config& config) {
  return config.log_segment_bytes * 2 + (std::uint64_t{1} << 30); // address space, not disk
}

result<void> embedded_config::validate() const {
  const auto bad = [](std::string what) { return fail(errc::invalid_argument, std::move(what)); };
  if (directory.empty())
    return bad("the store needs a directory");
  if (retention.count() < 0)
    return bad("the retention must not be negative; 0 keeps everything");
  if (clock_jump_wait.count() < 0)
    return bad("clock_jump_wait must not be negative; 0 believes the clock at once");
  if (partition_span < std::chrono::minutes{1} || partition_span > std::chrono::hours{24 * 366}
      || partition_span.count() % 1'000'000'000 != 0)
    return bad("a partition's span must be whole seconds between a minute and a year");
  if (log_segment_bytes < (64 << 10) || log_bytes_max < log_segment_bytes * 2)
    return bad("a log segment needs 64 KiB or more, and the whole log room for two");
  if (scrub_interval.count() <= 0)
    return bad("the interval of the scrub must be positive; scrub_bytes_per_second 0 turns it off");
  if (log_memory_bytes_max < (1 << 20))
    return bad("the log's index needs 1 MiB of memory or more");
  if (state_bytes_max < (1 << 20) || state_edge_bytes_max < state_edge_bytes_min
      || state_edge_bytes_max > state_bytes_max)
    return bad(
        "the state needs 1 MiB or more, and an edge's part of it 64 KiB or more and not more than all");
  if (log_age_max < std::chrono::seconds{1} || partitions_open_max == 0 || queue_requests_max == 0
      || queue_bytes_max < (1 << 20))
    return bad(
        "the log's age, the partitions kept open and the queue must be positive (the queue 1 MiB or more)");
  return ok();
}

result<std::unique_ptr<embedded_store>>
open_embedded_engine(embedded_config config, prometheus::Registry& metrics, embedded_hooks hooks) {
  BOOST_OUTCOME_TRYV(config.validate());
  BOOST_OUTCOME_TRY(lock, directory_lock::take(config.directory));
  BOOST_OUTCOME_TRYV(close_to_others(config.directory));
  BOOST_OUTCOME_TRYV(check_format(config.directory));
  auto made =
      std::make_unique<embedded_engine>(std::move(config), metrics, std::move(hooks), std::move(lock));
  BOOST_OUTCOME_TRYV(made->start());
  return std::unique_ptr<embedded_store>{std::move(made)};
}

result<std::unique_ptr<embedded_store>> open_embedded_engine(embedded_config config,
                                                             prometheus::Registry& metrics) {
  return open_embedded_engine(std::move(config), metrics, embedded_hooks{});
}

result<void> embedded_engine::start() {
  BOOST_OUTCOME_TRYV(damages_.load(hooks_.clock->wall_ns()));
  BOOST_OUTCOME_TRYV(partitions_.load());
  retention_.load();
  BOOST_OUTCOME_TRYV(open_logs());
  state_.scan(fence_prefix, [this](std::string_view key, std::string_view value) {
    if (const auto shard = parse_number(key.substr(fence_prefix.size())))
      if (const auto fence = parse_number(value)) {
        auto& have = fences_[static_cast<shard_id>(*shard)];
        have = std::max(have, *fence);
      }
  });
  if (!retention_.knows_time()) {
    newest_sealed_ns_ = partitions_.newest_ns();
    (void)oldest_to_keep_ns();
  }
  writer_ = std::thread{[this] { write_loop(); }};
  sealer_ = std::thread{[this] { seal_loop(); }};
  scrubber_.start();
  return ok();
}

result<void> embedded_engine::open_logs() {
  const auto root = config_.directory / "log";
  BOOST_OUTCOME_TRYV(make_directory(root));
  BOOST_OUTCOME_TRY(names, list_directory(root));
  std::set<std::uint64_t> numbers;
  for (const auto& name : names) {
    if (name.ends_with(deleted_suffix))
      remove_directory(root / name);
    else if (const auto number = parse_number(name))
      numbers.insert(*number);
    else if (const auto copied = parse_number(std::string_view{name}.substr(0, name.rfind(salvage_suffix)))) {
      BOOST_OUTCOME_TRYV(end_salvage(root / name));
      numbers.insert(*copied);
    } else
      spdlog::warn("store: {} is no log and is left alone", (root / name).string());
  }
  bool usable = false;
  for (const auto number : numbers) {
    auto log = open_log(number);
    if (!log)
      return log.error();
    if (!log.value()) {
      usable = false;
      continue;
    }
    // Nothing is added to a log in which damage was found.
    usable = !log.value()->damage().any() && log.value()->data_bytes() < config_.log_segment_bytes
             && log.value()->index_bytes() < config_.log_memory_bytes_max / 2;
    logs_.push_back(std::move(log.value()));
  }
  if (!usable) {
    if (numbers.empty() || logs_.empty() || logs_.back()->number() < *numbers.rbegin()) {
      const auto number = numbers.empty() ? 1 : *numbers.rbegin() + 1;
      BOOST_OUTCOME_TRY(log, begin_log(number));
      logs_.push_back(std::move(log));
    } else {
      BOOST_OUTCOME_TRYV(rotate());
    }
  }
  metrics_.log_environments.Set(static_cast<double>(logs_.size()));
  metrics_.log_bytes.Set(static_cast<double>(total_log_bytes()));
  metrics_.log_memory_bytes.Set(static_cast<double>(log_memory_bytes()));
  metrics_.state_bytes.Set(static_cast<double>(state_.bytes()));
  return ok();
}

// Null where nothing of it could be kept.
result<std::shared_ptr<log_env>> embedded_engine::open_log(std::uint64_t number) {
  const auto directory = log_directory(config_, number);
  std::error_code ec;
  const auto file_bytes = std::filesystem::file_size(directory / "data.mdb", ec);
  const auto map_bytes = log_map_bytes(config_) + (ec ? 0 : file_bytes);
  const auto now_ns = hooks_.clock->wall_ns();
  remove_unfinished(directory);
  log_replay replay;
  replay.reset = [this] { state_.clear(); };
  replay.state = [this](const state_pair& pair) { state_.apply({&pair, 1}); };
  replay.more = [this](const state_pair& pair) { state_.append({&pair, 1}); };
  replay.fence = [this](const envelope& from) {
    auto& have = fences_[from.shard];
    have = std::max(have, from.fence);
  };
  page_check_options options;
  options.skip_large = ""; // chunks: their entries are checked as they are read
  options.integer_keys = true;
  auto checked = check_pages(directory / "data.mdb", options);
  if (!checked && checked.error().code != errc::corrupt)
    return checked.error();
  if (!checked) {
    spdlog::error("store: {}; what can be read of it is copied", checked.error().message);
    auto copy = directory;
    copy += salvage_suffix;
    const auto salvaged = salvage_log(directory / "data.mdb", copy, map_bytes);
    if (!salvaged)
      return salvaged.error();
    // What is missing within it shows when the copy is read; what its end lacks would be seen only now.
    if (salvaged.value().to_the_end)
      metrics_.count_damaged("log");
    else
      damages_.note(anything_until(now_ns, damaged_thing("log end", {number})), "log",
                    fmt::format("whether the end of log {} was found cannot be told", number));
    BOOST_OUTCOME_TRYV(damages_.flush());
    const auto kept = set_aside(directory, config_.directory / "damaged");
    if (kept.empty())
      return fail(errc::io, fmt::format("cannot move the damaged {} away", directory.string()));
    std::filesystem::rename(copy, directory, ec);
    if (ec)
      return fail(errc::io, fmt::format("cannot rename {}: {}", copy.string(), ec.message()));
    BOOST_OUTCOME_TRYV(sync_directory(directory.parent_path()));
    spdlog::warn("store: {} records of log {} are kept; the damaged file is {}", salvaged.value().records,
                 number, kept.string());
  }
  auto log = log_env::open(directory, number, map_bytes, registry_, replay, now_ns);
  if (!log) {
    if (log.error().code != errc::corrupt)
      return log;
    spdlog::error("store: {} cannot be read ({}) and is moved away", directory.string(), log.error().message);
    damages_.note(anything_until(now_ns, damaged_thing("log", {number})), "log", log.error().message);
    BOOST_OUTCOME_TRYV(damages_.flush());
    set_aside(directory, config_.directory / "damaged");
    return std::shared_ptr<log_env>{};
  }
  if (const auto& damage = log.value()->damage(); damage.any()) {
    spdlog::error("store: log {} has {} damaged bytes and {} records that cannot be used; the rest is kept",
                  number, damage.bytes, damage.records);
    if (damage.lost.empty()) // bytes that held no data
      metrics_.count_damaged("record");
    for (const auto& lost : damage.lost)
      damages_.note(lost, "record", fmt::format("it stood in log {}", number));
  }
  return log;
}

} // namespace skerry::cloud
