#include "schemas/model/record_kind.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace skerry;

TEST_CASE("every kind has a row of its own, and numbers without one share a row") {
  std::set<std::string_view> names;
  for (int number = 0; number <= 255; ++number) {
    const auto kind = static_cast<record_kind>(number);
    const bool known = number >= 1 && number <= 8;
    INFO("kind " << number);
    CHECK(is_known(kind) == known);
    CHECK((policy_of(kind).name == "unknown") == !known);
    names.insert(policy_of(kind).name);
  }
  CHECK(names.size() == 9);
  CHECK(policy_of(record_kind::frame).name == "frame");
  CHECK(policy_of(record_kind::not_collected).name == "not_collected");
}

TEST_CASE("what a row says fits together") {
  for (std::size_t row = 0; row < kind_policies.size(); ++row) {
    const auto& policy = kind_policies[row];
    INFO(policy.name);
    // It is in one place once its log is sealed. What a watermark says is kept with its host.
    const int places = int{policy.samples} + int{policy.ledger} + int{policy.kept_whole};
    CHECK(places == (row == static_cast<std::size_t>(record_kind::watermark) ? 0 : 1));
    if (policy.ledger)
      CHECK_FALSE(policy.may_be_forced_out); // it says what is missing: without it, the loss is silent
    if (policy.may_be_thinned || policy.part_of_query)
      CHECK(policy.samples);
    if (policy.may_be_thinned)
      CHECK(policy.may_be_forced_out);
    if (policy.stream == stream_id::alert)
      CHECK_FALSE(policy.may_be_forced_out);
  }
}

TEST_CASE("a kind that is not known is kept whole, may have to make room, and is no loss") {
  const auto& policy = policy_of(record_kind{200});
  CHECK(policy.kept_whole);
  CHECK(policy.may_be_forced_out); // what somebody sends must not fill a spool for good
  CHECK_FALSE(policy.ledger);
  CHECK_FALSE(policy.samples);
  CHECK_FALSE(policy.names_sets);
}
