// SPDX-License-Identifier: BSD-3-Clause
// A process's side of synchronisation: who this thread is, how it waits for the supervisor actor, what an object's errors say.
#pragma once

#include <cloister/actors/internal/sync_words.hpp>
#include <cloister/detail/membership.hpp>
#include <cloister/error.hpp>
#include <cloister/internal/control.hpp>

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace cloister::internal {

/// This thread: never 0; incarnation:32 | generation:16 | number:16. 0: not attached. Among the living of a process the number is its alone; the
/// generation tells it from those that had it before.
std::uint64_t this_thread() noexcept;
/// What owner words have of it: the number.
inline std::uint16_t short_of(std::uint64_t thread) noexcept { return static_cast<std::uint16_t>(thread); }

/// "mutex 'm' lock: why"
error sync_error(const detail::attachment& object, const char* operation, errc code, const std::string& why);
/// What the actor says when it refuses, in its cell's value.
error refusal(const detail::attachment& object, const char* operation, std::uint64_t value);
/// timed_out, or why this process is to stop.
error interruption(const detail::attachment& object, const char* operation, detail::wait_status how);
/// Else `unusable` says why not: this process has no node (not_attached), or had another one when it got the object (gone).
inline bool usable(const detail::attachment& object) noexcept { return detail::self_actor() != 0 && !object.gone(); }
error unusable(const detail::attachment& object, const char* operation);

/// A new object. Throws `failure`.
detail::object_handle make_sync(const place& where, detail::sync_kind kind, std::uint32_t options, std::uint64_t parameter,
                                const std::string& name, void (*fill)(std::byte* body, const detail::arena::wish& w));

/// Asks the actor for something (`want`), and sleeps until it is this thread's. Errors: timed_out, stopping, interrupted, what it says.
/// A grant that comes with the deadline counts. Its value is what the actor says with it. `heed_stop` false: also when this process is asked to stop.
result<std::uint64_t> wait_for_grant(detail::attachment& object, const char* operation, sync_call want, std::uint64_t a,
                                     deadline until, bool heed_stop = true);
/// Asks the actor something that it answers at once. Throws `failure`.
answer ask_actor(const detail::attachment& object, sync_call what, std::uint64_t a = 0);
/// When the last handle here goes while an exception passes: the actor is told. For attachment::at_end.
void leave_by_exception(detail::attachment& object) noexcept;
/// Something that the actor finds out by itself, if later, should it not arrive: where the first process reads nothing, this waits a tenth of a
/// second for it at most. By the object's number, for whoever must not look at the object any more.
void hint(std::uint64_t object, sync_call what, std::uint64_t a = 0, const detail::waiting* w = nullptr) noexcept;
inline void hint(const detail::attachment& object, sync_call what, std::uint64_t a = 0,
                 const detail::waiting* w = nullptr) noexcept {
  if (!object.gone()) hint(object.id(), what, a, w);
}
/// The wait is CANCELLED; `a`: why, where the kind wants to know. The actor finds that out when its turn comes, too.
inline void withdraw(const detail::attachment& object, const detail::waiting& w, std::uint64_t a = 0) noexcept {
  hint(object, sync_call::cancel, a, &w);
}
/// For an answer that comes at once, unless the first process is stopped: a caller that has no time waits that long for it.
inline constexpr std::chrono::seconds answer_patience{1};
/// Held while a process claims an entry of a semaphore. No fork copies it locked.
std::mutex& claiming_entries() noexcept;

// What a condition does with its mutex (mutex.cpp).
/// Unlocks it however often it is locked; how often that was. REQUIRES: this thread has it.
std::uint64_t unlock_whole(detail::attachment& lock) noexcept;
/// Locks it again, as often; whatever stops or is short, for there may be nothing that can be done without it. Errors: broken, gone.
result<void> lock_whole(detail::attachment& lock, std::uint64_t depth);

}  // namespace cloister::internal
