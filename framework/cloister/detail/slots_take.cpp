// SPDX-License-Identifier: BSD-3-Clause
// Taking, delivering, giving back; what idle means.
#include <cloister/detail/slots.hpp>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace cloister::detail {

// --------------------------------------------------------------------------------------------------------------- taken

void taken::swap(taken& other) noexcept {
  std::swap(from_, other.from_);
  std::swap(bytes_, other.bytes_);
  std::swap(position_, other.position_);
  std::swap(word_, other.word_);
  std::swap(place_, other.place_);
  std::swap(entry_, other.entry_);
  std::swap(size_, other.size_);
  std::swap(redelivered_, other.redelivered_);
  std::swap(me_, other.me_);
  chunks_.swap(other.chunks_);
}

std::span<const std::byte> taken::view() const {
  if (from_ == nullptr || chunks_.size() > 1) return {};
  fault_point("get", 3);
  return chunks_.empty() ? std::span(bytes_, size_) : std::span(from_->layout_.chunk_data(chunks_.front().first), size_);
}

std::uint32_t taken::first_chunk() const {
  std::uint32_t first = 0;
  std::memcpy(&first, bytes_, sizeof first);
  return first;
}

void taken::copy_to(std::span<std::byte> into) const {
  const auto n = std::min<std::size_t>(into.size(), size_);
  if (from_ == nullptr || n == 0) return;
  if (!chunks_.empty()) return from_->chunks_.read(chunks_, into.first(n));
  const std::size_t half = faults_armed.load(std::memory_order_relaxed) ? n / 2 : 0;
  std::memcpy(into.data(), bytes_, half);
  fault_point("get", 3);
  std::memcpy(into.data() + half, bytes_ + half, n - half);
}

void taken::deliver() {
  if (auto* q = std::exchange(from_, nullptr)) {
    fault_point("get", 4);
    q->finish(*this);
    q->after_free(!chunks_.empty());
  }
}

void taken::give_back() {
  if (auto* q = std::exchange(from_, nullptr)) q->unhand(*this);
}

// ------------------------------------------------------------------------------------------------------------- taking

// What lies in its slot or entry: the message, or its first chunk's number.
std::span<const std::byte> slots::content(const taken& t) const {
  return {t.bytes_, t.size_ > layout_.geometry().room ? sizeof(std::uint32_t) : t.size_};
}

// The message behind `held`, a slot or a lease entry that is the caller's. Not `listed`: it can be ended, not read, and nothing is
// allocated.
template <class Head>
slots::outcome slots::accept(Head& held, taken& into, bool listed) {
  into.from_ = this;
  into.size_ = held.length.load(std::memory_order_relaxed);
  into.bytes_ = held.bytes();
  into.chunks_.clear();
  if (held.check.load(std::memory_order_relaxed) == length_check(into.size_, into.position_)) {
    if (into.size_ <= layout_.geometry().room) [[likely]]
      return outcome::done;
    if (into.size_ <= largest_message()) {
      if (!listed || chunks_.collect(into.first_chunk(), chunk_pool::chunks_for(into.size_), into.position_, into.chunks_))
        return outcome::done;
    }
  }
  into.from_ = nullptr;
  mark_broken();
  return outcome::broken;
}

slots::outcome slots::accept_slot(actor_id me, slot_place p, slot_word w, taken& into, bool listed) {
  into.me_ = me;
  into.place_ = p;
  into.entry_ = lease_token::in_slot;
  into.word_ = w.raw;
  into.redelivered_ = w.redelivered();
  into.position_ = chain_.position(p);
  return accept(layout_.slot(p), into, listed);
}

slots::outcome slots::accept_entry(actor_id me, std::uint32_t index, lease_word w, taken& into, bool listed) {
  auto& e = leases_.at(index);
  into.me_ = me;
  into.entry_ = index;
  into.word_ = w.raw;
  into.redelivered_ = w.redelivered();
  into.position_ = e.position.load(std::memory_order_relaxed);
  return accept(e, into, listed);
}

slots::outcome slots::take_returned(actor_id me, taken& into, bool listed) {
  while (const auto index = leases_.oldest(lease_state::returned)) {
    const auto w = leases_.word(*index);
    if (w.state() != lease_state::returned) continue;
    const auto mine = lease_word::make(lease_state::held, w.redelivered(), me, w.tag());
    fault_point("get", 1);
    if (!leases_.change(*index, w, mine)) continue;
    fault_point("get", 2);
    return accept_entry(me, *index, mine, into, listed);
  }
  return outcome::again;
}

slots::outcome slots::try_take(actor_id me, taken& into, slots_walk& walk, bool discarding) {
  auto& s = layout_.shared();
  const auto status = s.status.load(std::memory_order_seq_cst);
  if (status & status_broken) return outcome::broken;
  if ((status & status_now) && !discarding) return outcome::closed;
  for (int tries = 0; tries < 16; ++tries) {
    const auto epoch = s.epoch.load(std::memory_order_seq_cst);
    if (epoch != seen_epoch_.load(std::memory_order_relaxed)) {
      if (const auto o = take_returned(me, into, !discarding); o != outcome::again) return o;
      seen_epoch_.store(epoch, std::memory_order_relaxed);
    }
    if (!walk.started) walk.epoch = epoch;
    slot_place p;
    slot_word w;
    auto f = slots_chain::found::ready;
    while ((f = chain_.next_ready(walk, p, w)) == slots_chain::found::ready) {
      fault_point("get", 1);
      const auto mine = slot_word::make(w.lap(), slot_state::taken, w.redelivered(), me);
      if (!layout_.slot(p).word.compare_exchange_strong(w.raw, mine.raw, std::memory_order_seq_cst)) continue;
      fault_point("get", 2);
      if (const auto o = accept_slot(me, p, mine, into, !discarding); o != outcome::done) return o;
      const auto limit = layout_.geometry().max_deliveries;
      if (limit == 0 || w.redelivered() < limit || discarding) [[likely]]
        return outcome::done;
      if (!bury(p, me, w.redelivered(), into)) {  // no place for it: it stays where it is, and others pass by
        into.from_ = nullptr;
        layout_.slot(p).word.store(w.raw, std::memory_order_release);
        walk.pass_by(p);
      }
    }
    if (f == slots_chain::found::broken) {
      mark_broken();
      return outcome::broken;
    }
    walk.started = false;
    if (f == slots_chain::found::again || s.epoch.load(std::memory_order_seq_cst) != epoch) continue;
    break;
  }
  if (!(status & status_closed) || discarding) return outcome::again;
  return idle(me) ? outcome::closed : outcome::again;
}

bool slots::would_return(actor_id me) {
  const auto status = layout_.shared().status.load(std::memory_order_seq_cst);
  if ((status & (status_broken | status_now)) != 0) return true;
  // As try_take does it: what no take here would find is no reason to wake up.
  if (layout_.shared().epoch.load(std::memory_order_seq_cst) != seen_epoch_.load(std::memory_order_relaxed) &&
      leases_.oldest(lease_state::returned))
    return true;
  if (first_ready(true) != slots_chain::found::end) return true;
  return (status & status_closed) != 0 && idle(me);
}

// A wake may have gone to a process that was stopped: whoever takes and sees more passes it on.
void slots::pass_on(slots_walk& walk) {
  auto& s = layout_.shared();
  if (!s.ready.has_sleepers()) [[likely]]
    return;
  slot_place p;
  slot_word w;
  if (chain_.next_ready(walk, p, w) == slots_chain::found::ready ||
      s.epoch.load(std::memory_order_relaxed) != seen_epoch_.load(std::memory_order_relaxed))
    s.ready.notify_one(ready_ringer_);
}

result<taken> slots::take(actor_id me, deadline until) {
  taken t;
  if (auto done = take(me, t, until); !done) return done.error();
  return t;
}

result<void> slots::take(actor_id me, taken& into, deadline until, std::string_view operation) {
  if (const auto why = stop_reason()) return fail(operation, *why);
  auto o = outcome::again;
  slots_walk walk;
  try {
    const auto attempt = [&] {
      walk.started = false;
      return (o = try_take(me, into, walk)) != outcome::again;
    };
    const auto w = layout_.shared().ready.wait(attempt, until);
    if (o == outcome::done) [[likely]] {
      pass_on(walk);
      return {};
    }
    return o == outcome::again ? fail(operation, w, until) : fail(operation, o);
  } catch (const std::bad_alloc&) { return fail(operation, errc::no_memory); }
}

result<std::vector<taken>> slots::take_many(actor_id me, std::size_t most, deadline until) {
  std::vector<taken> all;
  if (most == 0) return all;
  try {
    all.reserve(std::min<std::size_t>(most, 64));
    taken first;
    if (auto done = take(me, first, until, "get_many"); !done) return done.error();
    all.push_back(std::move(first));
    slots_walk walk;
    while (all.size() < most) {
      taken t;
      if (try_take(me, t, walk) != outcome::done) break;
      all.push_back(std::move(t));
    }
  } catch (const std::bad_alloc&) {
    if (all.empty()) return fail("get_many", errc::no_memory);
  }
  return all;
}

// ------------------------------------------------------------------------------------------ delivering and giving back

void slots::finish(taken& t) {
  const bool unlisted = t.chunks_.empty() && t.size_ > layout_.geometry().room;
  const std::uint32_t first = unlisted ? t.first_chunk() : 0;
  if (t.entry_ == lease_token::in_slot) {
    chain_.free(t.place_);
  } else {
    leases_.change(t.entry_, {t.word_}, {});
    fault_point("get", 5);
    leases_.freed(t.entry_);
  }
  if (unlisted) [[unlikely]]
    chunks_.release(first, chunk_pool::chunks_for(t.size_), t.position_);
  else chunks_.release(t.chunks_, t.position_);
  fault_point("get", 8);
  t.from_ = nullptr;
}

void slots::after_free(bool chunks) {
  auto& s = layout_.shared();
  s.vacant.notify_one(vacant_ringer_);
  if (chunks && s.chunk_room.has_sleepers()) s.chunk_room.notify_all();
  if ((s.status.load(std::memory_order_seq_cst) & status_closed) && s.ready.awaited()) s.ready.notify_all(ready_ringer_);
  if (s.settled.has_sleepers() && chain_.looks_drained()) s.settled.notify_all();
}

void slots::deliver_many(std::span<taken> messages) {
  bool any_chunks = false;
  for (auto& t : messages) {
    if (t.from_ == nullptr) continue;
    any_chunks = any_chunks || !t.chunks_.empty();
    finish(t);
  }
  if (!messages.empty()) after_free(any_chunks);
}

void slots::unhand(taken& t) {
  fault_point("give_back", 1);
  if (t.entry_ == lease_token::in_slot) {
    const slot_word w{t.word_};
    layout_.slot(t.place_).word.store(slot_word::make(w.lap(), slot_state::ready, w.redelivered()).raw, std::memory_order_release);
  } else {
    const lease_word w{t.word_};
    const auto to = w.state() == lease_state::dead_taken ? lease_state::dead : lease_state::returned;
    leases_.change(t.entry_, w, lease_word::make(to, w.redelivered(), no_actor, w.tag()));
    if (to == lease_state::dead) layout_.shared().settled.notify_all();
  }
  fault_point("give_back", 2);
  came_back(t.me_);
}

// ---------------------------------------------------------------------------------------------------------------- idle

bool slots::idle(actor_id except) {
  for (int tries = 0; tries < 16; ++tries) {
    slots_walk walk;
    slot_place p;
    slot_word w;
    auto f = slots_chain::found::ready;
    while ((f = chain_.next_used(walk, p, w)) == slots_chain::found::ready)
      if (except == no_actor || !w.is(slot_state::leased, except)) return false;
    if (f == slots_chain::found::broken) return true;  // nothing will ever be finished
    if (f == slots_chain::found::again) continue;
    // Rings first, then the table: a message moves only that way. And then: nothing was claimed meanwhile, or the holder
    // of a lease may have put more before it let go. Positions are used once, so one look at the end proves that.
    if (leases_.unfinished(except)) return false;
    const auto end = chain_.word(p);
    if (end.raw == w.raw && chain_.get_ring() == walk.first_ring) return true;
  }
  return false;
}

bool slots::unfinished() { return !idle(no_actor); }

result<void> slots::wait_idle(deadline until) {
  const auto broken = [&] { return (layout_.shared().status.load(std::memory_order_seq_cst) & status_broken) != 0; };
  const auto w = layout_.shared().settled.wait([&] { return broken() || idle(no_actor); }, until);
  if (broken()) return fail("join", errc::broken);
  if (w == wait_status::ready) return {};
  return fail("join", w, until);
}

}  // namespace cloister::detail
