#include "edge/collect/scrape/scrape_target.hpp"

#include "schemas/time.hpp"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>
#include <xxhash.h>

namespace skerry::edge {

namespace {

constexpr std::string_view exported_prefix = "exported_";

bool has(const labels& all, std::string_view name) {
  const auto at = std::lower_bound(all.begin(), all.end(), name,
                                   [](const label& l, std::string_view n) { return l.name < n; });
  return at != all.end() && at->name == name;
}

// "exported_" before the name until nobody has it.
std::string exported_name(std::string name, const labels& exposed, const labels& target) {
  do
    name.insert(0, exported_prefix);
  while (has(exposed, name) || has(target, name));
  return name;
}

// The labels of the target on a series of its page. `exposed` may hold empty values; they are gone
// afterwards.
void attach_target_labels(labels& exposed, const labels& target, bool honor) {
  labels out = exposed;
  std::erase_if(out, [](const label& l) { return l.value.empty(); });
  labels conflicts;
  for (const auto& [name, value] : target) {
    if (honor) {
      if (!has(exposed, name))
        set_label(out, name, value);
      continue;
    }
    if (const auto exposed_value = value_of(exposed, name); !exposed_value.empty())
      conflicts.push_back({name, std::string{exposed_value}});
    set_label(out, name, value);
  }
  // The shortest first, so that "exported_job" of the page does not take the place of "job".
  std::stable_sort(conflicts.begin(), conflicts.end(),
                   [](const label& a, const label& b) { return a.name.size() < b.name.size(); });
  labels taken = exposed;
  for (const auto& [name, value] : conflicts) {
    const auto to = exported_name(name, taken, target);
    set_label(taken, to, "x");
    set_label(out, to, value);
  }
  exposed = std::move(out);
}

std::string check_limits(const labels& all, const scrape_config& config) {
  const auto metric = value_of(all, label_name);
  if (config.label_limit != 0 && all.size() > config.label_limit)
    return fmt::format("label_limit exceeded (metric: {:.50}, number of labels: {}, limit: {})", metric,
                       all.size(), config.label_limit);
  for (const auto& [name, value] : all) {
    if (config.label_name_length_limit != 0 && name.size() > config.label_name_length_limit)
      return fmt::format(
          "label_name_length_limit exceeded (metric: {:.50}, label name: {:.50}, length: {}, limit: {})",
          metric, name, name.size(), config.label_name_length_limit);
    if (config.label_value_length_limit != 0 && value.size() > config.label_value_length_limit)
      return fmt::format(
          "label_value_length_limit exceeded (metric: {:.50}, label name: {:.50}, length: {}, limit: {})",
          metric, name, value.size(), config.label_value_length_limit);
  }
  return {};
}

std::string withheld_text(std::uint64_t lines) {
  return lines == 0
             ? std::string{}
             : fmt::format(" ({} more lines about targets were withheld; /api/v1/targets lists all)", lines);
}

std::vector<std::string>& spare_pages() {
  thread_local std::vector<std::string> pages;
  return pages;
}

prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

prometheus::Counter& failures(prometheus::Registry& registry, const char* reason) {
  return prometheus::BuildCounter()
      .Name("skerry_scrape_failures_total")
      .Help("Scrapes after which `up` is 0, by reason.")
      .Register(registry)
      .Add({{"reason", reason}});
}

} // namespace

scrape_metrics::scrape_metrics(prometheus::Registry& r)
    : scrapes(counter(r, "skerry_scrape_scrapes_total", "Scrapes, failed ones among them.")),
      samples(counter(r, "skerry_scrape_samples_total",
                      "Samples kept of pages, before stale markers and reports.")),
      stale_markers(counter(r, "skerry_scrape_stale_markers_total", "Stale markers for series that ended.")),
      series_made(
          counter(r, "skerry_scrape_series_sets_total", "Series sets made, as series came or changed.")),
      duplicates(counter(r, "skerry_scrape_duplicates_total",
                         "Samples dropped because their series had one in the same page at the same time.")),
      lines_refused(counter(r, "skerry_scrape_lines_refused_total", "Malformed lines of pages.")),
      series_refused(
          counter(r, "skerry_scrape_series_refused_total", "Series over a bound: too many, or too large.")),
      samples_refused(counter(r, "skerry_scrape_samples_refused_total",
                              "Samples dropped because a page held too many distinct timestamps.")),
      samples_ahead(
          counter(r, "skerry_scrape_samples_ahead_total",
                  "Samples dropped because their timestamp was too far ahead of this node's clock.")),
      relabel_dropped(
          counter(r, "skerry_scrape_relabel_dropped_total", "Samples that metric_relabel_configs dropped.")),
      failed_connect(failures(r, "connect")),
      failed_timeout(failures(r, "timeout")),
      failed_tls(failures(r, "tls")),
      failed_body_size(failures(r, "body_size")),
      failed_status(failures(r, "status")),
      failed_other(failures(r, "other")),
      failed_page(failures(r, "malformed")),
      failed_limit(failures(r, "limit")),
      skipped(counter(r, "skerry_scrape_skipped_total",
                      "Scrapes not begun as the one before was still under way.")),
      file_errors(counter(r, "skerry_scrape_file_sd_errors_total", "Target files that could not be read.")),
      target_errors(
          counter(r, "skerry_scrape_target_errors_total", "Discovered labels that make no target.")) {}

bool target_log::take(std::int64_t now_ns, std::uint64_t& withheld) {
  constexpr std::int64_t minute_ns = 60'000'000'000;
  const std::lock_guard lock{mutex_};
  if (now_ns < minute_ns_ || now_ns - minute_ns_ >= minute_ns) {
    minute_ns_ = now_ns;
    lines_ = 0;
  }
  if (lines_ >= lines_max) {
    ++withheld_;
    return false;
  }
  ++lines_;
  withheld = std::exchange(withheld_, 0);
  return true;
}

void keep_spare_page(std::string page) {
  if (auto& pages = spare_pages(); pages.size() < spare_pages_max && page.capacity() <= spare_page_bytes_max)
    pages.push_back(std::move(page));
}

class scrape_target::page_resolver final : public series_resolver {
public:
  explicit page_resolver(scrape_target& target) : t_(target) {}

  series_ref resolve(const metric_family& family, labels& exposed) override {
    const auto& config = *t_.config_;
    attach_target_labels(exposed, t_.public_, config.honor_labels);
    if (!config.metric_relabel_configs.empty() && !relabel(exposed, config.metric_relabel_configs))
      return no_series;
    if (exposed.empty())
      return no_series;
    if (error.empty()) {
      if (!is_metric_name(value_of(exposed, label_name)))
        error = "metric_relabel_configs left a series without a valid metric name";
      else
        error = check_limits(exposed, config);
    }
    if (!error.empty())
      return no_series;
    return t_.assembler_.intern(family, exposed);
  }

  std::string error; // the page as a whole is not kept

private:
  scrape_target& t_;
};

scrape_target::scrape_target(scrape_config_ptr config, resolved_target target, std::uint64_t seed,
                             scrape_metrics& metrics)
    : watch(target.interval.count() + target.timeout.count()),
      config_(std::move(config)),
      job_(config_->job_name),
      target_(std::move(target)),
      public_(target_.public_labels()),
      host_(target_.host()),
      parser_(config_->honor_timestamps),
      metrics_(metrics) {
  const auto hash = hash_of(target_.all) ^ XXH3_64bits(target_.url.data(), target_.url.size()) ^ seed;
  const auto interval_ms = std::max<std::int64_t>(1, target_.interval.count() / ns_per_ms);
  offset_ns_ = static_cast<std::int64_t>(hash % static_cast<std::uint64_t>(interval_ms)) * ns_per_ms;
}

scrape_target::~scrape_target() = default;

std::int64_t scrape_target::next_scrape_time(std::int64_t now_ns) const noexcept {
  const auto interval = std::max<std::int64_t>(ns_per_ms, target_.interval.count());
  const auto since = now_ns - offset_ns_;
  const auto turn = since >= 0 ? since / interval : (since - interval + 1) / interval;
  const auto due = (turn + 1) * interval + offset_ns_;
  return due - (due % ns_per_ms + ns_per_ms) % ns_per_ms;
}

std::int64_t scrape_target::sample_time(std::int64_t due_ns, std::int64_t began_ns) const noexcept {
  // Not for intervals so short that the tolerance would matter.
  if (target_.interval.count() > 100 * scrape_late_max_ns && began_ns >= due_ns
      && began_ns - due_ns <= scrape_late_max_ns)
    return due_ns - due_ns % ns_per_ms;
  return began_ns - began_ns % ns_per_ms;
}

fetch_request scrape_target::request() {
  take_settings();
  fetch_request out;
  out.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(target_.timeout);
  out.body_bytes_max = config_->body_size_limit;
  if (auto& pages = spare_pages(); !pages.empty()) {
    out.buffer = std::move(pages.back());
    pages.pop_back();
  }
  return out;
}

collection scrape_target::process(fetch_response& response, std::int64_t time_ns, std::int64_t monotonic_ns) {
  take_settings();
  outcome result;
  result.duration_seconds = std::chrono::duration<double>(response.duration).count();
  assembler_.begin(time_ns);
  if (response.failure != fetch_failure::none) {
    switch (response.failure) {
    case fetch_failure::connect: metrics_.failed_connect.Increment(); break;
    case fetch_failure::timeout: metrics_.failed_timeout.Increment(); break;
    case fetch_failure::tls: metrics_.failed_tls.Increment(); break;
    case fetch_failure::body_size: metrics_.failed_body_size.Increment(); break;
    case fetch_failure::status: metrics_.failed_status.Increment(); break;
    case fetch_failure::none:
    case fetch_failure::other: metrics_.failed_other.Increment(); break;
    }
    result.error = response.error;
    assembler_.mark_failed();
    return report(std::move(result), time_ns, monotonic_ns);
  }
  page_resolver resolver{*this};
  const bool empty = response.body.empty();
  const auto page = parser_.parse(response.body, format_of(response.content_type), assembler_, resolver);
  result.scraped = page.samples;
  result.kept = page.kept;
  result.added = assembler_.appeared();
  const auto ahead = assembler_.counters().samples_ahead - counted_.samples_ahead;
  const auto series_refused = assembler_.counters().series_refused - counted_.series_refused;
  const auto excess = assembler_.drop_excess_times();
  metrics_.relabel_dropped.Increment(static_cast<double>(page.samples - page.kept - ahead - series_refused));
  log_ahead(ahead, time_ns);
  if (series_refused != 0)
    parser_.forget(); // or they would be taken for dropped by relabelling
  if (page.lines_refused != 0)
    metrics_.lines_refused.Increment(static_cast<double>(page.lines_refused));

  const bool refused_series = !resolver.error.empty();
  result.error = std::move(resolver.error);
  if (result.error.empty() && config_->sample_limit != 0 && page.kept > config_->sample_limit)
    result.error =
        fmt::format("sample_limit exceeded (samples: {}, limit: {})", page.kept, config_->sample_limit);
  if (!result.error.empty()) {
    metrics_.failed_limit.Increment();
    assembler_.begin(); // nothing of this page is kept
    assembler_.mark_failed();
    if (refused_series)
      parser_.forget(); // or the refused series would be taken for dropped ones
    return report(std::move(result), time_ns, monotonic_ns);
  }
  result.kept -= excess;
  metrics_.samples.Increment(static_cast<double>(result.kept));
  if (!page.error.empty()) {
    metrics_.failed_page.Increment();
    result.error = page.error;
  } else if (series_refused != 0 || excess != 0) {
    metrics_.failed_limit.Increment();
    result.error = series_refused != 0
                       ? fmt::format("{} of {} samples are not kept, as their series are over a bound: {}",
                                     series_refused, page.samples, assembler_.refusal())
                       : fmt::format("{} of {} samples are not kept, the oldest: there are more than {} "
                                     "distinct timestamps",
                                     excess, page.samples, stamped_times_max);
  }
  if (empty)
    assembler_.mark_failed();
  return report(std::move(result), time_ns, monotonic_ns);
}

collection scrape_target::fail(std::string why, std::int64_t time_ns, std::int64_t monotonic_ns) {
  assembler_.begin();
  assembler_.mark_failed();
  metrics_.failed_limit.Increment();
  outcome result;
  result.error = why.empty() ? "the target was not scraped" : std::move(why);
  return report(std::move(result), time_ns, monotonic_ns);
}

void scrape_target::note_skipped() { metrics_.skipped.Increment(); }

collection scrape_target::end(std::int64_t time_ns, std::int64_t monotonic_ns) {
  auto out = assembler_.stale_all(time_ns, monotonic_ns, host_);
  parser_.forget();
  count();
  return out;
}

void scrape_target::reconfigure(scrape_config_ptr config) {
  const std::lock_guard lock{mutex_};
  next_config_ = std::move(config);
  has_settings_ = true;
}

target_status scrape_target::status() const {
  const std::lock_guard lock{mutex_};
  return status_;
}

void scrape_target::take_settings() {
  if (!has_settings_.exchange(false))
    return;
  scrape_config_ptr config;
  {
    const std::lock_guard lock{mutex_};
    config = std::move(next_config_);
    next_config_ = nullptr;
  }
  if (!config)
    return;
  if (config->honor_labels != config_->honor_labels || config->honor_timestamps != config_->honor_timestamps
      || config->label_limit != config_->label_limit
      || config->label_name_length_limit != config_->label_name_length_limit
      || config->label_value_length_limit != config_->label_value_length_limit
      || !(config->metric_relabel_configs == config_->metric_relabel_configs)) {
    parser_.forget();
    parser_.honor_timestamps(config->honor_timestamps);
  }
  config_ = std::move(config);
}

collection scrape_target::report(outcome result, std::int64_t time_ns, std::int64_t monotonic_ns) {
  static const std::array<metric_family, 5> families{{
      {"up", metric_type::gauge, "1 if the target was scraped and its page was well-formed, else 0.", ""},
      {"scrape_duration_seconds", metric_type::gauge, "How long the scrape took.", "seconds"},
      {"scrape_samples_scraped", metric_type::gauge, "Samples that the target exposed.", ""},
      {"scrape_samples_post_metric_relabeling", metric_type::gauge,
       "Samples that remained after metric relabelling.", ""},
      {"scrape_series_added", metric_type::gauge, "Series that were not there in the scrape before, about.",
       ""},
  }};
  if (report_epoch_ != assembler_.refs_epoch()) {
    for (std::size_t i = 0; i < families.size(); ++i) {
      auto all = public_;
      set_label(all, label_name, families[i].name);
      report_refs_[i] = assembler_.intern(families[i], all);
    }
    report_epoch_ = assembler_.refs_epoch();
  }
  const std::array<double, 5> values{result.error.empty() ? 1.0 : 0.0, result.duration_seconds,
                                     static_cast<double>(result.scraped), static_cast<double>(result.kept),
                                     static_cast<double>(result.added)};
  for (std::size_t i = 0; i < values.size(); ++i)
    if (report_refs_[i] != no_series)
      assembler_.add(report_refs_[i], values[i]);
  log_state(result.error.empty(), result.error, time_ns);
  {
    const std::lock_guard lock{mutex_};
    status_.health = result.error.empty() ? target_health::up : target_health::down;
    status_.last_error = std::move(result.error);
    status_.last_scrape_ns = time_ns;
    status_.last_duration_seconds = result.duration_seconds;
    status_.last_samples = result.kept;
  }
  metrics_.scrapes.Increment();
  auto out = assembler_.finish(time_ns, monotonic_ns, host_);
  count();
  return out;
}

// Down: when it goes down, and again when the reason is another one. Up: only where it was said that it is down.
void scrape_target::log_state(bool up, const std::string& error, std::int64_t time_ns) {
  if (up ? logged_error_.empty() : error == logged_error_)
    return;
  const bool too_soon = logged_down_ns_ != 0 && time_ns >= logged_down_ns_
                        && time_ns - logged_down_ns_ < target_log::per_target_ns;
  std::uint64_t withheld = 0;
  if (!up && too_soon)
    return;
  if (!metrics_.log.take(time_ns, withheld))
    return;
  const auto more = withheld_text(withheld);
  const auto url = target_.url.substr(0, target_.url.find('?')); // parameters may hold secrets
  if (up) {
    spdlog::info("scrape: job {}: target {} is up again{}", job_, url, more);
    logged_error_.clear();
    return;
  }
  spdlog::warn("scrape: job {}: target {} is down: {}{}", job_, url, error, more);
  logged_error_ = error;
  logged_down_ns_ = time_ns;
}

// Samples were not kept because their times are too far ahead of this node's clock.
void scrape_target::log_ahead(std::uint64_t samples, std::int64_t time_ns) {
  std::uint64_t withheld = 0;
  if (samples == 0
      || (logged_ahead_ns_ != 0 && time_ns >= logged_ahead_ns_
          && time_ns - logged_ahead_ns_ < target_log::per_target_ns)
      || !metrics_.log.take(time_ns, withheld))
    return;
  logged_ahead_ns_ = time_ns;
  spdlog::warn(
      "scrape: job {}: {} samples of target {} bear times that are more than {} s ahead of this node's "
      "clock and are not kept: is its clock right?{}",
      job_, samples, target_.url.substr(0, target_.url.find('?')), stamped_ahead_max_ns / 1'000'000'000,
      withheld_text(withheld));
}

void scrape_target::count() {
  const auto& now = assembler_.counters();
  const auto add = [](prometheus::Counter& to, std::uint64_t value, std::uint64_t before) {
    if (value != before)
      to.Increment(static_cast<double>(value - before));
  };
  add(metrics_.duplicates, now.duplicates, counted_.duplicates);
  add(metrics_.series_refused, now.series_refused, counted_.series_refused);
  add(metrics_.samples_ahead, now.samples_ahead, counted_.samples_ahead);
  add(metrics_.samples_refused, now.samples_refused, counted_.samples_refused);
  add(metrics_.stale_markers, now.stale_markers, counted_.stale_markers);
  add(metrics_.series_made, now.sets_made, counted_.sets_made);
  counted_ = now;
}

std::size_t scrape_target::memory_bytes() const noexcept {
  return sizeof *this + assembler_.memory_bytes() + parser_.memory_bytes();
}

} // namespace skerry::edge
