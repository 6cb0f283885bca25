#include "actors/http/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

namespace skerry::http {

namespace {

const prometheus::Histogram::BucketBoundaries& duration_buckets() {
  static const prometheus::Histogram::BucketBoundaries seconds{0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60};
  return seconds;
}

// Of server and session (docs/operations.md).
constexpr const char* refusal_reasons[] = {"accept",
                                           "connections_max",
                                           "streams_max",
                                           "header_bytes_max",
                                           "header_fields_max",
                                           "body_bytes_max",
                                           "bodies_bytes_max",
                                           "answers_bytes_max",
                                           "content_type",
                                           "malformed",
                                           "host",
                                           "origin",
                                           "token",
                                           "right",
                                           "peer",
                                           "not_found",
                                           "method",
                                           "request_timeout",
                                           "write_timeout"};

constexpr const char* stream_end_reasons[] = {"overflow", "finished", "stopping", "write_timeout", "client"};

} // namespace

server_metrics::server_metrics(prometheus::Registry& registry, const std::string& prefix)
    : requests_(prometheus::BuildCounter()
                    .Name(prefix + "_http_requests_total")
                    .Help("HTTP requests answered, by route and status.")
                    .Register(registry)),
      durations_(prometheus::BuildHistogram()
                     .Name(prefix + "_http_request_duration_seconds")
                     .Help("Time from a request's header to its written answer, by route.")
                     .Register(registry)),
      refused_(prometheus::BuildCounter()
                   .Name(prefix + "_http_refused_total")
                   .Help("HTTP requests and connections refused, by reason.")
                   .Register(registry)),
      connections_(prometheus::BuildGauge()
                       .Name(prefix + "_http_connections")
                       .Help("Open HTTP connections.")
                       .Register(registry)
                       .Add({})),
      streams_(prometheus::BuildGauge()
                   .Name(prefix + "_http_streams")
                   .Help("Open answers that last: server-sent events and WebSockets.")
                   .Register(registry)
                   .Add({})),
      streams_ended_(prometheus::BuildCounter()
                         .Name(prefix + "_http_streams_ended_total")
                         .Help("Answers that lasted and are over, by reason.")
                         .Register(registry)) {
  for (const auto* reason : stream_end_reasons)
    streams_ended_.Add({{"reason", reason}});
  for (const auto* reason : refusal_reasons)
    refused_.Add({{"reason", reason}});
}

void server_metrics::expect(std::string_view path) {
  for (const auto* code : {"200", "500", "503"})
    requests_.Add({{"path", std::string{path}}, {"code", code}});
}

void server_metrics::answered(std::string_view path, unsigned code, double seconds) {
  requests_.Add({{"path", std::string{path}}, {"code", std::to_string(code)}}).Increment();
  durations_.Add({{"path", std::string{path}}}, duration_buckets()).Observe(seconds);
}

void server_metrics::refused(std::string_view reason) {
  refused_.Add({{"reason", std::string{reason}}}).Increment();
}

void server_metrics::connections(std::size_t open) { connections_.Set(static_cast<double>(open)); }

void server_metrics::streams(std::size_t open) { streams_.Set(static_cast<double>(open)); }

void server_metrics::stream_ended(std::string_view reason) {
  streams_ended_.Add({{"reason", std::string{reason}}}).Increment();
}

} // namespace skerry::http
