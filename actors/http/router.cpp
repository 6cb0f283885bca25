#include "actors/http/router.hpp"

#include "actors/http/url.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace skerry::http {

namespace {

constexpr std::string_view prefix_end = "/*";

bool is_prefix(const route& one) noexcept { return one.path.ends_with(prefix_end); }

// The smaller, the earlier.
std::pair<int, std::size_t> order(const route& one) noexcept {
  if (is_prefix(one))
    return {2, SIZE_MAX - one.path.size()};
  return {one.path.find("{}") == std::string::npos ? 0 : 1, 0};
}

void add_method(std::string& allow, std::string_view method) {
  if (!allow.empty())
    allow += ", ";
  allow += method;
}

// What stands for the "{}" of `path`, still encoded: an escaped '/' stays inside its segment. None where it does not match.
std::optional<std::string_view> segment_of(std::string_view path, std::string_view raw) noexcept {
  const auto hole = path.find("{}");
  const auto before = path.substr(0, hole);
  const auto after = path.substr(hole + 2);
  if (raw.size() <= before.size() + after.size() || !raw.starts_with(before) || !raw.ends_with(after))
    return std::nullopt;
  const auto segment = raw.substr(before.size(), raw.size() - before.size() - after.size());
  return segment.find('/') == std::string_view::npos ? std::optional{segment} : std::nullopt;
}

// The path below a prefix, decoded.
result<std::string> below(std::string_view raw) {
  const auto refuse = [] {
    return fail(errc::malformed, "a path below a prefix must have plain segments: none that is empty, '.' or "
                                 "'..', and no escaped '/', '\\' or control character");
  };
  std::string out;
  for (bool more = true; more;) {
    const auto slash = raw.find('/');
    more = slash != std::string_view::npos;
    BOOST_OUTCOME_TRY(segment, percent_decode(raw.substr(0, slash), plus::literal));
    raw.remove_prefix(more ? slash + 1 : raw.size());
    if (segment == "." || segment == ".." || (segment.empty() && more))
      return refuse();
    if (std::any_of(segment.begin(), segment.end(), [](char c) {
          return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
        }))
      return refuse();
    out += segment;
    if (more)
      out += '/';
  }
  return out;
}

} // namespace

router::router(std::vector<route> routes) : routes_(std::move(routes)) {
  std::stable_sort(routes_.begin(), routes_.end(),
                   [](const route& a, const route& b) { return order(a) < order(b); });
}

result<router::match> router::find(std::string_view method, std::string_view raw_path) const {
  BOOST_OUTCOME_TRY(path, percent_decode(raw_path, plus::literal));
  const auto wanted = method == "HEAD" ? std::string_view{"GET"} : method;
  match out;
  std::string_view raw_capture;
  bool prefix = false;
  const auto matches = [&](const route& one) {
    if (is_prefix(one)) {
      const auto stem = std::string_view{one.path}.substr(0, one.path.size() - 1);
      raw_capture = raw_path.substr(std::min(stem.size(), raw_path.size()));
      return prefix = raw_path.starts_with(stem);
    }
    if (one.path.find("{}") == std::string::npos)
      return path == one.path;
    const auto segment = segment_of(one.path, raw_path);
    raw_capture = segment.value_or(std::string_view{});
    return segment.has_value();
  };
  const auto first = std::find_if(routes_.begin(), routes_.end(), matches);
  if (first == routes_.end())
    return out;
  out.pattern = first->path;
  for (const auto& one : routes_) {
    if (one.path != first->path)
      continue;
    add_method(out.allow, one.method);
    if (one.method == "GET")
      add_method(out.allow, "HEAD");
    if (one.method == wanted && out.found == nullptr)
      out.found = &one;
  }
  BOOST_OUTCOME_TRY(capture, prefix ? below(raw_capture) : percent_decode(raw_capture, plus::literal));
  out.capture = std::move(capture);
  return out;
}

} // namespace skerry::http
