#pragma once

// The registry's environment and what its two source files share. Internal to the registry.

#include "actors/base/expiry_clock.hpp"
#include "actors/link/registry.hpp"
#include "actors/link/registry_records.hpp"

#include <fmt/format.h>

#include <optional>

namespace skerry::link {

namespace detail {

[[nodiscard]] inline bytes_view view(const curve_key& key) noexcept {
  return std::as_bytes(std::span{key.bytes});
}
[[nodiscard]] inline std::uint64_t number(edge_id id) noexcept { return static_cast<std::uint64_t>(id); }
[[nodiscard]] inline std::uint64_t number(invite_id id) noexcept { return static_cast<std::uint64_t>(id); }

[[nodiscard]] inline auto no_such_edge(edge_id edge) {
  return fail(errc::not_found, fmt::format("registry: there is no edge {}", to_string(edge)));
}

} // namespace detail

struct registry::impl {
  MDB_env* env = nullptr;
  MDB_dbi meta = 0;
  MDB_dbi edges = 0;
  MDB_dbi keys = 0;
  MDB_dbi invites = 0;
  const clock_source* clock = nullptr;
  // By which invites are forgotten: one that is needed again when a clock is set right must still be there. It begins
  // with the oldest invite, as younger ones may be of a time that never was. Only within a writing transaction, of
  // which there is one at a time.
  std::optional<expiry_clock> age;
  std::int64_t purged_s = 0; // by that time

  ~impl() {
    if (env != nullptr)
      mdb_env_close(env);
  }

  [[nodiscard]] result<detail::transaction> reading() const {
    return detail::transaction::begin(env, MDB_RDONLY);
  }
  [[nodiscard]] result<detail::transaction> writing() const { return detail::transaction::begin(env, 0); }

  [[nodiscard]] static result<void> check_file(const std::filesystem::path& file);
  [[nodiscard]] result<void> open(const std::filesystem::path& directory);
  [[nodiscard]] result<void> purge(detail::transaction& txn, std::int64_t now_s);
  [[nodiscard]] result<std::int64_t> believed_s(const detail::transaction& txn, std::int64_t now_s);
  [[nodiscard]] result<void> revoke_keys(detail::transaction& txn, edge_id edge, std::int64_t now_s);
  [[nodiscard]] result<void> leave_parent(detail::transaction& txn, detail::edge_row& row);
  [[nodiscard]] result<void> put_origin(detail::transaction& txn, edge_id parent, detail::edge_row& through,
                                        edge_id origin, std::int64_t now_s);
  [[nodiscard]] result<admission> admit(const curve_key& key, std::int64_t now_s);
  void close_invite(const curve_key& key) noexcept;
};

} // namespace skerry::link
