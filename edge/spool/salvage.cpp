#include "edge/spool/salvage.hpp"

#include <cstring>
#include <optional>

namespace skerry::edge {

namespace {

constexpr std::size_t record_stream_offset = 29; // docs/formats.md#record

// Every magic number of the spool starts with 'S': "Sk" a record, "SKRN" a run, "SKIX" and "SKRL" the index,
// "SKST" a set.
std::size_t next_candidate(bytes_view file, std::size_t from) noexcept {
  const auto* found = from < file.size() ? std::memchr(file.data() + from, 'S', file.size() - from) : nullptr;
  return found == nullptr ? file.size()
                          : static_cast<std::size_t>(static_cast<const std::byte*>(found) - file.data());
}

bool starts_with(bytes_view bytes, std::string_view magic) noexcept {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

class scanner {
public:
  scanner(salvaged& out, const std::set<stream_key>& known) : out_(out) {
    for (const auto& key : known)
      learn(key);
  }

  // Whose records are here: run headers and index entries.
  void find_names() {
    const auto file = out_.file.view;
    for (auto at = next_candidate(file, 0); at < file.size(); at = next_candidate(file, at + 1)) {
      const auto here = file.subspan(at);
      if (starts_with(here, "SKRN")) {
        if (const auto header = decode_run_header(here))
          learn(header.value().key);
      } else if (starts_with(here, "SKIX") || starts_with(here, "SKRL")) {
        std::size_t used = 0;
        if (auto entry = decode_index_entry(here, used))
          take(std::move(entry).value());
      }
    }
  }

  void find_content() {
    const auto file = out_.file.view;
    std::size_t at = next_candidate(file, 0);
    while (at < file.size()) {
      const auto used = take_content(file.subspan(at));
      at = next_candidate(file, at + used);
    }
  }

private:
  void learn(const stream_key& key) { names_[{epoch_tag(key.edge, key.epoch), key.stream}].insert(key); }

  void take(index_entry entry) {
    learn(entry.key);
    if (entry.stream) {
      auto& best = out_.promised[entry.key];
      if (entry.stream->stored.count() >= best.stored.count()) // older copies of a page hold shorter ranges
        best = std::move(*entry.stream);
    } else {
      auto& released = out_.released[entry.key];
      released.last = std::max(released.last, entry.released->last);
      released.released.add(entry.released->released);
    }
  }

  // How many bytes were understood; 1 where none.
  std::size_t take_content(bytes_view here) {
    if (starts_with(here, "Sk"))
      return take_record(here);
    if (starts_with(here, "SKST"))
      return take_set(here);
    return 1;
  }

  std::size_t take_record(bytes_view here) {
    const auto record = decode_record(here);
    if (!record)
      return 1;
    const auto& view = record.value();
    const auto stream = stream_id{static_cast<std::uint8_t>(here[record_stream_offset])};
    const auto sequences = sequences_of(view);
    const auto named = names_.find({view.tag, stream});
    if (named == names_.end() || named->second.size() != 1 || !sequences || view.seq == 0) {
      ++out_.records_unnamed;
      return view.bytes.size();
    }
    out_.records[*named->second.begin()].try_emplace(view.seq,
                                                     salvaged::record{view.bytes, sequences.value()});
    return view.bytes.size();
  }

  std::size_t take_set(bytes_view here) {
    const auto value = decode_set_value(here);
    if (!value || !expand_set(value.value()))
      return 1;
    out_.sets.try_emplace(value.value().name, here.first(value.value().bytes));
    return value.value().bytes;
  }

  salvaged& out_;
  std::map<std::pair<std::uint32_t, stream_id>, std::set<stream_key>> names_;
};

} // namespace

result<salvaged> salvage_file(const std::filesystem::path& file, std::uint64_t bytes_max,
                              const std::set<stream_key>& known) {
  BOOST_OUTCOME_TRY(bytes, read_whole_file(file, bytes_max));
  salvaged out;
  out.file = shared_bytes::take(std::move(bytes));
  scanner scan{out, known};
  scan.find_names();
  scan.find_content();
  return out;
}

} // namespace skerry::edge
