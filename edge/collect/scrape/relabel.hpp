#pragma once

// Relabelling, with the actions, checks and expansion rules of Prometheus 2.42. Expressions are RE2's,
// anchored at both ends. Immutable once made; any thread.

#include "schemas/error.hpp"
#include "schemas/model/series.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace re2 {
class RE2;
}

namespace skerry::edge {

enum class relabel_action : std::uint8_t {
  replace,
  keep,
  drop,
  keep_equal,
  drop_equal,
  hash_mod,
  label_map,
  label_drop,
  label_keep,
  lowercase,
  uppercase,
};
// not_found: no such action; in any case of letters.
[[nodiscard]] result<relabel_action> parse_relabel_action(std::string_view text);

// With Prometheus' defaults.
struct relabel_config {
  std::vector<std::string> source_labels;
  std::string separator = ";";
  std::string regex = "(.*)";
  std::uint64_t modulus = 0;
  std::string target_label;
  std::string replacement = "$1";
  relabel_action action = relabel_action::replace;

  bool operator==(const relabel_config&) const = default;
};

class relabel_rule {
public:
  // invalid_argument: what Prometheus refuses too, with the reason.
  [[nodiscard]] static result<relabel_rule> make(relabel_config config);

  [[nodiscard]] bool apply(labels& all) const; // false: dropped
  [[nodiscard]] const relabel_config& config() const noexcept { return config_; }
  bool operator==(const relabel_rule& other) const { return config_ == other.config_; }

private:
  relabel_config config_;
  std::shared_ptr<const re2::RE2> regex_;
};

// All rules in their order; false: dropped. `all` is sorted before and after.
[[nodiscard]] bool relabel(labels& all, const std::vector<relabel_rule>& rules);

// In sorted labels: sets, or removes where the value is empty.
void set_label(labels& all, std::string_view name, std::string_view value);

} // namespace skerry::edge
