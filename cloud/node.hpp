#pragma once

// A running cloud node: a list of parts. Made, started and stopped by main.

#include "cloud/config.hpp"

#include <memory>

namespace skerry::cloud {

class node {
public:
  // Binds and opens everything, or says what is in the way. `reload` reads the configuration again.
  [[nodiscard]] static result<std::unique_ptr<node>> start(cloud_config config);
  virtual ~node() = default; // stops its parts, the newest first: HTTP at first, the store last

  [[nodiscard]] virtual std::string http_address() const = 0;
  [[nodiscard]] virtual std::string link_address() const = 0;
  // As POST /-/reload: config.reload, logged and counted.
  virtual result<std::string> read_again() = 0;
  virtual void on_tick() = 0;                             // about once a second
  [[nodiscard]] virtual bool failed() const noexcept = 0; // an actor that must live has ended
};

} // namespace skerry::cloud
