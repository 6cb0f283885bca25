#include "cloud/store/damage_ledger.hpp"

#include "actors/base/files.hpp"
#include "cloud/store/store_metrics.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <tuple>
#include <vector>
#include <xxhash.h>

namespace skerry::cloud {

namespace {

constexpr std::uint32_t copy_magic = 0x6d446b53; // "SkDm"
constexpr std::uint8_t copy_version = 1;
constexpr std::size_t copy_header_bytes = 24;
constexpr std::size_t file_bytes_max = 64 << 20;
constexpr std::size_t copies_apart_bytes = 4096; // at least: what damages one must not reach the other
constexpr std::int64_t ahead_max_ns = 3'600'000'000'000;

struct copy_header {
  std::uint32_t magic = copy_magic;
  std::uint8_t version = copy_version;
  std::uint8_t reserved[3] = {};
  std::uint32_t rows = 0;
  std::uint32_t bytes = 0;    // of the rows
  std::uint64_t checksum = 0; // of the rows; its seed is that of the header before it
};
static_assert(sizeof(copy_header) == copy_header_bytes);

std::uint64_t checksum_of(const copy_header& header, bytes_view rows) noexcept {
  return XXH3_64bits_withSeed(rows.data(), rows.size(),
                              XXH3_64bits(&header, offsetof(copy_header, checksum)));
}

std::uint64_t hash_of(std::uint64_t thing, std::string_view site, std::string_view host) noexcept {
  const auto of_site = XXH3_64bits_withSeed(site.data(), site.size(), thing);
  return XXH3_64bits_withSeed(host.data(), host.size(), of_site ^ site.size());
}

std::string whose(const damage& d) {
  return d.of_everyone()  ? "every host"
         : d.host.empty() ? fmt::format("every host of site '{}'", d.site)
                          : fmt::format("host '{}' of site '{}'", d.host, d.site);
}

// Joined: all their time.
void extend(damage& to, const damage& by) {
  to.from_ns = to.from_ns == 0 || by.from_ns == 0 ? 0 : std::min(to.from_ns, by.from_ns);
  to.to_ns = std::max(to.to_ns, by.to_ns);
  to.samples += by.samples;
}

} // namespace

std::uint64_t damaged_thing(std::string_view what, std::initializer_list<std::uint64_t> where) {
  return XXH3_64bits_withSeed(std::data(where), where.size() * sizeof(std::uint64_t),
                              XXH3_64bits(what.data(), what.size()));
}

damage_ledger::damage_ledger(const std::filesystem::path& file, store_metrics& metrics, std::size_t rows_max)
    : damage_ledger({file.string(), [file] { return read_file(file, file_bytes_max); },
                     [file](std::string_view all) { return write_file_durably(file, all); }},
                    metrics, rows_max, nullptr) {}

damage_ledger::damage_ledger(damage_file file, store_metrics& metrics, std::size_t rows_max,
                             planted_faults planted)
    : file_(std::move(file)), metrics_(metrics), rows_max_(rows_max), planted_(planted) {}

void damage_ledger::show() const { metrics_.damage_rows.Set(static_cast<double>(rows_.size())); }

bool damage_ledger::knows(const damage& found) const {
  if (rows_.contains(hash_of(found.thing, found.site, found.host)))
    return true;
  const auto covered = [&](std::string_view site, std::string_view host) {
    const auto it = rows_.find(hash_of(0, site, host));
    return it != rows_.end() && it->second.merged && it->second.what.to_ns >= found.to_ns
           && (it->second.what.from_ns == 0
               || (found.from_ns != 0 && it->second.what.from_ns <= found.from_ns));
  };
  return covered(found.site, found.host) || covered(found.site, {}) || covered({}, {});
}

void damage_ledger::add(damage found, bool merged) {
  if (merged)
    found.thing = 0;
  const auto id = hash_of(found.thing, found.site, found.host);
  const auto [it, fresh] = rows_.try_emplace(id, row{found, merged});
  if (!fresh)
    extend(it->second.what, found);
}

bool damage_ledger::note(damage found, const char* what, std::string_view why) {
  {
    const std::lock_guard lock{mutex_};
    if (knows(found))
      return false;
    add(found, false);
    if (rows_.size() > rows_max_)
      fold();
    ++version_;
    show();
  }
  metrics_.count_damaged(what);
  spdlog::error("store: a damaged {} is left out of answers, of {}: {}; the ledger says so from now on", what,
                whose(found), why);
  if (changed)
    changed();
  return true;
}

// Rows that have most in common become one, until there is some room: time is claimed beside what is missing, never less.
void damage_ledger::fold() {
  using group_key = std::pair<std::string, std::string>;
  while (rows_.size() > rows_max_ - rows_max_ / 4) {
    std::map<group_key, std::vector<std::uint64_t>> by_host, by_site;
    for (const auto& [id, each] : rows_) {
      by_host[{each.what.site, each.what.host}].push_back(id);
      by_site[{each.what.site, {}}].push_back(id);
    }
    const auto largest = [](const auto& groups) {
      return std::max_element(groups.begin(), groups.end(),
                              [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
    };
    auto of = largest(by_host);
    group_key whose = of->first;
    auto ids = of->second;
    if (ids.size() < 2) {
      of = largest(by_site);
      whose = of->first;
      ids = of->second;
    }
    if (ids.size() < 2) {
      whose = {};
      ids.clear();
      for (const auto& [id, each] : rows_)
        ids.push_back(id);
    }
    damage all = rows_.at(ids.front()).what;
    for (auto id = ids.begin() + 1; id != ids.end(); ++id)
      extend(all, rows_.at(*id).what);
    for (const auto id : ids)
      rows_.erase(id);
    std::tie(all.site, all.host) = whose;
    add(std::move(all), true);
    if (ids.size() < 2)
      return; // nothing is left to join
  }
}

void damage_ledger::forget_before(std::int64_t time_ns) {
  {
    const std::lock_guard lock{mutex_};
    if (std::erase_if(rows_, [&](const auto& each) { return each.second.what.to_ns < time_ns; }) == 0)
      return;
    ++version_;
    show();
  }
  if (changed)
    changed();
}

void damage_ledger::each(std::int64_t from_ns, std::int64_t to_ns,
                         const std::function<void(const damage&)>& each) const {
  std::vector<damage> found;
  {
    const std::lock_guard lock{mutex_};
    for (const auto& [id, one] : rows_)
      if ((one.what.from_ns == 0 || one.what.from_ns <= to_ns) && one.what.to_ns >= from_ns)
        found.push_back(one.what);
  }
  for (const auto& one : found)
    each(one);
}

std::size_t damage_ledger::size() const {
  const std::lock_guard lock{mutex_};
  return rows_.size();
}

byte_buffer damage_ledger::encode() const {
  byte_buffer rows;
  byte_writer w{rows};
  for (const auto& [id, each] : rows_) {
    w.fixed(static_cast<std::uint8_t>(each.merged ? 1 : 0));
    w.text(each.what.site);
    w.text(each.what.host);
    w.fixed(each.what.from_ns);
    w.fixed(each.what.to_ns);
    w.varint(each.what.samples);
    w.fixed(each.what.thing);
  }
  copy_header header;
  header.rows = static_cast<std::uint32_t>(rows_.size());
  header.bytes = static_cast<std::uint32_t>(rows.size());
  header.checksum = checksum_of(header, rows);
  byte_buffer copy;
  byte_writer out{copy};
  out.fixed(header);
  out.bytes(rows);
  return copy;
}

result<void> damage_ledger::flush() {
  const std::lock_guard one_at_a_time{writing_};
  byte_buffer copy;
  std::uint64_t version = 0;
  {
    const std::lock_guard lock{mutex_};
    if (written_ == version_)
      return ok();
    version = version_;
    copy = encode();
  }
  auto both = copy;
  both.resize((copy.size() + copies_apart_bytes - 1) / copies_apart_bytes * copies_apart_bytes
              + copies_apart_bytes);
  both.insert(both.end(), copy.begin(), copy.end());
  if (!planted(planted_, planted_fault::damage_not_written)) {
    BOOST_OUTCOME_TRYV(file_.write(as_text(both)));
  }
  const std::lock_guard lock{mutex_};
  written_ = version;
  return ok();
}

result<bool> damage_ledger::decode(bytes_view copy) {
  copy_header header;
  if (copy.size() < sizeof header)
    return false;
  std::memcpy(&header, copy.data(), sizeof header);
  if (header.magic != copy_magic || header.bytes > copy.size() - sizeof header)
    return false;
  const auto rows = copy.subspan(sizeof header, header.bytes);
  if (header.checksum != checksum_of(header, rows))
    return false;
  if (header.version > copy_version)
    return fail(errc::unsupported_version,
                fmt::format("{} was written by a newer build (format {}, this one knows {}): start that one",
                            file_.name, header.version, copy_version));
  byte_reader r{rows};
  rows_.clear();
  for (std::uint32_t i = 0; i < header.rows && !r.failed(); ++i) {
    row one;
    one.merged = r.fixed<std::uint8_t>() != 0;
    one.what.site = r.text();
    one.what.host = r.text();
    one.what.from_ns = r.fixed<std::int64_t>();
    one.what.to_ns = r.fixed<std::int64_t>();
    one.what.samples = r.varint();
    one.what.thing = r.fixed<std::uint64_t>();
    if (!r.failed())
      rows_.emplace(hash_of(one.what.thing, one.what.site, one.what.host), std::move(one));
  }
  return !r.failed();
}

result<void> damage_ledger::load(std::int64_t now_ns) {
  auto content = file_.read();
  if (!content && content.error().code == errc::not_found)
    return ok();
  if (!content && content.error().code != errc::exhausted)
    return content.error();
  if (content) {
    const std::string_view all{content.value()};
    static constexpr std::string_view magic = "SkDm";
    for (auto at = all.find(magic); at != std::string_view::npos; at = all.find(magic, at + 1)) {
      BOOST_OUTCOME_TRY(sound, decode(as_bytes(all).subspan(at)));
      if (sound) {
        show();
        return ok();
      }
    }
  }
  rows_.clear();
  damage everything;
  everything.to_ns = now_ns + ahead_max_ns;
  everything.thing = damaged_thing("damage", {static_cast<std::uint64_t>(now_ns)});
  note(std::move(everything), "damage",
       fmt::format("what was damaged before can't be read from {}", file_.name));
  return ok();
}

} // namespace skerry::cloud
