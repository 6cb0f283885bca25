// Sockets by protocol: /proc/net/sockstat and sockstat6.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/text.hpp"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <unistd.h>

namespace skerry::edge::host {

namespace {

constexpr std::string_view states[] = {"inuse", "orphan", "tw", "alloc", "mem", "memory"};
constexpr std::size_t inuse = 0;
constexpr std::size_t mem = 4; // in pages

class sockstat_collector final : public collector {
public:
  explicit sockstat_collector(const collector_context& context)
      : ipv4_(context.config.proc / "net/sockstat"), ipv6_(context.config.proc / "net/sockstat6") {
    const long bytes = ::sysconf(_SC_PAGESIZE);
    page_bytes_ = bytes > 0 ? static_cast<double>(bytes) : 4096;
  }

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRYV(add(sink, ipv4_, true));
    return add(sink, ipv6_, false);
  }

private:
  result<void> add(family_sink& sink, kept_file& file, bool with_used) {
    auto content = file.read(buffer_);
    if (!content)
      return content.error().code == errc::not_found ? result<void>(ok()) : result<void>(content.error());
    std::string_view rest = content.value();
    std::string_view line;
    while (next_line(rest, line)) {
      auto protocol = next_word(line);
      if (!protocol.ends_with(':'))
        return fail(errc::malformed,
                    fmt::format("{}: a line does not name a protocol", file.path().native()));
      protocol.remove_suffix(1);
      std::array<std::optional<double>, std::size(states)> values;
      std::optional<double> used;
      for (auto key = next_word(line); !key.empty(); key = next_word(line)) {
        const auto value = parse_number<std::int64_t>(next_word(line));
        if (!value)
          return fail(errc::malformed,
                      fmt::format("{}: not a number after {} {}", file.path().native(), protocol, key));
        if (key == "used")
          used = static_cast<double>(*value);
        for (std::size_t i = 0; i < std::size(states); ++i)
          if (key == states[i])
            values[i] = static_cast<double>(*value);
      }
      if (protocol == "sockets") {
        if (with_used && used)
          sink.single("node_sockstat_sockets_used", metric_type::gauge, "Sockets in use, of all protocols.",
                      *used);
        continue;
      }
      add_protocol(sink, protocol, values);
    }
    return ok();
  }

  void add_protocol(family_sink& sink, std::string_view protocol,
                    const std::array<std::optional<double>, std::size(states)>& values) {
    const auto add_one = [&](std::string_view state, double value) {
      name_.assign("node_sockstat_").append(protocol).append("_").append(state);
      sink.single(name_, metric_type::gauge,
                  "Sockets of this protocol in this state, or the memory that they take.", value);
    };
    for (std::size_t i = 0; i < std::size(states); ++i)
      if (values[i] || i == inuse)
        add_one(states[i], values[i].value_or(0));
    if (values[mem])
      add_one("mem_bytes", *values[mem] * page_bytes_);
  }

  kept_file ipv4_;
  kept_file ipv6_;
  double page_bytes_;
  std::string buffer_;
  std::string name_;
};

} // namespace

collector_ptr make_sockstat(const collector_context& context) {
  return std::make_unique<sockstat_collector>(context);
}

} // namespace skerry::edge::host
