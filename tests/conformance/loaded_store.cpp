#include "tests/conformance/loaded_store.hpp"

#include "schemas/model/frame.hpp"
#include "schemas/time.hpp"

#include <prometheus/registry.h>

#include <algorithm>
#include <future>
#include <map>
#include <unistd.h>

namespace skerry::conformance {

namespace {

using series_lines = std::vector<const series_line*>;

series_set_ptr set_of(const series_lines& lines) {
  std::vector<metric_family> families;
  std::vector<series> members;
  for (const auto* line : lines) {
    const std::string name{value_of(line->metric, label_name)};
    if (families.empty() || families.back().name != name)
      families.push_back({name, metric_type::unknown, "", ""});
    members.push_back({static_cast<std::uint32_t>(families.size() - 1), line->metric});
  }
  return make_series_set(std::move(families), std::move(members));
}

// The values that the lines have at one step.
frame frame_of(const series_set& set, const series_lines& lines, std::size_t step, std::int64_t time_ns) {
  constexpr std::size_t word_bits = 64;
  frame f;
  f.time_ns = time_ns;
  std::vector<std::uint64_t> present((lines.size() + word_bits - 1) / word_bits);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (step >= lines[i]->values.size() || !lines[i]->values[step])
      continue;
    present[i / word_bits] |= std::uint64_t{1} << (i % word_bits);
    f.values.push_back(*lines[i]->values[step]);
  }
  if (f.values.size() == lines.size())
    present.clear();
  f.sections.push_back({set.hash, static_cast<std::uint16_t>(lines.size()), std::move(present)});
  return f;
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
  std::map<labels, const series_line*> once; // the last line of a series counts
  for (const auto& line : what.series)
    if (!line.unsupported)
      once[line.metric] = &line;
  std::map<std::pair<std::string_view, std::string_view>, series_lines> hosts;
  for (const auto& line : what.series)
    if (!line.unsupported && once[line.metric] == &line)
      hosts[{value_of(line.metric, "site"), value_of(line.metric, "host")}].push_back(&line);
  for (const auto& [place, lines] : hosts) {
    for (std::size_t from = 0; from < lines.size(); from += set_series_max) {
      const auto to = std::min(lines.size(), from + set_series_max);
      const series_lines part{lines.begin() + static_cast<std::ptrdiff_t>(from),
                              lines.begin() + static_cast<std::ptrdiff_t>(to)};
      BOOST_OUTCOME_TRYV(append(place.first, place.second, what.step_ms, part));
    }
  }
  return ok();
}

// One frame per step, as an edge would send them.
result<void> loaded_store::append(std::string_view site, std::string_view host, std::int64_t step_ms,
                                  const series_lines& lines) {
  const auto set = set_of(lines);
  std::size_t steps = 0;
  for (const auto* line : lines)
    steps = std::max(steps, line->values.size());
  const stream_key key{edge_id{1}, {1, {1, 1}}, stream_id::telemetry};
  run_builder builder{key, next_sequence_};
  value_encoder encoder;
  byte_buffer payload;
  for (std::size_t step = 0; step < steps; ++step) {
    const auto f = frame_of(*set, lines, step, static_cast<std::int64_t>(step) * step_ms * ns_per_ms);
    if (f.values.empty())
      continue;
    payload.clear();
    encode_frame(f, encoder, payload);
    builder.append(record_kind::frame, f.time_ns, host, payload);
  }
  if (builder.empty())
    return ok();
  const auto made = std::move(builder).finish();
  next_sequence_ = made.header.last() + 1;
  cloud::append_request request;
  request.site = site;
  request.origin = key;
  request.ranges.add({made.header.first, made.header.last()});
  BOOST_OUTCOME_TRY(records, decode_records(made));
  request.records = std::move(records);
  request.owner = made.bytes.owner;
  request.sets.push_back(set);
  std::promise<result<void>> done;
  auto durable = done.get_future();
  engine_->append(std::move(request), [&](result<void> how) { done.set_value(std::move(how)); });
  return durable.get();
}

} // namespace skerry::conformance
