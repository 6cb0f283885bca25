#include "actors/intake/declared_families.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::intake;

TEST_CASE("a family has changed when it is described otherwise than its sets do") {
  declared_families families;
  const metric_family first{"a", metric_type::gauge, "text", ""};
  families.declare(first);
  CHECK_FALSE(families.any_changed()); // no set describes it
  families.keep(std::vector{first});
  families.declare(first);
  CHECK_FALSE(families.any_changed());

  for (const auto& other : {metric_family{"a", metric_type::counter, "text", ""},
                            metric_family{"a", metric_type::counter, "other", ""},
                            metric_family{"a", metric_type::counter, "other", "s"}}) {
    families.declare(other);
    REQUIRE(families.changed(first) != nullptr);
    CHECK(*families.changed(first) == other);
    made_set set;
    CHECK_FALSE(families.may_concern(set));
    set.family_bits = family_bit(hash_name("a"));
    CHECK(families.may_concern(set));
    families.settle();
    CHECK_FALSE(families.any_changed());
    CHECK_FALSE(families.may_concern(set));
    families.declare(other);
    CHECK_FALSE(families.any_changed());
  }
  families.declare({"a", metric_type::gauge, std::string(set_text_bytes_max, 'h'), ""});
  CHECK_FALSE(families.any_changed()); // no set could take it
  families.clear();
  families.declare(first);
  CHECK_FALSE(families.any_changed());
}
