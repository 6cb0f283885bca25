// The part of selection that says which series, labels and metrics there are, without samples.

#include "cloud/store/selection.hpp"

#include <set>

namespace skerry::cloud {

result<void> selection::series(const std::function<void(const labels&)>& each) {
  BOOST_OUTCOME_TRYV(find());
  place_reader reader{from_, opened_, parts_, bounds_};
  for (const auto* at : places_) {
    BOOST_OUTCOME_TRY(columns, reader.name(*at));
    for (const auto& c : columns)
      each(c.all);
  }
  return ok();
}

template <class Each>
void selection::each_source(Each&& each) {
  for (const auto& log : from_.logs)
    log->with_index([&](const log_index& index) {
      for (const auto& source : index.sources())
        if (source->time_max >= bounds_.from_ns && source->time_min <= bounds_.to_ns)
          each(*source);
    });
}

template <class Each>
result<void> selection::each_reader(const char* what, Each&& each) {
  for (const auto& p : opened_) {
    BOOST_OUTCOME_TRY(reader, p->read());
    if (auto read = each(reader); !read && !passable(read.error(), what))
      return read;
  }
  return ok();
}

result<std::vector<std::string>> selection::label_names() {
  std::set<std::string, std::less<>> names;
  if (!request_.matchers.empty()) {
    BOOST_OUTCOME_TRYV(series([&](const labels& all) {
      for (const auto& l : all)
        names.insert(l.name);
    }));
    return std::vector<std::string>{names.begin(), names.end()};
  }
  BOOST_OUTCOME_TRYV(open_partitions());
  each_source([&](const head_source& source) {
    for (const auto& set : source.sets)
      set->each_name([&](const std::string& name) { names.insert(name); });
    if (!source.site.empty())
      names.insert("site");
    if (!source.host.empty())
      names.insert("host");
  });
  BOOST_OUTCOME_TRYV(each_reader("index", [&](const partition_reader& reader) {
    return reader.each_label_name([&](std::string_view name) { names.emplace(name); });
  }));
  return std::vector<std::string>{names.begin(), names.end()};
}

result<std::vector<std::string>> selection::label_values(std::string_view name) {
  std::set<std::string, std::less<>> values;
  if (!request_.matchers.empty()) {
    BOOST_OUTCOME_TRYV(series([&](const labels& all) {
      if (const auto value = value_of(all, name); !value.empty())
        values.emplace(value);
    }));
    return std::vector<std::string>{values.begin(), values.end()};
  }
  BOOST_OUTCOME_TRYV(open_partitions());
  each_source([&](const head_source& source) {
    if (name == "site" || name == "host") {
      if (const auto& value = name == "site" ? source.site : source.host; !value.empty())
        values.insert(value);
      return;
    }
    for (const auto& set : source.sets)
      set->each_value(name, [&](const std::string& value) { values.insert(value); });
  });
  BOOST_OUTCOME_TRYV(each_reader("index", [&](const partition_reader& reader) {
    return reader.each_label_value(name, [&](std::string_view value) { values.emplace(value); });
  }));
  return std::vector<std::string>{values.begin(), values.end()};
}

result<std::vector<promql::family_metadata>> selection::metadata() {
  std::set<promql::family_metadata> families;
  BOOST_OUTCOME_TRYV(open_partitions());
  for (const auto& log : from_.logs)
    log->with_index([&](const log_index& index) {
      for (const auto& [key, set] : index.sets)
        set.compact->each_family([&](const promql::family_metadata& f) { families.insert(f); });
    });
  BOOST_OUTCOME_TRYV(each_reader("index", [&](const partition_reader& reader) {
    return reader.each_family([&](promql::family_metadata f) { families.insert(std::move(f)); });
  }));
  return std::vector<promql::family_metadata>{families.begin(), families.end()};
}

} // namespace skerry::cloud
