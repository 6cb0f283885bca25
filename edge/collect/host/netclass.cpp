// Properties of each network device, from /sys/class/net.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/files.hpp"
#include "edge/collect/host/name_filter.hpp"
#include "edge/collect/host/text.hpp"

namespace skerry::edge::host {

namespace {

struct property {
  const char* file;
  std::string_view name;
  metric_type type;
  double factor;
  std::string_view help;
};
constexpr double megabit_bytes = 1'000'000.0 / 8;
constexpr property properties[] = {
    {"addr_assign_type", "node_network_address_assign_type", metric_type::gauge, 1,
     "How the address was assigned."},
    {"carrier", "node_network_carrier", metric_type::gauge, 1, "1 while the link is there."},
    {"carrier_changes", "node_network_carrier_changes_total", metric_type::counter, 1,
     "Times that the link came or went."},
    {"carrier_up_count", "node_network_carrier_up_changes_total", metric_type::counter, 1,
     "Times that the link came."},
    {"carrier_down_count", "node_network_carrier_down_changes_total", metric_type::counter, 1,
     "Times that the link went."},
    {"dev_id", "node_network_device_id", metric_type::gauge, 1,
     "Tells devices that share one address apart."},
    {"dormant", "node_network_dormant", metric_type::gauge, 1, "1 while the device waits, as for 802.1X."},
    {"flags", "node_network_flags", metric_type::gauge, 1, "The device's flags, as a number."},
    {"ifindex", "node_network_iface_id", metric_type::gauge, 1, "The device's index in the kernel."},
    {"iflink", "node_network_iface_link", metric_type::gauge, 1,
     "The index of the device that this one rests on."},
    {"link_mode", "node_network_iface_link_mode", metric_type::gauge, 1, "0: by default, 1: dormant."},
    {"mtu", "node_network_mtu_bytes", metric_type::gauge, 1, "Largest packet that the device sends."},
    {"name_assign_type", "node_network_name_assign_type", metric_type::gauge, 1,
     "How the name was assigned."},
    {"netdev_group", "node_network_net_dev_group", metric_type::gauge, 1,
     "The group that the device belongs to."},
    {"speed", "node_network_speed_bytes", metric_type::gauge, megabit_bytes,
     "Bytes a second that the link can carry; negative where the device does not know."},
    {"tx_queue_len", "node_network_transmit_queue_length", metric_type::gauge, 1,
     "Packets that the send queue holds."},
    {"type", "node_network_protocol_type", metric_type::gauge, 1, "The device's hardware type (ARPHRD)."},
};

class netclass_collector final : public collector {
public:
  explicit netclass_collector(const collector_context& context)
      : devices_(context.config.sys / "class/net"), ignored_(context.config.netclass_ignored_devices) {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRY(opened, directory::open(devices_));
    BOOST_OUTCOME_TRY(names, opened.list());
    open_family up{"node_network_up", metric_type::gauge, "1 while the device's state is \"up\"."};
    open_family info{"node_network_info", metric_type::gauge,
                     "1 for each network device, with what is known of it in words."};
    open_family to[std::size(properties)];
    for (std::size_t i = 0; i < std::size(properties); ++i)
      to[i] = {properties[i].name, properties[i].type, properties[i].help};
    char page[small_file_bytes];
    for (const auto& name : names) {
      if (ignored_.matches(name))
        continue;
      const auto device = opened.sub(name.c_str());
      if (!device)
        continue; // gone since it was listed
      const auto text = [&](const char* file) {
        const auto content = device.value().read(file, page);
        return content ? std::string(content.value()) : std::string();
      };
      const auto state = text("operstate");
      sink.add(up, state == "up" ? 1 : 0, {{"device", name}});
      sink.add(info, 1,
               {{"address", text("address")},
                {"broadcast", text("broadcast")},
                {"device", name},
                {"duplex", text("duplex")},
                {"ifalias", text("ifalias")},
                {"operstate", state}});
      for (std::size_t i = 0; i < std::size(properties); ++i) {
        const auto content = device.value().read(properties[i].file, page);
        if (const auto value = content ? parse_sysfs_number(content.value()) : std::nullopt)
          sink.add(to[i], static_cast<double>(*value) * properties[i].factor, {{"device", name}});
      }
    }
    return ok();
  }

private:
  std::filesystem::path devices_;
  name_filter ignored_;
};

} // namespace

collector_ptr make_netclass(const collector_context& context) {
  return std::make_unique<netclass_collector>(context);
}

} // namespace skerry::edge::host
