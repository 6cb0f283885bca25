// Counters of the network protocols: /proc/net/netstat, snmp and snmp6, those that the filter lets through.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/name_filter.hpp"
#include "edge/collect/host/text.hpp"

#include <fmt/format.h>

namespace skerry::edge::host {

namespace {

constexpr std::string_view prefix = "node_netstat_";
constexpr std::string_view help = "A protocol counter of /proc/net/netstat, snmp or snmp6.";

class netstat_collector final : public collector {
public:
  explicit netstat_collector(const collector_context& context)
      : netstat_(context.config.proc / "net/netstat"),
        snmp_(context.config.proc / "net/snmp"),
        snmp6_(context.config.proc / "net/snmp6"),
        fields_(context.config.netstat_fields) {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRYV(add_pairs(sink, netstat_));
    BOOST_OUTCOME_TRYV(add_pairs(sink, snmp_));
    return add_lines(sink);
  }

private:
  // "Tcp: A B" and below it "Tcp: 1 2".
  result<void> add_pairs(family_sink& sink, kept_file& file) {
    BOOST_OUTCOME_TRY(rest, file.read(buffer_));
    std::string_view names;
    std::string_view values;
    while (next_line(rest, names)) {
      const auto protocol = next_word(names);
      if (protocol.size() < 2 || !next_line(rest, values) || next_word(values) != protocol)
        return fail(errc::malformed,
                    fmt::format("{}: a line of names without one of values", file.path().native()));
      key_.assign(protocol);
      key_.back() = '_'; // was the colon
      const std::size_t stem = key_.size();
      for (auto name = next_word(names); !name.empty(); name = next_word(names)) {
        const auto word = next_word(values);
        key_.resize(stem);
        key_ += name;
        BOOST_OUTCOME_TRYV(add(sink, word, file));
      }
    }
    return ok();
  }

  // "Udp6InDatagrams  12"; absent where the host has no IPv6.
  result<void> add_lines(family_sink& sink) {
    auto content = snmp6_.read(buffer_);
    if (!content)
      return content.error().code == errc::not_found ? result<void>(ok()) : result<void>(content.error());
    std::string_view rest = content.value();
    std::string_view line;
    while (next_line(rest, line)) {
      const auto name = next_word(line);
      const auto word = next_word(line);
      const auto six = name.find('6');
      if (six == std::string_view::npos || word.empty())
        continue;
      key_.assign(name.substr(0, six + 1)).append("_").append(name.substr(six + 1));
      BOOST_OUTCOME_TRYV(add(sink, word, snmp6_));
    }
    return ok();
  }

  result<void> add(family_sink& sink, std::string_view word, const kept_file& file) {
    if (!fields_.matches(key_))
      return ok();
    const auto value = parse_number<double>(word);
    if (!value)
      return fail(errc::malformed, fmt::format("{}: not a number for {}", file.path().native(), key_));
    name_.assign(prefix).append(key_);
    sink.single(name_, metric_type::unknown, help, *value);
    return ok();
  }

  kept_file netstat_;
  kept_file snmp_;
  kept_file snmp6_;
  name_filter fields_;
  std::string buffer_;
  std::string key_;
  std::string name_;
};

} // namespace

collector_ptr make_netstat(const collector_context& context) {
  return std::make_unique<netstat_collector>(context);
}

} // namespace skerry::edge::host
