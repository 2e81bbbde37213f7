// SPDX-License-Identifier: BSD-3-Clause
// Making and attaching, putting, closing, and what everybody may ask.
#include <cloister/detail/slots.hpp>

#include <algorithm>
#include <cstring>
#include <new>

namespace cloister::detail {

slots::slots(slots_layout layout, const object_header& header)
    : header_(header), layout_(std::move(layout)), chain_(layout_), leases_(layout_), chunks_(layout_) {}

result<std::unique_ptr<slots>> slots::create(const slots_options& o) {
  const std::string what = "queue '" + std::string(o.name) + "'";
  if (o.max_deliveries > slot_word::most_redeliveries)
    return cloister::error(errc::invalid, what + ": max_deliveries is at most " + std::to_string(slot_word::most_redeliveries));
  const auto g = slots_geometry::plan(o.message_size, o.max_items, o.max_bytes, o.max_deliveries);
  auto m = memory::create(what, g.size, slots_geometry::rings_at + g.ring_bytes(0));
  if (!m) return m.error();
  return build(std::move(*m), o, g);
}

result<std::unique_ptr<slots>> slots::adopt(memory mapped, const slots_options& o) {
  const auto g = slots_geometry::plan(o.message_size, o.max_items, o.max_bytes, o.max_deliveries);
  if (mapped.size() < g.size) return cloister::error(errc::invalid, mapped.what() + ": the memory is too small");
  return build(std::move(mapped), o, g);
}

result<std::unique_ptr<slots>> slots::build(memory mapped, const slots_options& o, const slots_geometry& g) {
  if (auto r = mapped.reserve(0, slots_geometry::rings_at + g.ring_bytes(0)); !r) return r.error();
  if (auto r = mapped.reserve(g.level_at(0), g.level_bytes(0)); !r) return r.error();
  const auto header = object_header::make(object_kind::queue, o.id, {o.fingerprint, 0}, mapped.size(), o.name);
  std::memcpy(mapped.data() + slots_geometry::at, &g, sizeof g);
  std::memcpy(mapped.data(), &header, sizeof header);
  slots_layout layout(std::move(mapped), g);
  layout.shared().bases[0].store(1, std::memory_order_release);
  return std::unique_ptr<slots>(new slots(std::move(layout), header));
}

result<std::unique_ptr<slots>> slots::attach(memory mapped, std::uint64_t fingerprint) {
  auto header = object_header::read(mapped, object_kind::queue);
  if (!header) return header.error();
  const std::string what = "queue '" + std::string(header->name_view()) + "'";
  if (header->fingerprints[0] != fingerprint)
    return cloister::error(errc::wrong_type, what + ": attach: its messages are of another type");
  slots_geometry g{};
  if (mapped.size() < slots_geometry::rings_at) return cloister::error(errc::broken, what + ": attach: the mapping is too small");
  std::memcpy(&g, mapped.data() + slots_geometry::at, sizeof g);
  // The rest follows from four numbers; a forged one does not.
  if (g != slots_geometry::plan(g.room, g.max_items, g.max_bytes, g.max_deliveries) || mapped.size() < g.size)
    return cloister::error(errc::broken, what + ": attach: the geometry is corrupted");
  return std::unique_ptr<slots>(new slots(slots_layout(std::move(mapped), g), *header));
}

void slots::set_ringers(bell_ringer ready, bell_ringer vacant) {
  ready_ringer_ = ready;
  vacant_ringer_ = vacant;
}

cloister::error slots::fail(std::string_view operation, errc code) const {
  std::string_view why;
  switch (code) {
    case errc::closed: why = "closed"; break;
    case errc::timed_out: why = "timed out"; break;
    case errc::would_block: why = "would block"; break;
    case errc::broken: why = "broken: its shared memory holds what no correct process writes"; break;
    case errc::no_memory: why = "no memory: it cannot grow"; break;
    case errc::stopping: why = "this process was asked to stop"; break;
    case errc::interrupted: why = "interrupted: the node is shutting down"; break;
    default: why = to_string(code); break;
  }
  return {code, "queue '" + std::string(header_.name_view()) + "' " + std::string(operation) + ": " + std::string(why)};
}

cloister::error slots::fail(std::string_view operation, outcome o) const {
  switch (o) {
    case outcome::closed: return fail(operation, errc::closed);
    case outcome::no_memory: return fail(operation, errc::no_memory);
    case outcome::again: return fail(operation, errc::would_block);
    default: return fail(operation, errc::broken);
  }
}

cloister::error slots::fail(std::string_view operation, wait_status w, deadline until) const {
  if (w == wait_status::stopped) return fail(operation, stop_reason().value_or(errc::stopping));
  return fail(operation, until == deadline::passed() ? errc::would_block : errc::timed_out);
}

void slots::mark_broken() {
  layout_.shared().status.fetch_or(status_broken, std::memory_order_seq_cst);
  wake_all();
}

void slots::wake_all() {
  auto& s = layout_.shared();
  s.ready.notify_all(ready_ringer_);
  s.vacant.notify_all(vacant_ringer_);
  s.chunk_room.notify_all();
  s.settled.notify_all();
}

// ------------------------------------------------------------------------------------------------------------- putting

slots::outcome slots::state_for_put() const {
  const auto status = layout_.shared().status.load(std::memory_order_seq_cst);
  if (status == 0) [[likely]]
    return outcome::done;
  return status & status_broken ? outcome::broken : outcome::closed;
}

void slots::write(slot_place p, const gathered& message, std::span<const chunk_run> chunks) {
  auto& slot = layout_.slot(p);
  const auto position = chain_.position(p);
  const auto length = static_cast<std::uint32_t>(message.size());
  slot.length.store(length, std::memory_order_relaxed);
  slot.check.store(length_check(length, position), std::memory_order_relaxed);
  if (!chunks.empty()) {
    chunks_.bind(chunks, position);
    fault_point("chunk", 6);
    std::memcpy(slot.bytes(), &chunks.front().first, sizeof(std::uint32_t));
  } else {
    const std::size_t half = faults_armed.load(std::memory_order_relaxed) ? message.size() / 2 : 0;
    gathered::reader bytes(message);
    bytes.copy(slot.bytes(), half);
    fault_point("put", 4);
    bytes.copy(slot.bytes() + half, message.size() - half);
  }
  fault_point("put", 5);
  slot.word.store(slot_word::make(layout_.lap(p), slot_state::ready).raw, std::memory_order_release);
  fault_point("put", 6);
}

// Puts 1 to `want` messages, as far as there is room at once: `write(place, i)` commits the one number i.
template <class Write>
slots::outcome slots::try_put(actor_id me, std::size_t want, Write write, std::uint64_t& position, std::size_t& done) {
  if (const auto o = state_for_put(); o != outcome::done) return o;
  const auto claimed = chain_.claim(me, static_cast<std::uint32_t>(want));
  switch (claimed.status) {
    case slots_chain::claim_status::claimed: break;
    case slots_chain::claim_status::full: return outcome::again;
    case slots_chain::claim_status::no_memory: return outcome::no_memory;
    case slots_chain::claim_status::broken: mark_broken(); return outcome::broken;
  }
  // A consumer may have found the queue closed and empty just before the claim, and gone for good.
  if (const auto o = state_for_put(); o != outcome::done) {
    for (std::uint32_t i = 0; i < claimed.count; ++i) chain_.free({claimed.first.ring, claimed.first.at + i});
    wake_all();
    return o;
  }
  position = chain_.position(claimed.first);
  for (std::uint32_t i = 0; i < claimed.count; ++i) write({claimed.first.ring, claimed.first.at + i}, i);
  done = claimed.count;
  layout_.shared().ready.notify_one(ready_ringer_);
  fault_point("put", 7);
  // A close(now) after our second look may have thrown everything away before this was committed. The notification has a fence.
  if (layout_.shared().status.load(std::memory_order_relaxed) & status_now) [[unlikely]]
    discard(me);
  return outcome::done;
}

// Something is READY or returned where others may have looked already.
void slots::came_back(actor_id me) {
  auto& s = layout_.shared();
  s.epoch.fetch_add(1, std::memory_order_seq_cst);
  fault_point("give_back", 3);
  s.ready.notify_one(ready_ringer_);
  if (s.status.load(std::memory_order_relaxed) & status_now) [[unlikely]]
    discard(me);
}

// Slots may be freed out of order, and then one notification stands for room for many.
void slots::pass_room_on(std::uint64_t next) {
  auto& vacant = layout_.shared().vacant;
  if (vacant.has_sleepers() && chain_.has_room_for(next)) [[unlikely]]
    vacant.notify_one(vacant_ringer_);
}

result<std::uint64_t> slots::put(actor_id me, const gathered& message, deadline until) {
  if (message.size() > layout_.geometry().room) return put_large(me, message, until);
  std::uint64_t position = 0;
  std::size_t done = 0;
  auto o = outcome::again;
  const auto fill = [&](slot_place p, std::size_t) { write(p, message, {}); };
  const auto attempt = [&] { return (o = try_put(me, 1, fill, position, done)) != outcome::again; };
  if (attempt()) [[likely]] {
    if (o != outcome::done) return fail("put", o);
    pass_room_on(position + 1);
    return position;
  }
  if (until != deadline::passed()) chain_.await_room(until);
  const auto w = layout_.shared().vacant.wait(attempt, until);
  if (o == outcome::done) [[likely]] {
    pass_room_on(position + 1);
    return position;
  }
  return o == outcome::again ? fail("put", w, until) : fail("put", o);
}

result<void> slots::await_fewer(std::uint64_t most, deadline until) {
  auto o = outcome::again;
  const auto attempt = [&] {
    if ((o = state_for_put()) != outcome::done) return true;
    const auto next = chain_.tail_hint();
    if (next < fewer_until_.load(std::memory_order_relaxed)) return true;
    const auto end = chain_.consumed_before() + most;
    fewer_until_.store(end, std::memory_order_relaxed);
    if (next >= end) o = outcome::again;
    return o != outcome::again;
  };
  if (attempt() && o == outcome::done) [[likely]]
    return {};
  if (o == outcome::again && until != deadline::passed()) chain_.await_room(until, most);
  auto& vacant = layout_.shared().vacant;
  const auto w = vacant.wait(attempt, until);
  if (o != outcome::done) return o == outcome::again ? fail("put", w, until) : fail("put", o);
  if (vacant.has_sleepers()) vacant.notify_one(vacant_ringer_);  // there may be room for more than one
  return {};
}

slots::outcome slots::take_chunks(actor_id me, std::size_t bytes, chunk_runs& into) {
  if (const auto o = state_for_put(); o != outcome::done) return o;
  bool touched = false;
  const auto t = chunks_.take(me, chunk_pool::chunks_for(bytes), into, touched);
  if (touched) layout_.shared().chunk_room.notify_all();
  switch (t) {
    case chunk_pool::outcome::taken: return outcome::done;
    case chunk_pool::outcome::full: return outcome::again;
    case chunk_pool::outcome::no_memory: return outcome::no_memory;
    default: mark_broken(); return outcome::broken;
  }
}

result<std::uint64_t> slots::put_large(actor_id me, const gathered& message, deadline until) {
  auto& s = layout_.shared();
  if (message.size() > largest_message())
    return cloister::error(errc::too_large, "queue '" + std::string(header_.name_view()) + "' put: a message of " +
                                                std::to_string(message.size()) + " bytes; at most " +
                                                std::to_string(largest_message()) + " can ever fit");
  chunk_runs chunks;
  struct guard {
    slots& q;
    chunk_runs& runs;
    ~guard() {
      if (runs.empty()) return;
      q.chunks_.give_back(runs);
      if (q.layout_.shared().chunk_room.has_sleepers()) q.layout_.shared().chunk_room.notify_all();
    }
  } const back{*this, chunks};
  try {
    auto o = outcome::again;
    auto w = s.chunk_room.wait([&] { return (o = take_chunks(me, message.size(), chunks)) != outcome::again; }, until);
    if (o != outcome::done) return o == outcome::again ? fail("put", w, until) : fail("put", o);
    chunks_.write(chunks, message);
    fault_point("chunk", 4);
    std::uint64_t position = 0;
    std::size_t done = 0;
    const auto fill = [&](slot_place p, std::size_t) { write(p, message, chunks); };
    w = s.vacant.wait([&] { return (o = try_put(me, 1, fill, position, done)) != outcome::again; }, until);
    if (o != outcome::done) return o == outcome::again ? fail("put", w, until) : fail("put", o);
    chunks.clear();
    pass_room_on(position + 1);
    return position;
  } catch (const std::bad_alloc&) { return fail("put", errc::no_memory); }
}

result<std::size_t> slots::put_many(actor_id me, std::span<const std::span<const std::byte>> messages, deadline until) {
  constexpr std::size_t most_at_once = 128;
  std::size_t put_so_far = 0;
  while (put_so_far < messages.size()) {
    const auto rest = messages.subspan(put_so_far);
    std::size_t small = 0;
    while (small < std::min(rest.size(), most_at_once) && rest[small].size() <= layout_.geometry().room) ++small;
    if (small == 0) {
      auto one = put_large(me, rest[0], until);
      if (!one && put_so_far == 0) return one.error();
      if (!one) break;
      ++put_so_far;
      continue;
    }
    std::uint64_t position = 0;
    std::size_t done = 0;
    auto o = outcome::again;
    const auto fill = [&](slot_place p, std::size_t i) { write(p, rest[i], {}); };
    const auto w =
        layout_.shared().vacant.wait([&] { return (o = try_put(me, small, fill, position, done)) != outcome::again; }, until);
    put_so_far += done;
    if (o == outcome::done) {
      pass_room_on(position + done);
      continue;
    }
    if (put_so_far > 0) break;
    return o == outcome::again ? fail("put", w, until) : fail("put", o);
  }
  return put_so_far;
}

// ------------------------------------------------------------------------------------------------- closing and looking

void slots::close(actor_id me, close_mode mode) {
  layout_.shared().status.fetch_or(mode == close_mode::now ? status_closed | status_now : +status_closed,
                                   std::memory_order_seq_cst);
  fault_point("close", 1);
  wake_all();
  fault_point("close", 2);
  if (mode != close_mode::now) return;
  discard(me);
  fault_point("close", 3);
}

void slots::reopen() { layout_.shared().status.fetch_and(static_cast<std::uint32_t>(status_broken), std::memory_order_seq_cst); }

void slots::discard(actor_id me) {
  slots_walk walk;
  taken t;
  bool any = false;
  for (; try_take(me, t, walk, true) == outcome::done; any = true) finish(t);
  if (any) layout_.shared().settled.notify_all();  // wake_all came too early for who waits for that
}

bool slots::closed() const { return (layout_.shared().status.load(std::memory_order_seq_cst) & status_closed) != 0; }

std::uint64_t slots::size() {
  for (int tries = 0;; ++tries) {
    std::uint64_t count = 0;
    slots_walk walk;
    slot_place p;
    slot_word w;
    auto f = slots_chain::found::ready;
    while ((f = chain_.next_used(walk, p, w)) == slots_chain::found::ready)
      if (w.state() == slot_state::ready) ++count;
    if (f == slots_chain::found::again && tries < 16) continue;
    for (std::uint32_t i = 0, n = leases_.size(); i < n; ++i)
      if (leases_.word(i).state() == lease_state::returned) ++count;
    return count;
  }
}

// `takeable`: not what was delivered too often already and waits for a place among the dead letters.
slots_chain::found slots::first_ready(bool takeable) {
  const auto limit = layout_.geometry().max_deliveries;
  for (int tries = 0; tries < 16; ++tries) {
    slots_walk walk;
    slot_place p;
    slot_word w;
    auto f = chain_.next_ready(walk, p, w);
    while (f == slots_chain::found::ready && takeable && limit != 0 && w.redelivered() >= limit) {
      walk.pass_by(p);
      f = chain_.next_ready(walk, p, w);
    }
    if (f != slots_chain::found::again) return f;
  }
  return slots_chain::found::end;
}

bool slots::empty() { return first_ready(false) != slots_chain::found::ready && !leases_.oldest(lease_state::returned); }

std::uint64_t slots::oldest_position() {
  for (int tries = 0; tries < 16; ++tries) {
    slots_walk walk;
    slot_place p;
    slot_word w;
    const auto f = chain_.next_used(walk, p, w);
    if (f == slots_chain::found::ready || f == slots_chain::found::end) return chain_.position(p);
  }
  return next_position();
}

std::uint64_t slots::next_position() {
  for (int tries = 0;; ++tries) {
    slots_walk walk;
    slot_place p;
    slot_word w;
    auto f = slots_chain::found::ready;
    while ((f = chain_.next_used(walk, p, w)) == slots_chain::found::ready) {}
    if (f == slots_chain::found::end || tries > 16) return chain_.position(p);
  }
}

bool slots::in_ring(std::uint64_t position) {
  const auto p = chain_.place_of(position);
  if (!p || p->ring < chain_.get_ring()) return false;
  const auto w = chain_.word(*p);
  if (p->ring < chain_.get_ring()) return false;  // the word may be of pages given back
  return w.laps_after(layout_.lap(*p)) <= 0;
}

bool slots::consumed(std::uint64_t position) { return !in_ring(position) && !leases_.names(position); }

slots_stats slots::stats() {
  auto& s = layout_.shared();
  const auto& g = layout_.geometry();
  slots_stats out{};
  out.torn = s.torn.load(std::memory_order_relaxed);
  out.redelivered = s.redelivered.load(std::memory_order_relaxed);
  out.buried = s.buried.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0, n = leases_.size(); i < n; ++i) {
    const auto state = leases_.word(i).state();
    if (state == lease_state::dead || state == lease_state::dead_taken) ++out.dead;
    else if (state != lease_state::free) ++out.leased;
  }
  for (unsigned r = chain_.get_ring(); r < g.rings && r <= s.rings.load(std::memory_order_relaxed); ++r)
    out.ring_bytes += g.ring_bytes(r);
  out.lease_bytes = std::uint64_t{leases_.size()} * g.lease_stride;
  for (std::uint32_t i = 0, n = chunks_.top(); i < n; ++i) {
    const auto state = chunk_word{layout_.chunk(i).word.load(std::memory_order_relaxed)}.state();
    if (state != chunk_state::absent) out.chunk_bytes += slots_geometry::chunk_bytes;
    if (state != chunk_state::absent && state != chunk_state::free) ++out.chunks_in_use;
  }
  return out;
}

}  // namespace cloister::detail
