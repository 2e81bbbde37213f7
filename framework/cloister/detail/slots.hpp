// SPDX-License-Identifier: BSD-3-Clause
// The queue below `queue<T>`: messages as bytes, many to many, in order, such that killing anybody anywhere loses nothing.
//
//   auto q = slots::create({.name = "tasks"}).value();
//   q->put(me, bytes, 1s);
//   if (auto m = q->take(me, 1s)) { m->copy_to(mine); m->deliver(); }      // until deliver(), it is still in the queue
//
// A slot's owner stands in the word that claims it, so whatever a dead process held can be named and put right (`repair`).
// A message is there for others when its READY is stored and gone when its slot is free: both are single stores. Nothing
// here waits for a process that may be stopped or dead, except for a message or for room.
// Positions number the messages in the order of the queue; put(A) returned before put(B) began means A comes out first.
//
// Threads and processes: everything may be called by any number of both, except repair and look: the hub's one
// thread. Content that no correct process writes makes the queue `broken`, for good and for everybody; it never crashes.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/gathered.hpp>
#include <cloister/detail/slots_chain.hpp>
#include <cloister/detail/slots_chunks.hpp>
#include <cloister/detail/slots_layout.hpp>
#include <cloister/detail/slots_leases.hpp>
#include <cloister/error.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cloister::detail {

class slots;

struct slots_options {
  std::string_view name = {};
  std::uint64_t id = 0;
  std::uint64_t fingerprint = 0;
  std::size_t message_size = 0;  // of a flat type; 0 if messages differ in size
  std::uint64_t max_items = 0;   // not counting leases and dead letters; 0 = no limit
  std::uint64_t max_bytes =
      256ULL * 1024 * 1024;     // slots, and chunks for large messages, may each grow so far; also the largest message
  unsigned max_deliveries = 0;  // then a message is a dead letter; at most 15; 0 = no limit
};

enum class close_mode : std::uint8_t {
  drain,  ///< puts fail at once, gets when nothing is left
  now,    ///< gets fail at once too; what was not taken is thrown away
};

/// What a lease is called until it is acknowledged or given back.
struct lease_token {
  std::uint64_t position = 0;
  std::uint32_t entry = 0;  // of the lease table, or in_slot
  std::uint32_t size = 0;
  unsigned redelivered = 0;
  static constexpr std::uint32_t in_slot = 0xffffffff;
};

/// A message that one caller holds: first taken, then delivered, given back or leased. Move-only, one thread at a time.
/// Dropping it gives it back. The bytes lie in shared memory: a hostile peer may change them at any time.
class taken {
 public:
  taken() = default;
  taken(taken&& other) noexcept { swap(other); }
  taken& operator=(taken&& other) noexcept {
    swap(other);
    return *this;
  }
  ~taken() {
    if (from_ != nullptr) give_back();
  }

  std::size_t size() const { return size_; }
  std::uint64_t position() const { return position_; }
  /// How often it was taken before and came back.
  unsigned redeliveries() const { return redelivered_; }
  /// The bytes if they lie together; else empty (and size() > 0): copy them.
  std::span<const std::byte> view() const;
  /// Copies the first into.size() bytes, at most size().
  void copy_to(std::span<std::byte> into) const;

  /// It is the caller's: its place is free.
  void deliver();
  /// Back where it was, as if never taken.
  void give_back();
  /// Out of the way of others, but the caller's only when acknowledged. Not for dead letters (`invalid`).
  result<lease_token> lease();
  /// A dead letter: among those that can be taken again, as if it had never been taken, and beginning with these bytes in place of as many.
  /// REQUIRES: it is a dead letter, and not shorter.
  void revive(std::span<const std::byte> beginning);

 private:
  friend class slots;
  void swap(taken& other) noexcept;
  std::uint32_t first_chunk() const;  // REQUIRES: it is in chunks

  slots* from_ = nullptr;
  const std::byte* bytes_ = nullptr;  // in the slot or entry
  std::uint64_t position_ = 0;
  std::uint64_t word_ = 0;  // of the slot or entry, as the caller wrote it
  slot_place place_;
  std::uint32_t entry_ = lease_token::in_slot;
  std::uint32_t size_ = 0;
  unsigned redelivered_ = 0;
  actor_id me_ = no_actor;
  chunk_runs chunks_;  // of a large message that can be read
};

/// What a repair found and put right.
struct repair_report {
  unsigned torn = 0;      // half-written messages that nobody will see
  unsigned requeued = 0;  // taken ones, back in their place
  unsigned returned = 0;  // leased ones, to be delivered again
  unsigned buried = 0;    // those that were delivered too often: dead letters now
  unsigned chunks = 0;    // pieces of memory freed
};

struct slots_stats {
  std::uint64_t torn, redelivered, buried;             // since the queue was made
  std::uint32_t leased, dead;                          // now
  std::uint64_t ring_bytes, lease_bytes, chunk_bytes;  // reserved now
  std::uint32_t chunks_in_use;
};

class slots {
 public:
  static result<std::unique_ptr<slots>> create(const slots_options& options);
  /// `wrong_type`: not a queue, or of other messages.
  static result<std::unique_ptr<slots>> attach(memory mapped, std::uint64_t fingerprint);
  static result<std::unique_ptr<slots>> adopt(memory mapped,
                                              const slots_options& options);  // of slots_geometry::size bytes; for tests
  slots(const slots&) = delete;
  slots& operator=(const slots&) = delete;

  /// Who rings when something can be taken, or put. Before the first use.
  void set_ringers(bell_ringer ready, bell_ringer vacant);
  event_count& ready_event() { return layout_.shared().ready; }  // to arm its bell

  /// Blocks: while there is no room. Returns the message's position.
  /// timed_out, would_block (deadline::passed()), closed, too_large, no_memory, stopping, interrupted, broken: nothing was put.
  result<std::uint64_t> put(actor_id me, const gathered& message, deadline until);
  /// Blocks: while `most` or more messages wait. For senders that keep to a limit which others may pass. Errors as of put.
  result<void> await_fewer(std::uint64_t most, deadline until);
  /// In order, with one notification for many. Returns how many were put: all, or fewer if the deadline or an end came
  /// in between; the error if none was.
  result<std::size_t> put_many(actor_id me, std::span<const std::span<const std::byte>> messages, deadline until);

  /// Blocks: until there is a message. timed_out, would_block, closed, stopping, interrupted, broken.
  result<taken> take(actor_id me, deadline until);
  /// The same, into an empty one.
  result<void> take(actor_id me, taken& into, deadline until, std::string_view operation = "get");
  /// Waits for the first, then takes what else is there, up to `most`.
  result<std::vector<taken>> take_many(actor_id me, std::size_t most, deadline until);
  /// True if a take would not wait: for a message, or for an end. Every change of that rings the ready event.
  bool would_return(actor_id me);
  /// Delivers them with one notification.
  void deliver_many(std::span<taken> messages);

  /// Ends the lease: the message is done with. `invalid` if `me` does not hold it.
  result<void> ack(actor_id me, const lease_token& lease);
  /// Ends the lease: another consumer gets the message, flagged; or it becomes a dead letter.
  result<void> give_back(actor_id me, const lease_token& lease);
  /// The oldest dead letter; deliver() it or give it back. Blocks: until there is one.
  result<taken> take_dead(actor_id me, deadline until);

  /// Some message is ready, being written, taken or leased. Dead letters do not count.
  bool unfinished();
  /// Blocks: while unfinished(). timed_out, would_block, stopping, interrupted, broken.
  result<void> wait_idle(deadline until);

  /// Wakes everybody. Again, or `now` after `drain`: allowed. `me` throws the rest away if `now`.
  void close(actor_id me, close_mode mode);
  bool closed() const;

  std::uint64_t size();                  ///< messages that a get could take; exact when nobody puts or gets
  bool empty();                          ///< size() == 0
  bool full() { return chain_.full(); }  ///< a put would wait for a slot
  std::uint64_t capacity() const { return layout_.geometry().max_items; }
  std::uint64_t largest_message() const { return layout_.geometry().largest_message(); }
  /// Nobody can read the message put at `position` any more. False for positions that no put has reached.
  bool consumed(std::uint64_t position);
  /// The position that the next put will have, at least. Pins of a sender that died between pin and put end when all
  /// positions from first_position() to this one (as read after its repair) are consumed.
  std::uint64_t next_position();
  /// The oldest position that somebody may still read; next_position() if there is none. Exact while nobody takes.
  std::uint64_t oldest_position();
  /// A lower bound of the positions that were not consumed.
  std::uint64_t first_position() { return chain_.consumed_before(); }

  /// The hub, while nobody may take: undoes close.
  void reopen();
  /// The hub, after proof that all of `dead` are dead. May be killed anywhere and run again.
  repair_report repair(std::span<const actor_id> dead);
  /// The hub, every 250 ms: wakes one sleeper where there is something to do (a stopped process may have swallowed a
  /// wake), ends an unfinished close, and gives memory back.
  void look();

  const object_header& header() const { return header_; }
  int fd() { return layout_.mapping().fd(); }
  slots_stats stats();
  slots_layout& layout() { return layout_; }

 private:
  friend class taken;
  enum class outcome : std::uint8_t { done, again, closed, no_memory, broken };

  slots(slots_layout layout, const object_header& header);
  static result<std::unique_ptr<slots>> build(memory mapped, const slots_options& options, const slots_geometry& geometry);

  template <class Write>
  outcome try_put(actor_id me, std::size_t want, Write write, std::uint64_t& position, std::size_t& done);
  void write(slot_place p, const gathered& message, std::span<const chunk_run> chunks);
  void pass_room_on(std::uint64_t next);
  outcome take_chunks(actor_id me, std::size_t bytes, chunk_runs& into);
  result<std::uint64_t> put_large(actor_id me, const gathered& message, deadline until);
  outcome state_for_put() const;

  outcome try_take(actor_id me, taken& into, slots_walk& walk, bool discarding = false);
  outcome take_returned(actor_id me, taken& into, bool listed);
  template <class Head>
  outcome accept(Head& held, taken& into, bool listed);
  outcome accept_slot(actor_id me, slot_place p, slot_word w, taken& into, bool listed = true);
  outcome accept_entry(actor_id me, std::uint32_t index, lease_word w, taken& into, bool listed = true);
  slots_chain::found first_ready(bool takeable);
  std::span<const std::byte> content(const taken& t) const;
  void pass_on(slots_walk& walk);
  bool idle(actor_id except);

  bool bury(slot_place p, actor_id me, unsigned redelivered, taken& message);
  void finish(taken& t);
  void unhand(taken& t);
  void after_free(bool chunks);
  void came_back(actor_id me);
  void discard(actor_id me);
  bool find_lease(actor_id me, const lease_token& lease, taken& into);

  void repair_leases(std::span<const actor_id> dead, repair_report& report);
  void repair_slots(std::span<const actor_id> dead, repair_report& report);
  void repair_chunks(std::span<const actor_id> dead, repair_report& report);
  void trim();
  bool in_ring(std::uint64_t position);
  void wake_all();
  void mark_broken();
  cloister::error fail(std::string_view operation, errc code) const;
  cloister::error fail(std::string_view operation, outcome o) const;
  cloister::error fail(std::string_view operation, wait_status w, deadline until) const;

  object_header header_;
  slots_layout layout_;
  slots_chain chain_;
  lease_table leases_;
  chunk_pool chunks_;
  bell_ringer ready_ringer_;
  bell_ringer vacant_ringer_;
  std::atomic<std::uint64_t> fewer_until_{0};                 // private: positions of which await_fewer is sure
  std::atomic<std::uint64_t> seen_epoch_{~std::uint64_t{0}};  // private: up to which nothing returned was left in the table
  bool trim_next_ = false;                                    // the hub's
};

}  // namespace cloister::detail
