// Traffic of each network device: /proc/net/dev, which takes no lock in the kernel, and the one counter that
// it lacks from sysfs. softnet: how each CPU keeps up with received packets.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/name_filter.hpp"
#include "edge/collect/host/text.hpp"

#include <fmt/format.h>

namespace skerry::edge::host {

namespace {

struct column {
  std::string_view name;
  std::string_view help;
};
constexpr column device_columns[] = {
    {"node_network_receive_bytes_total", "Bytes received."},
    {"node_network_receive_packets_total", "Packets received."},
    {"node_network_receive_errs_total", "Packets that arrived broken."},
    {"node_network_receive_drop_total", "Packets dropped on arrival."},
    {"node_network_receive_fifo_total", "Overruns of the receive queue."},
    {"node_network_receive_frame_total", "Packets that arrived with framing errors."},
    {"node_network_receive_compressed_total", "Compressed packets received."},
    {"node_network_receive_multicast_total", "Multicast packets received."},
    {"node_network_transmit_bytes_total", "Bytes sent."},
    {"node_network_transmit_packets_total", "Packets sent."},
    {"node_network_transmit_errs_total", "Packets that could not be sent."},
    {"node_network_transmit_drop_total", "Packets dropped instead of sent."},
    {"node_network_transmit_fifo_total", "Overruns of the send queue."},
    {"node_network_transmit_colls_total", "Collisions."},
    {"node_network_transmit_carrier_total", "Losses of the carrier while sending."},
    {"node_network_transmit_compressed_total", "Compressed packets sent."},
};

class netdev_collector final : public collector {
public:
  explicit netdev_collector(const collector_context& context)
      : file_(context.config.proc / "net/dev"),
        devices_(context.config.sys / "class/net"),
        excluded_(context.config.netdev_device_exclude) {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRY(rest, file_.read(buffer_));
    const auto devices = directory::open(devices_);
    open_family to[std::size(device_columns)];
    for (std::size_t i = 0; i < std::size(device_columns); ++i)
      to[i] = {device_columns[i].name, metric_type::counter, device_columns[i].help};
    open_family unhandled{"node_network_receive_nohandler_total", metric_type::counter,
                          "Packets received that nothing wanted."};
    std::string_view line;
    while (next_line(rest, line)) {
      const auto colon = line.rfind(':'); // an alias has one in its name
      if (colon == std::string_view::npos)
        continue; // the two lines of headings
      const auto device = trim(line.substr(0, colon));
      if (device.empty() || excluded_.matches(device))
        continue;
      line.remove_prefix(colon + 1);
      for (auto& family : to) {
        const auto value = parse_number<std::uint64_t>(next_word(line));
        if (!value)
          return fail(errc::malformed,
                      fmt::format("{}: the line of {} has not 16 numbers", file_.path().native(), device));
        sink.add(family, static_cast<double>(*value), {{"device", device}});
      }
      if (!devices)
        continue;
      char page[small_file_bytes];
      name_.assign(device).append("/statistics/rx_nohandler");
      const auto text = devices.value().read(name_.c_str(), page);
      if (const auto value = text ? parse_number<std::uint64_t>(text.value()) : std::nullopt)
        sink.add(unhandled, static_cast<double>(*value), {{"device", device}});
    }
    return ok();
  }

private:
  kept_file file_;
  std::filesystem::path devices_;
  name_filter excluded_;
  std::string buffer_;
  std::string name_;
};

class softnet_collector final : public collector {
public:
  explicit softnet_collector(const collector_context& context)
      : file_(context.config.proc / "net/softnet_stat") {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRY(rest, file_.read(buffer_));
    open_family to[] = {
        {"node_softnet_processed_total", metric_type::counter, "Packets that each CPU has processed."},
        {"node_softnet_dropped_total", metric_type::counter,
         "Packets dropped because a CPU's queue was full."},
        {"node_softnet_times_squeezed_total", metric_type::counter,
         "Times that a CPU had to stop processing packets with more of them waiting."},
    };
    std::string_view line;
    for (std::size_t cpu = 0; next_line(rest, line); ++cpu) {
      const fmt::format_int number(cpu);
      for (auto& family : to) {
        const auto word = next_word(line);
        std::uint64_t value = 0;
        const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), value, 16);
        if (code != std::errc{} || end != word.data() + word.size() || word.empty())
          return fail(errc::malformed,
                      fmt::format("{}: line {} has not three numbers", file_.path().native(), cpu + 1));
        sink.add(family, static_cast<double>(value), {{"cpu", {number.data(), number.size()}}});
      }
    }
    return ok();
  }

private:
  kept_file file_;
  std::string buffer_;
};

} // namespace

collector_ptr make_netdev(const collector_context& context) {
  return std::make_unique<netdev_collector>(context);
}
collector_ptr make_softnet(const collector_context& context) {
  return std::make_unique<softnet_collector>(context);
}

} // namespace skerry::edge::host
