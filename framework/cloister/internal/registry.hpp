// SPDX-License-Identifier: BSD-3-Clause
// The hub's book of shared objects: who holds what in which role, which handles travel inside messages, and the repair of a
// mailbox when somebody who used it is dead.
//
// Owner and only thread: the hub. Nothing here blocks or runs user code; shared memory grows only by a message of the hub's own
// (deliver). An object lives while a process holds it, or a message that can still be read names it (a *pin*), and some process holds the
// mailbox which that message is in. Reading a mailbox's memory always goes through slots and ring, which check everything.
#pragma once

#include <cloister/detail/attachment.hpp>
#include <cloister/detail/ring.hpp>
#include <cloister/detail/slots.hpp>
#include <cloister/internal/control.hpp>
#include <cloister/internal/registry_options.hpp>
#include <cloister/internal/service.hpp>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace cloister::internal {

/// A process whose death is proven.
struct dead_process {
  std::uint32_t incarnation = 0;
  std::uint16_t actor = 0;
  exit_status exit;
};

class registry {
 public:
  /// What the registry has the hub do.
  class host {
   public:
    virtual ~host() = default;
    /// Reads whatever processes have sent, before the registry acts on what it saw in shared memory (see sweep).
    virtual void drain_all() = 0;
    /// A small object is known to nobody any more.
    virtual void small_removed(const service_entry& behind, std::uint64_t object) = 0;
    /// That process holds it no more. `died`: it will be told of that, too.
    virtual void small_left(const service_entry& behind, lost_object object, std::uint32_t who, bool died) = 0;
  };
  explicit registry(host& hub);
  ~registry();

  result<void> create(std::uint32_t by, std::uint64_t object, std::uint32_t options, owned_fd memory);
  /// A small object in an arena that `by` made.
  result<small_object> create_small(std::uint32_t by, const struct create_small& what, const service_entry& behind);
  bool holds(std::uint32_t who, std::uint64_t object) const;
  /// `who` calls a small object, so it counts from now on as one that uses it: what stands behind it; nullptr if `who` does not hold it.
  const service_entry* called(std::uint32_t who, std::uint64_t object);
  /// `who`, a process that does not hold the object yet or was given it in the same start, may use it, in that role.
  /// Ignored if `by` does not hold it.
  void give(std::uint32_t by, std::uint32_t who, object_ref ref);
  /// A holder begins to use it in that role. Idempotent.
  void use(std::uint32_t who, object_ref ref);
  void drop(std::uint32_t who, object_ref ref);
  /// A holder ends its use of it, as a process that ended so would.
  void part(std::uint32_t who, object_ref ref, const exit_status& exit);
  /// A holder uses it again after `part`: a pipe's end is open again.
  void resume(std::uint32_t who, object_ref ref);
  /// A duplicate of the object's memory, for the launcher or a reply. Empty if there is none left.
  owned_fd memory_of(std::uint64_t object) const;
  /// Every object that `who` holds; a forked child holds the same.
  void copy_holds(std::uint32_t from, std::uint32_t to);

  void pin(std::uint32_t by, const pin_handles& request, std::vector<owned_fd>& fds);
  void place(std::uint32_t by, const place_pins& request);
  void cancel(std::uint32_t by, const cancel_pins& request);
  /// What the token names, and a descriptor for the receiver. An object is the receiver's only once `hold` says so: when it was told.
  struct redemption {
    object_ref ref;
    owned_fd descriptor;
  };
  result<redemption> redeem(std::uint32_t by, const redeem_pin& request);
  void hold(std::uint32_t who, std::uint64_t object);
  /// The bell's descriptor. It is the hub's own eventfd, so that ringing it never blocks.
  result<owned_fd> bell(std::uint32_t by, const get_bell& request);

  // registry_actors.cpp: actors' mailboxes (detail/letter.hpp).
  void introduce(std::uint32_t by, const struct introduce& what);
  /// A lane for the actor `by`. `gone` if it was not introduced to its mailbox.
  result<redemption> lane(std::uint32_t by, const get_lane& what);
  /// Whoever takes from that mailbox: processes, and what holds it for their successors.
  std::vector<std::uint32_t> takers(std::uint64_t mailbox) const;
  exit_status last_exit(std::uint64_t mailbox) const;
  std::string name_of(std::uint64_t object) const;
  /// Messages that went down with an actor, since the last call.
  struct lost_letters {
    std::string actor;
    std::uint64_t count = 0;
    exit_status exit;
  };
  std::vector<lost_letters> take_lost() { return std::exchange(lost_, {}); }

  /// Repairs and releases everything the dead had; for all of them at once.
  void bury(std::span<const dead_process> dead);
  /// Every 250 ms: wakes sleepers whose wake-up a stopped process may have swallowed. Every second: forgets pins of consumed messages.
  void look();
  bool wants_look() const noexcept { return !objects_.empty(); }
  std::size_t pins() const noexcept { return pin_count_; }
  std::size_t size() const noexcept { return objects_.size(); }

  bool exists(std::uint64_t object) const { return find(object) != nullptr; }
  /// Whatever it holds, it does not any more.
  void leave(std::uint32_t who);

  /// Puts a message of the hub itself; would_block if it does not fit now.
  result<void> deliver(std::uint64_t queue, std::span<const std::byte> message);
  /// The same. False: there is no room or no memory now, so it is to be tried again.
  bool delivered(std::uint64_t queue, std::span<const std::byte> message);

 private:
  struct record;
  using record_ptr = std::unique_ptr<record>;
  struct holding {
    std::uint32_t holds = 0;
    std::array<bool, 2> roles{};
    bool inherited = false;  // see lost_object
  };                         // one hold for each attachment there
  struct carried {           // a handle inside a message
    std::uint64_t token = 0;
    object_ref ref;  // object 0: `descriptor`
    owned_fd descriptor;
    std::uint32_t sender = 0;
    std::uint32_t direction = 0;
    bool placed = false;
    bool gone = false;  // of a sweep: its message can no longer be read
    // Its message is at one of these positions: one if its sender said so; all that were readable when it died without a word.
    std::uint64_t first = 0, end = 0;
  };

  record* find(std::uint64_t object) const;
  void unuse_role(record& r, unsigned role, const exit_status* died);
  void actor_ended(record& mailbox);
  void close_mailbox(record& mailbox);
  void tell_lane(std::uint64_t lane, const record& mailbox);
  void unpin(carried& c);
  void sweep(record& carrier);
  void forget_holder(record& r, std::uint32_t who, const exit_status* died, bool dead);
  void end_if_unused(std::uint64_t object);
  static bool message_gone(const record& carrier, carried& c);
  static void sender_died(const record& carrier, carried& c);

  host& hub_;
  std::unordered_map<std::uint32_t, std::vector<std::shared_ptr<detail::arena>>>
      arenas_;  // by the incarnation that makes objects there
  std::map<std::uint64_t, record_ptr> objects_;
  std::unordered_map<std::uint32_t, std::vector<std::uint64_t>> held_;    // by incarnation, unordered, may name ended objects
  std::vector<std::pair<std::uint64_t, std::vector<std::byte>>> untold_;  // lanes that had no room
  std::vector<lost_letters> lost_;
  std::size_t pin_count_ = 0;
  bool sweeping_ = false;
  unsigned looks_ = 0;
};

}  // namespace cloister::internal
