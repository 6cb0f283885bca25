// What waits for one client whose answer lasts.

#include "actors/http/stream_queue.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace skerry;
using namespace skerry::http;

namespace {

stream_message_ptr message(std::string data) {
  return std::make_shared<const stream_message>(stream_message{"news", {}, std::move(data)});
}

} // namespace

TEST_CASE("a stream's queue is bounded by bytes and messages, and tells what was missed", "[http]") {
  const auto budget = std::make_shared<memory_budget>(100 << 10);
  {
    stream_queue few{1 << 20, 3, budget};
    int woken = 0;
    few.attach([&] { ++woken; });
    for (int i = 0; i < 3; ++i)
      CHECK(few.push(message(std::to_string(i))));
    CHECK(woken == 1);
    CHECK(few.take(1).messages.size() == 1);
    CHECK_FALSE(few.push(message("fourth"))); // what is being written counts
    CHECK_FALSE(few.push(message("fifth")));
    CHECK(woken == 2);
    few.written();
    CHECK(few.bytes() == 0);
    const auto told = few.take(1);
    CHECK(told.messages.empty());
    CHECK(told.end == stream_end::overflow);
    CHECK(told.missed == 3);
    few.end(stream_end::stopping); // the first reason counts
    CHECK(few.take(1).end == stream_end::overflow);
  }
  {
    stream_queue small{1000, 100, budget};
    CHECK(small.push(message(std::string(5000, 'x')))); // alone, whatever its size
    CHECK_FALSE(small.push(message("x")));
    CHECK(small.take(1).missed == 2);
  }
  {
    stream_queue large{1 << 20, 100, budget};
    CHECK(large.push(message(std::string(150 << 10, 'x')))); // 64 KiB are free
    CHECK(budget->taken() > 80 << 10);
    CHECK_FALSE(large.push(message(std::string(30 << 10, 'x')))); // others hold the rest
    CHECK(large.bytes() == 0);
    CHECK(budget->taken() == 0);
  }
  {
    stream_queue last{1000, 100, budget};
    CHECK(last.push(message("a")));
    CHECK(last.push(message("b")));
    last.end(stream_end::finished); // what was pushed still goes out
    CHECK_FALSE(last.push(message("c")));
    CHECK(last.take(1 << 10).messages.size() == 2);
    CHECK(last.take(1).end == stream_end::finished);
  }
}

TEST_CASE("a stream's queue holds what it says, whatever is done to it", "[http]") {
  const auto seed = GENERATE(range(0u, 50u));
  std::mt19937 random{seed};
  INFO("seed " << seed);
  const auto budget = std::make_shared<memory_budget>(1 << 20);
  stream_queue queue{200 << 10, 20, budget};
  std::uint64_t pushed = 0;
  std::uint64_t taken = 0;
  bool open = true;
  for (int step = 0; step < 300; ++step) {
    if (random() % 3 != 0) {
      const bool took = queue.push(message(std::string(random() % (40 << 10), 'x')));
      CHECK((open || !took));
      open = took && open;
      pushed += 1;
    } else {
      const auto some = queue.take(random() % (64 << 10));
      taken += some.messages.size();
      if (some.end != stream_end::none) {
        CHECK(some.end == stream_end::overflow);
        CHECK(some.missed > 0);
        break;
      }
      queue.written();
    }
    CHECK(queue.bytes() <= 200 << 10);
    CHECK(budget->taken() <= queue.bytes());
    CHECK((queue.bytes() <= answer_free_bytes) == (budget->taken() == 0));
    if (!open) {
      queue.written();
      const auto told = queue.take(1);
      CHECK(taken + told.missed == pushed); // each was sent or is told of
      break;
    }
  }
  queue.end(stream_end::client);
  queue.written();
  CHECK(queue.bytes() == 0);
  CHECK(budget->taken() == 0);
}
