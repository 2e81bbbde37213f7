// SPDX-License-Identifier: BSD-3-Clause
// Which object a call is for, and when each wants to be looked at again.
#include <cloister/actors/internal/sync_actor.hpp>

#include <cloister/actors/internal/sync_barrier.hpp>
#include <cloister/actors/internal/sync_condition.hpp>
#include <cloister/actors/internal/sync_event.hpp>
#include <cloister/actors/internal/sync_lock.hpp>
#include <cloister/actors/internal/sync_semaphore.hpp>
#include <cloister/deadline.hpp>
#include <cloister/internal/control.hpp>
#include <cloister/log.hpp>

#include <algorithm>
#include <new>
#include <utility>

namespace cloister::internal {
namespace {

constexpr char service_name[] = "cloister.sync";
const service_entry entry(service_name, [](service_host host) -> std::unique_ptr<service> {
  return std::make_unique<sync_actor>(std::move(host));
});

}  // namespace

std::string_view sync_service() noexcept { return service_name; }

sync_object* sync_actor::find(std::uint64_t object) const {
  const auto found = objects_.find(object);
  return found == objects_.end() ? nullptr : found->second.get();
}

void sync_actor::created(const small_object& what) {
  const auto& head = what.home->head(what.place);
  const auto kind = static_cast<detail::sync_kind>(head.kind);
  if (what.home->body_bytes() != body_bytes_of(kind)) return;
  switch (kind) {
    case detail::sync_kind::mutex:
    case detail::sync_kind::recursive_mutex: objects_.emplace(what.id, std::make_unique<sync_lock>(what, world_)); break;
    case detail::sync_kind::semaphore:
    case detail::sync_kind::bounded_semaphore: objects_.emplace(what.id, std::make_unique<sync_semaphore>(what, world_)); break;
    case detail::sync_kind::barrier: {
      auto made = std::make_unique<sync_barrier>(what, world_);
      if (made->is_possible()) objects_.emplace(what.id, std::move(made));
      break;
    }
    case detail::sync_kind::condition: objects_.emplace(what.id, std::make_unique<sync_condition>(what)); break;
    case detail::sync_kind::event: {
      auto made = std::make_unique<sync_event>(what);
      events_.emplace(what.id, made.get());
      objects_.emplace(what.id, std::move(made));
      break;
    }
    default: break;  // nobody can ask for anything of another kind
  }
}

void sync_actor::removed(std::uint64_t object) {
  const auto gone = objects_.extract(object);
  if (gone.empty()) return;
  if (const auto when = due_when_.extract(object)) due_.erase({when.mapped(), object});
  events_.erase(object);
  gone.mapped()->release_place();
}

void sync_actor::asked(call what) {
  world_.now = deadline::now();
  const auto waiter = what.answer_in;
  auto* o = find(what.object);
  if (o == nullptr) {  // its head said what cannot be
    waiter.refuse(errc::broken);
    if (what.answer_to)
      static_cast<void>(send_answer(what.answer_to, refused{errc::broken, "its memory holds what this library does not write"}));
    return;
  }
  try {
    o->asked(what);
    look_at(*o);
  } catch (const std::bad_alloc&) {
    waiter.refuse(errc::no_memory);
    throw;
  }
}

void sync_actor::dropped(const service_user& who, std::uint64_t object) {
  world_.now = deadline::now();
  auto* o = find(object);
  if (o == nullptr) return;
  o->dropped(who);
  look_at(*o);
}

void sync_actor::died(const service_user& who, const exit_status& exit, std::span<const lost_object> objects) {
  world_.now = deadline::now();
  for (const auto& lost : objects) {
    auto* o = find(lost.object);
    if (o == nullptr) continue;
    try {
      o->died(who, exit, lost.inherited);
      look_at(*o);
    } catch (const std::bad_alloc&) {  // the others are put right all the same
      detail::log(log_level::error, "'" + o->name() + "': no memory to put it right after the death of '" + who.process.name + "'");
    }
  }
}

void sync_actor::look_at(sync_object& o) {
  const auto when = o.look();
  auto& known = due_when_.try_emplace(o.id(), never_again).first->second;
  if (known == when) {
    if (when == never_again) due_when_.erase(o.id());
    return;
  }
  if (known != never_again) due_.erase({known, o.id()});
  known = when;
  if (when == never_again) due_when_.erase(o.id());
  else due_.emplace(when, o.id());
}

std::int64_t sync_actor::look(std::int64_t now) {
  world_.now = now;
  while (!due_.empty() && due_.begin()->first <= now) look_at(*find(due_.begin()->second));
  const auto next = due_.empty() ? never_again : due_.begin()->first;
  if (events_.empty()) return next;
  if (now >= events_due_) {
    events_due_ = now + slow_look_ns;
    for (auto& [id, e] : events_) e->look_for_sleepers();
  }
  return std::min(next, events_due_);
}

}  // namespace cloister::internal
