// Gives the replayed scrapes of a recording to several systems, sample for sample the same.
//
//   query_load --end MS --hosts 100 --series 500 --steps 1440 --interval 15000
//              [--store DIR [--seal]] [--remote-write URL]… scrapes/*.txt
//
// --store writes a stopped cloud's DIR/store through the engine, in frames as edges send them: a run of forty steps of
// one host, then the next host. --remote-write posts the same runs. A host beyond the recording's series gets more of
// them under job="extra", as of another target.

#include "cloud/store/embedded.hpp"
#include "schemas/time.hpp"
#include "tests/bench/remote_write.hpp"
#include "tests/bench/replay_hosts.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <prometheus/registry.h>

#include <cstdlib>
#include <future>
#include <sodium.h>

namespace {

using namespace skerry;
using bench::recording;
using host = bench::replay_host;

constexpr std::size_t run_steps = 40;

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
      const auto time_ns = what.times_ms[step] * ns_per_ms;
      payload.clear();
      encode_replay_frame(of, time_ns, what.values[step], encoder_, payload);
      builder.append(record_kind::frame, time_ns, of.name, payload);
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
  std::unique_ptr<cloud::embedded_store> engine_;
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
  auto all = bench::make_replay_hosts(std::make_shared<const recording>(need(recording::load(files))), hosts,
                                      series);
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
        h.values(step, what.values.emplace_back());
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
