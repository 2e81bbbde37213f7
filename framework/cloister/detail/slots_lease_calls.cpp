// SPDX-License-Identifier: BSD-3-Clause
// Leases and dead letters, as callers see them.
#include <cloister/detail/slots.hpp>

#include <cstring>
#include <new>
#include <utility>

namespace cloister::detail {

result<lease_token> taken::lease() {
  if (from_ == nullptr) return cloister::error(errc::invalid, "lease: no message is held");
  slots& q = *from_;
  lease_token token{position_, entry_, size_, redelivered_};
  if (entry_ != lease_token::in_slot) {
    if (lease_word{word_}.state() != lease_state::held) return q.fail("lease", errc::invalid);
    from_ = nullptr;
    return token;
  }
  const auto index = q.leases_.begin(me_, position_);
  from_ = nullptr;
  if (!index) {  // it stays where it is: in the way of others when the ring wraps, but nothing is lost
    const slot_word w{word_};
    q.layout_.slot(place_).word.store(slot_word::make(w.lap(), slot_state::leased, w.redelivered(), me_).raw,
                                      std::memory_order_release);
    return token;
  }
  token.entry = *index;
  q.leases_.fill(*index, position_, size_, q.content(*this));
  q.leases_.at(*index).word.store(lease_word::make(lease_state::held, redelivered_, me_, position_).raw, std::memory_order_release);
  fault_point("lease", 4);
  q.chain_.free(place_);
  fault_point("lease", 5);
  q.after_free(false);  // for this process the queue may be at its end now
  return token;
}

void taken::revive(std::span<const std::byte> beginning) {
  auto* q = std::exchange(from_, nullptr);
  if (q == nullptr) return;
  const lease_word w{word_};
  std::byte* to = chunks_.empty() ? q->leases_.at(entry_).bytes() : q->layout_.chunk_data(chunks_.front().first);
  std::memcpy(to, beginning.data(), std::min<std::size_t>(beginning.size(), size_));
  fault_point("revive", 1);
  q->leases_.change(entry_, w, lease_word::make(lease_state::returned, 0, no_actor, w.tag()));
  fault_point("revive", 2);
  q->came_back(me_);
}

// Fills `into` with the message of a lease that `me` holds, to be ended: nothing is allocated, so that this never fails for want of memory.
bool slots::find_lease(actor_id me, const lease_token& lease, taken& into) {
  if (lease.entry == lease_token::in_slot) {
    const auto p = chain_.place_of(lease.position);
    if (!p || p->ring < chain_.get_ring()) return false;
    const auto w = chain_.word(*p);
    return w.is(slot_state::leased, me) && w.laps_after(layout_.lap(*p)) == 0 &&
           accept_slot(me, *p, w, into, false) == outcome::done;
  }
  if (lease.entry >= leases_.size()) return false;
  const auto w = leases_.word(lease.entry);
  return w.state() == lease_state::held && w.owner() == me && w.tag() == (lease.position & slot_word::lap_mask) &&
         accept_entry(me, lease.entry, w, into, false) == outcome::done;
}

result<void> slots::ack(actor_id me, const lease_token& lease) {
  taken t;
  if (!find_lease(me, lease, t)) return fail("ack", errc::invalid);
  fault_point("ack", 1);
  const bool large = t.size_ > layout_.geometry().room;
  finish(t);
  fault_point("ack", 2);
  after_free(large);
  return {};
}

result<void> slots::give_back(actor_id me, const lease_token& lease) {
  taken t;
  if (!find_lease(me, lease, t)) return fail("give_back", errc::invalid);
  auto& s = layout_.shared();
  const bool unwanted = (s.status.load(std::memory_order_seq_cst) & status_now) != 0;  // came_back throws it away
  fault_point("give_back", 1);
  const unsigned times = std::min(t.redelivered_ + 1, slot_word::most_redeliveries);
  const auto limit = layout_.geometry().max_deliveries;
  const bool last = limit != 0 && times >= limit && !unwanted;
  t.from_ = nullptr;
  s.redelivered.fetch_add(1, std::memory_order_relaxed);
  if (lease.entry != lease_token::in_slot) {
    const auto to = lease_word::make(last ? lease_state::dead : lease_state::returned, times, no_actor, t.position_);
    leases_.change(lease.entry, {t.word_}, to);
    if (last) s.buried.fetch_add(1, std::memory_order_relaxed);
  } else if (!last || !bury(t.place_, me, times, t)) {
    layout_.slot(t.place_).word.store(slot_word::make(layout_.lap(t.place_), slot_state::ready, times).raw,
                                      std::memory_order_release);
  }
  fault_point("give_back", 2);
  if (last) {
    after_free(false);
    s.settled.notify_all();
  }
  came_back(me);
  return {};
}

// Moves a message that `me` holds in its slot to the dead letters. False: no place for it.
bool slots::bury(slot_place p, actor_id me, unsigned redelivered, taken& message) {
  auto& s = layout_.shared();
  const auto index = leases_.begin(me, message.position_);
  if (!index) return false;
  leases_.fill(*index, message.position_, message.size_, content(message));
  const auto moving = lease_word::make(lease_state::dead, redelivered, me, message.position_);
  leases_.at(*index).word.store(moving.raw, std::memory_order_release);
  fault_point("bury", 1);
  chain_.free(p);
  fault_point("bury", 2);
  leases_.change(*index, moving, lease_word::make(lease_state::dead, redelivered, no_actor, message.position_));
  fault_point("bury", 3);
  message.from_ = nullptr;
  s.buried.fetch_add(1, std::memory_order_relaxed);
  after_free(false);
  s.settled.notify_all();
  return true;
}

result<taken> slots::take_dead(actor_id me, deadline until) {
  if (const auto why = stop_reason()) return fail("try_take_dead_letter", *why);
  auto& s = layout_.shared();
  taken t;
  auto o = outcome::again;
  const auto attempt = [&] {
    const auto status = s.status.load(std::memory_order_seq_cst);
    while (const auto index = leases_.oldest(lease_state::dead)) {
      const auto w = leases_.word(*index);
      if (w.state() != lease_state::dead) continue;
      if (w.owner() != no_actor) break;  // on its way; its mover tells us
      const auto mine = lease_word::make(lease_state::dead_taken, w.redelivered(), me, w.tag());
      if (!leases_.change(*index, w, mine)) continue;
      fault_point("take_dead", 1);
      o = accept_entry(me, *index, mine, t);
      return true;
    }
    if (status & status_broken) o = outcome::broken;
    else if ((status & status_closed) && idle(me)) o = outcome::closed;
    return o != outcome::again;
  };
  try {
    const auto w = s.settled.wait(attempt, until);
    if (o == outcome::done) return t;
    return o == outcome::again ? fail("try_take_dead_letter", w, until) : fail("try_take_dead_letter", o);
  } catch (const std::bad_alloc&) { return fail("try_take_dead_letter", errc::no_memory); }
}

}  // namespace cloister::detail
