// The part of selection that says which series, labels and metrics there are, without samples.

#include "cloud/store/selection.hpp"

#include <algorithm>
#include <set>

namespace skerry::cloud {

namespace {

// Texts, each once, counted as long as the query's memory is.
class text_set {
public:
  explicit text_set(promql::query_memory* memory) : memory_(memory) {}

  void insert(std::string_view text) {
    if (failed_ || all_.find(text) != all_.end())
      return;
    if (memory_ != nullptr
        && !memory_->take(2 * sizeof(std::string) + 2 * text.size() + promql::table_entry_bytes)) {
      failed_ = memory_->refusal();
      return;
    }
    all_.emplace(text);
  }

  [[nodiscard]] result<std::vector<std::string>> take() {
    if (failed_)
      return *failed_;
    return std::vector<std::string>{std::make_move_iterator(all_.begin()),
                                    std::make_move_iterator(all_.end())};
  }

private:
  promql::query_memory* memory_;
  std::set<std::string, std::less<>> all_;
  std::optional<error> failed_;
};

} // namespace

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
    if (auto read = each(reader); !read && !passable(read.error(), *p, what))
      return read;
  }
  return ok();
}

result<std::vector<std::string>> selection::label_names() {
  text_set names{request_.memory};
  if (!request_.matchers.empty()) {
    BOOST_OUTCOME_TRYV(series([&](const labels& all) {
      for (const auto& l : all)
        names.insert(l.name);
    }));
    return names.take();
  }
  BOOST_OUTCOME_TRYV(open_partitions());
  each_source([&](const head_source& source) {
    for (const auto& set : source.sets)
      set->each_name([&](const std::string& name) { names.insert(name); });
    if (!site_beside(source.edge, source.site).empty())
      names.insert("site");
  });
  BOOST_OUTCOME_TRYV(each_reader("index", [&](const partition_reader& reader) {
    return reader.each_label_name([&](std::string_view name) { names.insert(name); });
  }));
  return names.take();
}

result<std::vector<std::string>> selection::label_values(std::string_view name) {
  text_set values{request_.memory};
  if (!request_.matchers.empty()) {
    BOOST_OUTCOME_TRYV(series([&](const labels& all) {
      if (const auto value = value_of(all, name); !value.empty())
        values.insert(value);
    }));
    return values.take();
  }
  BOOST_OUTCOME_TRYV(open_partitions());
  each_source([&](const head_source& source) {
    for (const auto& set : source.sets)
      set->each_value(name, [&](const std::string& value) { values.insert(value); });
    if (const auto site = site_beside(source.edge, source.site);
        name == "site" && !site.empty()
        && std::any_of(source.sets.begin(), source.sets.end(),
                       [](const auto& set) { return set->lacks_sites(); }))
      values.insert(site);
  });
  BOOST_OUTCOME_TRYV(each_reader("index", [&](const partition_reader& reader) {
    return reader.each_label_value(name, [&](std::string_view value) { values.insert(value); });
  }));
  return values.take();
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
