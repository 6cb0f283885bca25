#include "tests/bench/replay_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <numeric>
#include <sstream>
#include <unordered_map>
#include <xxhash.h>

namespace skerry::bench {

namespace {

__extension__ using wide = __int128;

constexpr int decimals_max = 17;
constexpr double units_max = 4e18;
constexpr std::uint32_t factor_one = 1 << 16;
constexpr double small_constant = 100; // constants below are counts and flags: every host has the same

double power_of_ten(int e) noexcept {
  constexpr std::array<double, 18> table{1e0, 1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,
                                         1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17};
  return table[static_cast<std::size_t>(e)];
}

std::uint64_t mix(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}
std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept { return mix(mix(a) ^ b); }

struct sample_line {
  std::string_view series; // with labels
  std::string_view value;
};

// The series ends at the last brace, or at the first blank where it has none; a timestamp is left out.
bool split_line(std::string_view line, sample_line& out) noexcept {
  const auto brace = line.rfind('}');
  const auto end = brace != std::string_view::npos ? brace + 1 : line.find(' ');
  if (end == std::string_view::npos || end >= line.size())
    return false;
  const auto from = line.find_first_not_of(' ', end);
  if (from == std::string_view::npos)
    return false;
  out.series = line.substr(0, end);
  out.value = line.substr(from, line.find(' ', from) - from);
  return true;
}

bool parse_value(std::string_view text, double& out) noexcept {
  if (!text.empty() && text.front() == '+')
    text.remove_prefix(1);
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
  return code == std::errc{} && end == text.data() + text.size();
}

std::string_view metric_name(std::string_view series) noexcept { return series.substr(0, series.find('{')); }

std::string_view without(std::string_view name, std::string_view suffix) noexcept {
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
}

std::string_view label_in(std::string_view series, std::string_view label) noexcept {
  const auto at = series.find(label);
  if (at == std::string_view::npos)
    return {};
  const auto from = at + label.size();
  return series.substr(from, series.find('"', from) - from);
}

// The fewest decimals that tell every value to within its last bit.
int decimals_of(const std::vector<double>& values) {
  const auto fits = [&](int d) {
    return std::all_of(values.begin(), values.end(), [&](double v) {
      const double scaled = std::round(v * power_of_ten(d));
      return std::fabs(scaled) < units_max
             && std::fabs(scaled / power_of_ten(d) - v)
                    <= std::numeric_limits<double>::epsilon() * std::fabs(v);
    });
  };
  for (int d = 0; d <= decimals_max; ++d)
    if (fits(d))
      return d;
  // Beyond: as many as the largest has room for.
  double most = 1;
  for (const double v : values)
    most = std::max(most, std::fabs(v));
  return std::clamp(16 - static_cast<int>(std::log10(most)), 0, decimals_max);
}

void analyse(recorded_series& s, std::vector<double> values, std::string_view type) {
  const auto name = metric_name(s.text);
  const bool constant = std::all_of(values.begin(), values.end(), [&](double v) { return v == values[0]; });
  const bool finite = std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
  if (!finite || (constant && std::fabs(values[0]) < small_constant))
    return; // literal
  const bool rising = std::is_sorted(values.begin(), values.end());
  constexpr double epoch_min = 1e9; // what is later than 2001 and called a time is one
  if (rising && values.back() > epoch_min && name.ends_with("time_seconds") && type != "counter") {
    s.kind = replay_kind::clock;
    for (auto it = values.rbegin(); it != values.rend(); ++it) // "not yet" before the first event
      if (*it < epoch_min)
        *it = *std::prev(it);
  } else if (type == "counter" || type == "histogram" || name.ends_with("_count") || name.ends_with("_sum")
             || (type != "gauge" && type != "summary" && rising)) {
    s.kind = replay_kind::counter;
  } else {
    s.kind = replay_kind::gauge;
  }

  s.decimals = decimals_of(values);
  std::int64_t previous = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    auto unit = static_cast<std::int64_t>(std::round(values[i] * power_of_ten(s.decimals)));
    if (static_cast<double>(unit) / power_of_ten(s.decimals) != values[i])
      s.float_noise = true;
    if (s.kind == replay_kind::counter) { // sums up what it rose by
      const auto rise = i == 0 || unit < previous ? (i == 0 ? unit : 0) : unit - previous;
      previous = unit;
      unit = i == 0 ? rise : s.units.back() + rise;
    }
    s.units.push_back(unit);
  }
  s.granule = 0;
  for (const auto unit : s.units)
    s.granule = std::gcd(s.granule, unit);
  if (constant) // of one value only powers of two tell anything
    s.granule = std::min<std::int64_t>(s.granule & -s.granule, 4096);
  for (auto& unit : s.units)
    unit /= s.granule;

  const auto n = s.units.size();
  std::int64_t moved = 0;
  std::uint32_t moves = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto step = s.units[i] - s.units[i == 0 ? n - 1 : i - 1];
    if (step != 0 && i != 0) {
      moved += std::abs(step);
      ++moves;
    }
  }
  s.noise = moves == 0 ? 0 : moved / moves / 2;
  if (n > 1)
    s.per_loop = s.units.back() - s.units.front()
                 + (s.units.back() - s.units.front()) / static_cast<std::int64_t>(n - 1);
  s.changed_at.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    std::uint32_t age = 0;
    while (age < n && s.units[(i + n - age) % n] == s.units[(i + 2 * n - age - 1) % n])
      ++age;
    s.changed_at[i] = age;
  }
}

} // namespace

std::size_t format_go(double v, char* to) noexcept {
  const auto put = [&](std::string_view text) {
    std::memcpy(to, text.data(), text.size());
    return text.size();
  };
  if (std::isnan(v))
    return put("NaN");
  if (std::isinf(v))
    return put(v > 0 ? "+Inf" : "-Inf");
  if (v == 0)
    return put(std::signbit(v) ? "-0" : "0");
  // Go takes the exponent form below 1e-4 and from 1e+06 on (strconv's rule for 'g' with the shortest
  // precision).
  const double size = std::fabs(v);
  const auto format = size >= 1e-4 && size < 1e6 ? std::chars_format::fixed : std::chars_format::scientific;
  return static_cast<std::size_t>(std::to_chars(to, to + 31, v, format).ptr - to);
}

result<recording> recording::load(std::span<const std::string> files) {
  if (files.empty())
    return fail(errc::invalid_argument, "a recording needs at least one scrape: name its files");
  recording out;
  std::vector<std::string> order;
  std::vector<std::string> comment_before;
  std::unordered_map<std::string, std::vector<std::string>> seen;
  std::unordered_map<std::string, std::string> types;
  std::string comments;
  for (std::size_t f = 0; f < files.size(); ++f) {
    std::ifstream in{files[f]};
    if (!in)
      return fail(errc::io, fmt::format("cannot read the scrape {}", files[f]));
    std::string line;
    while (std::getline(in, line)) {
      if (line.empty() || line.front() == '#') {
        if (f == 0)
          comments += line + '\n';
        std::istringstream words{line};
        std::string hash, what, name, type;
        if (words >> hash >> what >> name >> type && what == "TYPE")
          types[name] = type;
        continue;
      }
      sample_line sample;
      double ignored = 0;
      if (!split_line(line, sample)
          || (!parse_value(sample.value, ignored) && sample.value.find("nf") == std::string_view::npos
              && sample.value.find("N") == std::string_view::npos))
        return fail(errc::malformed, fmt::format("{}: no sample: {}", files[f], line.substr(0, 200)));
      auto& values = seen[std::string{sample.series}];
      if (f == 0) {
        order.emplace_back(sample.series);
        comment_before.push_back(std::move(comments));
        comments.clear();
      }
      if (values.size() == f)
        values.emplace_back(sample.value);
    }
  }
  out.steps_ = files.size();
  std::string pending;
  for (std::size_t i = 0; i < order.size(); ++i) {
    pending += comment_before[i];
    const auto& texts = seen[order[i]];
    if (texts.size() != files.size()) {
      ++out.left_out_;
      continue;
    }
    recorded_series s;
    s.text = order[i];
    s.literal = texts.front();
    const auto name = metric_name(s.text);
    auto base = name;
    for (const auto suffix : {"_bucket", "_count", "_sum"})
      if (!types.contains(std::string{base}))
        base = without(name, suffix);
    s.family_hash = XXH3_64bits(base.data(), base.size());
    std::vector<double> values;
    for (const auto& text : texts) {
      double v = std::numeric_limits<double>::quiet_NaN();
      (void)parse_value(text, v);
      values.push_back(v);
    }
    const auto type = types.find(std::string{base});
    analyse(s, std::move(values), type == types.end() ? "" : type->second);
    if (out.node_name_.empty())
      out.node_name_ = label_in(s.text, "nodename=\"");
    out.comments_.push_back(std::move(pending));
    pending.clear();
    out.series_.push_back(std::move(s));
  }
  out.comments_.push_back(pending + comments);
  return out;
}

replay_target::replay_target(std::shared_ptr<const recording> from, std::uint64_t seed, std::uint32_t target)
    : from_(std::move(from)), seed_(mix(seed, target)), target_(target) {
  const auto& all = from_->series();
  phase_ = mix(seed_, 1) % from_->steps();
  slots_.resize(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto& s = all[i];
    skeleton_ += from_->comments()[i];
    skeleton_ += own_labels(s.text);
    skeleton_ += ' ';
    cuts_.push_back(static_cast<std::uint32_t>(skeleton_.size()));
    skeleton_ += '\n';
    // 0.6 to 1.4 of the target, times 0.75 to 1.25 of the family on it.
    const auto own = factor_one * 6 / 10 + mix(seed_, 2) % (factor_one * 8 / 10);
    const auto family = factor_one * 3 / 4 + mix(seed_, s.family_hash) % (factor_one / 2);
    factors_.push_back(static_cast<std::uint32_t>(own * family / factor_one));
    if (s.kind == replay_kind::literal) {
      slots_[i].size =
          static_cast<std::uint8_t>(std::min<std::size_t>(s.literal.size(), sizeof slots_[i].text));
      std::memcpy(slots_[i].text, s.literal.data(), slots_[i].size);
    }
  }
  skeleton_ += from_->comments().back();
}

std::string replay_target::own_labels(std::string_view text) const {
  std::string out{text};
  const auto replace = [&out](std::string_view what, std::string_view by) {
    for (auto at = out.find(what); at != std::string::npos; at = out.find(what, at + by.size()))
      out.replace(at, what.size(), by);
  };
  if (!from_->node_name().empty())
    replace(fmt::format("=\"{}\"", from_->node_name()), fmt::format("=\"replay-{:04}\"", target_));
  constexpr std::array<std::string_view, 4> disks{"vda", "sda", "nvme0n1", "xvda"};
  constexpr std::array<std::string_view, 4> networks{"eth0", "ens3", "enp1s0", "eno1"};
  const auto disk = disks[mix(seed_, 3) % disks.size()];
  replace("device=\"vda\"", fmt::format("device=\"{}\"", disk));
  replace("device=\"/dev/vda\"", fmt::format("device=\"/dev/{}\"", disk));
  replace("device=\"eth0\"", fmt::format("device=\"{}\"", networks[mix(seed_, 4) % networks.size()]));
  return out;
}

void replay_target::refresh(std::size_t index, std::uint64_t step) {
  const auto& s = from_->series()[index];
  if (s.kind == replay_kind::literal)
    return;
  const auto n = from_->steps();
  const auto at = step + phase_;
  const auto loop = static_cast<std::int64_t>(at / n);
  const auto recorded = s.units[at % n];
  const auto noise = [&]() -> std::int64_t {
    if (s.noise == 0)
      return 0;
    const auto changed = at + n - s.changed_at[at % n]; // + n: the first pass reaches back before its start
    const auto width = static_cast<std::uint64_t>(2 * s.noise + 1);
    return static_cast<std::int64_t>(mix(seed_ ^ mix(index), changed) % width) - s.noise;
  };
  const auto scaled = [&](std::int64_t v) {
    return static_cast<std::int64_t>((static_cast<wide>(v) * factors_[index]) / factor_one);
  };
  std::int64_t units = 0;
  switch (s.kind) {
  case replay_kind::literal: return;
  case replay_kind::counter: units = scaled(recorded + loop * s.per_loop); break;
  case replay_kind::clock: // of a recording made a whole number of seconds earlier, up to a day
    units = recorded + loop * s.per_loop + noise() / 2
            - static_cast<std::int64_t>(static_cast<double>(mix(seed_, 5) % 86400) * power_of_ten(s.decimals))
                  / s.granule;
    break;
  case replay_kind::gauge:
    units = scaled(recorded);
    if (recorded > 0)
      units = std::max<std::int64_t>(0, units + noise());
    else if (recorded < 0)
      units = std::min<std::int64_t>(0, units + noise());
    break;
  }
  auto& slot = slots_[index];
  if (units == slot.units)
    return;
  slot.units = units;
  const auto whole = static_cast<double>(units * s.granule);
  const double v = s.float_noise ? whole * (1 / power_of_ten(s.decimals)) : whole / power_of_ten(s.decimals);
  slot.size = static_cast<std::uint8_t>(format_go(v, slot.text));
}

std::string_view replay_target::value(std::size_t index, std::uint64_t step) {
  refresh(index, step);
  return {slots_[index].text, slots_[index].size};
}

std::string replay_target::series_text(std::size_t index) const {
  return own_labels(from_->series()[index].text);
}
std::size_t replay_target::series_count() const noexcept { return slots_.size() + 1; }

void replay_target::render(std::uint64_t step, std::string& body) {
  body.clear();
  body.reserve(skeleton_.size() + slots_.size() * 24 + 128);
  std::size_t at = 0;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    refresh(i, step);
    body.append(skeleton_, at, cuts_[i] - at);
    body.append(slots_[i].text, slots_[i].size);
    at = cuts_[i];
  }
  body.append(skeleton_, at);
  fmt::format_to(std::back_inserter(body),
                 "# HELP {0} Which step of the replay this scrape is.\n# TYPE {0} gauge\n{0} {1}\n",
                 step_series, step);
}

} // namespace skerry::bench
