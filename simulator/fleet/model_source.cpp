#include "simulator/fleet/model_source.hpp"

#include <fmt/format.h>

namespace skerry::sim {

namespace {

constexpr std::size_t series_per_family = 10;

metric_family family_of(value_kind kind, std::size_t number) {
  metric_family out;
  const bool counts = kind == value_kind::counter;
  out.name = fmt::format("sim_{}_{}{}", to_string(kind), number, counts ? "_total" : "");
  out.type = counts ? metric_type::counter : metric_type::gauge;
  out.help = fmt::format("Simulated: {}.", to_string(kind));
  return out;
}

} // namespace

void model_source::intern_all(std::string_view host) {
  refs_.clear();
  refs_.reserve(model_->series_per_host());
  metric_family family;
  std::size_t of_kind = 0;
  for (std::size_t i = 0; i < model_->series_per_host(); ++i) {
    const auto kind = model_->kind_of(i);
    of_kind = i > 0 && model_->kind_of(i - 1) == kind ? of_kind + 1 : 0;
    if (of_kind % series_per_family == 0)
      family = family_of(kind, of_kind / series_per_family);
    refs_.push_back(assembler_.intern(family, {{std::string{label_name}, family.name},
                                               {"instance", std::string{host}},
                                               {"job", std::string{fleet_job}},
                                               // Unique: functions that drop the name keep series apart.
                                               {"series", fmt::format("{}", i)}}));
  }
  epoch_ = assembler_.refs_epoch();
}

edge::collection model_source::collect(std::int64_t time_ns, std::int64_t monotonic_ns,
                                       std::string_view host) {
  if (refs_.empty() || epoch_ != assembler_.refs_epoch())
    intern_all(host);
  assembler_.begin();
  for (std::size_t i = 0; i < refs_.size(); ++i)
    if (refs_[i] != edge::no_series)
      assembler_.add(refs_[i], model_->value(host_, site_, i, time_ns));
  return assembler_.finish(time_ns, monotonic_ns, host);
}

} // namespace skerry::sim
