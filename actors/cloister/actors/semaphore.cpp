// SPDX-License-Identifier: BSD-3-Clause
// A process's side of the semaphore. The words: internal/token_table.hpp; the actor's side: internal/sync_semaphore.cpp.
//
// own()[0] is the entry of this process, own()[1] how many tokens it got through the actor because no entry was free.
// Who dies where: before the CAS on the word nothing happened; after it the change is applied by whoever comes next, and what the dead one
// had comes back. Between giving a token back and the poke: the actor hears of the death; stopped there: it looks every 10 ms.
#include <cloister/actors/semaphore.hpp>

#include <cloister/actors/internal/sync_wait.hpp>
#include <cloister/actors/internal/token_table.hpp>
#include <cloister/detail/spin.hpp>
#include <cloister/detail/stop.hpp>
#include <cloister/fault.hpp>

#include <algorithm>
#include <exception>
#include <mutex>

namespace cloister::detail {

using namespace internal;

namespace {

unsigned known_entry(attachment& object, const token_table& table) {
  const auto n = static_cast<unsigned>(object.own()[0].load(std::memory_order_relaxed));
  return n != 0 && table.entry(n).actor() == self_actor() ? n : 0;
}

unsigned own_entry(attachment& object, const token_table& table) {
  if (const auto n = known_entry(object, table); n != 0) return n;
  const std::scoped_lock guard(claiming_entries());  // two threads would claim two
  if (const auto n = known_entry(object, table); n != 0) return n;
  const auto n = table.claim(self_actor());
  object.own()[0].store(n, std::memory_order_relaxed);
  return n;
}

enum class taking : std::uint8_t { done, empty, no_entry };

taking take_free(attachment& object, const token_table& table) {
  for (;;) {
    auto w = table.word();
    const auto known = known_entry(object, table);
    const bool again = known != 0 && w.op() == token_op::undo && w.entry() == known;
    if (!again) w = table.settled();
    if (w.value() == 0 || w.has(token_word::handing)) return taking::empty;
    const auto n = again ? known : own_entry(object, table);
    if (n == 0) return taking::no_entry;
    const auto flags = w.raw & token_word::flags;
    if (again ? table.take_again(w, n, flags) : table.take_own(w, n, flags)) return taking::done;
  }
}

result<void> take(attachment& object, deadline until) {
  if (!usable(object)) return unusable(object, "acquire");
  const token_table table(object.body<semaphore_body>());
  fault_point("acquire", 1);
  auto how = take_free(object, table);
  if (how != taking::done) {
    if (how == taking::empty && until.has_passed()) return sync_error(object, "acquire", errc::timed_out, "there is no token");
    if (stop_requested()) return interruption(object, "acquire", wait_status::stopped);
    const auto attempt = [&] { return (how = take_free(object, table)) == taking::done; };
    if (how == taking::no_entry || !spin_until(attempt, until, this_threads_spin_budget())) {
      // Without an entry even a token that is there comes from the actor, which answers at once then.
      const bool now = how == taking::no_entry && until.has_passed();
      const auto got = wait_for_grant(object, "acquire", sync_call::want, own_entry(object, table) | (now ? at_once : 0),
                                      now ? deadline(answer_patience) : until);
      if (!got) return got.error();
      if (*got != 0) object.own()[1].fetch_add(1, std::memory_order_relaxed);
    }
  }
  fault_point("acquire", 2);
  return {};
}

// One token that this process got without an entry, if it has any left.
bool had_none(attachment& object) {
  auto& count = object.own()[1];
  auto n = count.load(std::memory_order_relaxed);
  while (n > 0 && !count.compare_exchange_weak(n, n - 1, std::memory_order_relaxed)) {}
  return n > 0;
}

// From the change on another thread may have the token, and let go of the object.
void give(attachment& object) {
  const token_table table(object.body<semaphore_body>());
  const auto id = object.id();
  for (;;) {
    auto w = table.word();
    const auto mine = known_entry(object, table);
    const bool again = mine != 0 && w.op() == token_op::hold && w.entry() == mine;
    if (!again) w = table.settled();
    std::optional<unsigned> whose;
    if (again || (mine != 0 && table.entry(mine).tokens() > 0)) whose = mine;
    else if (had_none(object)) return membership::require().tell(object.id(), static_cast<std::uint32_t>(sync_call::give), nullptr);
    else whose = table.somebody_with_tokens();
    const bool bounded = is_bounded(object.small());
    if (!whose && (bounded || w.value() == token_word::most)) {
      if (!table.is_still(w)) continue;  // what was seen of the entries does not belong together
      throw failure(sync_error(object, "release", errc::invalid,
                               bounded ? "nobody has a token to give back" : "there are as many tokens as there can be"));
    }
    auto flags = w.raw & token_word::flags;
    if (w.has(token_word::waiters) || w.has(token_word::handing)) flags |= token_word::poked;
    fault_point("release", 1);
    if (!(again ? table.give_again(w, mine, flags) : whose ? table.give(w, *whose, flags) : table.grow(w, flags))) continue;
    fault_point("release", 2);
    if ((flags & token_word::poked) != 0 && !w.has(token_word::poked)) hint(id, sync_call::poke);
    return;
  }
}

// The last handle here is gone. Its entry is freed by this process, which alone knows that it uses it no more: it may have another one soon.
void let_go(attachment& object) noexcept {
  if (self_actor() == 0 || object.gone()) return;  // a copy of that process, or a node later
  leave_by_exception(object);
  const token_table table(object.body<semaphore_body>());
  if (const auto n = known_entry(object, table); n != 0) table.clear(n, std::uncaught_exceptions() == 0);
}

}  // namespace

token_handle::token_handle(const place& where, std::size_t value, const semaphore_options& options, bool bounded)
    : token_handle([&] {
        if (value > most_tokens)
          throw failure(errc::invalid,
                        "semaphore: " + std::to_string(value) + " tokens; there can be " + std::to_string(most_tokens));
        return make_sync(where, bounded ? sync_kind::bounded_semaphore : sync_kind::semaphore, 0, value, options.name,
                         [](std::byte* body, const arena::wish& w) {
                           reinterpret_cast<semaphore_body*>(body)->word.store(
                               token_word::make(static_cast<unsigned>(w.parameter), 0, token_op::none, 0, 0).raw);
                         });
      }()) {}

token_handle::token_handle(object_handle handle) : sync_handle(std::move(handle)) {
  object().at_end([](attachment& it) { let_go(it); });
}

void token_handle::acquire() const { take(object(), deadline::never()).value(); }

result<void> token_handle::acquire(deadline until) const { return take(object(), until); }

bool token_handle::try_acquire() const { return acquired_until(deadline::passed()); }

bool token_handle::acquired_until(deadline until) const {
  const auto got = take(object(), until);
  if (got == errc::timed_out) return false;
  got.value();
  return true;
}

void token_handle::release(std::size_t tokens) const {
  auto& it = object();
  if (!usable(it)) throw failure(unusable(it, "release"));
  for (std::size_t i = 0; i < tokens; ++i) give(it);
}

std::size_t token_handle::value() const {
  return token_word{object().body<semaphore_body>().word.load(std::memory_order_relaxed)}.value();
}

}  // namespace cloister::detail
