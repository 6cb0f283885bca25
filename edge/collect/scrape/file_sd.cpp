#include "edge/collect/scrape/file_sd.hpp"

#include "edge/collect/scrape/exposition_line.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <fstream>
#include <glob.h>
#include <iterator>
#include <set>
#include <sys/stat.h>

namespace skerry::edge {

namespace {

error malformed(std::string what) { return {errc::malformed, std::move(what)}; }

std::string check(const target_group& group) {
  for (const auto& [name, value] : group.all)
    if (!is_label_name(name))
      return fmt::format("'{}' is no label name", name);
    else if (!is_utf8(value))
      return fmt::format("the value of label '{}' is not UTF-8", name);
  for (const auto& target : group.targets)
    if (!is_utf8(target))
      return "a target is not UTF-8";
  return {};
}

result<std::vector<target_group>> parse_json(std::string_view text) {
  const auto root = nlohmann::json::parse(text, nullptr, false);
  if (root.is_discarded())
    return malformed("not valid JSON");
  if (!root.is_array())
    return malformed("expected a list of target groups");
  std::vector<target_group> out;
  for (const auto& item : root) {
    if (!item.is_object())
      return malformed("a target group must be an object with targets and labels");
    target_group group;
    for (const auto& [key, value] : item.items()) {
      if (key == "targets" && value.is_array()) {
        for (const auto& target : value) {
          if (!target.is_string())
            return malformed("a target must be a string");
          group.targets.push_back(target.get<std::string>());
        }
      } else if (key == "labels" && value.is_object()) {
        for (const auto& [name, text_of] : value.items()) {
          if (!text_of.is_string())
            return malformed(fmt::format("the value of label '{}' must be a string", name));
          group.all.emplace_back(name, text_of.get<std::string>());
        }
      } else if (!((key == "labels" || key == "targets") && value.is_null())) {
        return malformed(fmt::format("'{}' is unknown in a target group, or of the wrong kind", key));
      }
    }
    out.push_back(std::move(group));
  }
  return out;
}

// An alias repeats what it names: what a file holds in the end is bounded, not only its text.
result<std::vector<target_group>> parse_yaml(std::string_view text) {
  const auto root = YAML::Load(std::string{text});
  std::vector<target_group> out;
  if (root.IsNull())
    return out;
  if (!root.IsSequence())
    return malformed("expected a list of target groups");
  std::size_t total = 0;
  for (const auto& item : root) {
    const auto at = item.Mark().line + 1;
    if (!item.IsMap())
      return malformed(fmt::format("line {}: a target group must be a mapping with targets and labels", at));
    target_group group;
    for (const auto& pair : item) {
      const auto key = pair.first.as<std::string>();
      if (key == "targets" && pair.second.IsSequence()) {
        for (const auto& target : pair.second)
          group.targets.push_back(target.as<std::string>());
      } else if (key == "labels" && pair.second.IsMap()) {
        for (const auto& label : pair.second)
          group.all.emplace_back(label.first.as<std::string>(), label.second.as<std::string>());
      } else if (!((key == "labels" || key == "targets") && pair.second.IsNull())) {
        return malformed(fmt::format("line {}: '{}' is unknown in a target group, or of the wrong kind",
                                     pair.first.Mark().line + 1, key));
      }
    }
    total += group.targets.size() + group.all.size() + 1;
    if (total > target_file_targets_max)
      return malformed(fmt::format("line {}: more than {} targets and labels", at, target_file_targets_max));
    out.push_back(std::move(group));
  }
  return out;
}

result<std::string> read_file(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  std::string text;
  char chunk[1 << 14];
  while (in.read(chunk, sizeof chunk), in.gcount() > 0) {
    text.append(chunk, static_cast<std::size_t>(in.gcount()));
    if (text.size() > target_file_bytes_max)
      return fail(errc::exhausted, fmt::format("it is larger than {}", format_bytes(target_file_bytes_max)));
  }
  if (!in.is_open() || in.bad())
    return fail(errc::io, "it can't be read");
  return text;
}

} // namespace

result<std::vector<target_group>> parse_target_groups(std::string_view text, bool json) {
  try {
    auto groups = json ? parse_json(text) : parse_yaml(text);
    if (groups)
      for (const auto& group : groups.value())
        if (auto problem = check(group); !problem.empty())
          return malformed(std::move(problem));
    return groups;
  } catch (const YAML::Exception& e) {
    return malformed(fmt::format("line {}: {}", e.mark.line + 1, e.msg));
  } catch (const std::exception& e) {
    return malformed(e.what());
  }
}

bool target_files::refresh() {
  bool changed = false;
  std::set<std::filesystem::path> there;
  for (const auto& config : configs_) {
    for (const auto& pattern : config.files) {
      glob_t found{};
      if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
        for (std::size_t i = 0; i < found.gl_pathc && there.size() < target_files_max; ++i)
          there.insert(found.gl_pathv[i]);
      globfree(&found);
    }
  }
  changed |= std::erase_if(files_, [&](const auto& known) { return !there.contains(known.first); }) != 0;
  for (const auto& path : there) {
    struct stat now {};
    if (stat(path.c_str(), &now) != 0)
      continue; // gone since: the next look drops it
    const auto time = now.st_mtim.tv_sec * std::int64_t{1'000'000'000} + now.st_mtim.tv_nsec;
    auto& file = files_[path];
    if (file.changed_ns == time && file.inode == static_cast<std::int64_t>(now.st_ino)
        && file.size == now.st_size)
      continue;
    file.changed_ns = time;
    file.inode = static_cast<std::int64_t>(now.st_ino);
    file.size = now.st_size;
    auto extension = path.extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](char c) { return static_cast<char>(c | 0x20); });
    const auto text = read_file(path);
    auto groups = text ? parse_target_groups(text.value(), extension == ".json")
                       : result<std::vector<target_group>>{text.error()};
    if (!groups) {
      ++errors_;
      spdlog::warn("scrape: the target file {} is not taken: {}; {} groups of it stay as they were",
                   path.string(), groups.error().message, file.groups.size());
      continue;
    }
    for (auto& group : groups.value())
      group.all.emplace_back("__meta_filepath", path.string());
    changed |= file.groups != groups.value();
    file.groups = std::move(groups).value();
  }
  return changed;
}

std::vector<target_group> target_files::groups() const {
  std::vector<target_group> out;
  for (const auto& [path, file] : files_)
    out.insert(out.end(), file.groups.begin(), file.groups.end());
  return out;
}

} // namespace skerry::edge
