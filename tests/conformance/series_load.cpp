// Writes samples into the store of a stopped cloud node, as edges' frames would: for comparing answers.
//
//   series_load --store DATA [--seal-before MS] < FILE
//
// A line of FILE is one series: its labels as name=value, parted by the byte 1f; a tab; its samples as
// milliseconds:bits, parted by blanks, bits the double in hexadecimal. What lies before --seal-before is sealed into
// partitions, the rest stays in the write-ahead log.

#include "cloud/store/engine.hpp"
#include "schemas/model/frame.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <prometheus/registry.h>

#include <charconv>
#include <future>
#include <iostream>
#include <map>
#include <optional>
#include <sodium.h>

namespace {

using namespace skerry;

constexpr std::int64_t ns_per_ms = 1'000'000;

[[noreturn]] void give_up(const std::string& why) {
  fmt::print(stderr, "series_load: {}\n", why);
  std::exit(1);
}
template <class T>
T need(result<T> from) {
  if (!from)
    give_up(from.error().message);
  return std::move(from.value());
}

struct loaded_series {
  labels all;
  std::map<std::int64_t, double> samples;
};
using host_name = std::pair<std::string, std::string>; // site, host

std::map<host_name, std::vector<loaded_series>> read_all() {
  std::map<host_name, std::vector<loaded_series>> hosts;
  for (std::string line; std::getline(std::cin, line);) {
    loaded_series one;
    const auto tab = line.find('\t');
    host_name at;
    for (std::size_t from = 0; from < tab;) {
      const auto to = std::min(line.find('\x1f', from), tab);
      const auto pair = std::string_view{line}.substr(from, to - from);
      const auto equal = pair.find('=');
      label l{std::string{pair.substr(0, equal)}, std::string{pair.substr(equal + 1)}};
      if (l.name == "site")
        at.first = l.value;
      else if (l.name == "host")
        at.second = l.value;
      else
        one.all.push_back(std::move(l));
      from = to + 1;
    }
    sort_labels(one.all);
    for (const auto *p = line.data() + tab + 1, *end = line.data() + line.size(); p < end;) {
      std::int64_t time_ms = 0;
      std::uint64_t bits = 0;
      const auto time = std::from_chars(p, end, time_ms);
      const auto value = std::from_chars(time.ptr + 1, end, bits, 16);
      if (time.ec != std::errc{} || value.ec != std::errc{})
        give_up("a line does not parse: " + line.substr(0, 200));
      one.samples[time_ms] = std::bit_cast<double>(bits);
      p = value.ptr + 1;
    }
    hosts[at].push_back(std::move(one));
  }
  return hosts;
}

class loader {
public:
  explicit loader(const std::filesystem::path& data) {
    cloud::embedded_config config;
    config.directory = data / "store";
    config.retention = {};
    engine_ = need(cloud::open_embedded_engine(config, metrics_));
  }

  // Samples of at most 256 series with from <= time < to.
  void add(const host_name& host, std::span<const loaded_series> part, std::int64_t from, std::int64_t to) {
    std::vector<metric_family> families;
    std::vector<series> members;
    std::map<std::int64_t, std::vector<std::optional<double>>> rows;
    for (std::size_t i = 0; i < part.size(); ++i) {
      const auto name = value_of(part[i].all, label_name);
      if (families.empty() || families.back().name != name)
        families.push_back({std::string{name}, metric_type::unknown, "", ""});
      members.push_back({static_cast<std::uint32_t>(families.size() - 1), part[i].all});
      for (auto it = part[i].samples.lower_bound(from); it != part[i].samples.end() && it->first < to; ++it) {
        auto& row = rows[it->first];
        row.resize(part.size());
        row[i] = it->second;
      }
    }
    if (rows.empty())
      return;
    const auto set = make_series_set(std::move(families), std::move(members));
    const stream_key key{edge_id{1}, {1, {1, 1}}, stream_id::telemetry};
    run_builder builder{key, next_};
    byte_buffer payload;
    for (const auto& [time_ms, row] : rows) {
      frame f;
      f.time_ns = time_ms * ns_per_ms;
      std::vector<std::uint64_t> present((row.size() + 63) / 64);
      for (std::size_t i = 0; i < row.size(); ++i)
        if (row[i]) {
          present[i / 64] |= std::uint64_t{1} << (i % 64);
          f.values.push_back(*row[i]);
        }
      if (f.values.size() == row.size())
        present.clear();
      f.sections.push_back({set->hash, static_cast<std::uint16_t>(row.size()), std::move(present)});
      payload.clear();
      encode_frame(f, encoder_, payload);
      builder.append(record_kind::frame, f.time_ns, host.second, payload);
    }
    const auto made = std::move(builder).finish();
    next_ = made.header.last() + 1;
    cloud::append_request request;
    request.site = host.first;
    request.origin = key;
    request.ranges.add({made.header.first, made.header.last()});
    request.records = need(decode_records(made));
    request.owner = made.bytes.owner;
    request.sets.push_back(set);
    std::promise<result<void>> done;
    auto durable = done.get_future();
    engine_->append(std::move(request), [&](result<void> how) { done.set_value(std::move(how)); });
    if (auto how = durable.get(); !how)
      give_up(how.error().message);
  }

  void seal() { engine_->flush(); }

private:
  prometheus::Registry metrics_;
  std::unique_ptr<cloud::engine> engine_;
  value_encoder encoder_;
  sequence next_ = 1;
};

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"Writes samples into the store of a stopped cloud node"};
  std::string store;
  std::int64_t seal_before = INT64_MIN;
  app.add_option("--store", store, "The node's data directory")->required();
  app.add_option("--seal-before", seal_before, "Milliseconds since 1970; what is older is sealed");
  CLI11_PARSE(app, argc, argv);
  if (sodium_init() < 0)
    return 1;
  const auto hosts = read_all();
  loader into{store};
  const auto load = [&](std::int64_t from, std::int64_t to) {
    for (const auto& [host, all] : hosts)
      for (std::size_t i = 0; i < all.size(); i += set_series_max)
        into.add(host, std::span{all}.subspan(i, std::min(set_series_max, all.size() - i)), from, to);
  };
  if (seal_before != INT64_MIN) {
    load(INT64_MIN, seal_before);
    into.seal();
  }
  load(seal_before, INT64_MAX);
}
