// SPDX-License-Identifier: BSD-3-Clause
// The actor's side of the lock (tests/models/lock.cpp). While the owner is dead, or the lock is free and H is set, only the actor writes
// its word; everything else is decided by one CAS on a word that says all.
#include <cloister/actors/internal/sync_lock.hpp>

#include <cloister/actors/deadlock.hpp>
#include <cloister/log.hpp>

#include <algorithm>

namespace cloister::internal {
namespace {

std::uint16_t thread_of(const sync_waiter& w) { return static_cast<std::uint16_t>(w.a); }
bool for_ever(const sync_waiter& w) { return (w.a & waits_for_ever) != 0; }
std::uint32_t key_of(std::uint16_t actor, std::uint16_t thread) { return static_cast<std::uint32_t>(thread) << 16 | actor; }
std::uint32_t key_of(const sync_waiter& w) { return key_of(w.who.actor, thread_of(w)); }

}  // namespace

sync_lock::~sync_lock() {
  for (const auto& w : queue_) forget(w);
}

void sync_lock::forget(const sync_waiter& w) {
  const auto found = world_.stuck.find(key_of(w));
  if (found != world_.stuck.end() && found->second == this) world_.stuck.erase(found);
}

template <class Which>
void sync_lock::forget_waits(Which which) {
  queue_.erase_if(
      [&](const sync_waiter& w) {
        if (!which(w)) return false;
        forget(w);
        return true;
      },
      world_.now);
}

// Another process may get its name, and die with the lock. And its cells go.
void sync_lock::forget_grant(const service_user& who) {
  if (last_grant_.who.actor == who.actor) last_grant_ = {};
}

void sync_lock::pop() {
  forget(queue_.front());
  queue_.pop(world_.now);
}

void sync_lock::asked(service::call& what) {
  switch (static_cast<sync_call>(what.what)) {
    case sync_call::want:
      if (what.answer_in.cell != nullptr) enqueue({std::move(what.from), std::move(what.answer_in), what.a});
      break;
    case sync_call::cancel: forget_waits([&](const sync_waiter& w) { return w.is(what); }); break;
    case sync_call::trouble:
      if (what.answer_to) static_cast<void>(send_answer(what.answer_to, trouble(static_cast<std::uint32_t>(what.a))));
      break;
    default: break;  // a poke: whatever it was, there is something to look at
  }
}

void sync_lock::enqueue(sync_waiter w) {
  forget_waits([&](const sync_waiter& old) { return old.cell.cell == w.cell.cell; });
  if (for_ever(w) && breaks_a_circle(w)) return;
  const auto key = key_of(w);
  const bool stays = for_ever(w);
  queue_.push(std::move(w), world_.now);
  if (stays) world_.stuck[key] = this;
}

// Whether `w`, which would close a circle, was refused. Where this mutex says nothing of errors, another waiter in the circle may wait for
// one that does: that one is refused. Owners that wait themselves keep what they have: a circle of them is one for good.
bool sync_lock::breaks_a_circle(const sync_waiter& w) {
  deadlock found{{{w.who.process, name()}}};
  auto* lock = this;
  sync_lock* may_refuse = nullptr;
  std::uint32_t whom = 0;
  for (std::size_t steps = 0; steps <= world_.stuck.size(); ++steps) {
    const lock_word word{lock->word().load(std::memory_order_relaxed)};
    const auto owner = key_of(word.owner(), word.thread());
    if (owner == key_of(w)) {
      const bool refused_it = may_be_refused(w);
      // What it says stands before whoever is refused asks.
      (refused_it || may_refuse == nullptr ? this : may_refuse)->trouble_.what = found.text();
      found.broken = refused_it ? w.refuse(errc::deadlock) : may_refuse != nullptr && may_refuse->refuse_one(whom);
      detail::log(log_level::error, "deadlock: " + found.text());
      world_.host.report(encode(found));
      return refused_it;
    }
    const auto next = world_.stuck.find(owner);
    if (next == world_.stuck.end()) return false;
    lock = next->second;
    const auto waits = lock->find_waiter(owner);
    if (waits == lock->queue_.end() || waits->state() != detail::cell_state::waiting) return false;
    found.circle.push_back({waits->who.process, lock->name()});
    if (!lock->may_be_refused(*waits)) continue;
    may_refuse = lock;
    whom = owner;
  }
  return false;
}

turn_queue::iterator sync_lock::find_waiter(std::uint32_t key) const {
  return std::find_if(queue_.begin(), queue_.end(), [&](const sync_waiter& w) { return key_of(w) == key; });
}

bool sync_lock::refuse_one(std::uint32_t key) {
  const auto found = find_waiter(key);
  const bool told = found->refuse(errc::deadlock);
  forget_waits([found](const sync_waiter& w) { return &w == &*found; });
  return told;
}

bool sync_lock::may_be_refused(const sync_waiter& w) const {
  return (head().options & deadlock_is_an_error) != 0 && (w.a & must_have_it) == 0;
}

// `let_go_by`: who let go of it by itself, and had it.
last_trouble sync_lock::trouble(std::uint32_t let_go_by) const {
  if (let_go_by == 0) return trouble_;
  const auto who = world_.host.find(let_go_by);
  return {who.who, who.exit, trouble_.what};
}

// It unlocked before, and none of its threads waits, unless it is out of its mind.
void sync_lock::dropped(const service_user& who) {
  forget_waits([&](const sync_waiter& w) { return w.is_of(who); });
  forget_grant(who);
}

void sync_lock::died(const service_user& who, const exit_status& exit, bool) {
  forget_waits([&](const sync_waiter& w) { return w.is_of(who); });
  if (lock_word{word().load()}.owner() == who.actor) {
    // Granted and never out of lock(): nothing was done under it.
    const bool entered = last_grant_.who.actor != who.actor || last_grant_.cell.cell == nullptr ||
                         last_grant_.state() != detail::cell_state::granted;
    if (entered) {
      trouble_.who = who.process;
      trouble_.exit = exit;
      body<lock_body>().let_go_by.store(0);
    }
    serve(who.actor);
  }
  forget_grant(who);
}

std::int64_t sync_lock::look() {
  serve();
  return queue_.next_look(world_.now);
}

// `dead`: a process that is, and has not been put right here yet.
void sync_lock::serve(std::uint16_t dead) {
  const bool never_entered = dead != 0 && last_grant_.who.actor == dead && last_grant_.cell.cell != nullptr &&
                             last_grant_.state() == detail::cell_state::granted;
  std::uint32_t undone = 0;  // to whom it was given, who does not want it any more
  for (;;) {
    lock_word w{word().load(std::memory_order_seq_cst)};
    const auto owner = w.owner();
    const bool is_undone = undone != 0 && key_of(owner, w.thread()) == undone;
    const bool is_dead = dead != 0 && owner == dead;
    const bool vacant = owner == 0 || is_undone || is_dead;
    if (!vacant && !world_.host.living[owner]) {
      // No process of this node has that name: somebody writes where it should not.
      for (const auto& waiter : queue_) {
        waiter.refuse(errc::broken);
        forget(waiter);
      }
      queue_.clear();
      return;
    }
    lock_word next = w.with(lock_word::poked, false);
    if (is_dead && !is_undone && !never_entered) next = next.with(lock_word::died, true);
    if (queue_.empty()) {
      next = next.with(lock_word::waiters, false).with(lock_word::handing, false);
      if (vacant) next = next.with_owner(0, 0);
      if (next.raw == w.raw || word().compare_exchange_strong(w.raw, next.raw, std::memory_order_seq_cst)) return;
      continue;
    }
    if (!vacant) {
      next = next.with(lock_word::waiters, true).with(lock_word::handing, queue_.has_turn(world_.now));
      if (next.raw == w.raw || word().compare_exchange_strong(w.raw, next.raw, std::memory_order_seq_cst)) return;
      continue;
    }
    const auto& first = queue_.front();
    next = next.with_owner(first.who.actor, thread_of(first))
               .with(lock_word::waiters, queue_.size() > 1)
               .with(lock_word::handing, false);
    if (!word().compare_exchange_strong(w.raw, next.raw, std::memory_order_seq_cst)) continue;
    if (first.grant()) {
      last_grant_ = first;
      pop();
      return;
    }
    undone = key_of(first);
    pop();
  }
}

}  // namespace cloister::internal
