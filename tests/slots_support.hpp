// SPDX-License-Identifier: BSD-3-Clause
// What the tests of slots share: making queues, messages that prove themselves, and the check that nothing leaked.
#pragma once

#include <cloister/detail/slots.hpp>

#include "harness.hpp"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

namespace slots_test {

using namespace cloister;
using namespace cloister::detail;
using namespace std::chrono_literals;

inline std::unique_ptr<slots> make(slots_options options = {}) {
  if (options.name.empty()) options.name = "tasks";
  auto q = slots::create(options);
  REQUIRE(q.has_value());
  return std::move(*q);
}

/// A message of `size` bytes (at least 8, or 0) that carries `number` and can be checked for being whole.
inline std::vector<std::byte> message(std::uint64_t number, std::size_t size = 8) {
  std::vector<std::byte> m(size);
  if (size < sizeof number) return m;
  std::memcpy(m.data(), &number, sizeof number);
  for (std::size_t i = sizeof number; i < size; ++i) m[i] = static_cast<std::byte>(number * 31 + i * 7 + (i >> 8));
  return m;
}

inline constexpr std::uint64_t torn = ~std::uint64_t{0};

/// The number of a message, or `torn` if its bytes are not those of message().
inline std::uint64_t number_of(const std::vector<std::byte>& m) {
  std::uint64_t number = 0;
  if (m.size() < sizeof number) return 0;
  std::memcpy(&number, m.data(), sizeof number);
  return m == message(number, m.size()) ? number : torn;
}

inline std::uint64_t number_of(const taken& t) {
  std::vector<std::byte> m(t.size());
  t.copy_to(m);
  return number_of(m);
}

/// What cannot be, though each word by itself might: hints, laps, leases and chunks compared with each other. Empty if there is nothing.
inline std::string lies(slots& q) {
  auto& l = q.layout();
  auto& s = l.shared();
  const auto& g = l.geometry();
  const auto status = s.status.load(std::memory_order_seq_cst);
  if (status & status_broken) return "it is marked as broken";
  const unsigned first = s.get_ring.load(std::memory_order_seq_cst);
  const unsigned last = s.put_ring.load(std::memory_order_seq_cst);
  const unsigned reserved = s.rings.load(std::memory_order_acquire);
  if (first > last || last > reserved || reserved >= g.rings) return "the rings are out of order";
  if (s.chunk_top.load() > g.chunks) return "more chunks than there can be";
  if (s.lease_levels.load() >= g.lease_levels) return "more lease entries than there can be";
  for (unsigned r = first; r <= last; ++r) {
    if (s.bases[r].load(std::memory_order_acquire) == 0) return "a ring in use has no base";
    const auto n = g.slots_in(r);
    const auto tail = s.ring[r].tail.load(std::memory_order_acquire);
    const auto head = s.ring[r].head.load(std::memory_order_acquire);  // after tail: it only grows
    // Hints may lag, in either direction, by the number of actors.
    if (static_cast<std::int64_t>(tail - head) > static_cast<std::int64_t>(n + 65536)) return "a tail is ahead of its ring";
    if (static_cast<std::int64_t>(head - tail) > static_cast<std::int64_t>(n + 65536) && s.ring[r].tail.load() == tail)
      return "a head is ahead of its tail";
    for (std::uint64_t i = 0; i < n; ++i) {
      const slot_place p{r, head + i};
      const slot_word w{l.slot(p).word.load(std::memory_order_acquire)};
      if (s.get_ring.load(std::memory_order_seq_cst) > r) break;
      const auto ahead = w.laps_after(l.lap(p));
      const auto now = s.ring[r].head.load(std::memory_order_acquire);
      if (now == head && (ahead < 0 || ahead > 1)) return "a slot is of an impossible lap";
      if (w.state() > slot_state::sealed) return "a slot is in an impossible state";
      const bool owned = w.state() == slot_state::writing || w.state() == slot_state::taken || w.state() == slot_state::leased;
      if (owned == (w.owner() == no_actor)) return "a slot has an impossible owner";
    }
  }
  for (std::uint32_t i = 0, n = l.leases(1 + s.lease_levels.load()); i < n; ++i) {
    const lease_word w{l.lease(i).word.load(std::memory_order_acquire)};
    if (w.state() > lease_state::dead_taken) return "a lease is in an impossible state";
    if (w.state() == lease_state::free && w.raw != 0) return "a free lease has an owner";
  }
  for (std::uint32_t i = 0, n = s.chunk_top.load(); i < n; ++i) {
    const chunk_word w{l.chunk(i).word.load(std::memory_order_acquire)};
    if (w.state() > chunk_state::reserving) return "a chunk is in an impossible state";
  }
  return "";
}

inline void put(slots& q, std::uint64_t number, std::size_t size = 8, actor_id me = 1) {
  const auto r = q.put(me, message(number, size), deadline::passed());
  INFO((r ? std::string() : r.error().text()));
  REQUIRE(r.has_value());
}

/// Takes and delivers; `torn` if there is nothing.
inline std::uint64_t get(slots& q, actor_id me = 2) {
  auto t = q.take(me, deadline::passed());
  if (!t) return torn;
  const auto number = number_of(*t);
  t->deliver();
  return number;
}

/// A queue in a file of a filesystem of `bytes`, made for this process alone (so: in a forked child); nothing if the
/// system does not allow it.
inline std::unique_ptr<slots> make_in_small_filesystem(std::size_t bytes, const slots_options& options) {
  if (::unshare(::geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) return nullptr;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return nullptr;
  if (::mount("none", "/tmp", "tmpfs", 0, ("size=" + std::to_string(bytes)).c_str()) != 0) return nullptr;
  const auto size = slots_geometry::plan(options.message_size, options.max_items, options.max_bytes, options.max_deliveries).size;
  owned_fd file(::open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  auto m = memory::adopt(std::move(file), "queue", size, 4096);
  REQUIRE(m.has_value());
  auto q = slots::adopt(std::move(*m), options);
  REQUIRE(q.has_value());
  return std::move(*q);
}

/// The same, but waits for it.
inline std::uint64_t await(slots& q, actor_id me = 2) {
  auto t = q.take(me, 20s);
  if (!t) return torn;
  const auto number = number_of(*t);
  t->deliver();
  return number;
}

/// What is still held by anybody, or lost: empty after everything was taken, acknowledged and repaired.
/// `messages`: how many are known to be left in the queue, dead letters among them, of `chunks_each` chunks each.
inline std::string leaks(slots& q, std::size_t messages = 0, std::uint32_t chunks_each = 0) {
  std::string found;
  auto& layout = q.layout();
  std::size_t in_use = 0;
  const auto last = layout.shared().rings.load();
  for (unsigned r = layout.shared().get_ring.load(); r <= last; ++r)
    for (std::uint64_t i = 0; i < layout.geometry().slots_in(r); ++i) {
      const slot_word w{layout.slot({r, i}).word.load()};
      if (w.state() == slot_state::ready) ++in_use;
      else if (w.state() != slot_state::free && w.state() != slot_state::sealed)
        found += "slot " + std::to_string(i) + " of ring " + std::to_string(r) + " is held by " + std::to_string(w.owner()) + "; ";
    }
  lease_table leases(layout);
  for (std::uint32_t i = 0; i < leases.size(); ++i) {
    const auto w = leases.word(i);
    if (w.state() == lease_state::returned || (w.state() == lease_state::dead && w.owner() == no_actor)) ++in_use;
    else if (w.raw != 0)
      found += "lease entry " + std::to_string(i) + " is in state " + std::to_string(static_cast<unsigned>(w.state())) + "; ";
  }
  if (in_use != messages) found += std::to_string(in_use) + " messages instead of " + std::to_string(messages) + "; ";
  const auto chunks = q.stats().chunks_in_use;
  if (chunks != messages * chunks_each) found += std::to_string(chunks) + " chunks in use; ";
  return found;
}

}  // namespace slots_test
