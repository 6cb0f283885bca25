#include "edge/collect/scrape/exposition_parser.hpp"
#include "edge/collect/scrape/number.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <random>

using namespace skerry;
using namespace skerry::edge;

namespace {

std::uint64_t seed_of_test() {
  if (const char* s = std::getenv("SKERRY_SEED"))
    return std::strtoull(s, nullptr, 10);
  return std::random_device{}();
}

struct plain : series_resolver {
  frame_assembler* into = nullptr;
  std::map<std::string, metric_family> families;
  series_ref resolve(const metric_family& family, labels& exposed) override {
    sort_labels(exposed);
    if (value_of(exposed, label_name) == "dropped")
      return no_series;
    families[to_string(exposed)] = family;
    return into->intern(family, exposed);
  }
};

using page_values = std::map<std::int64_t, std::map<std::string, std::uint64_t>>;

struct page_reader {
  frame_assembler assembler;
  exposition_parser parser{true};
  plain resolver;
  value_decoder decoder;
  page_report report;
  std::map<std::string, metric_family> families; // as the sets say

  // Time 0 stands for samples without a time.
  page_values read(std::string page, exposition_format format = exposition_format::text) {
    resolver.into = &assembler;
    assembler.begin();
    report = parser.parse(page, format, assembler, resolver);
    const auto made = assembler.finish(0, 0, "");
    std::map<set_hash, series_set_ptr> sets;
    families.clear();
    for (const auto& set : made.sets) {
      sets[set->hash] = decode_series_set(set->encoded).value();
      for (const auto& member : sets[set->hash]->members)
        families[to_string(member.all)] = sets[set->hash]->families[member.family];
    }
    page_values out;
    for (const auto& record : made.records) {
      frame f;
      REQUIRE(decode_frame(record.payload, decoder, f));
      std::size_t at = 0;
      for (const auto& section : f.sections)
        for (std::size_t i = 0; i < section.series_count; ++i)
          if (section.present.empty() || ((section.present[i / 64] >> (i % 64)) & 1) != 0) {
            const auto bits = std::bit_cast<std::uint64_t>(f.values[at++]);
            if (bits != stale_bits)
              out[f.time_ns][to_string(sets[section.set]->members[i].all)] = bits;
          }
    }
    return out;
  }
};

std::string text_of(const page_values& all) {
  std::string out;
  for (const auto& [time, values] : all)
    for (const auto& [name, value] : values)
      out += fmt::format("{} {} {:x}\n", time, name, value);
  return out;
}

std::uint64_t bits(double v) { return std::bit_cast<std::uint64_t>(v); }

constexpr auto open = exposition_format::open_metrics;

} // namespace

TEST_CASE("numbers are read as Go reads them") {
  const auto read = [](std::string text) -> std::optional<double> {
    double v = 0;
    text += '\n';
    const char* end = text.data() + text.size();
    const char* q = parse_number(text.data(), end, v);
    return q == end - 1 ? std::optional{v} : std::nullopt;
  };
  for (const char* bad :
       {"",    "-",     "+",    ".",    "e5", "1e",    "1e+",    "0x10", "0x1p3", "1_000", "1 ",    "--1",
        "+-1", "1.2.3", "nane", "+nan", "in", "1e400", "-1e400", "1f",   "1d",    "١",     "1e5.5", "inf1"})
    CHECK_FALSE(read(bad));
  CHECK(read("1") == 1);
  CHECK(read("+1") == 1);
  CHECK(read("-1.5") == -1.5);
  CHECK(read("5.") == 5);
  CHECK(read(".5") == .5);
  CHECK(read("1.445753e+06") == 1445753);
  CHECK(read("1E3") == 1000);
  CHECK(read("1e-400") == 0);
  CHECK(read("0e9999999999999999999999") == 0);
  CHECK(read("5e-324") == 5e-324);
  CHECK(read("2.2250738585072011e-308") == 2.2250738585072011e-308);
  CHECK(read("1.7976931348623157e308") == 1.7976931348623157e308);
  CHECK(read("0.1") == 0.1);
  CHECK(read("123456789012345678901234567890") == 123456789012345678901234567890.0);
  CHECK(read("9007199254740993") == 9007199254740992.0);
  CHECK(read("1.00000000000000011102230246251565404236316680908203126") == 1.0000000000000002);
  CHECK(read("Inf") == INFINITY);
  CHECK(read("-infinity") == -INFINITY);
  CHECK(bits(read("-0").value()) == bits(-0.0));
  CHECK(bits(read("NaN").value()) == normal_nan_bits);
  CHECK(bits(read("nan").value()) == normal_nan_bits);

  const auto seed = seed_of_test();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  for (int i = 0; i < 100'000; ++i) {
    char text[64];
    const double v = i % 2 == 0 ? std::bit_cast<double>(random())
                                : static_cast<double>(random() % 100'000'000) / std::pow(10, random() % 9);
    if (!std::isfinite(v))
      continue;
    const char* formats[] = {"%.17g", "%.3f", "%g", "%.9e"};
    std::snprintf(text, sizeof text, i % 2 == 0 ? "%.17g" : formats[random() % 4], v);
    INFO(text);
    REQUIRE(bits(read(text).value_or(0)) == bits(std::strtod(text, nullptr)));
  }
}

TEST_CASE("text format: what a page may hold") {
  page_reader r;
  const auto v = r.read("# HELP a_total Help with \\\\ and \\n.\n"
                        "# TYPE a_total counter\n"
                        "a_total 1\n"
                        "\n"
                        "  a_total { x = \"1\" , y=\"\\\"q\\\" \\\\ \\n é\" , } 2.5  \n"
                        "# a comment\n#another\n"
                        "b{} +Inf 1500\n"
                        "b{z=\"\"} 7\n"
                        "dropped 1\n"
                        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 1\nh_count\t3\n"
                        "last NaN");
  CHECK(r.report.error.empty());
  CHECK(r.report.samples == 9);
  CHECK(r.report.kept == 8);
  REQUIRE(v.at(0).size() == 7);
  CHECK(v.at(0).at("a_total") == bits(1));
  CHECK(v.at(0).at("a_total{x=\"1\",y=\"\\\"q\\\" \\\\ \\n é\"}") == bits(2.5));
  CHECK(v.at(0).at("b") == bits(7)); // an empty value is no label
  CHECK(v.at(0).at("last") == normal_nan_bits);
  CHECK(v.at(1'500'000'000).at("b") == bits(INFINITY));
  CHECK(r.families["a_total"] == metric_family{"a_total", metric_type::counter, "Help with \\ and \n.", ""});
  CHECK(r.families["h_sum"].name == "h");
  CHECK(r.families["h_bucket{le=\"+Inf\"}"].type == metric_type::histogram);
  CHECK(r.families["last"] == metric_family{"last", metric_type::unknown, "", ""});
}

TEST_CASE("text format: a malformed line is refused, the rest is kept") {
  for (const std::string bad : {"1a 2",
                                "a",
                                "a{",
                                "a{b} 1",
                                "a{b=} 1",
                                "a{b=\"} 1",
                                "a{b=\"1\" 1",
                                "a{b=\"1\"}",
                                "a{b=\"\xff\"} 1",
                                "a x",
                                "a 1 x",
                                "a 1 2 3",
                                "a 1.5.5",
                                "a 0x1p-2",
                                "a 1_0",
                                "a{1=\"\"} 1",
                                "# TYPE a nonsense",
                                "# TYPE a",
                                "# HELP a \xc3\x28",
                                "a{b=\"1\",b=\"2\"} 3",
                                "a 1\r",
                                "a 1 -5",
                                "{a=\"b\"} 1",
                                "a-b 1",
                                "\xc3\xa9 1"}) {
    INFO(bad);
    page_reader r;
    const auto v = r.read("before 1\n" + bad + "\nafter 2\n");
    CHECK(r.report.lines_refused == 1);
    CHECK(r.report.error.starts_with("line 2: "));
    REQUIRE(v.size() == 1);
    CHECK(v.at(0) == std::map<std::string, std::uint64_t>{{"before", bits(1)}, {"after", bits(2)}});
    // And again, with memory.
    CHECK(r.read("before 1\n" + bad + "\nafter 2\n") == v);
    CHECK(r.report.lines_refused == 1);
    CHECK(r.report.error.starts_with("line 2: "));
    CHECK(r.read("before 1\nafter 2\n") == v);
    CHECK(r.report.error.empty());
  }
}

TEST_CASE("text format: a line feed between quotes ends no line") {
  page_reader r;
  const std::string page = "# TYPE proc gauge\n"
                           "proc{cmd=\"x;\nnode_load1 999\n# TYPE after counter\n\",pid=\"1\"} 1\n"
                           "proc{cmd=\"\n\"} 2 1500\n"
                           "after 3\n";
  for (int i = 0; i < 3; ++i) { // with memory from the second time on
    const auto v = r.read(page);
    CHECK(r.report.error.empty());
    CHECK(r.report.samples == 3);
    REQUIRE(v.at(0).size() == 2);
    CHECK(v.at(0).at(to_string(labels{
              {"__name__", "proc"}, {"cmd", "x;\nnode_load1 999\n# TYPE after counter\n"}, {"pid", "1"}}))
          == bits(1));
    CHECK(v.at(0).at("after") == bits(3));
    CHECK(v.contains(1'500'000'000) == (i == 0)); // once
    CHECK(r.families["after"].type == metric_type::unknown);
  }
  // Another value of the same series, found by memory.
  auto changed = page;
  changed.replace(changed.find("} 1\n"), 4, "} 77\n");
  CHECK(r.read(changed).at(0).size() == 2);
  CHECK(r.report.series_parsed == 0);
}

TEST_CASE("what stands in the quotes of a refused line is no line") {
  const std::string evil = "evil 9\n# TYPE after counter\nevil{a=\\\"1\\\"} 9\n";
  for (const auto format : {exposition_format::text, open})
    for (const std::string& bad : {
             "a{b=\"x\n" + evil + "\",2=\"y\"} 1",                 // a label name that is none
             "a{1=\"x\",b=\"y\n" + evil + "\"} 1",                 // before what is wrong, and after it
             "a{b=\"x\n" + evil + "\"} no_number",                 //
             "a{b=\"\xff\n" + evil + "\"} 1",                      // not UTF-8
             "a{b=\"x\",b=\"x\n" + evil + "\",c} 1",               //
             "a{b=\"x\\\n" + evil + "\"} 1",                       // a backslash before a line feed
             "a_total 1 # {b=\"x\n" + evil + "\"} 1",              // exemplars
             "a_bucket{le=\"1\"} 1 2 # {b=\"x\n" + evil + "\"} 1", //
             "a \"x\n" + evil + "\" 1",                            // where no quotes belong
             "{\"x\n" + evil + "\"} 1",                            // names in quotes are of later versions
         }) {
      INFO(bad);
      page_reader r;
      for (int i = 0; i < 3; ++i) {
        const auto v = r.read("before 1\n" + bad + "\nafter 2\n# EOF\n", format);
        CHECK(v.at(0) == std::map<std::string, std::uint64_t>{{"before", bits(1)}});
        CHECK(r.report.lines_refused == 7);
        CHECK(r.report.error.starts_with("line 2: "));
        CHECK(r.report.error.find("the 6 lines after it are not read") != std::string::npos);
      }
    }
  // A backslash before the closing quote: from there on quotes open where they should close.
  page_reader r;
  const std::string shifted = "a{b=\"x\n" + evil + "\\\"} 1\nafter 2\nb{c=\"\nevil 9\n\"} 3\nlast 4\n";
  CHECK(r.read("before 1\n" + shifted).at(0).size() == 1);
  CHECK(r.report.error
        == "line 2: expected a label name; the 9 lines after it are not read, as a quote is open at its end: "
           "'a{b=\"x'");
  // OpenMetrics has no line feeds between quotes, well-formed as the line may be.
  CHECK(r.read("before 1\na{b=\"x\nevil 9\n\"} 1\nafter 2\n# EOF\n", open).at(0).size() == 1);
  CHECK(r.report.lines_refused == 5);
}

TEST_CASE("metadata is found wherever lines begin, and nowhere within quotes") {
  // Every place in blocks of 16 bytes, for plain quotes, escaped ones, and lines of many feeds.
  for (std::size_t pad = 0; pad < 48; ++pad)
    for (const char* value :
         {"\n# TYPE after counter\n", "\\\"\n# TYPE after counter\n", "\\\\\n# TYPE after counter\n",
          "\n\n\n # TYPE after counter\n x 1\n\n", "# TYPE after counter"}) {
      const std::string filler(pad, 'f');
      const auto page = "first" + filler + "{a=\"1\",b=\"2\"} 1\nquoted{a=\"" + filler + value + "\"} 1\n"
                        + filler + " 7\n\n  # TYPE real gauge\nlast{a=\"" + filler
                        + "\"} 2\n#TYPE\n# TYPE more counter\n"
                        + "more 1\nreal 2\nafter 3\n# HELP after \"help";
      INFO(page);
      page_reader r;
      static_cast<void>(r.read(page));
      CHECK(r.families["after"].type == metric_type::unknown);
      CHECK(r.families["after"].help == "\"help");
      CHECK(r.families["real"].type == metric_type::gauge);
      CHECK(r.families["more"].type == metric_type::counter);
    }
}

TEST_CASE("quotes in metadata and comments are text") {
  page_reader r;
  const auto v = r.read("# HELP a An \"open quote\na 1\n# HELP b \"\n# \"\n#\"\n  # HELP c \"\nb 2\nc 3\n");
  CHECK(r.report.error.empty());
  CHECK(v.at(0).size() == 3);
  CHECK(r.families["a"].help == "An \"open quote");
  CHECK(r.families["c"].help == "\"");
}

TEST_CASE("OpenMetrics: what a page may hold") {
  page_reader r;
  const auto v = r.read("# TYPE a counter\n# UNIT a \n# HELP a Help\n"
                        "a_total 1 # {trace=\"x\"} 0.5 1.5\n"
                        "a_created 5 1.5\n"
                        "# TYPE b_seconds gauge\n# UNIT b_seconds seconds\n"
                        "b_seconds{x=\"1\",y=\"2\"} 2 1520879607.789 \n"
                        "b_seconds 3 1520879607.789\n"
                        "# TYPE i info\ni_info{v=\"1\"} 1\n"
                        "# EOF\n",
                        open);
  CHECK(r.report.lines_refused == 1); // the trailing blank
  CHECK(v.at(0).at("a_total") == bits(1));
  CHECK(v.at(1'500'000'000).at("a_created") == bits(5));
  CHECK(v.at(1520879607789'000'000).at("b_seconds") == bits(3));
  CHECK(r.families["a_total"] == metric_family{"a", metric_type::counter, "Help", ""});
  CHECK(r.families["b_seconds"].unit == "seconds");
  CHECK(r.families["i_info{v=\"1\"}"].type == metric_type::info);
}

TEST_CASE("OpenMetrics: what a page may not hold") {
  for (const std::string bad : {"",
                                " a 1",
                                "a  1",
                                "a\t1",
                                "a 1 ",
                                "a 1 2 ",
                                "a{b=\"1\",} 1",
                                "a{b=\"1\"c=\"2\"} 1",
                                "a {b=\"1\"} 1",
                                "# a comment",
                                "#",
                                "# TYPE a untyped",
                                "# UNIT a seconds",
                                "a 1 NaN",
                                "a 1 # {x=\"1\"} 1",
                                "a_total 1 # {x=\"1\"}",
                                "a_total 1 # {x} 1",
                                "a_total 1 # {} x",
                                "a_total 1 # {} 1 x",
                                "# TYPE a"}) {
    INFO(bad);
    page_reader r;
    const auto v = r.read("before 1\n" + bad + "\nafter 2\n# EOF\n", open);
    CHECK(r.report.lines_refused == 1);
    CHECK(v.at(0).size() == 2);
  }
  page_reader r;
  CHECK(r.read("a 1\nb 22", open).at(0).size() == 1); // cut within a number
  CHECK(r.report.lines_refused == 1);
  CHECK(r.read("a 1\n", open).at(0).size() == 1);
  CHECK(r.report.error == "line 2: the page does not end with # EOF");
  CHECK(r.read("a 1\n# EOF", open).at(0).size() == 1);
  CHECK(r.report.error.empty());
  CHECK(r.read("a 1\n# EOF\nb 2\n", open).at(0).size() == 1);
  CHECK(r.report.error == "line 3: there is data after # EOF: 'b 2'");
}

TEST_CASE("the media type chooses the format") {
  CHECK(format_of("application/openmetrics-text; version=1.0.0; charset=utf-8") == open);
  CHECK(format_of("Application/OpenMetrics-Text") == open);
  for (const char* text :
       {"", "text/plain; version=0.0.4", "text/html", ";", "application/openmetrics-text2"})
    CHECK(format_of(text) == exposition_format::text);
}

TEST_CASE("lines that stay are not taken apart again") {
  page_reader r;
  const std::string head = "# HELP a A\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2\n";
  r.read(head + "c 5\n");
  CHECK(r.report.series_parsed == 3);
  CHECK(r.read(head + "c 66\n").at(0).at("c") == bits(66));
  CHECK(r.report.series_parsed == 0);
  CHECK(r.read(head + "b 1\nc 7\n").at(0).at("c") == bits(7));
  CHECK(r.report.series_parsed == 1);
  r.read("c 7\n" + head);
  CHECK(r.report.series_parsed == 0);
  r.read("# HELP a A\n# TYPE a counter\na{x=\"1\"} 1\na{x=\"2\"} 2\n");
  CHECK(r.report.series_parsed == 0);
  CHECK(r.families["a{x=\"1\"}"].type == metric_type::counter);
  CHECK(r.families["a{x=\"2\"}"].type == metric_type::counter);
}

TEST_CASE("the last line of a page need not end") {
  page_reader r;
  CHECK(r.read("a 1").at(0).at("a") == bits(1));
  CHECK(r.read("a 12").at(0).at("a") == bits(12));
  CHECK(r.read("a 12\n").at(0).at("a") == bits(12));
  CHECK(r.read("a 12").at(0).at("a") == bits(12));
}

TEST_CASE("a page is read the same with and without memory") {
  const auto seed = seed_of_test();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  const auto pick = [&](std::size_t n) { return random() % n; };
  const char* values[] = {"0",   "1", "12.5", "NaN", "+Inf", "-0", "1e3", "1.445753e+06",
                          "bad", "",  "3 ",   "0x1", "7 x"};
  const char* times[] = {"", "", "", "", " 1000", " 2000.5", " x"};
  const char* extra[] = {"# HELP m1 help\n",
                         "# TYPE m1 gauge\n",
                         "# TYPE m1 counter\n",
                         "# hm\n",
                         "\n",
                         "garbage\n",
                         "# EOF\n",
                         "m1{l=\"x\nm2 7\n# TYPE m2 counter\n\"} 5\n",
                         "m3{l=\"\n\",x} 1\n",
                         "m4{l=\"\n",
                         "# HELP m2 \"\n"};
  for (int world = 0; world < 60; ++world) {
    const auto format = world % 2 == 0 ? exposition_format::text : open;
    page_reader remembers;
    std::map<std::string, std::int64_t> recorded; // of each series the newest time of its own
    std::vector<std::string> lines;
    std::string last_page;
    for (std::size_t i = 0, n = 1 + pick(30); i < n; ++i)
      lines.push_back("m" + std::to_string(pick(6)) + "{l=\"" + std::to_string(pick(9)) + "\"} 1\n");
    for (int round = 0; round < 30; ++round) {
      for (std::size_t change = 0, n = pick(5); change < n && !lines.empty(); ++change) {
        auto& line = lines[pick(lines.size())];
        switch (pick(6)) {
        case 0: lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(pick(lines.size()))); break;
        case 1:
          lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(pick(lines.size())),
                       extra[pick(std::size(extra))]);
          break;
        case 2: std::swap(line, lines[pick(lines.size())]); break;
        case 3: lines.push_back("m" + std::to_string(pick(9)) + " " + std::to_string(pick(99)) + "\n"); break;
        case 4: std::shuffle(lines.begin(), lines.end(), random); break;
        default:
          if (const auto space = line.find("} "); space != std::string::npos)
            line = line.substr(0, space + 2) + values[pick(std::size(values))] + times[pick(std::size(times))]
                   + "\n";
        }
      }
      std::string page;
      for (const auto& line : lines)
        page += line;
      if (pick(10) == 0 && !page.empty())
        page.pop_back();
      page_reader fresh;
      auto expected = fresh.read(page, format);
      const auto seen = remembers.read(page, format);
      // A sample that stands unchanged with its time is recorded once.
      const auto before = recorded;
      for (auto& [time, samples] : expected)
        if (time != 0)
          std::erase_if(samples, [&, at = time](const auto& sample) {
            const auto it = before.find(sample.first);
            const bool again = it != before.end() && it->second == at;
            if (!again)
              recorded[sample.first] = at;
            return again;
          });
      std::erase_if(expected, [](const auto& each) { return each.first != 0 && each.second.empty(); });
      INFO("world " << world << ", round " << round << "\n" << page << "after\n" << last_page);
      last_page = page;
      INFO(remembers.report.samples << " " << remembers.report.kept << " " << remembers.report.error);
      INFO(text_of(seen) << "expected\n" << text_of(expected));
      REQUIRE(seen == expected);
      REQUIRE(remembers.report.samples == fresh.report.samples);
      REQUIRE(remembers.report.kept == fresh.report.kept);
      REQUIRE(remembers.report.lines_refused == fresh.report.lines_refused);
      REQUIRE(remembers.report.error == fresh.report.error);
    }
  }
}
