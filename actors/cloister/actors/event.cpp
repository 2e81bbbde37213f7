// SPDX-License-Identifier: BSD-3-Clause
// Events need no queue: their waiters sleep on an event count beside the word. The supervisor actor looks after setters that died or were
// stopped between the word and the waking (internal/sync_event.hpp). Model: tests/models/event.cpp.
#include <cloister/actors/event.hpp>

#include <cloister/actors/internal/sync_wait.hpp>
#include <cloister/fault.hpp>

namespace cloister {

using namespace internal;

event::event(const place& where, const event_options& options)
    : event(make_sync(where, detail::sync_kind::event, 0, 0, options.name, nullptr)) {}

bool event::is_set() const { return event_word{object().body<event_body>().word.load(std::memory_order_acquire)}.is_set(); }

void event::set() const {
  auto& it = object();
  if (!usable(it)) throw failure(unusable(it, "set"));
  auto& body = it.body<event_body>();
  event_word w{body.word.load(std::memory_order_relaxed)};
  detail::fault_point("set", 1);
  while (!w.is_set() && !body.word.compare_exchange_weak(w.raw, w.set().raw, std::memory_order_seq_cst)) {}
  detail::fault_point("set", 2);
  body.sleepers.notify_waiting();  // also if it was set: whoever did that may have been stopped
}

void event::clear() const {
  auto& it = object();
  if (!usable(it)) throw failure(unusable(it, "clear"));
  it.body<event_body>().word.fetch_and(~event_word::set_bit, std::memory_order_seq_cst);
}

result<void> event::wait(deadline until) const {
  auto& it = object();
  if (!usable(it)) return unusable(it, "wait");
  auto& body = it.body<event_body>();
  const event_word seen{body.word.load(std::memory_order_seq_cst)};
  const auto over = [&] {
    const event_word w{body.word.load(std::memory_order_seq_cst)};
    return w.is_set() || w.generation() != seen.generation();
  };
  const auto how = body.sleepers.wait(over, until);
  if (how != detail::wait_status::ready) return interruption(it, "wait", how);
  return {};
}

}  // namespace cloister
