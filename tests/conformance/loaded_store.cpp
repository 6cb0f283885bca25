#include "tests/conformance/loaded_store.hpp"

#include "schemas/model/frame.hpp"

#include <prometheus/registry.h>

#include <algorithm>
#include <future>
#include <map>
#include <unistd.h>

namespace skerry::conformance {

namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;

// The series of one host, as its edge would send them.
struct host_series {
  std::vector<const series_line*> lines;
};

series_set_ptr set_of(const std::vector<const series_line*>& lines) {
  std::vector<metric_family> families;
  std::vector<series> members;
  for (const auto* line : lines) {
    labels all;
    std::string name;
    for (const auto& l : line->metric) {
      if (l.name == label_name)
        name = l.value;
      if (l.name != "site" && l.name != "host")
        all.push_back(l);
    }
    if (families.empty() || families.back().name != name)
      families.push_back({name, metric_type::unknown, "", ""});
    members.push_back({static_cast<std::uint32_t>(families.size() - 1), std::move(all)});
  }
  return make_series_set(std::move(families), std::move(members));
}

} // namespace

result<std::unique_ptr<loaded_store>> loaded_store::make() {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path memory{"/dev/shm"}; // the store syncs at every load
  const auto parent = ::access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path(error);
  auto name = (parent / "skerry-conformance-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr)
    return fail(errc::io, "no temporary directory can be made in " + parent.string());
  std::unique_ptr<loaded_store> made{new loaded_store};
  made->directory_ = name;
  BOOST_OUTCOME_TRYV(made->open());
  return made;
}

loaded_store::~loaded_store() {
  engine_.reset();
  std::error_code error;
  std::filesystem::remove_all(directory_, error);
}

result<void> loaded_store::open() {
  engine_.reset(); // one at a time
  metrics_ = std::make_unique<prometheus::Registry>();
  cloud::embedded_config config;
  config.directory = directory_;
  config.retention = std::chrono::nanoseconds::zero(); // the scripts' samples are of 1970
  config.commit_gather = std::chrono::nanoseconds::zero();
  BOOST_OUTCOME_TRY(opened, cloud::open_embedded_engine(config, *metrics_));
  engine_ = std::move(opened);
  return ok();
}

result<void> loaded_store::restart() { return open(); }

void loaded_store::seal() { engine_->flush(); }

result<void> loaded_store::load(const load_command& what) {
  std::map<std::pair<std::string, std::string>, host_series> hosts;
  for (const auto& line : what.series)
    hosts[{std::string{value_of(line.metric, "site")}, std::string{value_of(line.metric, "host")}}]
        .lines.push_back(&line);
  value_encoder encoder;
  for (const auto& [place, of_host] : hosts) {
    for (std::size_t from = 0; from < of_host.lines.size(); from += set_series_max) {
      const auto to = std::min(of_host.lines.size(), from + set_series_max);
      const std::vector<const series_line*> lines{of_host.lines.begin() + static_cast<std::ptrdiff_t>(from),
                                                  of_host.lines.begin() + static_cast<std::ptrdiff_t>(to)};
      const auto set = set_of(lines);
      std::size_t steps = 0;
      for (const auto* line : lines)
        steps = std::max(steps, line->values.size());
      const stream_key key{edge_id{1}, {1, {1, 1}}, stream_id::telemetry};
      run_builder builder{key, next_sequence_};
      byte_buffer payload;
      for (std::size_t step = 0; step < steps; ++step) {
        frame f;
        f.time_ns = static_cast<std::int64_t>(step) * what.step_ms * ns_per_ms;
        frame_section section{set->hash, static_cast<std::uint16_t>(lines.size()),
                              std::vector<std::uint64_t>((lines.size() + 63) / 64)};
        for (std::size_t i = 0; i < lines.size(); ++i) {
          if (step >= lines[i]->values.size() || !lines[i]->values[step])
            continue;
          section.present[i / 64] |= std::uint64_t{1} << (i % 64);
          f.values.push_back(*lines[i]->values[step]);
        }
        if (f.values.empty())
          continue;
        if (f.values.size() == lines.size())
          section.present.clear();
        f.sections.push_back(std::move(section));
        payload.clear();
        encode_frame(f, encoder, payload);
        builder.append(record_kind::frame, f.time_ns, place.second, payload);
      }
      if (builder.empty())
        continue;
      const auto made = std::move(builder).finish();
      next_sequence_ = made.header.last() + 1;
      cloud::append_request request;
      request.site = place.first;
      request.origin = key;
      request.ranges.add({made.header.first, made.header.last()});
      BOOST_OUTCOME_TRY(records, decode_records(made));
      request.records = std::move(records);
      request.owner = made.bytes.owner;
      request.sets.push_back(set);
      std::promise<result<void>> done;
      auto durable = done.get_future();
      engine_->append(std::move(request), [&](result<void> how) { done.set_value(std::move(how)); });
      BOOST_OUTCOME_TRYV(durable.get());
    }
  }
  return ok();
}

} // namespace skerry::conformance
