// /proc/diskstats, and what udev knows of the same devices.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/name_filter.hpp"
#include "edge/collect/host/text.hpp"
#include "edge/collect/host/udev.hpp"

#include <fmt/format.h>

#include <array>

namespace skerry::edge::host {

namespace {

constexpr double sector_bytes = 512;
constexpr double tick_seconds = 1.0 / 1000.0;
constexpr std::size_t columns_min =
    11; // before Linux 4.18; then come discards (4) and, from 5.5, flushes (2)

struct column {
  std::string_view name;
  metric_type type;
  double factor;
  std::string_view help;
};
constexpr column disk_columns[] = {
    {"node_disk_reads_completed_total", metric_type::counter, 1, "Reads that completed."},
    {"node_disk_reads_merged_total", metric_type::counter, 1, "Reads that were merged with a neighbour."},
    {"node_disk_read_bytes_total", metric_type::counter, sector_bytes, "Bytes read."},
    {"node_disk_read_time_seconds_total", metric_type::counter, tick_seconds,
     "Time that all reads took, added up."},
    {"node_disk_writes_completed_total", metric_type::counter, 1, "Writes that completed."},
    {"node_disk_writes_merged_total", metric_type::counter, 1, "Writes that were merged with a neighbour."},
    {"node_disk_written_bytes_total", metric_type::counter, sector_bytes, "Bytes written."},
    {"node_disk_write_time_seconds_total", metric_type::counter, tick_seconds,
     "Time that all writes took, added up."},
    {"node_disk_io_now", metric_type::gauge, 1, "Operations under way."},
    {"node_disk_io_time_seconds_total", metric_type::counter, tick_seconds,
     "Time with any operation under way."},
    {"node_disk_io_time_weighted_seconds_total", metric_type::counter, tick_seconds,
     "Time with operations under way, times their number."},
    {"node_disk_discards_completed_total", metric_type::counter, 1, "Discards that completed."},
    {"node_disk_discards_merged_total", metric_type::counter, 1,
     "Discards that were merged with a neighbour."},
    {"node_disk_discarded_sectors_total", metric_type::counter, 1, "Sectors discarded."},
    {"node_disk_discard_time_seconds_total", metric_type::counter, tick_seconds,
     "Time that all discards took, added up."},
    {"node_disk_flush_requests_total", metric_type::counter, 1, "Flushes that completed."},
    {"node_disk_flush_requests_time_seconds_total", metric_type::counter, tick_seconds,
     "Time that all flushes took, added up."},
};

struct ata_property {
  std::string_view key;
  std::string_view name;
  std::string_view help;
};
constexpr ata_property ata_properties[] = {
    {"ID_ATA_WRITE_CACHE", "node_disk_ata_write_cache", "1 where the disk has a write cache."},
    {"ID_ATA_WRITE_CACHE_ENABLED", "node_disk_ata_write_cache_enabled",
     "1 where the disk's write cache is on."},
    {"ID_ATA_ROTATION_RATE_RPM", "node_disk_ata_rotation_rate_rpm",
     "Turns per minute; 0 for solid-state disks."},
};

class diskstats_collector final : public collector {
public:
  explicit diskstats_collector(const collector_context& context)
      : file_(context.config.proc / "diskstats"),
        excluded_(context.config.diskstats_device_exclude),
        udev_(context.config.udev) {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRY(rest, file_.read(buffer_));
    families to;
    std::string_view line;
    while (next_line(rest, line)) {
      const auto major = parse_number<std::uint32_t>(next_word(line));
      const auto minor = parse_number<std::uint32_t>(next_word(line));
      const auto device = next_word(line);
      if (!major || !minor || device.empty())
        return fail(errc::malformed, fmt::format("{}: a line does not name a device", file_.path().native()));
      if (excluded_.matches(device))
        continue;
      std::array<double, std::size(disk_columns)> values;
      std::size_t count = 0;
      for (auto word = next_word(line); !word.empty() && count < values.size(); word = next_word(line)) {
        const auto value = parse_number<std::uint64_t>(word);
        if (!value)
          return fail(errc::malformed, fmt::format("{}: not a number for {}", file_.path().native(), device));
        values[count] = static_cast<double>(*value) * disk_columns[count].factor;
        ++count;
      }
      if (count < columns_min)
        continue; // a partition of an old kernel has 4 columns that mean something else
      const auto& known = udev_.of(*major, *minor);
      add_info(sink, to, device, *major, *minor, known);
      for (std::size_t i = 0; i < count; ++i)
        sink.add(to.columns_[i], values[i], {{"device", device}});
      add_properties(sink, to, device, known);
    }
    return ok();
  }

private:
  struct families {
    open_family info{"node_disk_info", metric_type::gauge,
                     "1 for each block device, with what identifies it."};
    open_family filesystem{"node_disk_filesystem_info", metric_type::gauge,
                           "1 for each block device that holds a file system, with what identifies that."};
    open_family mapper{"node_disk_device_mapper_info", metric_type::gauge,
                       "1 for each device of the device mapper, with its names."};
    open_family columns_[std::size(disk_columns)];
    open_family ata[std::size(ata_properties)];
    families() {
      for (std::size_t i = 0; i < std::size(disk_columns); ++i)
        columns_[i] = {disk_columns[i].name, disk_columns[i].type, disk_columns[i].help};
      for (std::size_t i = 0; i < std::size(ata_properties); ++i)
        ata[i] = {ata_properties[i].name, metric_type::gauge, ata_properties[i].help};
    }
  };

  static std::string_view property(const udev_properties::properties& all, std::string_view key) {
    const auto found = all.find(key);
    return found == all.end() ? std::string_view{} : std::string_view(found->second);
  }

  static void add_info(family_sink& sink, families& to, std::string_view device, std::uint32_t major,
                       std::uint32_t minor, const udev_properties::properties& known) {
    const fmt::format_int major_text(major);
    const fmt::format_int minor_text(minor);
    sink.add(to.info, 1,
             {{"device", device},
              {"major", {major_text.data(), major_text.size()}},
              {"minor", {minor_text.data(), minor_text.size()}},
              {"model", property(known, "ID_MODEL")},
              {"path", property(known, "ID_PATH")},
              {"revision", property(known, "ID_REVISION")},
              {"serial", property(known, "ID_SERIAL_SHORT")},
              {"wwn", property(known, "ID_WWN")}});
  }

  static void add_properties(family_sink& sink, families& to, std::string_view device,
                             const udev_properties::properties& known) {
    if (known.empty())
      return;
    if (const auto type = property(known, "ID_FS_TYPE"); !type.empty())
      sink.add(to.filesystem, 1,
               {{"device", device},
                {"type", type},
                {"usage", property(known, "ID_FS_USAGE")},
                {"uuid", property(known, "ID_FS_UUID")},
                {"version", property(known, "ID_FS_VERSION")}});
    if (const auto name = property(known, "DM_NAME"); !name.empty())
      sink.add(to.mapper, 1,
               {{"device", device},
                {"lv_layer", property(known, "DM_LV_LAYER")},
                {"lv_name", property(known, "DM_LV_NAME")},
                {"name", name},
                {"uuid", property(known, "DM_UUID")},
                {"vg_name", property(known, "DM_VG_NAME")}});
    if (property(known, "ID_ATA").empty())
      return;
    for (std::size_t i = 0; i < std::size(ata_properties); ++i)
      if (const auto value = parse_number<double>(property(known, ata_properties[i].key)))
        sink.add(to.ata[i], *value, {{"device", device}});
  }

  kept_file file_;
  name_filter excluded_;
  udev_properties udev_;
  std::string buffer_;
};

} // namespace

collector_ptr make_diskstats(const collector_context& context) {
  return std::make_unique<diskstats_collector>(context);
}

} // namespace skerry::edge::host
