#pragma once

// What a node is made of. A part is opened by its constructor or by a function open() of its own, which takes its settings
// and, by type, the parts that it needs; its destructor stops it and waits until nothing of it runs. So a part may use those
// that it was given for as long as it lives: parts are destroyed in the reverse order in which they were made.

#include "actors/http/server.hpp"

#include <memory>
#include <vector>

namespace skerry {

class node_part {
public:
  node_part() = default;
  virtual ~node_part() = default;
  node_part(const node_part&) = delete;
  node_part& operator=(const node_part&) = delete;

  // What it answers over HTTP; asked once, before the server starts. The part outlives the server.
  [[nodiscard]] virtual std::vector<http::route> routes() { return {}; }
  virtual void on_tick() {} // about once a second, on the main thread
};

// The parts of one node. The main thread's.
class node_parts {
public:
  node_parts() = default;
  ~node_parts() { clear(); }
  node_parts(const node_parts&) = delete;
  node_parts& operator=(const node_parts&) = delete;

  // The newest: it is the first to go.
  template <class Part>
  Part& add(std::unique_ptr<Part> part) {
    auto& made = *part;
    parts_.push_back(std::move(part));
    return made;
  }
  // Stops each, the newest first.
  void clear() {
    while (!parts_.empty())
      parts_.pop_back();
  }
  // Of all parts, in the order in which they were made.
  [[nodiscard]] std::vector<http::route> routes() const {
    std::vector<http::route> all;
    for (const auto& part : parts_)
      for (auto& route : part->routes())
        all.push_back(std::move(route));
    return all;
  }
  void on_tick() {
    for (const auto& part : parts_)
      part->on_tick();
  }

private:
  std::vector<std::unique_ptr<node_part>> parts_;
};

} // namespace skerry
