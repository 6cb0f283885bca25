#include "actors/push/push_service.hpp"
#include "tests/actors/push/write_builder.hpp"

#include <catch2/catch.hpp>
#include <prometheus/registry.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

using namespace skerry;
using namespace skerry::push;

namespace {

struct answer_box {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<http::response> all;

  http::response wait() {
    std::unique_lock lock{mutex};
    REQUIRE(changed.wait_for(lock, std::chrono::seconds{30}, [&] { return !all.empty(); }));
    auto out = all.front();
    all.erase(all.begin());
    return out;
  }
};

class box_responder final : public http::responder {
public:
  explicit box_responder(answer_box& to) : to_(to) {}
  void answer(http::response with) override {
    const std::lock_guard lock{to_.mutex};
    to_.all.push_back(std::move(with));
    to_.changed.notify_all();
  }
  http::stream_ptr open_stream() override { return nullptr; }
  bool client_gone() const noexcept override { return false; }

private:
  answer_box& to_;
};

struct service_world {
  prometheus::Registry registry;
  answer_box answers;
  std::mutex mutex;
  std::condition_variable came;
  std::vector<std::pair<push_outcome, push_service_config::done_function>> commits;
  std::unique_ptr<push_service> service;

  explicit service_world(push_service_config config = {}) {
    config.commit = [this](push_outcome what, push_service_config::done_function done) {
      const std::lock_guard lock{mutex};
      commits.emplace_back(std::move(what), std::move(done));
      came.notify_all();
    };
    service = std::make_unique<push_service>(std::move(config), registry);
  }
  void send(std::string body, rights may = {right::push}, std::string encoding = "snappy") {
    http::request request;
    request.method = "POST";
    request.path = "/api/v1/write";
    request.headers = {{"content-encoding", std::move(encoding)}};
    request.body = std::move(body);
    request.who.may = may;
    service->route().run(request, std::make_shared<box_responder>(answers));
  }
  std::pair<push_outcome, push_service_config::done_function> commit() {
    std::unique_lock lock{mutex};
    REQUIRE(came.wait_for(lock, std::chrono::seconds{30}, [&] { return !commits.empty(); }));
    auto out = std::move(commits.front());
    commits.erase(commits.begin());
    return out;
  }
};

std::string one_sample(const std::string& site = {}) {
  return write_builder{}.series({{"__name__", "a"}, {"host", "h"}, {"site", site}}, {{1'000, 1}}).body();
}

} // namespace

TEST_CASE("a push is answered when it is committed, not before") {
  service_world w;
  w.send(one_sample());
  auto [what, done] = w.commit();
  CHECK(what.samples == 1);
  {
    const std::lock_guard lock{w.answers.mutex};
    CHECK(w.answers.all.empty());
  }
  done(ok());
  CHECK(w.answers.wait().status == 204);
}

TEST_CASE("a commit that fails is 503 with Retry-After, whatever failed") {
  service_world w;
  for (const auto code : {errc::exhausted, errc::invalid_argument, errc::io}) {
    w.send(one_sample());
    w.commit().second(fail(code, "no"));
    const auto got = w.answers.wait();
    CHECK(got.status == 503);
    REQUIRE(got.headers.size() == 1);
    CHECK(got.headers[0].first == "Retry-After");
  }
}

TEST_CASE("beyond the bytes that may wait a push is 503, and taken again afterwards") {
  push_service_config config;
  config.queue_bytes_max = 1;
  service_world w{std::move(config)};
  w.send(one_sample()); // one is always taken
  auto first = w.commit();
  w.send(one_sample());
  CHECK(w.answers.wait().status == 503);
  first.second(ok());
  CHECK(w.answers.wait().status == 204);
  w.send(one_sample());
  w.commit().second(ok());
  CHECK(w.answers.wait().status == 204);
}

TEST_CASE("malformed pushes are refused, and pushing needs a right") {
  service_world w;
  w.send("no snappy");
  CHECK(w.answers.wait().status == 400);
  CHECK(w.service->route().needs == right::push);
  w.send(one_sample(), rights::every(), "zstd");
  CHECK(w.answers.wait().status == 415);
}

TEST_CASE("another site takes the token, where the node lets it") {
  push_service_config config;
  config.token_names_sites = true;
  service_world w{std::move(config)};
  w.send(one_sample("harbour"));
  {
    auto [kept, answer] = w.commit();
    REQUIRE(kept.hosts.size() == 1);
    CHECK(kept.hosts[0].site != "harbour");
    answer(ok());
    CHECK(w.answers.wait().status == 204);
  }
  w.send(one_sample("harbour"), rights::every());
  auto [what, done] = w.commit();
  REQUIRE(what.hosts.size() == 1);
  CHECK(what.hosts[0].site == "harbour");
  done(ok());
  CHECK(w.answers.wait().status == 204);
}

TEST_CASE("what is good of a push is stored, and the answer says what is not") {
  service_world w;
  w.send(write_builder{}
             .series({{"__name__", "a"}}, {{1'000, 1}})
             .series({{"__name__", "not good"}}, {{1'000, 1}})
             .body());
  w.commit().second(ok());
  const auto got = w.answers.wait();
  CHECK(got.status == 400);
  CHECK(got.body.find("1 samples were refused, 1 were stored") == 0);
}

TEST_CASE("one series with too many labels does not end the push that it is in") {
  service_world w;
  write_builder::label_list many{{"__name__", "wide"}};
  for (std::size_t i = 0; i < labels_max; ++i)
    many.emplace_back("l" + std::to_string(i), "x");
  w.send(write_builder{}.series({{"__name__", "a"}}, {{1'000, 1}}).series(many, {{1'000, 1}}).body());
  auto [what, done] = w.commit();
  CHECK(what.samples == 1);
  CHECK(what.refused_by[static_cast<std::size_t>(push_refusal::too_large)] == 1);
  done(ok());
  const auto got = w.answers.wait();
  CHECK(got.status == 400); // which no sender repeats
  CHECK(got.body.find("1 samples were refused, 1 were stored") == 0);
}

TEST_CASE("what is ahead of a clock that is doubted is to come again, all of it") {
  push_service_config config;
  std::atomic<bool> doubted = true;
  config.future_max = std::chrono::minutes{10};
  config.clock_doubt = [&] {
    return doubted ? std::string{"the clock of this node is behind"} : std::string{};
  };
  service_world w{std::move(config)};
  const auto ahead_ms = system_clock().wall_ns() / 1'000'000 + 7'200'000;
  const auto body = write_builder{}.series({{"__name__", "a"}}, {{1'000, 1}, {ahead_ms, 1}}).body();
  w.send(body);
  const auto got = w.answers.wait();
  CHECK(got.status == 503);
  CHECK(got.body.find("the clock of this node is behind") == 0);
  w.send(one_sample()); // nothing of it is ahead
  w.commit().second(ok());
  CHECK(w.answers.wait().status == 204);
  doubted = false;
  w.send(body);
  w.commit().second(ok());
  CHECK(w.answers.wait().status == 400);
}

TEST_CASE("samples from the future are refused in the answer, and say nothing of their host") {
  struct fixed_clock final : clock_source {
    [[nodiscard]] std::int64_t wall_ns() const noexcept override { return 1'700'000'000'000'000'000; }
    [[nodiscard]] std::int64_t monotonic_ns() const noexcept override { return 1; }
  } clock;
  push_service_config config;
  config.clock = &clock;
  config.future_max = std::chrono::minutes{10};
  service_world w{std::move(config)};
  const std::int64_t now_ms = 1'700'000'000'000;
  write_builder::sample_list samples{{now_ms - 7'200'000, 1}, {now_ms + 600'000, 1}};
  for (int i = 1; i <= 1'000; ++i)
    samples.emplace_back(now_ms + 600'000 + i, 1);
  w.send(write_builder{}.series({{"__name__", "a"}}, samples).body());
  auto [what, done] = w.commit();
  CHECK(what.samples == 2);
  CHECK(what.refused_by[static_cast<std::size_t>(push_refusal::ahead)] == 1'000);
  REQUIRE(what.hosts.size() == 1);
  for (const auto& record : what.hosts[0].records)
    CHECK((record.flags & flag_watermark) == 0); // one is ahead, the other is from a sender that catches up
  done(ok());
  CHECK(w.answers.wait().body.find("1000 samples were refused, 2 were stored; the first: ") == 0);
  // The reasons are there from the start.
  std::size_t reasons = 0;
  for (const auto& family : w.registry.Collect())
    if (family.name == "skerry_remote_write_refused_samples_total")
      reasons = family.metric.size();
  CHECK(reasons == push_refusals);
}
