// SPDX-License-Identifier: BSD-3-Clause
// The bytes of a pipe: two lanes (ring_lane.hpp) in one shared memory, one for each direction, and the state of the two ends.
//
//   auto p = ring::create({.name = "p"}).value();                  // in one process; p->fd() is handed to the other
//   p->put(0, bytes, 1s);                                          // end A, the writer of direction 0
//   if (auto m = p->peek(0, 1s)) { m->copy_to(buffer); p->pop(0); }  // end B, its reader
//
// Owned by an attachment; made or attached once a process. End A (0) writes direction 0 and reads direction 1, end B (1)
// the reverse; each end belongs to one process at a time, with one sending and one receiving thread. The hub calls
// set_end_state, consumed, tail_position and look from any thread.
// Blocks: put, peek and poll, until their deadline; a passed deadline means once.
// When the process of an end dies, anywhere: what it had put completely is read by the other end, then `peer_down`; what it
// had not popped is there for the next owner of the end. Half a message does not exist. Nothing needs repair.
// Anything impossible in the mapping: `errc::broken`, for both ends, for good.
#pragma once

#include <cloister/detail/memory.hpp>
#include <cloister/detail/ring_reader.hpp>
#include <cloister/detail/ring_writer.hpp>

#include <memory>
#include <optional>

namespace cloister::detail {

enum class end_state : std::uint8_t { open = 0, closed = 1, dead = 2 };

class ring {
 public:
  struct options {
    std::string name{};
    std::uint64_t id = 0;
    std::array<std::uint64_t, 2> fingerprints{};
    /// Unread bytes that one direction may hold, 8 for each message included; at least 16 KiB. Also the limit of one
    /// message. Memory above 16 KiB a direction is taken when it is needed and given back when it was read.
    std::size_t max_bytes = std::size_t{256} << 20;
  };
  static constexpr std::size_t smallest = std::size_t{16} << 10;
  static constexpr std::size_t largest = std::size_t{64} << 30;

  static result<std::unique_ptr<ring>> create(const options& o);
  /// The same over an fd of another filesystem, for tests (memory::adopt).
  static result<std::unique_ptr<ring>> create_in(owned_fd fd, const options& o);
  /// Checks everything that will be relied on.
  static result<std::unique_ptr<ring>> attach(memory m);
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;

  const object_header& header() const noexcept { return header_; }
  int fd() const noexcept { return memory_.fd(); }
  std::size_t max_bytes() const noexcept { return static_cast<std::size_t>(lanes_[0].geometry.max_bytes); }

  // ---- the ends ------------------------------------------------------------------------------------------------------
  /// Must be called when an end comes (again) to this process, before its first use: what is known of it here is old.
  void take_over(unsigned end) noexcept;

  /// Appends a message; returns its position. Waits for room only while the reader gets on: if it does not for 10 ms, or
  /// the deadline passes, the lane grows instead, up to max_bytes. Errors: timed_out, would_block, closed, peer_down
  /// (the reading end), too_large, no_memory, broken, stopping, interrupted; nothing was put then.
  result<std::uint64_t> put(unsigned direction, const gathered& message, deadline until);
  /// The next message, still in the mapping; pop makes it the caller's. Errors: timed_out, would_block, broken, stopping,
  /// interrupted; once drained also closed and peer_down.
  result<ring_message> peek(unsigned direction, deadline until);
  /// Delivers what peek returned.
  void pop(unsigned direction) noexcept;
  /// True if peek would not wait: a message, or the end of the stream. Errors: broken, stopping, interrupted.
  result<bool> poll(unsigned direction, deadline until);
  /// The event of a reader, to arm its bell.
  event_count& data(unsigned direction) noexcept { return lanes_[direction].shared->data; }
  event_count& space(unsigned direction) noexcept { return lanes_[direction].shared->space; }
  /// How this process rings the bells of a direction: for `data`, for `space`. Before the first use, or while unused.
  void set_ringers(unsigned direction, bell_ringer data, bell_ringer space) noexcept;

  // ---- the hub -------------------------------------------------------------------------------------------------------
  /// How an end stands; wakes both ends. `exit` says how its process ended, of which kind and number are kept.
  void set_end_state(unsigned end, end_state state, const exit_status& exit = {}) noexcept;
  end_state state_of(unsigned end) const noexcept;
  /// True once the message at `position` has been delivered.
  bool consumed(unsigned direction, std::uint64_t position) const noexcept;
  /// The position of the last message put: for a pin whose sender died before it could tell.
  std::uint64_t tail_position(unsigned direction) const noexcept;
  /// Unread bytes, 8 for each message included. A snapshot.
  std::uint64_t unread(unsigned direction) const noexcept;
  /// Every 250 ms, one thread: wakes who sleeps although there is something to do.
  void look() noexcept;
  bool is_broken() const noexcept;

 private:
  struct store {
    memory* m;
    bool reserve(std::size_t offset, std::size_t bytes) noexcept;
    void release(std::size_t offset, std::size_t bytes) noexcept;
  };
  struct control;  // in shared memory
  using writer = lane_writer<linux_platform, store>;
  using reader = lane_reader<linux_platform, store>;
  struct lane {
    // Constant after construction.
    shared_lane* shared = nullptr;
    lane_geometry geometry;
    bell_ringer data_ringer, space_ringer;
    // The writing thread's, the reading thread's, the looking thread's.
    alignas(128) std::optional<writer> out;
    bool out_known = false;
    spin_budget out_spin;
    alignas(128) std::optional<reader> in;
    bool in_known = false;
    std::int64_t idle_since = 0;        // when the reader first found nothing, on CLOCK_MONOTONIC
    std::int64_t large_drained_at = 0;  // when it last read a large level empty
    spin_budget in_spin;
    alignas(128) std::uint64_t looked_at = 0;
  };

  ring(memory m, const object_header& header, std::size_t max_bytes);
  static result<std::unique_ptr<ring>> build(memory m, const options& o);
  std::string says(const char* operation) const;
  error stop_error(const char* operation) const;
  error end_error(const char* operation, unsigned own_end) const;
  error break_now(const char* operation);
  bool ended() const noexcept;
  lane_outcome find(lane& l, unsigned direction);
  result<std::uint64_t> put_waiting(unsigned direction, const gathered& message, deadline until, lane_outcome outcome);
  std::optional<error> wait_for_data(unsigned direction, const char* operation, deadline until);
  void wake_all() noexcept;

  // Constant after construction.
  memory memory_;
  object_header header_;
  control* control_;
  std::array<lane, 2> lanes_;
};

}  // namespace cloister::detail
