// SPDX-License-Identifier: BSD-3-Clause
// The words of synchronisation objects in shared memory (docs/formats.md, "synchronisation"), and what processes tell their supervisor actor.
// What may be changed by whom, and how, is said with each word, and searched exhaustively in tests/models.
#pragma once

#include <cloister/actors/detail/sync_handle.hpp>
#include <cloister/detail/arena.hpp>
#include <cloister/detail/event_count.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cloister::internal {

/// The supervisor actor's name. A call, not a constant, so that whoever makes objects links the actor, too.
std::string_view sync_service() noexcept;

/// small_call::what
enum class sync_call : std::uint32_t {
  want = 1,  // a lock or a token; a: see each
  cancel,    // the wait of that cell and ticket, which is CANCELLED
  poke,      // it is free, and somebody waits
  trouble,   // who died; answered in a socket
  give,      // a semaphore's token that the actor took for its sender
  notify,    // a condition's waiters; a: how many
  acted,     // at a barrier: the action was run. A cancel there has a reason in a: 0 late, 1 stopped, 2 the action failed
  abort,     // a barrier; answered in a socket, as
  reset,     // this
  failed,    // its sender lets go of it, because an exception ends what it did
};

// Beside what `a` of want is for each kind:
/// A lock: there is no deadline.
inline constexpr std::uint64_t waits_for_ever = std::uint64_t{1} << 32;
/// A lock: nothing can be done without it, so it is never refused for a circle.
inline constexpr std::uint64_t must_have_it = std::uint64_t{1} << 33;
/// A semaphore, a barrier: what cannot be had now is refused with `timed_out`.
inline constexpr std::uint64_t at_once = std::uint64_t{1} << 34;

/// What objects of that kind have behind their head.
constexpr std::size_t body_bytes_of(detail::sync_kind kind) {
  return kind == detail::sync_kind::semaphore || kind == detail::sync_kind::bounded_semaphore ? detail::arena::large_body
                                                                                              : detail::arena::small_body;
}

inline bool is_bounded(const detail::small_head& head) noexcept {
  return head.kind == static_cast<std::uint32_t>(detail::sync_kind::bounded_semaphore);
}

/// owner:16 | thread:16 | W | H | P | died. Free: owner 0, and then, while H, only the actor's to give.
struct lock_word {
  std::uint64_t raw = 0;

  static constexpr std::uint64_t waiters = std::uint64_t{1} << 32;  // W: some are queued at the actor
  static constexpr std::uint64_t handing = std::uint64_t{1} << 33;  // H: nobody takes it but who is given it
  static constexpr std::uint64_t poked = std::uint64_t{1} << 34;    // P: the actor has been told that it is free
  static constexpr std::uint64_t died = std::uint64_t{1} << 35;     // an owner died, and nobody has recovered
  static constexpr std::uint64_t owner_bits = 0xffff'ffff;

  constexpr std::uint16_t owner() const { return static_cast<std::uint16_t>(raw); }
  constexpr std::uint16_t thread() const { return static_cast<std::uint16_t>(raw >> 16); }
  constexpr bool has(std::uint64_t bit) const { return (raw & bit) != 0; }
  constexpr lock_word with_owner(std::uint16_t actor, std::uint16_t thread) const {
    return {(raw & ~owner_bits) | static_cast<std::uint64_t>(thread) << 16 | actor};
  }
  constexpr lock_word with(std::uint64_t bit, bool on) const { return {on ? raw | bit : raw & ~bit}; }
};

struct lock_body {
  std::atomic<std::uint64_t> word;
  // Stored by whoever lets go of its last handle while it owns the lock, before it sets `died`: its incarnation. By the actor: 0, it knows who.
  std::atomic<std::uint32_t> let_go_by;
};
/// small_head::options of a lock.
inline constexpr std::uint32_t deadlock_is_an_error = 1;
static_assert(sizeof(lock_body) <= detail::arena::small_body && offsetof(lock_body, let_go_by) == 8);

/// generation:63 | set. The generation is that of the last `set` that found it not set.
struct event_word {
  std::uint64_t raw = 0;

  static constexpr std::uint64_t set_bit = 1;
  constexpr bool is_set() const { return (raw & set_bit) != 0; }
  constexpr std::uint64_t generation() const { return raw >> 1; }
  constexpr event_word set() const { return {((raw >> 1) + 1) << 1 | set_bit}; }
};

struct event_body {
  std::atomic<std::uint64_t> word;
  std::array<std::uint64_t, 7> unused;
  detail::event_count sleepers;
};
static_assert(sizeof(event_body) <= detail::arena::small_body && offsetof(event_body, sleepers) == 64);

/// small_head::options of a barrier: the parties, and this. Its parameter is the time-out in nanoseconds.
inline constexpr std::uint32_t barrier_has_action = std::uint32_t{1} << 31;
/// The value of a cell that is REGISTERED at a barrier, and has to do that; no index, which may be there already while it still is.
inline constexpr std::uint64_t run_the_action = ~std::uint64_t{0};
struct barrier_body {
  // Stored by the actor only.
  std::atomic<std::uint32_t> waiting;
  std::atomic<std::uint32_t> broken;
  // How often it was reset; who arrives says (in `a` of want) what it was. So an arrival from before a reset, of one that gave up
  // meanwhile, is not taken for one after it.
  std::atomic<std::uint32_t> epoch;
};
static_assert(offsetof(barrier_body, broken) == 4 && offsetof(barrier_body, epoch) == 8);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

/// How many wait; stored by the actor only.
struct condition_body {
  std::atomic<std::uint32_t> waiting;
};

}  // namespace cloister::internal
