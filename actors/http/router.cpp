#include "actors/http/router.hpp"

#include "actors/http/url.hpp"

namespace skerry::http {

namespace {

void add_method(std::string& allow, std::string_view method) {
  if (!allow.empty())
    allow += ", ";
  allow += method;
}

} // namespace

result<router::match> router::find(std::string_view method, std::string_view raw_path) const {
  BOOST_OUTCOME_TRY(path, percent_decode(raw_path, plus::literal));
  const auto wanted = method == "HEAD" ? std::string_view{"GET"} : method;
  match out;
  for (const auto& route : routes_) {
    std::string capture;
    if (const auto hole = route.path.find("{}"); hole == std::string::npos) {
      if (path != route.path)
        continue;
    } else {
      // Matched before decoding, so that an escaped '/' stays inside its segment.
      const auto before = std::string_view{route.path}.substr(0, hole);
      const auto after = std::string_view{route.path}.substr(hole + 2);
      if (raw_path.size() <= before.size() + after.size() || !raw_path.starts_with(before)
          || !raw_path.ends_with(after))
        continue;
      const auto segment = raw_path.substr(before.size(), raw_path.size() - before.size() - after.size());
      if (segment.find('/') != std::string_view::npos)
        continue;
      BOOST_OUTCOME_TRY(decoded, percent_decode(segment, plus::literal));
      capture = std::move(decoded);
    }
    out.pattern = route.path;
    add_method(out.allow, route.method);
    if (route.method == "GET")
      add_method(out.allow, "HEAD");
    if (route.method == wanted) {
      out.found = &route;
      out.capture = std::move(capture);
      return out;
    }
  }
  return out;
}

} // namespace skerry::http
