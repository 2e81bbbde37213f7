// SPDX-License-Identifier: BSD-3-Clause
// A process's side of the condition. The actor's: internal/sync_condition.cpp; model: tests/models/condition.cpp.
//
// A wait is registered with the actor before the mutex is given up: whoever locks it then, and notifies, is heard after that. Who dies where:
// before REGISTERED, with the mutex: it passes on. Waiting: forgotten. GRANTED and not yet ENTERED, which it is when it has the mutex again:
// another waiter is granted instead.
#include <cloister/actors/condition.hpp>

#include <cloister/actors/internal/sync_wait.hpp>
#include <cloister/fault.hpp>

namespace cloister {

using namespace internal;
using detail::cell_state;

condition::condition(const place& where, const mutex& with, const condition_options& options)
    : condition(make_sync(where, detail::sync_kind::condition, 0, 0, options.name, nullptr), with) {}
condition::condition(const place& where, const recursive_mutex& with, const condition_options& options)
    : condition(make_sync(where, detail::sync_kind::condition, 0, 0, options.name, nullptr), with) {}

result<void> condition::wait(deadline until) const {
  auto& it = object();
  auto& lock = mutex_.object();
  auto* here = detail::membership::current();
  if (!usable(it)) return unusable(it, "wait");
  if (!mutex_.is_mine()) return sync_error(it, "wait", errc::not_owner, "this thread does not have its mutex");
  // Others get their chance, also where there is no time to wait.
  const auto give_way = [&](detail::wait_status how) -> result<void> {
    const auto depth = unlock_whole(lock);
    if (auto again = lock_whole(lock, depth); !again) return again;
    return interruption(it, "wait", how);
  };
  if (until.has_passed()) return give_way(detail::wait_status::timed_out);
  try {
    detail::waiting w(here->cells(), here->take_cell(until));
    here->tell(it.id(), static_cast<std::uint32_t>(sync_call::want), &w, 0, until);
    detail::fault_point("wait_notified", 1);
    // Until it is registered, or was not and gave up.
    auto how = w.sleep(until);
    if (how != detail::wait_status::ready && w.change(cell_state::waiting, cell_state::cancelled)) {
      withdraw(it, w);
      return give_way(how);
    }
    if (w.state() == cell_state::refused) return refusal(it, "wait", w.value());
    const auto depth = unlock_whole(lock);
    detail::fault_point("wait_notified", 2);
    how = w.sleep(until, cell_state::registered);
    const bool cancelled = how != detail::wait_status::ready && w.change(cell_state::registered, cell_state::cancelled);
    if (cancelled) withdraw(it, w);
    const bool refused = !cancelled && w.state() == cell_state::refused;
    detail::fault_point("wait_notified", 3);
    if (auto again = lock_whole(lock, depth); !again) return again;
    // Only now: had it died before, nobody would have acted on the notification.
    if (!cancelled && !refused) static_cast<void>(w.change(cell_state::granted, cell_state::entered));
    if (refused) return refusal(it, "wait", w.value());
    if (cancelled) return interruption(it, "wait", how);
    return {};
  } catch (const failure& f) {
    if (f.code() == errc::timed_out) return give_way(detail::wait_status::timed_out);
    return f.error();
  } catch (const std::bad_alloc&) { return error(errc::no_memory, "no memory"); }
}

void condition::notify(std::size_t waiters) const {
  auto& it = object();
  auto* here = detail::membership::current();
  if (!usable(it)) throw failure(unusable(it, "notify"));
  if (it.body<condition_body>().waiting.load(std::memory_order_seq_cst) == 0) return;
  here->tell(it.id(), static_cast<std::uint32_t>(sync_call::notify), nullptr, waiters);
}

void codec<condition>::put(encoder& out, const condition& c) {
  condition::to_message(out, c);
  condition::to_message(out, c.mutex_);
}

condition codec<condition>::get(decoder& in) {
  auto it = condition::from_message(in, {detail::sync_kind::condition});
  return {std::move(it),
          condition::any_mutex(condition::from_message(in, {detail::sync_kind::mutex, detail::sync_kind::recursive_mutex}))};
}

}  // namespace cloister
