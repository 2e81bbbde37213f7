// SPDX-License-Identifier: BSD-3-Clause
// The actor's side of the condition (tests/models/condition.cpp).
#include <cloister/actors/internal/sync_condition.hpp>

#include <algorithm>

namespace cloister::internal {

using detail::cell_state;

void sync_condition::asked(service::call& what) {
  switch (static_cast<sync_call>(what.what)) {
    case sync_call::want: {
      if (what.answer_in.cell == nullptr) break;
      std::erase_if(queue_, [&](const sync_waiter& old) { return old.cell.cell == what.answer_in.cell; });
      sync_waiter w{std::move(what.from), std::move(what.answer_in), ++last_};
      const auto cell = w.cell;
      queue_.push_back(std::move(w));
      show();  // first: whoever gets the mutex after it is registered must see that there is somebody
      if (cell.cell->answer(cell.ticket, cell_state::waiting, cell_state::registered)) break;
      queue_.pop_back();
      show();
      break;
    }
    case sync_call::cancel:
      std::erase_if(queue_, [&](const sync_waiter& w) { return w.is(what); });
      show();
      break;
    case sync_call::notify: notify(what.a, last_); break;
    default: break;
  }
}

// Of notifications that are on their way, each may still let out whoever waited when it came. One that takes a wait which an earlier one
// might have had may have to stand in for that: then what the earlier one may let out reaches as far as what this one may.
void sync_condition::notify(std::uint64_t waiters, std::uint64_t upto) {
  std::erase_if(granted_, [](const granted& g) { return g.who.state() != cell_state::granted; });
  while (waiters > 0 && !queue_.empty() && queue_.front().a <= upto) {
    const auto w = std::move(queue_.front());
    queue_.pop_front();
    if (!w.cell.cell->answer(w.cell.ticket, cell_state::registered, cell_state::granted)) continue;
    for (auto& g : granted_)
      if (w.a <= g.upto) g.upto = std::max(g.upto, upto);
    granted_.push_back({w, upto});
    --waiters;
  }
  show();
}

// It has come out of all its waits.
void sync_condition::dropped(const service_user& who) {
  std::erase_if(queue_, [&](const sync_waiter& w) { return w.is_of(who); });
  std::erase_if(granted_, [&](const granted& g) { return g.who.is_of(who); });
  show();
}

void sync_condition::died(const service_user& who, const exit_status&, bool) {
  const auto is_its = [&](const sync_waiter& w) { return w.is_of(who); };
  std::erase_if(queue_, is_its);
  // One after another: for the others, the next notification may reach further then.
  const auto missed = [&](const granted& g) { return is_its(g.who) && g.who.state() == cell_state::granted; };
  for (auto g = granted_.begin(); (g = std::find_if(granted_.begin(), granted_.end(), missed)) != granted_.end();) {
    const auto upto = g->upto;
    granted_.erase(g);
    notify(1, upto);
  }
  std::erase_if(granted_, [&](const granted& g) { return is_its(g.who); });
  show();
}

}  // namespace cloister::internal
