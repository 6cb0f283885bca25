#include "actors/push/push_assembler.hpp"
#include "tests/actors/push/write_builder.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <map>
#include <random>

using namespace skerry;
using namespace skerry::push;

namespace {

struct world {
  push_assembler assembler;
  write_request request;
  push_rules rules{"remote", false, 0, INT64_MAX};
  std::map<std::string, series_set_ptr> sets; // by hash, as a receiver keeps them

  push_outcome add(const write_builder& from) {
    REQUIRE(request.decode(from.body()));
    auto out = assembler.add(request, rules);
    for (const auto& host : out.hosts)
      for (const auto& set : host.sets) {
        auto full = decode_series_set(set->encoded);
        REQUIRE(full);
        REQUIRE(full.value()->hash == set->hash);
        sets[to_string(set->hash)] = full.value();
      }
    return out;
  }

  // "site/host series time" -> bits
  std::multimap<std::string, std::uint64_t> read(const push_outcome& out) {
    std::multimap<std::string, std::uint64_t> all;
    value_decoder decoder;
    for (const auto& host : out.hosts)
      for (const auto& record : host.records) {
        CHECK(record.host == host.host);
        frame f;
        REQUIRE(decode_frame(record.payload, decoder, f));
        CHECK(f.time_ns == record.time_ns);
        std::size_t v = 0;
        for (const auto& section : f.sections) {
          const auto& set = *sets.at(to_string(section.set));
          REQUIRE(set.members.size() == section.series_count);
          for (std::size_t i = 0; i < set.members.size(); ++i)
            if (section.present.empty() || (section.present[i / 64] >> (i % 64) & 1) != 0)
              all.emplace(host.site + "/" + host.host + " " + to_string(set.members[i].all) + " "
                              + std::to_string(f.time_ns / 1'000'000),
                          std::bit_cast<std::uint64_t>(f.values[v++]));
        }
        CHECK(v == f.values.size());
      }
    return all;
  }
};

std::uint64_t bits(double v) { return std::bit_cast<std::uint64_t>(v); }

} // namespace

TEST_CASE("a pushed series' host is its host label, else its instance, else one of a few") {
  world w;
  const auto out = w.add(
      write_builder{}
          .series({{"__name__", "a"}, {"host", "h1"}, {"instance", "i1"}}, {{1'000, 1}})
          .series({{"__name__", "a"}, {"instance", "i1:9100"}}, {{1'000, 2}})
          .series({{"__name__", "a"}, {"site", "remote"}}, {{1'000, 3}})
          .series({{"__name__", "a"}, {"host", std::string(256, 'h')}, {"instance", "i2"}}, {{1'000, 4}}));
  CHECK_FALSE(out.refusal);
  CHECK(out.samples == 4);
  REQUIRE(out.hosts.size() == 4);
  const auto all = w.read(out);
  CHECK(all.count("remote/h1 a{host=\"h1\",instance=\"i1\"} 1000") == 1);
  CHECK(all.count("remote/i1:9100 a{instance=\"i1:9100\"} 1000") == 1);
  CHECK(out.hosts[2].host.starts_with("pushed-"));
  CHECK(all.count("remote/" + out.hosts[2].host + " a{site=\"remote\"} 1000") == 1);
  CHECK(out.hosts[3].host == "i2"); // too long for a name of a host, not for a label
}

TEST_CASE("a pushed series keeps all its labels; who may name a site says where it is accounted for") {
  world w;
  const auto push = [&](const std::string& site) {
    return w.add(
        write_builder{}.series({{"__name__", "a"}, {"exported_site", "b"}, {"site", site}}, {{1'000, 1}}));
  };
  const auto at = [&](const push_outcome& out) {
    CHECK_FALSE(out.refusal);
    REQUIRE(out.hosts.size() == 1);
    return out.hosts[0].site + " " + w.read(out).begin()->first;
  };
  const std::string of_harbour = "a{exported_site=\"b\",site=\"harbour\"} 1000";
  const auto kept = at(push("harbour"));
  CHECK(kept.starts_with("remote "));
  CHECK(kept.ends_with(of_harbour));
  w.rules.any_site = true;
  const auto taken = at(push("harbour"));
  CHECK(taken.starts_with("harbour "));
  CHECK(taken.ends_with(of_harbour));
  const auto no_name = at(push("a place / nowhere"));
  CHECK(no_name.starts_with("remote "));
  CHECK(no_name.ends_with("site=\"a place / nowhere\"} 1000"));
  // That the series is known by now opens nothing.
  w.rules.any_site = false;
  CHECK(at(push("harbour")) == kept);
}

TEST_CASE("what can't be stored is refused by itself") {
  world w;
  w.rules.oldest_ms = 500;
  const auto out = w.add(write_builder{}
                             .series({{"__name__", "good"}}, {{1'000, 1}, {499, 2}, {-1, 3}})
                             .series({{"job", "a"}}, {{1'000, 1}})
                             .series({{"__name__", "9"}}, {{1'000, 1}})
                             .series({{"__name__", "a"}, {"b-c", "x"}}, {{1'000, 1}})
                             .series({{"__name__", "a"}, {"b", "x"}, {"b", "y"}}, {{1'000, 1}})
                             .series({{"__name__", "a"}, {"b", "\xff"}}, {{1'000, 1}})
                             .series({{"__name__", "h"}}, {}, 1));
  CHECK(out.samples == 1);
  CHECK(out.refused == 8);
  REQUIRE(out.refusal);
  CHECK(out.refusal->code == errc::invalid_argument);
  CHECK(out.refusal->message.find("older than the retention") != std::string::npos);
}

TEST_CASE("samples that stand twice are told from samples that differ") {
  world w;
  const write_builder::label_list name{{"__name__", "a"}, {"host", "h"}};
  const auto out = w.add(write_builder{}
                             .series(name, {{1'000, 1}, {1'000, 1}, {1'000, 2}, {1'000, 3}})
                             .series(name, {{1'000, 2}}));
  CHECK_FALSE(out.refusal);
  const auto all = w.read(out);
  CHECK(all.size() == out.samples);
  std::map<std::uint64_t, int> values;
  for (const auto& [key, value] : all)
    ++values[value];
  CHECK(values.count(bits(1)) == 1);
  CHECK(values.count(bits(2)) == 1);
  CHECK(values.count(bits(3)) == 1);
}

TEST_CASE("the newest frame that is not ahead is the host's watermark") {
  world w;
  w.rules.watermark_ms = 2'500;
  const auto out =
      w.add(write_builder{}.series({{"__name__", "a"}, {"host", "h"}}, {{3'000, 1}, {1'000, 1}, {2'000, 1}}));
  REQUIRE(out.hosts.size() == 1);
  REQUIRE(out.hosts[0].records.size() == 3);
  CHECK(out.hosts[0].records[0].flags == 0);
  CHECK(out.hosts[0].records[1].flags == flag_watermark);
  CHECK(out.hosts[0].records[2].flags == 0);
}

TEST_CASE("metadata reaches the sets, also those that are there already") {
  world w;
  const auto push = [&](write_builder b) {
    return w.add(b.series({{"__name__", "rq_bucket"}, {"host", "h"}, {"le", "1"}}, {{1'000, 1}}));
  };
  const auto before = push({});
  CHECK(w.sets.at(to_string(before.hosts[0].sets[0]->hash))->families[0].name == "rq_bucket");
  auto after = push(std::move(write_builder{}.metadata(3, "rq", "requests", "seconds")));
  const auto& family = w.sets.at(to_string(after.hosts[0].sets[0]->hash))->families[0];
  CHECK(family == metric_family{"rq", metric_type::histogram, "requests", "seconds"});
  const auto again = push({});
  CHECK(again.hosts[0].sets[0]->hash == after.hosts[0].sets[0]->hash);
}

TEST_CASE("whatever is pushed in whatever pieces is all there, in few sets") {
  const auto* given = std::getenv("SKERRY_SEED");
  const auto seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  world w;
  std::multimap<std::string, std::uint64_t> sent, found;
  for (int round = 0; round < 60; ++round) {
    write_builder builder;
    for (int i = 0; i < 40; ++i) {
      const auto host = "h" + std::to_string(random() % 3);
      const auto name = "m" + std::to_string(random() % 300);
      write_builder::sample_list samples;
      for (std::uint64_t n = random() % 3; n > 0; --n) {
        const auto time_ms = static_cast<std::int64_t>(round * 1'000 + i * 10 + static_cast<int>(n));
        const auto value = std::bit_cast<double>(random());
        samples.emplace_back(time_ms, value);
        sent.emplace("remote/" + host + " " + name + "{host=\"" + host + "\",job=\"j\"} "
                         + std::to_string(time_ms),
                     bits(value));
      }
      // Senders sort labels; nothing hangs on it.
      builder.series({{"job", "j"}, {"host", host}, {"__name__", name}, {"empty", ""}}, samples);
    }
    const auto out = w.add(builder);
    CHECK_FALSE(out.refusal);
    found.merge(w.read(out));
  }
  CHECK(sent == found);
  CHECK(w.assembler.series_count() <= 900);
}

TEST_CASE("what is known of pushed series has a bound in bytes, whatever their labels unfold to") {
  world w;
  constexpr int labels_of_each = 200;
  std::size_t most = 0;
  std::uint64_t stored = 0;
  for (int push = 0; push < 24; ++push) {
    write_builder from;
    for (int i = 0; i < 400; ++i) {
      write_builder::label_list all{{std::string{label_name}, "m"}, {"i", std::to_string(push * 1000 + i)}};
      for (int k = 0; k < labels_of_each; ++k)
        all.emplace_back("l" + std::to_string(k),
                         std::to_string(push * 1'000'000 + i * 1000 + k) + std::string(60, 'x'));
      std::sort(all.begin(), all.end());
      from.series(all, {{1000 + push, 1.0}});
    }
    REQUIRE(w.request.decode(from.body()));
    const auto out = w.assembler.add(w.request, w.rules);
    stored += out.samples;
    most = std::max(most, w.assembler.memory_bytes());
  }
  CHECK(stored == 24 * 400);
  CHECK(most <= known_bytes_max);
  CHECK(w.assembler.sets_made() > 0);
}
