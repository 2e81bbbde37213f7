// SPDX-License-Identifier: BSD-3-Clause
// How a process waits for the supervisor actor: by a cell (framework, detail/wait_cell.hpp), whose word decides between grant and time-out.
#include <cloister/actors/internal/sync_wait.hpp>

#include <cloister/detail/mailbox.hpp>
#include <cloister/detail/stop.hpp>

#include <algorithm>
#include <deque>
#include <exception>
#include <mutex>
#include <new>

#include <pthread.h>

namespace cloister::detail {

using internal::body_bytes_of;

attachment& sync_handle::object() const {
  if (!handle_) throw failure(errc::invalid, "this handle names no object: it was default constructed or moved from");
  return *handle_;
}

void sync_handle::to_message(encoder& out, const sync_handle& handle) {
  auto& object = handle.object();
  out.value(out.need_handles("synchronisation object").put_object(object, no_role));
  out.value(object.id());
}

object_handle sync_handle::from_message(decoder& in, std::initializer_list<sync_kind> kinds) {
  const auto number = in.value<std::uint64_t>();
  const auto object = in.value<std::uint64_t>();
  auto found = in.need_handles("synchronisation object").take_object(number, object, no_role, 0);
  if (found->kind() != object_kind::arena ||
      std::find(kinds.begin(), kinds.end(), static_cast<sync_kind>(found->small().kind)) == kinds.end() ||
      found->body_bytes() != body_bytes_of(static_cast<sync_kind>(found->small().kind)))
    throw failure(errc::wrong_type, "'" + found->name() + "': a handle for another kind of object");
  return {std::move(found), no_role};
}

}  // namespace cloister::detail

namespace cloister::internal {
namespace {

const char* title_of(std::uint32_t kind) noexcept {
  switch (static_cast<detail::sync_kind>(kind)) {
    case detail::sync_kind::mutex: return "mutex";
    case detail::sync_kind::recursive_mutex: return "recursive mutex";
    case detail::sync_kind::semaphore: return "semaphore";
    case detail::sync_kind::bounded_semaphore: return "bounded semaphore";
    case detail::sync_kind::condition: return "condition";
    case detail::sync_kind::event: return "event";
    case detail::sync_kind::barrier: return "barrier";
  }
  return "object";
}

// Would be closed, were its waiter not refused.
std::string circle_that(const detail::attachment& object) {
  try {
    return std::get<last_trouble>(ask_actor(object, sync_call::trouble)).what;
  } catch (const failure&) {  // asked to stop, or no descriptor left
    return "a circle of processes would wait for each other; the node's log names them";
  }
}

}  // namespace

error refusal(const detail::attachment& object, const char* operation, std::uint64_t value) {
  switch (static_cast<errc>(value)) {
    case errc::deadlock: return sync_error(object, operation, errc::deadlock, circle_that(object));
    case errc::timed_out: return sync_error(object, operation, errc::timed_out, "timed out");
    case errc::no_memory: return sync_error(object, operation, errc::no_memory, "the node's first process has no memory for it");
    case errc::gone: return sync_error(object, operation, errc::gone, "it no longer exists: its place is gone");
    default: return sync_error(object, operation, errc::broken, "its memory holds what no process of this node can have written");
  }
}

error interruption(const detail::attachment& object, const char* operation, detail::wait_status how) {
  if (how == detail::wait_status::timed_out) return sync_error(object, operation, errc::timed_out, "timed out");
  return sync_error(object, operation, detail::stop_reason().value_or(errc::stopping), "this process was asked to stop");
}

namespace {

// The numbers of this process's threads: one that has ended leaves its own to another, as late as possible.
class thread_numbers {
 public:
  std::uint32_t take() {
    const std::scoped_lock guard(mutex_);
    if (unused_ < 0xffff && free_.size() < some) return ++unused_;
    if (free_.empty()) return 0xffff;  // more than that live at the same time: they share one
    const auto number = free_.front();
    free_.pop_front();
    return number;
  }
  void give_back(std::uint32_t number) noexcept {
    try {
      const std::scoped_lock guard(mutex_);
      free_.push_back(number + 0x1'0000);  // the next generation
    } catch (const std::bad_alloc&) {}     // one number less
  }
  std::mutex& mutex() noexcept { return mutex_; }

 private:
  static constexpr std::size_t some = 1024;
  std::mutex mutex_;
  std::uint32_t unused_ = 0;        // guarded by mutex_
  std::deque<std::uint32_t> free_;  // guarded by mutex_
};

thread_numbers& numbers() {
  static auto* const all = new thread_numbers;  // for threads that end after this process's statics
  return *all;
}

// No fork copies them locked. Neither is held while another mutex is taken.
void before_fork() noexcept {
  numbers().mutex().lock();
  claiming_entries().lock();
}
void after_fork() noexcept {
  claiming_entries().unlock();
  numbers().mutex().unlock();
}
[[maybe_unused]] const int at_fork = ::pthread_atfork(before_fork, after_fork, after_fork);

struct numbered_thread {
  const std::uint32_t number = numbers().take();
  ~numbered_thread() { numbers().give_back(number); }
};

}  // namespace

std::mutex& claiming_entries() noexcept {
  static std::mutex claiming;
  return claiming;
}

std::uint64_t this_thread() noexcept {
  thread_local const numbered_thread me;
  const auto* here = detail::identity;
  if (here == nullptr || here->actor == 0) return 0;
  return static_cast<std::uint64_t>(here->incarnation) << 32 | me.number;
}

error sync_error(const detail::attachment& object, const char* operation, errc code, const std::string& why) {
  return {code, std::string(title_of(object.small().kind)) + " '" + object.name() + "' " + operation + ": " + why};
}

error unusable(const detail::attachment& object, const char* operation) {
  if (object.gone()) return refusal(object, operation, static_cast<std::uint64_t>(errc::gone));
  return detail::not_attached_error(object, operation);
}

detail::object_handle make_sync(const place&, detail::sync_kind kind, std::uint32_t options, std::uint64_t parameter,
                                const std::string& name, void (*fill)(std::byte* body, const detail::arena::wish& w)) {
  return {detail::membership::require().create_small(sync_service(), body_bytes_of(kind),
                                                     {0, static_cast<std::uint32_t>(kind), options, parameter, name}, fill),
          detail::no_role};
}

result<std::uint64_t> wait_for_grant(detail::attachment& object, const char* operation, sync_call want, std::uint64_t a,
                                     deadline until, bool heed_stop) {
  using detail::cell_state;
  auto* here = detail::membership::current();
  if (!usable(object)) return unusable(object, operation);
  try {
    detail::waiting w(here->cells(), here->take_cell(until));
    here->tell(object.id(), static_cast<std::uint32_t>(want), &w, a, until);
    for (;;) {
      const auto how = w.sleep(until, cell_state::waiting, heed_stop);
      if (how == detail::wait_status::ready) {
        if (w.state() == cell_state::refused) return refusal(object, operation, w.value());
        static_cast<void>(w.change(cell_state::granted, cell_state::entered));
        return w.value();
      }
      if (!w.change(cell_state::waiting, cell_state::cancelled)) continue;  // decided in this moment
      withdraw(object, w);
      return interruption(object, operation, how);
    }
  } catch (const failure& f) { return f.error(); } catch (const std::bad_alloc&) {
    return error(errc::no_memory, "no memory");
  }
}

answer ask_actor(const detail::attachment& object, sync_call what, std::uint64_t a) {
  datagram reply;
  return ask(detail::membership::require().control(), small_call{object.id(), static_cast<std::uint32_t>(what), 0, 0, a}, {},
             reply);
}

void leave_by_exception(detail::attachment& object) noexcept {
  if (std::uncaught_exceptions() > 0) hint(object, sync_call::failed);
}

void hint(std::uint64_t object, sync_call what, std::uint64_t a, const detail::waiting* w) noexcept {
  try {
    if (auto* here = detail::membership::current(); here != nullptr)
      here->tell(object, static_cast<std::uint32_t>(what), w, a, std::chrono::milliseconds(100));
  } catch (const std::exception&) {}
}

}  // namespace cloister::internal
