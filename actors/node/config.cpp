#include "actors/node/config.hpp"

#include "actors/node/config_words.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <optional>
#include <sstream>
#include <system_error>
#include <unistd.h>

namespace skerry {

namespace {

constexpr std::size_t file_bytes_max = 4 << 20;
// Aliases count once for every place that they stand in, so a small file can't stand for a huge tree.
constexpr std::size_t nodes_max = 1'000'000;
constexpr int depth_max = 64;
constexpr std::size_t errors_max = 1'000;

int line_of(const YAML::Mark& mark) noexcept { return mark.is_null() ? 0 : mark.line + 1; }

std::string_view kind_of(const YAML::Node& node) {
  switch (node.Type()) {
  case YAML::NodeType::Map: return "a mapping";
  case YAML::NodeType::Sequence: return "a list";
  case YAML::NodeType::Scalar: return "a single value";
  default: return "nothing";
  }
}

std::string child_path(std::string_view path, std::string_view key) {
  return path.empty() ? std::string{key} : fmt::format("{}.{}", path, key);
}

struct entry {
  YAML::Node key;
  YAML::Node value;
};

// The first pair with this key; duplicates were reported when the document was read.
std::optional<entry> find(const YAML::Node& map, std::string_view key) {
  for (const auto& pair : map)
    if (pair.first.IsScalar() && pair.first.Scalar() == key)
      return entry{pair.first, pair.second};
  return std::nullopt;
}

bool parse_bool(std::string_view text, bool& into) {
  static constexpr std::array<std::string_view, 9> yes{"true", "True", "TRUE", "yes", "Yes",
                                                       "YES",  "on",   "On",   "ON"};
  static constexpr std::array<std::string_view, 9> no{"false", "False", "FALSE", "no", "No",
                                                      "NO",    "off",   "Off",   "OFF"};
  if (std::find(yes.begin(), yes.end(), text) != yes.end()) {
    into = true;
    return true;
  }
  if (std::find(no.begin(), no.end(), text) != no.end()) {
    into = false;
    return true;
  }
  return false;
}

template <class T>
bool parse_number(std::string_view text, T& into) {
  if (!text.empty() && text.front() == '+')
    text.remove_prefix(1);
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), into);
  return code == std::errc{} && end == text.data() + text.size() && !text.empty();
}

// Hears where documents start, and nothing else.
class document_listener final : public YAML::EventHandler {
public:
  int line = 0;
  void OnDocumentStart(const YAML::Mark& mark) override { line = std::max(line_of(mark), 1); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}
};

// Where something follows the first document, or 0. YAML::Load ignores what follows; YAML::LoadAll never
// returns from some inputs (a stray ',').
int second_document_line(const std::string& text) {
  std::istringstream in{text};
  YAML::Parser parser{in};
  document_listener listener;
  return parser.HandleNextDocument(listener) && parser.HandleNextDocument(listener) ? listener.line : 0;
}

// A walk over the whole tree before anyone reads it: bounds, duplicate keys, keys that are not words.
class checker {
public:
  explicit checker(config_document& document) : document_(document) {}

  // False where a bound is exceeded: the tree must not be used then.
  bool walk(const YAML::Node& node, const std::string& path, int depth) {
    if (++nodes_ > nodes_max)
      return stop(node,
                  fmt::format("the document stands for more than {} values; use fewer aliases", nodes_max));
    if (depth > depth_max)
      return stop(
          node, fmt::format("nested more than {} levels deep, or an alias that contains itself", depth_max));
    if (node.IsSequence()) {
      std::size_t index = 0;
      for (const auto& item : node)
        if (!walk(item, fmt::format("{}[{}]", path, index++), depth + 1))
          return false;
    } else if (node.IsMap()) {
      std::map<std::string, int> lines;
      for (const auto& pair : node) {
        const auto line = line_of(pair.first.Mark());
        if (!pair.first.IsScalar()) {
          document_.add_error(line, fmt::format("{}: a key must be a single word, not {}",
                                                path.empty() ? "document" : path, kind_of(pair.first)));
          continue;
        }
        const auto& key = pair.first.Scalar();
        const auto inner = child_path(path, key);
        if (const auto [at, fresh] = lines.emplace(key, line); !fresh)
          document_.add_error(line, fmt::format("{}: the key is given twice (first in line {}); remove one",
                                                inner, at->second));
        if (!walk(pair.second, inner, depth + 1))
          return false;
      }
    }
    return true;
  }

  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  [[nodiscard]] int line() const noexcept { return line_; }

private:
  bool stop(const YAML::Node& node, std::string what) {
    problem_ = std::move(what);
    line_ = line_of(node.Mark());
    return false;
  }

  config_document& document_;
  std::size_t nodes_ = 0;
  std::string problem_;
  int line_ = 0;
};

} // namespace

// --- document ---

struct config_document::impl {
  std::filesystem::path file;
  std::unique_ptr<config_section> section;
  std::vector<std::string> errors;
  std::vector<int> lines; // of `errors`, ascending
};

config_document::config_document() : impl_(std::make_unique<impl>()) {}
config_document::~config_document() = default;

const std::vector<std::string>& config_document::errors() const noexcept { return impl_->errors; }
const std::filesystem::path& config_document::file() const noexcept { return impl_->file; }

void config_document::add_error(int line, std::string what) {
  if (impl_->errors.size() >= errors_max)
    return;
  const auto at = std::upper_bound(impl_->lines.begin(), impl_->lines.end(), line) - impl_->lines.begin();
  impl_->lines.insert(impl_->lines.begin() + at, line);
  impl_->errors.insert(impl_->errors.begin() + at,
                       fmt::format("{}:{}: {}", impl_->file.string(), line, what));
}

namespace {

void digest_into(std::map<std::string, std::size_t>& all, const YAML::Node& node, const std::string& path) {
  if (node.IsMap() && node.size() != 0) {
    for (const auto& pair : node)
      if (pair.first.IsScalar())
        digest_into(all, pair.second, child_path(path, pair.first.Scalar()));
  } else if (!path.empty()) {
    all[path] = std::hash<std::string>{}(YAML::Dump(node));
  }
}

} // namespace

std::map<std::string, std::size_t> config_document::digest() const {
  std::map<std::string, std::size_t> all;
  try {
    digest_into(all, *impl_->section->node_, {});
  } catch (const YAML::Exception&) { // not known to happen: the tree was walked before
    all.clear();
  }
  return all;
}

config_section& config_document::root() noexcept { return *impl_->section; }

result<std::unique_ptr<config_document>> config_document::load(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return fail(errno == ENOENT ? errc::not_found : errc::io,
                fmt::format("can't open the configuration {}: {}; check the path and its permissions",
                            file.string(), std::strerror(errno)));
  std::string text;
  std::array<char, 16 << 10> buffer;
  for (;;) {
    const auto count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0) {
      const auto code = errno;
      ::close(fd);
      return fail(errc::io,
                  fmt::format("can't read the configuration {}: {}", file.string(), std::strerror(code)));
    }
    if (count == 0 || text.size() > file_bytes_max)
      break;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  ::close(fd);
  return parse(text, file.string());
}

result<std::unique_ptr<config_document>> config_document::parse(std::string_view text,
                                                                std::string_view name) {
  const auto refuse = [name](int line, std::string_view what) {
    return fail(errc::malformed, fmt::format("{}:{}: {}", name, std::max(line, 1), what));
  };
  if (text.size() > file_bytes_max)
    return refuse(
        1, fmt::format("the configuration is larger than {}; split it, or move targets into file_sd files",
                       format_bytes(file_bytes_max)));
  try {
    std::unique_ptr<config_document> document{new config_document};
    document->impl_->file = std::filesystem::path{name};
    if (const auto line = second_document_line(std::string{text}); line != 0)
      return refuse(line,
                    "the first YAML document ends here and something follows: a second '---', or what is no "
                    "YAML at all; keep one document");
    const auto loaded = YAML::Load(std::string{text});
    const auto root = loaded.IsNull() ? YAML::Node{YAML::NodeType::Map} : loaded;
    if (!root.IsMap())
      return refuse(line_of(root.Mark()),
                    fmt::format("the configuration must be a mapping (key: value), not {}", kind_of(root)));
    checker check{*document};
    if (!check.walk(root, {}, 0))
      return refuse(check.line(), check.problem());
    document->impl_->section.reset(new config_section{*document, std::make_shared<YAML::Node>(root), {}});
    return document;
  } catch (const YAML::Exception& e) {
    return refuse(line_of(e.mark), fmt::format("not valid YAML: {}", e.msg));
  } catch (const std::exception& e) {
    return refuse(1, fmt::format("can't be read as YAML: {}", e.what()));
  }
}

// --- section ---

namespace {

// What a reader does with the value of a key: an empty string for success, or what is wrong.
using reading = std::function<std::string(const YAML::Node&)>;

std::string scalar_into(const YAML::Node& node, const std::function<std::string(const std::string&)>& take,
                        std::string_view expected) {
  if (node.IsNull())
    return fmt::format("has no value; give {}, or remove the key", expected);
  if (!node.IsScalar())
    return fmt::format("expected {}, found {}", expected, kind_of(node));
  return take(node.Scalar());
}

std::string strings_into(const YAML::Node& node, std::vector<std::string>& into) {
  if (!node.IsSequence())
    return fmt::format("expected a list, found {}; write [{}] or one '- value' a line", kind_of(node),
                       node.IsScalar() ? node.Scalar().substr(0, shown_in_message_max) : "…");
  std::vector<std::string> values;
  for (const auto& item : node) {
    if (!item.IsScalar())
      return fmt::format("item {} must be a single value, not {}", values.size(), kind_of(item));
    values.push_back(item.Scalar());
  }
  into = std::move(values);
  return {};
}

} // namespace

config_section::config_section(config_document& document, std::shared_ptr<YAML::Node> node, std::string path)
    : document_(document), node_(std::move(node)), path_(std::move(path)) {}

// Finds the key, lets `take` read it, and reports what it says. Null counts as absent where `null_is_absent`.
// yaml-cpp throws where a node is not what it seems; nothing of that leaves here.
bool config_section::take(std::string_view key, bool null_is_absent,
                          const std::function<std::string(const YAML::Node&)>& take) {
  known_.emplace_back(key);
  try {
    const auto found = find(*node_, key);
    if (!found || (null_is_absent && found->value.IsNull()))
      return false;
    auto problem = take(found->value);
    if (problem.empty())
      return true;
    // Where the value stands in lines of its own, the key's line still is the one to look at.
    document_.add_error(line_of(found->key.Mark()), fmt::format("{}: {}", child_path(path_, key), problem));
  } catch (const std::exception& e) {
    document_.add_error(line_of(node_->Mark()),
                        fmt::format("{}: can't be read: {}", child_path(path_, key), e.what()));
  }
  return false;
}

bool config_section::read(std::string_view key, std::string& into) {
  return take(key, false, [&](const YAML::Node& node) {
    return scalar_into(
        node,
        [&](const std::string& text) {
          into = text;
          return std::string{};
        },
        "a string");
  });
}

bool config_section::read(std::string_view key, bool& into) {
  return take(key, false, [&](const YAML::Node& node) {
    return scalar_into(
        node,
        [&](const std::string& text) {
          return parse_bool(text, into) ? std::string{}
                                        : fmt::format("expected true or false, found {}", shown(text));
        },
        "true or false");
  });
}

bool config_section::read(std::string_view key, std::int64_t& into, std::int64_t min, std::int64_t max) {
  return take(key, false, [&](const YAML::Node& node) {
    return scalar_into(
        node,
        [&](const std::string& text) -> std::string {
          std::int64_t value = 0;
          if (!parse_number(text, value))
            return fmt::format("expected a whole number, found {}", shown(text));
          if (value < min || value > max)
            return fmt::format("{} is out of range; it must be from {} to {}", value, min, max);
          into = value;
          return {};
        },
        "a whole number");
  });
}

bool config_section::read(std::string_view key, double& into, double min, double max) {
  return take(key, false, [&](const YAML::Node& node) {
    return scalar_into(
        node,
        [&](const std::string& text) -> std::string {
          double value = 0;
          if (!parse_number(text, value))
            return fmt::format("expected a number, found {}", shown(text));
          if (!(value >= min && value <= max)) // also refuses NaN
            return fmt::format("{} is out of range; it must be from {} to {}", value, min, max);
          into = value;
          return {};
        },
        "a number");
  });
}

bool config_section::read(std::string_view key, std::vector<std::string>& into) {
  return take(key, true, [&](const YAML::Node& node) { return strings_into(node, into); });
}

bool config_section::read(std::string_view key, std::chrono::nanoseconds& into) {
  return take(key, false, [&](const YAML::Node& node) {
    return scalar_into(
        node,
        [&](const std::string& text) -> std::string {
          const auto value = parse_duration(text);
          if (!value)
            return value.error().message;
          into = value.value();
          return {};
        },
        "a duration such as 15s");
  });
}

bool config_section::read_bytes(std::string_view key, std::uint64_t& into) {
  return take(key, false, [&](const YAML::Node& node) {
    return scalar_into(
        node,
        [&](const std::string& text) -> std::string {
          const auto value = parse_bytes(text);
          if (!value)
            return value.error().message;
          into = value.value();
          return {};
        },
        "a size such as 512MiB");
  });
}

bool config_section::read(std::string_view key, std::vector<std::pair<std::string, std::string>>& into) {
  return take(key, true, [&](const YAML::Node& node) -> std::string {
    if (!node.IsMap())
      return fmt::format("expected a mapping of names to values, found {}", kind_of(node));
    std::vector<std::pair<std::string, std::string>> values;
    for (const auto& pair : node) {
      if (!pair.first.IsScalar())
        continue; // reported with the document
      if (!pair.second.IsScalar())
        return fmt::format("{} must be a single value, not {}", pair.first.Scalar(), kind_of(pair.second));
      values.emplace_back(pair.first.Scalar(), pair.second.Scalar());
    }
    into = std::move(values);
    return {};
  });
}

bool config_section::read(std::string_view key,
                          std::vector<std::pair<std::string, std::vector<std::string>>>& into) {
  return take(key, true, [&](const YAML::Node& node) -> std::string {
    if (!node.IsMap())
      return fmt::format("expected a mapping of names to lists, found {}", kind_of(node));
    std::vector<std::pair<std::string, std::vector<std::string>>> values;
    for (const auto& pair : node) {
      if (!pair.first.IsScalar())
        continue;
      auto& [name, list] = values.emplace_back(pair.first.Scalar(), std::vector<std::string>{});
      if (auto problem = strings_into(pair.second, list); !problem.empty())
        return fmt::format("{}: {}", name, problem);
    }
    into = std::move(values);
    return {};
  });
}

void config_section::section(std::string_view key, const std::function<void(config_section&)>& each) {
  take(key, true, [&](const YAML::Node& node) -> std::string {
    if (!node.IsMap())
      return fmt::format("expected a mapping (key: value), found {}", kind_of(node));
    config_section inner{document_, std::make_shared<YAML::Node>(node), child_path(path_, key)};
    each(inner);
    inner.finish();
    return {};
  });
}

void config_section::list(std::string_view key, const std::function<void(config_section&)>& each) {
  take(key, true, [&](const YAML::Node& node) -> std::string {
    if (!node.IsSequence())
      return fmt::format("expected a list (one '- …' for each), found {}", kind_of(node));
    std::size_t index = 0;
    for (const auto& item : node) {
      auto path = fmt::format("{}[{}]", child_path(path_, key), index++);
      if (!item.IsMap()) {
        document_.add_error(line_of(item.Mark()), fmt::format("{}: expected a mapping (key: value), found {}",
                                                              path, kind_of(item)));
        continue;
      }
      config_section inner{document_, std::make_shared<YAML::Node>(item), std::move(path)};
      each(inner);
      inner.finish();
    }
    return {};
  });
}

void config_section::refuse(std::string_view key, std::string_view why) {
  refused_.emplace_back(key);
  if (const auto at = line(key); at != 0)
    document_.add_error(at, fmt::format("{}: not supported: {}", child_path(path_, key), why));
}

void config_section::complain(std::string_view key, std::string_view what) {
  const auto path = key.empty() ? path_ : child_path(path_, key);
  const auto at = line(key);
  document_.add_error(at != 0 ? at : std::max(line_of(node_->Mark()), 1),
                      path.empty() ? std::string{what} : fmt::format("{}: {}", path, what));
}

bool config_section::has(std::string_view key) const { return find(*node_, key).has_value(); }

int config_section::line(std::string_view key) const {
  const auto found = find(*node_, key);
  return found ? line_of(found->key.Mark()) : 0;
}

void config_section::finish() {
  const auto in = [](const std::vector<std::string>& list, const std::string& key) {
    return std::find(list.begin(), list.end(), key) != list.end();
  };
  for (const auto& pair : *node_) {
    if (!pair.first.IsScalar())
      continue;
    const auto& key = pair.first.Scalar();
    if (in(known_, key) || in(refused_, key))
      continue;
    const auto path = child_path(path_, key);
    const auto at = line_of(pair.first.Mark());
    if (key == "<<")
      document_.add_error(at, fmt::format("{}: merge keys are not supported; write the keys out", path));
    else if (const auto near = nearest(key, known_); !near.empty())
      document_.add_error(at, fmt::format("{}: unknown key; did you mean '{}'?", path, near));
    else
      document_.add_error(
          at, fmt::format("{}: unknown key; see the commented example for the keys there are", path));
    refused_.push_back(key); // once is enough
  }
}

} // namespace skerry
