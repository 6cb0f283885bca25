#include "edge/spool/examine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <sys/resource.h>
#include <tuple>
#include <unistd.h>
#include <xxhash.h>

namespace skerry::edge {

namespace {

constexpr std::uint64_t segment_file_bytes_max = std::uint64_t{8} << 30; // the largest segment_bytes, twice
constexpr std::size_t out_buffer_bytes = 64 << 10;
constexpr std::size_t part_header_bytes = 13;

constexpr std::uint64_t child_memory_bytes = 512 << 20; // besides the file
constexpr rlim_t child_cpu_seconds = 600;               // the parent's patience is shorter

class part_writer final : public findings {
public:
  explicit part_writer(const std::function<bool(bytes_view)>& out) : out_(out) {
    buffer_.reserve(out_buffer_bytes);
  }

  void part(char kind, bytes_view body) {
    byte_writer out{buffer_};
    out.fixed(kind);
    out.fixed(static_cast<std::uint32_t>(body.size()));
    out.fixed(static_cast<std::uint64_t>(XXH3_64bits(body.data(), body.size())));
    out.bytes(body);
    if (buffer_.size() >= out_buffer_bytes)
      flush();
  }
  bool flush() {
    open_ = open_ && (buffer_.empty() || out_(buffer_));
    buffer_.clear();
    return open_;
  }

  void stream(const stream_key& key) override {
    if (!streams_.insert(key).second)
      return;
    byte_buffer body;
    byte_writer out{body};
    put_stream_key(key, out);
    part('K', body);
  }
  void index_part(bytes_view entry) override { part('I', entry); }
  void record(bytes_view record) override { // once each, although older copies of a page hold it again
    const auto view = decode_record(record);
    if (view && records_.insert({view.value().tag, record[record_stream_offset], view.value().seq}).second)
      part('R', record);
  }
  void set(bytes_view value) override {
    const auto decoded = decode_set_value(value);
    if (decoded && sets_.insert(decoded.value().name).second)
      part('S', value);
  }

private:
  const std::function<bool(bytes_view)>& out_;
  byte_buffer buffer_;
  bool open_ = true;
  std::set<stream_key> streams_;
  std::set<std::tuple<std::uint32_t, std::byte, sequence>> records_;
  std::set<set_name> sets_;
};

// Memory that sanitizers reserve counts as used: no limit there.
void limit_memory([[maybe_unused]] std::uint64_t bytes) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const rlimit limit{bytes, bytes};
  static_cast<void>(::setrlimit(RLIMIT_AS, &limit));
#endif
}

} // namespace

bool examine_segment(const std::filesystem::path& directory, bool always,
                     const std::function<bool(bytes_view)>& out) {
  part_writer to{out};
  std::string wrong;
  {
    const auto segment = segment_reader::open(directory);
    wrong = (segment ? segment.value().verify() : std::optional{segment.error().message}).value_or("");
  }
  to.part('V', as_bytes(wrong));
  if (!wrong.empty() || always) {
    if (!to.flush()) // what is wrong is said before the scan, should that not end well
      return false;
    if (const auto file = scan_file(data_file(directory), segment_file_bytes_max, to); !file)
      to.part('V', as_bytes(fmt::format("{}; {}", wrong, file.error().message)));
  }
  to.part('E', {});
  return to.flush();
}

int examine_segment_main(const std::filesystem::path& directory, bool always) {
  const rlimit no_core{0, 0};
  static_cast<void>(::setrlimit(RLIMIT_CORE, &no_core));
  const rlimit cpu{child_cpu_seconds, child_cpu_seconds};
  static_cast<void>(::setrlimit(RLIMIT_CPU, &cpu));
  // The file is read once, and of what is found names are remembered.
  limit_memory(child_memory_bytes + 4 * file_bytes(data_file(directory)));
  const auto write_all = [](bytes_view bytes) {
    while (!bytes.empty()) {
      const auto n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return false;
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return true;
  };
  try {
    return examine_segment(directory, always, write_all) ? 0 : 1;
  } catch (const std::exception& e) { // no memory within the limit
    fmt::print(stderr, "skerry-edge: cannot examine {}: {}\n", directory.string(), e.what());
    return 1;
  }
}

namespace {

// False: the answer stops before its end.
bool for_each_part(bytes_view answer, const std::function<void(char kind, bytes_view body)>& visit) {
  byte_reader in{answer};
  while (in.remaining() >= part_header_bytes) {
    const auto kind = in.fixed<char>();
    const auto length = in.fixed<std::uint32_t>();
    const auto checksum = in.fixed<std::uint64_t>();
    const auto body = in.bytes(length);
    if (in.failed() || XXH3_64bits(body.data(), body.size()) != checksum)
      return false;
    if (kind == 'E')
      return true;
    visit(kind, body);
  }
  return false;
}

} // namespace

segment_verdict read_verdict(bytes_view answer) {
  segment_verdict out;
  bool told = false;
  out.whole = for_each_part(answer, [&](char kind, bytes_view body) {
    if (kind != 'V')
      return;
    told = true;
    out.wrong = body.empty() ? std::nullopt : std::optional<std::string>{as_text(body)};
  });
  out.whole = out.whole && told;
  return out;
}

salvaged read_answer(shared_bytes answer, const std::set<stream_key>& known) {
  salvage_collector found{known};
  static_cast<void>(for_each_part(answer.view, [&](char kind, bytes_view body) {
    switch (kind) {
    case 'K': {
      byte_reader key{body};
      if (const auto stream = take_stream_key(key))
        found.stream(stream.value());
      break;
    }
    case 'I': found.index_part(body); break;
    case 'R': found.record(body); break;
    case 'S': found.set(body); break;
    default: break;
    }
  }));
  return std::move(found).take(std::move(answer));
}

} // namespace skerry::edge
