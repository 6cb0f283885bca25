#include "edge/downlink/presence_file.hpp"

#include "actors/base/files.hpp"

#include <spdlog/spdlog.h>

namespace skerry::edge {

namespace {

constexpr std::size_t file_bytes_max = 32 << 20; // of the most edges that one gateway may have, with causes
constexpr std::string_view first_line = "skerry-presence 1\n";

} // namespace

std::vector<delivery::edge_presence> load_presences(const std::filesystem::path& file) {
  std::vector<delivery::edge_presence> out;
  const auto text = read_file(file, file_bytes_max);
  if (!text) {
    if (text.error().code != errc::not_found)
      spdlog::warn("downlink: {}; when edges were last heard is not known", text.error().message);
    return out;
  }
  std::string_view left = text.value();
  if (!left.starts_with(first_line)) {
    spdlog::warn("downlink: {} is damaged or of a newer version; when edges were last heard is not known",
                 file.string());
    return out;
  }
  left.remove_prefix(first_line.size());
  while (!left.empty()) {
    const auto end = std::min(left.find('\n'), left.size());
    if (auto one = delivery::presence_from_text(left.substr(0, end)))
      out.push_back(std::move(*one));
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return out;
}

result<void> store_presences(const std::filesystem::path& file,
                             const std::map<edge_id, delivery::edge_presence>& from) {
  std::string text{first_line};
  for (const auto& [edge, one] : from)
    text += delivery::to_text(one) + '\n';
  return write_file_durably(file, text);
}

} // namespace skerry::edge
