#include "edge/uplink/usage_file.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>

using namespace skerry;
using namespace skerry::edge;

namespace {

struct folder {
  folder() {
    std::string name = (std::filesystem::temp_directory_path() / "skerry-usage-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

} // namespace

TEST_CASE("what the link carried comes back after a restart, byte for byte") {
  const folder in;
  const auto file = in.path / "usage";
  CHECK(load_usage(file).value() == kept_usage{});
  const kept_usage kept{{{{20'770, 4444}, {20'777, 123}}, 89}, "3 4 5", true};
  REQUIRE(store_usage(file, kept));
  CHECK(load_usage(file).value() == kept);
  std::ifstream text{file};
  CHECK(std::string{std::istreambuf_iterator<char>{text}, {}}
        == "skerry-usage 2 89 1 3 4 5 20770 4444 20777 123\n");
}

TEST_CASE("what the first version wrote is read") {
  const folder in;
  const auto file = in.path / "usage";
  std::ofstream{file} << "skerry-usage 1 20777 24322 123 4567 89 1\n"; // 2026-11-20
  CHECK(load_usage(file).value() == kept_usage{{{{20'758, 4444}, {20'777, 123}}, 89}, "", true});
  std::ofstream{file} << "skerry-usage 1 20758 24322 123 123 89 0\n"; // the first of the month
  CHECK(load_usage(file).value() == kept_usage{{{{20'758, 123}}, 89}, "", false});
}

TEST_CASE("a damaged file counts anew, a newer one is refused") {
  const folder in;
  const auto file = in.path / "usage";
  for (const auto* text :
       {"", "skerry-usage", "skerry-usage 1 1 2 3", "garbage 1 1 2 3 4 5 0", "skerry-usage x",
        "skerry-usage 2 1 0 1 1 0 7", "skerry-usage 2 1 0 1 1 0 7 x", "skerry-usage 2 1 0 1",
        "skerry-usage 2 1 0 1 1 0 99999999999999 7", "skerry-usage 1 1 999999999 2 3 4 0"}) {
    std::ofstream{file} << text;
    CAPTURE(text);
    CHECK(load_usage(file).value() == kept_usage{});
  }
  std::ofstream{file} << "skerry-usage 3 something else\n";
  const auto newer = load_usage(file);
  REQUIRE_FALSE(newer);
  CHECK(newer.error().code == errc::unsupported_version);
}
