#include "actors/link/limits.hpp"
#include "actors/link/messages.hpp"
#include "actors/link/text.hpp"
#include "schemas/capnp_io.hpp"
#include "schemas/link.capnp.h"
#include "tests/actors/link/support.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::link;
using namespace skerry::link::test;

namespace {

constexpr std::size_t kinds = std::variant_size_v<body>;
constexpr std::size_t bytes_max = 32 << 20;

template <class Fill>
message_parts built(Fill&& fill) {
  capnp::MallocMessageBuilder builder;
  fill(builder.initRoot<wire::Message>());
  byte_buffer out;
  write_message(builder, out);
  return {shared_bytes::take(std::move(out))};
}

errc code_of(const message_parts& parts, std::size_t max = bytes_max) {
  const auto read = decode(parts, max);
  REQUIRE(!read);
  return read.error().code;
}

} // namespace

TEST_CASE("every kind of message decodes to what was encoded") {
  INFO("SKERRY_SEED=" << seed());
  random_engine random{seed()};
  for (int round = 0; round < 200; ++round)
    for (std::size_t kind = 0; kind < kinds; ++kind) {
      const auto made = random_message(random, kind);
      const auto read = decode(encode(made), bytes_max);
      INFO("kind " << kind << " round " << round << (read ? "" : ": " + read.error().message));
      REQUIRE(read);
      REQUIRE(equal(made, read.value()));
    }
}

TEST_CASE("truncated and flipped messages are refused or read, and never more") {
  INFO("SKERRY_SEED=" << seed());
  random_engine random{seed()};
  std::size_t refused = 0;
  for (int round = 0; round < 400; ++round)
    for (std::size_t kind = 0; kind < kinds; ++kind) {
      auto parts = encode(random_message(random, kind));
      const auto at = random() % parts.size();
      byte_buffer bytes{parts[at].view.begin(), parts[at].view.end()};
      if (round % 2 == 0)
        bytes.resize(random() % (bytes.size() + 1));
      else if (!bytes.empty())
        for (auto n = 1 + random() % 4; n > 0; --n)
          bytes[random() % bytes.size()] ^= static_cast<std::byte>(1u << (random() % 8));
      parts[at] = shared_bytes::take(std::move(bytes));
      if (round % 7 == 0)
        parts.pop_back();
      refused += decode(parts, bytes_max) ? 0 : 1;
    }
  CHECK(refused > 1000);
}

TEST_CASE("a batch shares the run's bytes in both directions") {
  const auto run = sample_run(1, 10);
  const auto parts = encode({7, batch{1, lane::backlog, run, 0, {}}});
  REQUIRE(parts.size() == 2);
  CHECK(parts[1].view.data() == run.bytes.view.data());
  const auto read = decode(parts, bytes_max);
  REQUIRE(read);
  CHECK(std::get<batch>(read.value().body).run.bytes.view.data() == run.bytes.view.data());
}

TEST_CASE("sizes and counts beyond their bounds are refused") {
  random_engine random{1};
  CHECK(code_of({}) == errc::malformed);
  CHECK(code_of({shared_bytes{}}) == errc::malformed);
  CHECK(code_of(encode({1, ping{}}), 8) == errc::malformed);
  CHECK(code_of(message_parts(message_parts_max + 1, encode({1, ping{}}).front())) == errc::malformed);
  CHECK(code_of({shared_bytes::take(byte_buffer(envelope_bytes_max + 8))}, 64 << 20) == errc::malformed);
  CHECK(code_of(encode({1, config{1, byte_buffer(config_document_bytes_max + 1)}})) == errc::malformed);
  CHECK(code_of(encode({1, need{edge_id{1}, std::vector<set_hash>(need_sets_max + 1)}})) == errc::malformed);
  CHECK(code_of(encode({1, origins{std::vector<edge_id>(message_origins_max + 1)}})) == errc::malformed);
  CHECK(code_of(encode({1, origin_links{std::vector<origin_link>(message_origin_links_max + 1)}}))
        == errc::malformed);
  CHECK(code_of(encode({1, ack{std::vector<stream_held>(message_streams_max + 1)}})) == errc::malformed);

  // Zero-sized list elements take no bytes on the wire; a list of them may still claim to be long.
  auto hollow = built([](auto root) { root.initHello().initStreams(1); });
  CHECK(decode(hollow, bytes_max));
}

TEST_CASE("ranges out of order are refused") {
  using pairs = std::vector<std::pair<sequence, sequence>>;
  const auto with = [](const pairs& ranges) {
    return built([&](auto root) {
      auto list = root.initAck().initRanges(1);
      list[0].initKey().setStream(2);
      auto out = list[0].initRanges(static_cast<unsigned>(ranges.size()));
      for (unsigned i = 0; i < ranges.size(); ++i) {
        out[i].setFirst(ranges[i].first);
        out[i].setLast(ranges[i].second);
      }
    });
  };
  CHECK(decode(with({{1, 1}, {2, 5}, {9, 9}}), bytes_max)); // adjacent ones merge
  CHECK(code_of(with({{0, 1}})) == errc::malformed);
  CHECK(code_of(with({{5, 4}})) == errc::malformed);
  CHECK(code_of(with({{5, 9}, {9, 12}})) == errc::malformed);
  CHECK(code_of(with({{5, 9}, {1, 2}})) == errc::malformed);
  CHECK(code_of(with({{5, UINT64_MAX}})) == errc::malformed);
}

TEST_CASE("a set is taken only under its own name, within its size, from one frame") {
  const auto a = sample_set(1);
  const auto b = sample_set(2);
  const auto good = encode({1, sets{edge_id{1}, {pack(*a), pack(*b)}, {}}});
  REQUIRE(decode(good, bytes_max));
  auto swapped = good;
  std::swap(swapped[1], swapped[2]);
  const auto wrong = decode(swapped, bytes_max);
  REQUIRE(wrong); // nothing is unfolded before it is known whether it was asked for
  const auto unpacked = unpack(std::get<sets>(wrong.value().body).found.at(0));
  REQUIRE_FALSE(unpacked);
  CHECK(unpacked.error().code == errc::corrupt);
  auto missing = good;
  missing.pop_back();
  CHECK(code_of(missing) == errc::malformed);
  auto doubled = good;
  byte_buffer twice{good[1].view.begin(), good[1].view.end()};
  twice.insert(twice.end(), good[1].view.begin(), good[1].view.end());
  doubled[1] = shared_bytes::take(std::move(twice));
  CHECK(code_of(doubled) == errc::malformed);
  // A frame that unfolds to more than a set may have: refused before it is unfolded.
  auto huge = std::make_shared<series_set>();
  huge->encoded = shared_bytes::take(byte_buffer(set_bytes_max + 1));
  huge->hash = hash_set(huge->encoded.view);
  CHECK(code_of(encode({1, sets{edge_id{1}, {pack(*huge)}, {}}})) == errc::malformed);
  auto large = std::make_shared<series_set>();
  large->encoded = shared_bytes::take(byte_buffer(set_bytes_max));
  large->hash = hash_set(large->encoded.view);
  const auto all = encode({1, sets{edge_id{1}, std::vector<packed_set>(9, pack(*large)), {}}});
  CHECK(code_of(all) == errc::malformed);
}

TEST_CASE("a damaged run header is corrupt, extra or absent parts are malformed") {
  auto parts = encode({1, batch{1, lane::live, sample_run(3, 3), 0, {}}});
  byte_buffer bytes{parts[1].view.begin(), parts[1].view.end()};
  bytes[20] ^= std::byte{1};
  const auto good = parts[1];
  parts[1] = shared_bytes::take(std::move(bytes));
  CHECK(code_of(parts) == errc::corrupt);
  parts[1] = good;
  parts.push_back(good);
  CHECK(code_of(parts) == errc::malformed);
  parts.resize(1);
  CHECK(code_of(parts) == errc::malformed);
}

TEST_CASE("what a later version adds is skipped") {
  const auto future = encode({9, unknown{}});
  const auto read = decode(future, bytes_max);
  REQUIRE(read);
  CHECK(read.value().session == 9);
  CHECK(std::holds_alternative<unknown>(read.value().body));

  const auto level =
      decode(built([](auto root) { root.initAck().setLevel(static_cast<wire::AckLevel>(2)); }), bytes_max);
  REQUIRE(level);
  CHECK(std::holds_alternative<unknown>(level.value().body));

  const auto streams = decode(built([](auto root) {
                                auto list = root.initAck().initRanges(2);
                                list[0].initKey().setStream(9);
                                list[1].initKey().setStream(2);
                              }),
                              bytes_max);
  REQUIRE(streams);
  CHECK(std::get<ack>(streams.value().body).ranges.size() == 1);

  const auto reason = decode(
      built([](auto root) { root.initBye().setReason(static_cast<wire::Bye::Reason>(99)); }), bytes_max);
  REQUIRE(reason);
  CHECK(std::get<bye>(reason.value().body).reason == bye_reason::stopping);
}

TEST_CASE("text is clean UTF-8") {
  CHECK(is_clean_text("Nordsjø 4 – ütö 🛟"));
  CHECK(is_clean_text(""));
  for (const std::string_view bad : {"a\nb", "\x1b[2J", "\x7f", "\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80",
                                     "\xf4\x90\x80\x80", "\xe2\x82"})
    CHECK(!is_clean_text(bad));
  CHECK(clip_text("aø", 2) == "a");
  CHECK(clip_text("aø", 3) == "aø");
  CHECK(code_of(encode({1, joined{edge_id{1}, "bad\nsite"}})) == errc::malformed);
  const auto clipped = decode(encode({1, bye{bye_reason::version, std::string(5000, 'x')}}), bytes_max);
  REQUIRE(clipped);
  CHECK(std::get<bye>(clipped.value().body).message.size() == bye_message_bytes_max);
}
