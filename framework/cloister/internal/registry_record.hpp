// SPDX-License-Identifier: BSD-3-Clause
// One object in the hub's book.
#pragma once

#include <cloister/internal/registry.hpp>

namespace cloister::internal {

struct registry::record {
  std::uint64_t id = 0;
  std::uint32_t options = 0;
  std::uint32_t maker = 0;  // its incarnation
  // one of the three
  std::unique_ptr<detail::slots> queue;
  std::unique_ptr<detail::ring> pipe;
  small_object small;
  const service_entry* behind = nullptr;               // a small object
  std::unordered_map<std::uint32_t, holding> holders;  // by incarnation
  std::array<std::uint32_t, 2> roles{};                // uses by holders and pins
  std::uint32_t pinned = 0;                            // pins, in any carrier, that name this object
  std::vector<carried> pins;                           // handles inside this mailbox's messages
  std::size_t pins_kept = 0;                           // that the last sweep left
  std::array<owned_fd, 4> bells;
  std::vector<std::uint64_t> askers;  // of an actor's mailbox: the lanes that were introduced to it
  std::uint64_t over = 0;             // nothing put there before this position is answered any more
  exit_status last_exit;              // of its last actor
  bool marked = false;

  int fd() const noexcept { return queue ? queue->fd() : pipe ? pipe->fd() : small.home->fd(); }
  std::string_view name() const noexcept {
    return queue ? queue->header().name_view() : pipe ? pipe->header().name_view() : small.home->head(small.place).name_view();
  }
  bool has_role(std::uint32_t who, unsigned role) const {
    const auto h = holders.find(who);
    return h != holders.end() && h->second.roles[role - 1];
  }
  static void ring_bell(void* eventfd) noexcept;
};

}  // namespace cloister::internal
