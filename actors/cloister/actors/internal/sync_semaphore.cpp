// SPDX-License-Identifier: BSD-3-Clause
// The actor's side of the semaphore (tests/models/semaphore.cpp): it takes tokens for those who wait, and brings back those of the dead.
#include <cloister/actors/internal/sync_semaphore.hpp>

#include <algorithm>

namespace cloister::internal {

void sync_semaphore::asked(service::call& what) {
  switch (static_cast<sync_call>(what.what)) {
    case sync_call::want:
      if (what.answer_in.cell == nullptr) break;
      queue_.erase_if([&](const sync_waiter& w) { return w.cell.cell == what.answer_in.cell; }, world_.now);
      queue_.push({what.from, what.answer_in, what.a}, world_.now);
      if ((what.a & at_once) == 0) break;
      serve();
      if (!queue_.empty() && queue_.back().refuse(errc::timed_out)) queue_.pop_back();
      break;
    case sync_call::cancel: queue_.erase_if([&](const sync_waiter& w) { return w.is(what); }, world_.now); break;
    case sync_call::failed: forget_private(what.from.actor, false); break;
    case sync_call::give: {
      const auto has = without_entry_.find(what.from.actor);
      if (has == without_entry_.end()) break;
      if (--has->second == 0) without_entry_.erase(has);
      give(0);
      break;
    }
    default: break;  // a poke: whatever it was, there is something to look at
  }
}

void sync_semaphore::died(const service_user& who, const exit_status& exit, bool) {
  forget_waits(who);
  // It can have no more than that, though somebody may write its name there again and again.
  for (unsigned round = 1; round < semaphore_body::entries; ++round) {
    table_.settled();
    const unsigned n = table_.find(who.actor);
    if (n == 0) break;
    table_.clear(n, exit.success());
  }
  forget_private(who.actor, exit.success());
}

void sync_semaphore::forget_private(std::uint16_t actor, bool tokens_stay) {
  const auto had = without_entry_.extract(actor);
  if (had.empty() || tokens_stay) return;
  for (unsigned i = 0; i < had.mapped(); ++i) {
    table_.settled();
    if (table_.entry(0).tokens() > 0) give(0);
  }
}

// As a release by anybody: the token may have been given back by somebody else meanwhile, on behalf of that entry.
void sync_semaphore::give(unsigned entry) {
  for (;;) {
    const auto w = table_.settled();
    const auto whose = table_.entry(entry).tokens() > 0 ? std::optional(entry) : table_.somebody_with_tokens();
    const bool bounded = is_bounded(head());
    if (!whose && (bounded || w.value() == token_word::most)) {
      if (table_.is_still(w)) return;
      continue;
    }
    const auto flags = w.raw & token_word::flags;
    if (whose ? table_.give(w, *whose, flags) : table_.grow(w, flags)) return;
  }
}

std::int64_t sync_semaphore::look() {
  serve();
  return queue_.next_look(world_.now);
}

void sync_semaphore::serve() {
  for (;;) {
    // Not settled where only the flags change: somebody may take and give all the time.
    auto w = table_.word();
    if (!queue_.empty() && w.value() > 0) w = table_.settled();
    if (queue_.empty()) {
      if ((w.raw & token_word::flags) == 0 || table_.mark(w, 0)) return;
      continue;
    }
    if (w.value() == 0) {
      const auto flags = token_word::waiters | (queue_.has_turn(world_.now) ? token_word::handing : 0);
      if ((w.raw & token_word::flags) == flags || table_.mark(w, flags)) return;
      continue;
    }
    const auto first = queue_.front();
    const auto n = static_cast<unsigned>(first.a & 0xff);
    const bool has_entry = n != 0 && n < semaphore_body::entries && table_.entry(n).actor() == first.who.actor;
    const unsigned entry = has_entry ? n : 0;
    if (!table_.take(w, entry, queue_.size() > 1 ? token_word::waiters : 0)) continue;
    queue_.pop(world_.now);
    if (!first.grant(has_entry ? 0 : 1)) give(entry);
    else if (!has_entry) ++without_entry_[first.who.actor];
  }
}

}  // namespace cloister::internal
