#pragma once

// What the server counts. Thread-safe. Labels are bounded: routes as registered, codes, reasons from this
// code.

#include <string>
#include <string_view>

namespace prometheus {
class Registry;
template <class T>
class Family;
class Counter;
class Gauge;
class Histogram;
} // namespace prometheus

namespace skerry::http {

class server_metrics {
public:
  // Each counter is there from the start, at 0: increase() does not see the step from nothing to 1.
  server_metrics(prometheus::Registry& registry, const std::string& prefix);
  void expect(std::string_view path); // a route; before its first answer
  void answered(std::string_view path, unsigned code, double seconds);
  void refused(std::string_view reason);
  void connections(std::size_t open);
  void streams(std::size_t open);
  void stream_ended(std::string_view reason);

private:
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Histogram>& durations_;
  prometheus::Family<prometheus::Counter>& refused_;
  prometheus::Gauge& connections_;
  prometheus::Gauge& streams_;
  prometheus::Family<prometheus::Counter>& streams_ended_;
};

} // namespace skerry::http
