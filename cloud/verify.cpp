#include "cloud/verify.hpp"

#include "actors/node/data_directory.hpp"
#include "schemas/model/payload.hpp"

#include <fmt/format.h>
#include <prometheus/registry.h>

#include <map>

namespace skerry::cloud {

namespace {

struct stream_report {
  std::map<sequence, std::uint64_t> times; // how often each sequence stands in the log
};

std::string describe(const ledger_entry& entry) {
  if (entry.kind == record_kind::tombstone) {
    if (const auto stone = decode_tombstone(entry.payload))
      return fmt::format("tombstone {} {} last={} from_ns={} to_ns={}", entry.seq,
                         to_string(stone.value().cause), stone.value().last, stone.value().from_ns,
                         stone.value().to_ns);
  } else if (entry.kind == record_kind::not_collected) {
    if (const auto gap = decode_not_collected(entry.payload))
      return fmt::format("not_collected {} {} from_ns={} to_ns={}", entry.seq, to_string(gap.value().cause),
                         gap.value().from_ns, gap.value().to_ns);
  }
  return fmt::format("kind={} {} time_ns={}", static_cast<int>(entry.kind), entry.seq, entry.time_ns);
}

} // namespace

int verify(cloud_config config, bool list) {
  const auto complain = [](const error& what) {
    fmt::print(stderr, "skerry-cloud: {}\n", what.message);
    return 1;
  };
  auto directory = data_directory::open(config.data, node_kind::cloud);
  if (!directory)
    return complain(directory.error());
  config.store.directory = config.data / "store";
  config.store.log_age_max = std::chrono::hours{24 * 365}; // look, do not seal
  config.store.log_segment_bytes = std::uint64_t{1} << 30;
  config.store.scrub_bytes_per_second = 0;
  config.store.log_bytes_max = std::uint64_t{4} << 30;
  prometheus::Registry metrics;
  auto store = open_embedded_engine(config.store, metrics);
  if (!store)
    return complain(store.error());
  std::map<stream_key, stream_report> streams;
  const auto walked = store.value()->log_identities([&](const record_identity& identity, record_kind kind,
                                                        std::string_view host) {
    // Data beats a tombstone: one beside the other is no record twice.
    auto& times = streams[identity.key].times[identity.seq];
    times += kind == record_kind::tombstone ? 0 : 1;
    if (list)
      fmt::print("record {} {} {} {} {} {}\n", to_string(identity.key.edge), to_string(identity.key.epoch),
                 to_string(identity.key.stream), identity.seq, static_cast<int>(kind), host);
  });
  if (!walked)
    return complain(walked.error());
  std::uint64_t twice_in_all = 0;
  for (const auto& [key, report] : streams) {
    std::uint64_t twice = 0;
    for (const auto& [seq, times] : report.times)
      twice += times > 1 ? 1 : 0;
    twice_in_all += twice;
    fmt::print("stream {} {} {} records={} first={} last={} duplicates={}\n", to_string(key.edge),
               to_string(key.epoch), to_string(key.stream), report.times.size(), report.times.begin()->first,
               report.times.rbegin()->first, twice);
  }
  const auto told = store.value()->ledger(INT64_MIN, INT64_MAX, [](const ledger_entry& entry) {
    fmt::print("ledger {} {} {} site={} host={} {}\n", to_string(entry.origin.edge),
               to_string(entry.origin.epoch), to_string(entry.origin.stream), entry.site, entry.host,
               describe(entry));
  });
  if (!told)
    return complain(told.error());
  const auto kept = store.value()->kept_records(INT64_MIN, INT64_MAX, [](const kept_record& one) {
    if (const auto record = decode_record(one.bytes))
      fmt::print("kept {} {} {} {} {} {}\n", to_string(one.origin.edge), to_string(one.origin.epoch),
                 to_string(one.origin.stream), record.value().seq, policy_of(record.value().kind).name,
                 record.value().host);
  });
  if (!kept)
    return complain(kept.error());
  fmt::print("{} records stand in the log more than once\n", twice_in_all);
  return twice_in_all == 0 ? 0 : 1;
}

} // namespace skerry::cloud
