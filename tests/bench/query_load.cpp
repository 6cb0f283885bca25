// Gives the replayed scrapes of a recording to several systems, sample for sample the same.
//
//   query_load --end MS --hosts 100 --series 500 --steps 1440 --interval 15000
//              [--store DIR [--seal]] [--remote-write URL]… scrapes/*.txt
//
// --store writes a stopped cloud's DIR/store through the engine, in frames as edges send them: a run of forty steps of
// one host, then the next host. --remote-write posts the same runs. A host beyond the recording's series gets more of
// them under job="extra", as of another target.

#include "cloud/store/engine.hpp"
#include "schemas/codec/value_codec.hpp"
#include "schemas/model/frame.hpp"
#include "tests/bench/remote_write.hpp"
#include "tests/bench/replay_source.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <prometheus/registry.h>

#include <cstdlib>
#include <future>
#include <sodium.h>

namespace {

using namespace skerry;
using bench::recording;
using bench::replay_target;

constexpr std::size_t run_steps = 40;
constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr std::uint32_t extra_targets = 100'000; // their numbers begin here

[[noreturn]] void give_up(const std::string& why) {
  fmt::print(stderr, "query_load: {}\n", why);
  std::exit(1);
}
template <class T>
T need(result<T> from) {
  if (!from)
    give_up(from.error().message);
  return std::move(from.value());
}
void need(result<void> from) {
  if (!from)
    give_up(from.error().message);
}

// name{a="b",…}: the recording's values have no escapes but \\ and \".
labels parse_series(std::string_view text) {
  labels all;
  const auto brace = text.find('{');
  all.push_back({std::string{label_name}, std::string{text.substr(0, brace)}});
  std::size_t at = brace == std::string_view::npos ? text.size() : brace + 1;
  while (at < text.size() && text[at] != '}') {
    const auto equal = text.find('=', at);
    label l{std::string{text.substr(at, equal - at)}, {}};
    for (at = equal + 2; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] == '\\')
        ++at;
      l.value += text[at];
    }
    all.push_back(std::move(l));
    at += at + 1 < text.size() && text[at + 1] == ',' ? 2 : 1;
  }
  return all;
}

struct one_series {
  replay_target* source = nullptr;
  std::size_t index = 0;
  labels all; // with site and host
};

struct host {
  std::string name;
  std::unique_ptr<replay_target> target;
  std::unique_ptr<replay_target> extra;
  std::vector<one_series> members;
  std::vector<series_set_ptr> sets;
};

void add_series(host& to, replay_target& source, std::size_t count, std::string_view job) {
  for (std::size_t i = 0; i < count; ++i) {
    auto all = parse_series(source.series_text(i));
    all.push_back({"instance", to.name + ":9100"});
    all.push_back({"job", std::string{job}});
    all.push_back({"site", "bench"});
    all.push_back({"host", to.name});
    sort_labels(all);
    to.members.push_back({&source, i, std::move(all)});
  }
}

bool is_counter(std::string_view name) {
  for (const auto* suffix : {"_total", "_bucket", "_count", "_sum"})
    if (name.ends_with(suffix))
      return true;
  return false;
}

void make_sets(host& to) {
  std::vector<metric_family> families;
  std::vector<series> members;
  const auto finish = [&] {
    if (!members.empty())
      to.sets.push_back(make_series_set(std::move(families), std::move(members)));
    families.clear();
    members.clear();
  };
  for (const auto& one : to.members) {
    if (members.size() == set_series_max)
      finish();
    const auto name = value_of(one.all, label_name);
    if (families.empty() || families.back().name != name)
      families.push_back(
          {std::string{name}, is_counter(name) ? metric_type::counter : metric_type::gauge, "", ""});
    auto all = one.all;
    std::erase_if(all, [](const label& l) { return l.name == "site" || l.name == "host"; });
    members.push_back({static_cast<std::uint32_t>(families.size() - 1), std::move(all)});
  }
  finish();
}

std::vector<host> make_hosts(const std::shared_ptr<const recording>& from, std::size_t hosts,
                             std::size_t series) {
  std::vector<host> all(hosts);
  const auto recorded = from->series().size();
  for (std::size_t h = 0; h < hosts; ++h) {
    auto& to = all[h];
    to.name = fmt::format("host-{:03}", h);
    to.target = std::make_unique<replay_target>(from, 1, static_cast<std::uint32_t>(h));
    add_series(to, *to.target, std::min(series, recorded), "node");
    if (series > recorded) {
      to.extra = std::make_unique<replay_target>(from, 1, extra_targets + static_cast<std::uint32_t>(h));
      add_series(to, *to.extra, std::min(series - recorded, recorded), "extra");
    }
    make_sets(to);
  }
  return all;
}

// Some steps of one host: values[step][member].
struct window {
  std::vector<std::int64_t> times_ms;
  std::vector<std::vector<double>> values;
};

class store_sink {
public:
  explicit store_sink(const std::filesystem::path& data) {
    cloud::embedded_config config;
    config.directory = data / "store";
    config.retention = {};
    engine_ = need(cloud::open_embedded_engine(config, metrics_));
  }

  void add(const host& of, const window& what) {
    const stream_key key{edge_id{1}, {1, {1, 1}}, stream_id::telemetry};
    run_builder builder{key, next_};
    byte_buffer payload;
    for (std::size_t step = 0; step < what.times_ms.size(); ++step) {
      frame f;
      f.time_ns = what.times_ms[step] * ns_per_ms;
      for (const auto& set : of.sets)
        f.sections.push_back({set->hash, static_cast<std::uint16_t>(set->members.size()), {}});
      f.values = what.values[step];
      payload.clear();
      encode_frame(f, encoder_, payload);
      builder.append(record_kind::frame, f.time_ns, of.name, payload);
    }
    const auto made = std::move(builder).finish();
    next_ = made.header.last() + 1;
    cloud::append_request request;
    request.site = "bench";
    request.origin = key;
    request.ranges.add({made.header.first, made.header.last()});
    request.records = need(decode_records(made));
    request.owner = made.bytes.owner;
    request.sets = of.sets;
    auto done = std::make_shared<std::promise<result<void>>>();
    waiting_.push_back(done->get_future());
    engine_->append(std::move(request), [done](result<void> how) { done->set_value(std::move(how)); });
    if (waiting_.size() >= 64) {
      need(waiting_.front().get());
      waiting_.erase(waiting_.begin());
    }
  }

  void finish(bool seal) {
    for (auto& each : waiting_)
      need(each.get());
    waiting_.clear();
    if (seal)
      engine_->flush();
  }

private:
  prometheus::Registry metrics_;
  std::unique_ptr<cloud::engine> engine_;
  value_encoder encoder_;
  sequence next_ = 1;
  std::vector<std::future<result<void>>> waiting_;
};

class remote_sink {
public:
  explicit remote_sink(const std::string& url) : client_(need(bench::remote_write_client::connect(url))) {}

  void add(const host& of, const window& what) {
    body_.clear();
    for (std::size_t m = 0; m < of.members.size(); ++m) {
      column_.clear();
      for (const auto& row : what.values)
        column_.push_back(row[m]);
      body_.add(of.members[m].all, what.times_ms, column_);
    }
    need(client_.post(body_.snappy()));
  }

private:
  bench::remote_write_client client_;
  bench::remote_write_body body_;
  std::vector<double> column_;
};

double number(std::string_view text) { return std::strtod(std::string{text}.c_str(), nullptr); }

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"Gives replayed scrapes to several systems"};
  std::vector<std::string> files, urls;
  std::string store;
  std::int64_t end_ms = 0, interval_ms = 15'000;
  std::size_t hosts = 100, series = 500, steps = 1440;
  bool seal = false;
  app.add_option("files", files, "Recorded scrapes, in order")->required();
  app.add_option("--end", end_ms, "Time of the last step, milliseconds since 1970")->required();
  app.add_option("--interval", interval_ms, "Milliseconds between steps (15000)");
  app.add_option("--hosts", hosts, "How many (100)");
  app.add_option("--series", series, "Of each host (500)");
  app.add_option("--steps", steps, "How many (1440)");
  app.add_option("--store", store, "Data directory of a stopped cloud node");
  app.add_flag("--seal", seal, "Seal everything into partitions at the end");
  app.add_option("--remote-write", urls, "Where to post the same")->allow_extra_args(false);
  CLI11_PARSE(app, argc, argv);
  if (sodium_init() < 0)
    return 1;
  auto all = make_hosts(std::make_shared<const recording>(need(recording::load(files))), hosts, series);
  std::optional<store_sink> into_store;
  if (!store.empty())
    into_store.emplace(store);
  std::vector<remote_sink> remotes;
  for (const auto& url : urls)
    remotes.emplace_back(url);
  const auto first_ms = end_ms - static_cast<std::int64_t>(steps - 1) * interval_ms;
  window what;
  for (std::size_t from = 0; from < steps; from += run_steps) {
    const auto to = std::min(steps, from + run_steps);
    for (auto& h : all) {
      what.times_ms.clear();
      what.values.clear();
      for (auto step = from; step < to; ++step) {
        what.times_ms.push_back(first_ms + static_cast<std::int64_t>(step) * interval_ms);
        what.values.emplace_back();
        for (const auto& m : h.members)
          what.values.back().push_back(number(m.source->value(m.index, step)));
      }
      if (into_store)
        into_store->add(h, what);
      for (auto& r : remotes)
        r.add(h, what);
    }
  }
  if (into_store)
    into_store->finish(seal);
  fmt::print("{} samples\n", hosts * all.front().members.size() * steps);
}
