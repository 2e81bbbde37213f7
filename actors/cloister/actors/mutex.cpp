// SPDX-License-Identifier: BSD-3-Clause
// A process's side of the lock. The protocol, and the proof that it holds: tests/models/lock.cpp; the actor's side: internal/sync_lock.cpp.
//
// Whether this thread has the lock is read from this process's own memory, never from the word: own()[0] is the thread that has it, own()[1]
// how often. Who dies where: before the CAS that writes the owner: nothing happened. After it: the lock passes on, with `died`. After
// the CAS that frees it and before the poke: the actor hears of the death and serves; stopped there: the look every 10 ms does.
#include <cloister/actors/mutex.hpp>

#include <cloister/actors/internal/sync_wait.hpp>
#include <cloister/detail/spin.hpp>
#include <cloister/detail/stop.hpp>
#include <cloister/fault.hpp>

#include <new>

#include <unistd.h>

namespace cloister::detail {

using namespace internal;

namespace {

constexpr std::uint64_t most_depth = 0xffff'ffff;

std::atomic<std::uint64_t>& word_of(const attachment& object) noexcept { return object.body<lock_body>().word; }

bool is_recursive(const attachment& object) noexcept {
  return object.small().kind == static_cast<std::uint32_t>(sync_kind::recursive_mutex);
}

bool take_free(std::atomic<std::uint64_t>& word, std::uint16_t actor, std::uint16_t thread) noexcept {
  lock_word w{word.load(std::memory_order_relaxed)};
  while (w.owner() == 0 && !w.has(lock_word::handing)) {
    if (word.compare_exchange_weak(w.raw, w.with_owner(actor, thread).raw, std::memory_order_acquire, std::memory_order_relaxed))
      return true;
  }
  return false;
}

// Frees it; `died`: though it was not unlocked. From then on another thread may have it, and let go of the object.
void give_up(attachment& object, bool died) noexcept {
  auto& word = word_of(object);
  const auto id = object.id();
  lock_word w{word.load(std::memory_order_relaxed)}, next;
  do {
    next = w.with_owner(0, 0);
    if (died) next = next.with(lock_word::died, true);
    if (died || w.has(lock_word::waiters) || w.has(lock_word::handing)) next = next.with(lock_word::poked, true);
    fault_point("unlock", 1);
  } while (!word.compare_exchange_weak(w.raw, next.raw, std::memory_order_release, std::memory_order_relaxed));
  fault_point("unlock", 2);
  if (next.has(lock_word::poked) && !w.has(lock_word::poked)) hint(id, sync_call::poke);
}

// Its last handle in this process is gone, and a thread here still has it. (Not one of the process that this one is a copy of.)
void let_go(attachment& object) noexcept {
  auto& owner = object.own()[0];
  if (self_actor() == 0 || object.gone()) return;
  if (owner.load(std::memory_order_relaxed) == 0 || lock_word{word_of(object).load()}.owner() != self_actor()) return;
  owner.store(0, std::memory_order_relaxed);
  object.body<lock_body>().let_go_by.store(identity->incarnation);
  give_up(object, true);
}

// `must`: whatever stops, and though it closes a circle.
result<void> take(attachment& object, deadline until, bool must = false) {
  const auto me = this_thread();
  if (me == 0 || object.gone()) [[unlikely]]
    return unusable(object, "lock");
  auto& [owner, depth] = object.own();
  if (owner.load(std::memory_order_relaxed) == me) [[unlikely]] {
    if (!is_recursive(object))
      return sync_error(object, "lock", errc::deadlock, "this thread has it already, and would wait for itself");
    if (depth.load(std::memory_order_relaxed) == most_depth) return sync_error(object, "lock", errc::invalid, "locked too often");
    depth.fetch_add(1, std::memory_order_relaxed);
    return {};
  }
  auto& word = word_of(object);
  fault_point("lock", 1);
  if (!take_free(word, self_actor(), short_of(me))) {
    if (until.has_passed()) return sync_error(object, "lock", errc::timed_out, "another thread has it");
    if (!must && stop_requested()) return interruption(object, "lock", wait_status::stopped);
    const auto attempt = [&] { return take_free(word, self_actor(), short_of(me)); };
    if (!spin_until(attempt, until, this_threads_spin_budget())) {
      const std::uint64_t who = short_of(me) | (until.is_never() ? waits_for_ever : 0) | (must ? must_have_it : 0);
      const auto got = wait_for_grant(object, "lock", sync_call::want, who, until, !must);
      if (!got) return got.error();
    }
  }
  fault_point("lock", 2);
  owner.store(me, std::memory_order_relaxed);
  depth.store(1, std::memory_order_relaxed);
  return {};
}

void require_mine(const attachment& object, const char* operation) {
  const auto me = this_thread();
  if (me == 0 || object.gone()) throw failure(unusable(object, operation));
  if (const_cast<attachment&>(object).own()[0].load(std::memory_order_relaxed) != me)
    throw failure(sync_error(object, operation, errc::not_owner, "this thread does not have it"));
}

}  // namespace

}  // namespace cloister::detail

namespace cloister::internal {

std::uint64_t unlock_whole(detail::attachment& lock) noexcept {
  auto& [owner, depth] = lock.own();
  const auto times = depth.load(std::memory_order_relaxed);
  owner.store(0, std::memory_order_relaxed);
  detail::give_up(lock, false);
  return times;
}

result<void> lock_whole(detail::attachment& lock, std::uint64_t depth) {
  for (;;) {
    try {
      auto got = detail::take(lock, deadline::never(), true);
      if (got) lock.own()[1].store(depth, std::memory_order_relaxed);
      if (got || got == errc::broken || got == errc::gone || got == errc::not_attached) return got;
    } catch (const std::bad_alloc&) {}  // for the text of an error
    ::usleep(1000);                     // no memory, no descriptor, a full socket: nothing says when there will be
  }
}

}  // namespace cloister::internal

namespace cloister::detail {

lock_handle::lock_handle(const place& where, const mutex_options& options, sync_kind kind)
    : lock_handle(
          make_sync(where, kind, options.on_deadlock == on_deadlock::error ? deadlock_is_an_error : 0, 0, options.name, nullptr)) {}

lock_handle::lock_handle(object_handle handle) : sync_handle(std::move(handle)) { object().at_end(&let_go); }

void lock_handle::lock() const { take(object(), deadline::never()).value(); }

result<void> lock_handle::lock(deadline until) const { return take(object(), until); }

bool lock_handle::try_lock() const { return locked_until(deadline::passed()); }

bool lock_handle::locked_until(deadline until) const {
  const auto got = take(object(), until);
  if (got == errc::timed_out) return false;
  if (got == errc::deadlock && !is_recursive(object())) return false;  // std: a lock that this thread has is simply not free
  got.value();
  return true;
}

void lock_handle::unlock() const {
  auto& it = object();
  require_mine(it, "unlock");
  auto& [owner, depth] = it.own();
  if (depth.load(std::memory_order_relaxed) > 1) {
    depth.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  owner.store(0, std::memory_order_relaxed);
  give_up(it, false);
}

bool lock_handle::is_mine() const noexcept {
  const auto me = this_thread();
  return *this && me != 0 && object().own()[0].load(std::memory_order_relaxed) == me;
}

bool lock_handle::is_locked() const { return lock_word{word_of(object()).load(std::memory_order_relaxed)}.owner() != 0; }

std::optional<exit_notice> lock_handle::owner_died() const {
  auto& it = object();
  require_mine(it, "owner_died");
  if (!lock_word{word_of(it).load(std::memory_order_relaxed)}.has(lock_word::died)) return {};
  const auto got = ask_actor(it, sync_call::trouble, it.body<lock_body>().let_go_by.load());
  const auto& trouble = std::get<last_trouble>(got);
  return exit_notice{trouble.who, trouble.exit};
}

void lock_handle::recovered() const {
  auto& it = object();
  require_mine(it, "recovered");
  word_of(it).fetch_and(~lock_word::died, std::memory_order_relaxed);
}

}  // namespace cloister::detail
