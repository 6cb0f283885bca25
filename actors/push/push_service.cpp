#include "actors/push/push_service.hpp"

#include "actors/base/bounded_queue.hpp"
#include "actors/base/log_limiter.hpp"
#include "actors/http/guard.hpp"
#include "schemas/time.hpp"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <thread>

namespace skerry::push {

namespace {

constexpr std::size_t waiting_max = 1024;
constexpr const char* retry_after_s = "5";
constexpr int refusal_lines_per_minute = 6;
// A sender that is further behind is catching up: what it sends says nothing of how far its hosts are heard.
constexpr std::int64_t watermark_lag_max_ms = 3'600'000;

http::response text(unsigned status, std::string message) {
  http::response out{status, "text/plain; charset=utf-8", std::move(message), {}};
  if (status == 503)
    out.headers.emplace_back("Retry-After", retry_after_s);
  return out;
}

struct push_metrics {
  explicit push_metrics(prometheus::Registry& registry)
      : requests(prometheus::BuildCounter()
                     .Name("skerry_remote_write_requests_total")
                     .Help("Remote write requests by how they were answered.")
                     .Register(registry)),
        stored(requests.Add({{"result", "stored"}})),
        partly(requests.Add({{"result", "partly_refused"}})),
        malformed(requests.Add({{"result", "malformed"}})),
        full(requests.Add({{"result", "full"}})),
        failed(requests.Add({{"result", "not_committed"}})),
        bytes(counter(registry, "bytes_total", "Bytes of remote write requests, as received.")),
        samples(counter(registry, "samples_total", "Samples that were committed.")),
        duplicates(counter(registry, "duplicate_samples_total",
                           "Samples that stood twice in one request. What a retry brings again is counted by "
                           "the store.")),
        exemplars(counter(registry, "exemplars_ignored_total", "Exemplars, which are not kept.")),
        queue_bytes(prometheus::BuildGauge()
                        .Name("skerry_remote_write_queue_bytes")
                        .Help("Uncompressed bytes of requests that wait, or are on their way to the disk.")
                        .Register(registry)
                        .Add({})) {
    auto& family = prometheus::BuildCounter()
                       .Name("skerry_remote_write_refused_samples_total")
                       .Help("Samples that were refused for what they are, by reason; the rest of their "
                             "requests was stored.")
                       .Register(registry);
    for (std::size_t i = 0; i < push_refusals; ++i)
      refused[i] =
          &family.Add({{"reason", std::string{to_string(push_refusal{static_cast<std::uint8_t>(i)})}}});
  }

  static prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help) {
    return prometheus::BuildCounter()
        .Name(std::string{"skerry_remote_write_"} + name)
        .Help(help)
        .Register(registry)
        .Add({});
  }

  prometheus::Family<prometheus::Counter>& requests;
  prometheus::Counter &stored, &partly, &malformed, &full, &failed;
  prometheus::Counter &bytes, &samples, &duplicates, &exemplars;
  std::array<prometheus::Counter*, push_refusals> refused{};
  prometheus::Gauge& queue_bytes;
};

struct waiting_request {
  std::string body;
  bool any_site = false;
  std::size_t bytes = 0; // charged
  http::responder_ptr to;
};

} // namespace

struct push_service::impl : std::enable_shared_from_this<impl> {
  impl(push_service_config with, prometheus::Registry& registry)
      : config(std::move(with)), metrics(registry), queue(waiting_max) {}

  void receive(const http::request& request, http::responder_ptr to) {
    metrics.bytes.Increment(static_cast<double>(request.body.size()));
    if (const auto encoding = request.header("content-encoding");
        !encoding.empty() && http::lower(encoding) != "snappy")
      return refuse(*to, 415, "only Content-Encoding snappy is taken (remote write 1.0)\n");
    if (request.header("content-type").find("write.v2") != std::string_view::npos)
      return refuse(*to, 415, "only remote write 1.0 is taken: prometheus.WriteRequest\n");
    const auto bytes = request.body.size() + uncompressed_bytes(request.body);
    if (const auto before = in_flight.fetch_add(bytes);
        before != 0 && before + bytes > config.queue_bytes_max) {
      in_flight -= bytes;
      return full(*to, fmt::format("{} bytes of requests wait for the disk already", before));
    }
    const bool any_site = config.token_names_sites && request.who.may.has(right::name_site);
    waiting_request item{request.body, any_site, bytes, std::move(to)};
    if (queue.try_push(std::move(item)) != push_result::accepted) {
      in_flight -= bytes;
      return full(*item.to, "too many requests wait already");
    }
    metrics.queue_bytes.Set(static_cast<double>(in_flight.load()));
  }

  void refuse(http::responder& to, unsigned status, std::string message) {
    metrics.malformed.Increment();
    to.answer(text(status, std::move(message)));
  }
  void full(http::responder& to, std::string_view why) {
    metrics.full.Increment();
    to.answer(text(503, fmt::format("{}; send it again later\n", why)));
  }
  void let_go(std::size_t bytes) {
    in_flight -= bytes;
    metrics.queue_bytes.Set(static_cast<double>(in_flight.load()));
  }

  void run() {
    while (auto item = queue.pop())
      work(std::move(*item));
  }

  void work(waiting_request item) {
    const auto decoded = scratch.decode(item.body);
    if (!decoded) {
      let_go(item.bytes);
      return refuse(*item.to, 400, decoded.error().message + "\n");
    }
    item.body = {};
    const auto now_ns = config.clock->wall_ns();
    push_rules rules;
    rules.site = config.site;
    rules.any_site = item.any_site;
    rules.oldest_ms = config.kept_from_ns ? config.kept_from_ns() / ns_per_ms : INT64_MIN;
    if (config.future_max.count() != 0)
      rules.latest_ms = (now_ns + config.future_max.count()) / ns_per_ms;
    rules.watermark_ms = now_ns / ns_per_ms;
    rules.watermark_from_ms = rules.watermark_ms - watermark_lag_max_ms;
    auto outcome = assembler.add(scratch, rules);
    if (outcome.refused_by[static_cast<std::size_t>(push_refusal::ahead)] != 0 && config.clock_doubt)
      if (const auto doubt = config.clock_doubt(); !doubt.empty()) {
        let_go(item.bytes);
        return full(*item.to, doubt);
      }
    metrics.duplicates.Increment(static_cast<double>(outcome.duplicates));
    for (std::size_t i = 0; i < push_refusals; ++i)
      metrics.refused[i]->Increment(static_cast<double>(outcome.refused_by[i]));
    if (outcome.refusal && refusal_lines.allow())
      spdlog::warn(
          "remote write: {} samples of one request are refused, the rest of it is taken; the first: {}",
          outcome.refused, outcome.refusal->message);
    metrics.exemplars.Increment(static_cast<double>(scratch.exemplars()));
    if (scratch.is_large())
      scratch = {};
    auto answer = [self = shared_from_this(), to = item.to, bytes = item.bytes, samples = outcome.samples,
                   refused = outcome.refused, refusal = outcome.refusal](const result<void>& done) {
      self->let_go(bytes);
      self->answer(*to, samples, refused, refusal, done);
    };
    if (outcome.hosts.empty())
      return answer(ok());
    config.commit(std::move(outcome), std::move(answer));
  }

  void answer(http::responder& to, std::uint64_t samples, std::uint64_t refused,
              const std::optional<error>& refusal, const result<void>& done) {
    if (!done) {
      metrics.failed.Increment();
      return to.answer(text(503, fmt::format("nothing was acknowledged: {}\n", done.error().message)));
    }
    metrics.samples.Increment(static_cast<double>(samples));
    if (!refusal) {
      metrics.stored.Increment();
      return to.answer({204, "", "", {}});
    }
    metrics.partly.Increment();
    to.answer(text(400, fmt::format("{} samples were refused, {} were stored; the first: {}\n", refused,
                                    samples, refusal->message)));
  }

  push_service_config config;
  push_metrics metrics;
  std::atomic<std::size_t> in_flight{0};
  bounded_queue<waiting_request> queue;
  write_request scratch; // these two: the service's thread
  push_assembler assembler;
  log_limiter refusal_lines{refusal_lines_per_minute};
  std::thread worker;
};

push_service::push_service(push_service_config config, prometheus::Registry& metrics)
    : impl_(std::make_shared<impl>(std::move(config), metrics)) {
  impl_->worker = std::thread{[raw = impl_.get()] { raw->run(); }};
}

push_service::~push_service() {
  impl_->queue.close();
  impl_->worker.join();
}

http::route push_service::route() {
  return {"POST", "/api/v1/write", right::push,
          [raw = impl_](const http::request& request, http::responder_ptr to) {
            raw->receive(request, std::move(to));
          }};
}

} // namespace skerry::push
