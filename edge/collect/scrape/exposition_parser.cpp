#include "edge/collect/scrape/exposition_parser.hpp"

#include "edge/collect/scrape/number.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_map>
#include <xxhash.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace skerry::edge {

namespace {

constexpr std::uint32_t ref_mask = 0x00ff'ffff;
static_assert(source_series_max <= ref_mask && no_series == ref_mask);
constexpr std::uint32_t flag_reread =
    0x8000'0000; // the assembler does not hold this line's value: read it again
constexpr std::uint32_t flag_refused = 0x4000'0000; // malformed: taken apart each time

struct family_text {
  metric_type type = metric_type::unknown;
  std::string_view help;
  std::string_view unit;
};

struct parse_scratch {
  std::vector<remembered_line> lines;
  std::vector<std::uint32_t> table;                           // lines of the last page by their series' bytes
  std::unordered_map<std::string_view, family_text> families; // of the page being parsed
  std::vector<std::string_view> changed; // families whose metadata lines are not as before
  labels exposed;
};

parse_scratch& scratch_of_thread() {
  thread_local parse_scratch s;
  return s;
}

// How many leading bytes are equal.
std::size_t equal_bytes(const char* a, const char* b, std::size_t n) noexcept {
  std::size_t i = 0;
#if defined(__SSE2__)
  for (; i + 16 <= n; i += 16) {
    const auto x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + i));
    const auto y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + i));
    const auto same = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(x, y)));
    if (same != 0xffff)
      return i + static_cast<std::size_t>(std::countr_one(same));
  }
#endif
  for (; i + 8 <= n; i += 8) {
    std::uint64_t x;
    std::uint64_t y;
    std::memcpy(&x, a + i, 8);
    std::memcpy(&y, b + i, 8);
    if (x != y)
      return i + static_cast<std::size_t>(std::countr_zero(x ^ y)) / 8;
  }
  while (i < n && a[i] == b[i])
    ++i;
  return i;
}

bool may_be_comment(char first) noexcept { return first == '#' || first == ' ' || first == '\t'; }

// The first line after the one at `line`, which is no comment, that may be one; no line is cut within quotes. One pass
// over many lines, for as long as each has an even number of quotes, and none follows a backslash.
const char* next_comment(const char* line, const char* end) noexcept {
#if defined(__SSE2__)
  const char* p = line;
  unsigned odd = 0;
  unsigned escaped = 0; // the byte at `p` follows a backslash
  const auto find = [](const __m128i& in, char c) {
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(in, _mm_set1_epi8(c))));
  };
  while (end - p >= 16) {
    const auto bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    auto quotes = find(bytes, '"');
    auto feeds = find(bytes, '\n');
    const auto escapes = find(bytes, '\\');
    bool plain = (quotes & (escapes << 1 | escaped)) == 0;
    for (; plain && feeds != 0; feeds &= feeds - 1) {
      const auto before = (feeds & (0 - feeds)) - 1;
      plain = (odd ^ static_cast<unsigned>(__builtin_parity(quotes & before))) == 0;
      if (!plain)
        break;
      odd = 0;
      quotes &= ~before;
      line = p + std::countr_zero(feeds) + 1;
      if (line != end && may_be_comment(*line))
        return line;
    }
    if (plain) {
      odd ^= static_cast<unsigned>(__builtin_parity(quotes));
      escaped = escapes >> 15;
      p += 16;
      continue;
    }
    const char* const last = find_line_end(line, end);
    if (last == end || last + 1 == end || may_be_comment(last[1]))
      return last == end ? end : last + 1;
    p = line = last + 1;
    odd = escaped = 0;
  }
#endif
  while (line != end) {
    const char* const last = find_line_end(line, end);
    line = last == end ? end : last + 1;
    if (line != end && may_be_comment(*line))
      break;
  }
  return line;
}

constexpr std::ptrdiff_t line_shown_max = 80; // of a refused line, in its message

// Under which family's metadata a sample of another name falls.
bool belongs(std::string_view suffix, metric_type type) {
  using t = metric_type;
  if (suffix == "_bucket")
    return type == t::histogram || type == t::gauge_histogram;
  if (suffix == "_sum" || suffix == "_count")
    return type == t::histogram || type == t::summary;
  if (suffix == "_gsum" || suffix == "_gcount")
    return type == t::gauge_histogram;
  if (suffix == "_total")
    return type == t::counter;
  if (suffix == "_created")
    return type == t::counter || type == t::histogram || type == t::summary;
  return suffix == "_info" && type == t::info;
}

} // namespace

// One pass over one page.
struct exposition_parser::walk {
  exposition_parser& self;
  const std::string& page;
  frame_assembler& into;
  series_resolver& resolver;
  page_report report{};

  parse_scratch& scratch = scratch_of_thread();
  const char* const base = page.data();
  const char* const end = base + page.size();
  const char* const old_base = self.last_.data();
  const std::vector<remembered_line>& old = self.lines_;
  std::size_t next_old = 0; // the remembered line that the next one is compared with
  bool table_ready = false;
  bool families_ready = false;
  bool ended = false; // "# EOF" was read

  [[nodiscard]] std::uint32_t offset(const char* p) const { return static_cast<std::uint32_t>(p - base); }

  [[nodiscard]] std::string_view old_series(const remembered_line& line) const {
    auto last = line.value_at;
    while (last > line.series_at && (old_base[last - 1] == ' ' || old_base[last - 1] == '\t'))
      --last;
    return {old_base + line.series_at, last - line.series_at};
  }

  void fail_at(const char* p, std::string_view why) {
    if (!report.error.empty())
      return;
    // The line itself, so that nobody has to fetch the page to find it; without what could disturb a log.
    std::string shown{p, std::find(p, p + std::min(end - p, line_shown_max), '\n')};
    for (auto& c : shown)
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e)
        c = '?';
    report.error = fmt::format("line {}: {}{}", std::count(base, p, '\n') + 1, why,
                               shown.empty() ? "" : fmt::format(": '{}'", shown));
  }

  // The line after `ref` and flags are decided. Returns the flags to remember it with.
  std::uint32_t deliver(series_ref ref, double value, const value_part* part) {
    ++report.samples;
    if (ref == no_series)
      return ref;
    ++report.kept;
    if (part != nullptr && part->has_time && self.honor_timestamps_) {
      constexpr std::int64_t ms_max = INT64_MAX / 1'000'000;
      if (!into.add_at(ref, value, std::clamp(part->time_ms, -ms_max, ms_max) * 1'000'000))
        --report.kept;
      return ref | flag_reread;
    }
    return into.add(ref, value) ? ref : ref | flag_reread;
  }

  void run() {
    const char* p = base;
    while (p != end && !ended) {
      const char* const q = next_old < old.size() ? remembered(p) : p;
      p = q != p ? q : unremembered(p);
    }
  }

  // Goes on while lines are as remembered; returns the first byte that is not dealt with.
  const char* remembered(const char* p) {
    auto& out = scratch.lines;
    const char* o = old_base + (next_old == 0 ? 0 : old[next_old - 1].end);
    const char* const old_end = old_base + old.back().end;
    const char* same_until = p; // up to here the page equals what stands at `o`
    while (next_old != old.size()) {
      const auto& line = old[next_old];
      const char* const line_end = p + (old_base + line.end - o);
      if (same_until < line_end)
        same_until +=
            equal_bytes(same_until, o + (same_until - p),
                        static_cast<std::size_t>(std::min(end - same_until, old_end - o - (same_until - p))));
      const char* const value_at = p + (old_base + line.value_at - o);
      const auto series_at = offset(p + (old_base + line.series_at - o));
      if (same_until >= line_end && (line.ref & (flag_reread | flag_refused)) == 0) {
        ++report.samples;
        auto ref = line.ref;
        if (ref != no_series) {
          ++report.kept;
          if (!into.add_again(ref))
            ref |= flag_reread;
        }
        out.push_back({series_at, offset(value_at), offset(line_end), ref});
        p = line_end;
      } else if (same_until >= value_at && (line.ref & flag_refused) == 0) {
        value_part part;
        const char* q = parse_number(value_at, end, part.value);
        if (q == nullptr)
          return p;
        bool plain = q != end && *q == '\n';
        if (!plain) {
          q = static_cast<const char*>(std::memchr(q, '\n', static_cast<std::size_t>(end - q)));
          const char* why = "";
          if (q == nullptr || !parse_value_part(value_at, q, self.format_, old_name(line), part, why))
            return p;
        }
        const auto ref = deliver(line.ref & ref_mask, part.value, plain ? nullptr : &part);
        out.push_back({series_at, offset(value_at), offset(q + 1), ref});
        p = same_until = q + 1;
      } else {
        return p;
      }
      o = old_base + line.end;
      ++next_old;
    }
    return p;
  }

  [[nodiscard]] std::string_view old_name(const remembered_line& line) const {
    const auto series = old_series(line);
    return series.substr(0, series.find_first_of("{ \t"));
  }

  // Takes lines apart up to and with the first that holds a sample or is refused.
  const char* unremembered(const char* p) {
    while (p != end && !ended) {
      const auto* feed = static_cast<const char*>(std::memchr(p, '\n', static_cast<std::size_t>(end - p)));
      const char* last = feed == nullptr ? end : feed;
      std::string_view text{p, static_cast<std::size_t>(last - p)};
      auto line = parse_line(text, self.format_);
      // What is well-formed up to its first line feed has no open quote there: only the others need a second look.
      if (line.kind == line_kind::bad && feed != nullptr) {
        if (const char* const whole = find_line_end(p, end); whole != last) {
          last = whole;
          text = {p, static_cast<std::size_t>(last - p)};
          if (self.format_ == exposition_format::text)
            line = parse_line(text, self.format_);
          if (line.kind == line_kind::bad)
            last = end; // its quotes can't be trusted: nobody knows which of what follows was meant as a line
        }
      }
      const char* const next = last == end ? end : last + 1;
      if (feed == nullptr && self.format_ == exposition_format::open_metrics && line.kind != line_kind::end) {
        line.kind = line_kind::bad; // the page was cut: half a number looks like a number
        line.error = "the page ends within a line";
      }
      switch (line.kind) {
      case line_kind::blank:
      case line_kind::comment: break;
      case line_kind::help:
      case line_kind::type:
      case line_kind::unit:
        if (!old.empty())
          scratch.changed.push_back(line.name);
        break;
      case line_kind::end:
        ended = true;
        if (next != end)
          fail_at(next, "there is data after # EOF");
        return next;
      case line_kind::bad: refuse(p, next, line.error); return next;
      case line_kind::sample: sample(p, text, next, line); return next;
      }
      p = next;
    }
    return p;
  }

  void refuse(const char* p, const char* next, const char* why) {
    const auto more = std::count(p, next - 1, '\n');
    report.lines_refused += 1 + static_cast<std::uint64_t>(more);
    fail_at(p, more == 0
                   ? std::string{why}
                   : fmt::format("{}; the {} lines after it are not read, as a quote is open at its end", why,
                                 more));
    if (next_old < old.size() && (old[next_old].ref & flag_refused) != 0)
      ++next_old;
    scratch.lines.push_back({offset(p), offset(p), offset(next), flag_refused | no_series});
  }

  void sample(const char* p, std::string_view text, const char* next, const exposition_line& line) {
    const auto series = text.substr(line.series_first, line.series_last - line.series_first);
    std::uint32_t ref = no_series;
    if (const auto found = find_old(series); found != old.size()) {
      ref = old[found].ref & ref_mask;
      next_old = found + 1;
    } else {
      ++report.series_parsed;
      if (!parse_labels(series, scratch.exposed)) {
        refuse(p, next, "a label name is there twice");
        return;
      }
      ref = resolver.resolve(family_of(line.name), scratch.exposed);
    }
    value_part part{line.value, line.time_ms.has_value(), line.time_ms.value_or(0)};
    auto flags = deliver(ref, line.value, &part);
    if (next[-1] != '\n') // the next page may go on where this one ends
      flags |= flag_reread;
    scratch.lines.push_back({offset(p) + static_cast<std::uint32_t>(line.series_first),
                             offset(p) + static_cast<std::uint32_t>(line.value_at), offset(next), flags});
  }

  // The remembered line of a series; old.size() where there is none.
  std::size_t find_old(std::string_view series) {
    if (old.empty())
      return 0;
    if (next_old < old.size() && (old[next_old].ref & flag_refused) == 0
        && old_series(old[next_old]) == series)
      return next_old;
    auto& table = scratch.table;
    const auto mask = std::bit_ceil(old.size() * 2) - 1;
    if (!table_ready) {
      table_ready = true;
      table.assign(mask + 1, 0);
      for (std::size_t i = 0; i < old.size(); ++i) {
        if ((old[i].ref & flag_refused) != 0)
          continue;
        const auto key = old_series(old[i]);
        auto slot = XXH3_64bits(key.data(), key.size()) & mask;
        while (table[slot] != 0 && old_series(old[table[slot] - 1]) != key)
          slot = (slot + 1) & mask;
        if (table[slot] == 0) // a page of one series a million times must not fill the table with it
          table[slot] = static_cast<std::uint32_t>(i + 1);
      }
    }
    auto slot = XXH3_64bits(series.data(), series.size()) & mask;
    for (; table[slot] != 0; slot = (slot + 1) & mask)
      if (old_series(old[table[slot] - 1]) == series)
        return table[slot] - 1;
    return old.size();
  }

  void read_families() {
    if (families_ready)
      return;
    families_ready = true;
    // A family's lines stand one after the other.
    std::string_view last_name;
    family_text* last_found = nullptr;
    const auto of = [&](std::string_view name) -> family_text& {
      if (last_found == nullptr || name != last_name) {
        last_name = name;
        last_found = &scratch.families[name];
      }
      return *last_found;
    };
    for (const char* p = base; p != end;) {
      const char* first = p;
      while (first != end && (*first == ' ' || *first == '\t'))
        ++first;
      if (first == end || *first != '#') {
        p = next_comment(p, end);
        continue;
      }
      const void* const feed = std::memchr(first, '\n', static_cast<std::size_t>(end - first));
      const char* const last = feed == nullptr ? end : static_cast<const char*>(feed);
      const auto line = parse_line({p, static_cast<std::size_t>(last - p)}, self.format_);
      if (line.kind == line_kind::help)
        of(line.name).help = line.text;
      else if (line.kind == line_kind::type)
        of(line.name).type = line.type;
      else if (line.kind == line_kind::unit)
        of(line.name).unit = line.text;
      p = last == end ? end : last + 1;
    }
  }

  static metric_family make_family(std::string_view name, const family_text& text) {
    return {std::string{name}, text.type, unescape_help(text.help), std::string{text.unit}};
  }

  metric_family family_of(std::string_view name) {
    read_families();
    if (const auto it = scratch.families.find(name); it != scratch.families.end())
      return make_family(name, it->second);
    if (const auto cut = name.rfind('_'); cut != std::string_view::npos)
      if (const auto it = scratch.families.find(name.substr(0, cut));
          it != scratch.families.end() && belongs(name.substr(cut), it->second.type))
        return make_family(it->first, it->second);
    return {std::string{name}, metric_type::unknown, {}, {}};
  }

  void redeclare_changed() {
    const bool all = old.empty() && into.series_count() != 0 && report.series_parsed != 0;
    if (scratch.changed.empty() && !all)
      return;
    read_families();
    if (all)
      for (const auto& [name, text] : scratch.families)
        into.redeclare(make_family(name, text));
    for (const auto name : scratch.changed)
      if (const auto it = scratch.families.find(name); it != scratch.families.end())
        into.redeclare(make_family(name, it->second));
  }
};

page_report exposition_parser::parse(std::string& page, exposition_format format, frame_assembler& into,
                                     series_resolver& resolver) {
  if (page.size() > page_bytes_max) {
    page_report report;
    report.error = fmt::format("a page of {} bytes is over the limit of {}", page.size(), page_bytes_max);
    return report;
  }
  if (format != format_ || refs_epoch_ != into.refs_epoch())
    forget();
  format_ = format;
  refs_epoch_ = into.refs_epoch();
  auto& scratch = scratch_of_thread();
  scratch.lines.clear();
  scratch.lines.reserve(lines_.size() + 16);
  scratch.families.clear();
  scratch.changed.clear();

  walk w{*this, page, into, resolver};
  w.run();
  if (format == exposition_format::open_metrics && !w.ended)
    w.fail_at(w.end, "the page does not end with # EOF");
  w.redeclare_changed();
  scratch.families.clear();

  // The lines change places with the scratch, so that capacity is not bought twice for each target; a target
  // whose page shrank gives memory back.
  if (lines_.capacity() < scratch.lines.size() || lines_.capacity() > 2 * scratch.lines.size() + 64) {
    std::vector<remembered_line>{}.swap(lines_); // assigning {} would keep the memory
    lines_.reserve(scratch.lines.size());
  }
  lines_.assign(scratch.lines.begin(), scratch.lines.end());
  last_.swap(page);
  return std::move(w.report);
}

void exposition_parser::forget() {
  std::vector<remembered_line>{}.swap(lines_); // assigning {} would keep the memory
  std::string{}.swap(last_);
}

std::size_t exposition_parser::memory_bytes() const noexcept {
  return last_.capacity() + lines_.capacity() * sizeof(remembered_line);
}

} // namespace skerry::edge
