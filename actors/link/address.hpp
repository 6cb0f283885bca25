#pragma once

// Addresses of the link as people write them: what a node binds, and what it tells others to connect to.

#include "schemas/error.hpp"

#include <string>
#include <string_view>

namespace skerry {

class config_section;

namespace link {

// "tcp://host:port" from "host:port" or from itself.
[[nodiscard]] std::string with_scheme(std::string_view address);

// Whether others can be told to connect to it, and a token that names it decodes: a host, and a port above 0.
// invalid_argument: the message says how to write it.
[[nodiscard]] result<void> check_advertised(std::string_view address);

// `bind` and `advertise` of the section `link:`. An empty `bind` is off where `may_be_off`.
void read_addresses(config_section& from, std::string& bind, std::string& advertise, bool may_be_off);

// `message_bytes_max` of that section, which has to hold a batch: of `batch_bytes_max`, as read before.
void read_message_limit(config_section& from, std::size_t& message_bytes_max, std::size_t batch_bytes_max,
                        std::string_view batch_key);

// Whether the two can't be listened on at once, as they have the same port: `listen` as http.listen has it.
[[nodiscard]] bool same_port(std::string_view bind, std::string_view listen);

} // namespace link
} // namespace skerry
