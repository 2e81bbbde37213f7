// SPDX-License-Identifier: BSD-3-Clause
// The supervisor actor behind all mutexes, semaphores, conditions and barriers of a node: it queues who waits, hands over, and knows the dead.
//
// One for the node, in its first process, run by the control plane (framework, internal/service.hpp). It is the only repairer of their
// words. What it knows of one object is a sync_object; of the processes, only what they asked, and that they are dead.
#pragma once

#include <cloister/actors/internal/sync_words.hpp>
#include <cloister/internal/service.hpp>

#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

namespace cloister::internal {

/// While somebody waits: a process that was stopped before its poke may have left something free.
inline constexpr std::int64_t sync_look_ns = 10'000'000;
/// For what only a process that was stopped, or could not send a word, leaves undone.
inline constexpr std::int64_t slow_look_ns = 250'000'000;
/// How long others may be faster than the first in the queue.
inline constexpr std::int64_t barging_ns = 1'000'000;

/// Who waits, and where it is answered.
struct sync_waiter {
  service_user who;
  lent_cell cell;
  std::uint64_t a = 0;

  bool is(const service::call& c) const noexcept {
    return who.process.incarnation == c.from.process.incarnation && cell.cell == c.answer_in.cell &&
           cell.ticket == c.answer_in.ticket;
  }
  bool is_of(const service_user& user) const noexcept { return who.actor == user.actor; }
  detail::cell_state state() const noexcept { return cell.cell->state(cell.ticket); }
  /// False if it gave up.
  bool grant(std::uint64_t value = 0) const noexcept { return cell.grant(value); }
  bool refuse(errc why) const noexcept { return cell.refuse(why); }
};

class sync_event;
class sync_lock;

/// What the objects see of the whole.
struct sync_world {
  service_host host;
  /// Threads that wait for a lock without deadline: actor:16 | thread:16.
  std::unordered_map<std::uint32_t, sync_lock*> stuck{};
  std::int64_t now = 0;
};

class sync_object {
 public:
  explicit sync_object(small_object where) : where_(std::move(where)) {}
  virtual ~sync_object() = default;
  sync_object(const sync_object&) = delete;
  sync_object& operator=(const sync_object&) = delete;

  virtual void asked(service::call& what) = 0;
  virtual void dropped(const service_user& who) = 0;
  /// `inherited`: see lost_object.
  virtual void died(const service_user& who, const exit_status& exit, bool inherited) = 0;
  /// Looks whether something can be done; says when to look again.
  virtual std::int64_t look() = 0;

  std::uint64_t id() const noexcept { return where_.id; }
  std::string name() const { return std::string(head().name_view()); }
  void release_place() const noexcept { where_.home->release(where_.place); }

 protected:
  const detail::small_head& head() const noexcept { return where_.home->head(where_.place); }
  template <class Body>
  Body& body() const noexcept {
    return *reinterpret_cast<Body*>(where_.home->body(where_.place));
  }

 private:
  const small_object where_;
};

class sync_actor final : public service {
 public:
  explicit sync_actor(service_host host) : world_{std::move(host)} {}

  void created(const small_object& what) override;
  void removed(std::uint64_t object) override;
  void asked(call what) override;
  void dropped(const service_user& who, std::uint64_t object) override;
  void died(const service_user& who, const exit_status& exit, std::span<const lost_object> objects) override;
  std::int64_t look(std::int64_t now) override;

 private:
  sync_object* find(std::uint64_t object) const;
  void look_at(sync_object& o);

  sync_world world_;
  std::unordered_map<std::uint64_t, std::unique_ptr<sync_object>> objects_;
  std::set<std::pair<std::int64_t, std::uint64_t>> due_;      // when to look at which
  std::unordered_map<std::uint64_t, std::int64_t> due_when_;  // the same, by object
  // Those whom nobody asks: looked at all together.
  std::unordered_map<std::uint64_t, sync_event*> events_;
  std::int64_t events_due_ = 0;
};

}  // namespace cloister::internal
