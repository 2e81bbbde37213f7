// SPDX-License-Identifier: BSD-3-Clause
// The actor's side of the barrier (tests/models/barrier.cpp). Nobody is let go before nobody can give up any more: so in one round all pass,
// or none.
#include <cloister/actors/internal/sync_barrier.hpp>

#include <algorithm>
#include <utility>

namespace cloister::internal {

using detail::cell_state;

namespace {

void refuse(const sync_waiter& w) {
  const auto code = static_cast<std::uint64_t>(errc::barrier_broken);
  if (!w.cell.cell->answer(w.cell.ticket, cell_state::waiting, cell_state::refused, code))
    w.cell.cell->answer(w.cell.ticket, cell_state::registered, cell_state::refused, code);
}

}  // namespace

void sync_barrier::asked(service::call& what) {
  const auto answered = [&] {
    if (what.answer_to) static_cast<void>(send_answer(what.answer_to, done{}));
  };
  switch (static_cast<sync_call>(what.what)) {
    case sync_call::want:
      if (what.answer_in.cell != nullptr) arrive({what.from, what.answer_in, what.a});
      break;
    case sync_call::acted:
      if (acting_ && acting_->is(what)) release();  // else its round was broken, and it has heard of that
      break;
    case sync_call::cancel: {
      static constexpr const char* reasons[] = {"did not want to wait any longer", "was asked to stop", "failed in the action"};
      if (std::erase_if(arrived_, [&](const sync_waiter& w) { return w.is(what); }) > 0)
        break_it({what.from.process, {}, reasons[std::min<std::uint64_t>(what.a, 2)]});
      break;
    }
    case sync_call::failed: break_it({what.from.process, {}, "failed"}); break;
    case sync_call::abort:
      break_it({what.from.process, {}, "aborted it"});
      answered();
      break;
    case sync_call::reset:
      if (!broken_) trouble_ = {what.from.process, {}, "reset it"};
      broken_ = false;
      body<barrier_body>().epoch.store(++epoch_);
      took_part_.clear();
      refuse_all();
      answered();
      break;
    case sync_call::trouble:
      if (what.answer_to) static_cast<void>(send_answer(what.answer_to, trouble_));
      break;
    default: break;
  }
  show();
}

void sync_barrier::arrive(sync_waiter w) {
  if (broken_ || static_cast<std::uint32_t>(w.a) != epoch_) return refuse(w);
  std::erase_if(arrived_, [&](const sync_waiter& old) { return old.cell.cell == w.cell.cell; });
  arrived_.push_back(w);
  begin_release();
  if ((w.a & at_once) == 0 || w.state() != cell_state::waiting) return;
  // Others are missing; or it waits for its round's action, and can wait for that.
  if (acting_ && arrived_.size() <= parties_) return;
  arrived_.pop_back();
  break_it({w.who.process, {}, "did not want to wait any longer"});
  w.refuse(errc::timed_out);
}

// There may be more of them than make one round: who comes while one acts waits for the next.
void sync_barrier::begin_release() {
  while (!acting_ && arrived_.size() >= parties_) {
    if (!has_action_) {
      release();
      continue;
    }
    acting_ = arrived_[parties_ - 1];
    if (!acting_->cell.cell->answer(acting_->cell.ticket, cell_state::waiting, cell_state::registered, run_the_action))
      break_it({acting_->who.process, {}, "did not want to wait any longer"});
  }
}

// Nobody of this round can give up any more once its cell is REGISTERED; then all are let go.
void sync_barrier::release() {
  const std::vector round(arrived_.begin(), arrived_.begin() + static_cast<std::ptrdiff_t>(parties_));
  for (const auto& w : round) {
    if (acting_ && acting_->cell.cell == w.cell.cell) continue;  // it ran the action
    if (w.cell.cell->answer(w.cell.ticket, cell_state::waiting, cell_state::registered)) continue;
    return break_it({w.who.process, {}, "did not want to wait any longer"});
  }
  arrived_.erase(arrived_.begin(), arrived_.begin() + static_cast<std::ptrdiff_t>(parties_));
  const bool acted = std::exchange(acting_, std::nullopt).has_value();
  took_part_.clear();
  show();  // before anybody can look
  std::uint64_t index = 0;
  for (const auto& w : round) {
    took_part_.insert(w.who.process.incarnation);
    w.cell.cell->answer(w.cell.ticket, cell_state::registered, cell_state::granted, index++);
  }
  if (acted) begin_release();
}

// Whoever hears of it finds it so.
void sync_barrier::refuse_all() {
  const auto all = std::exchange(arrived_, {});
  acting_.reset();
  show();
  for (const auto& w : all) refuse(w);
}

void sync_barrier::break_it(last_trouble why) {
  if (broken_) return;
  broken_ = true;
  trouble_ = std::move(why);
  refuse_all();
}

bool sync_barrier::has_arrived(std::uint32_t incarnation) const {
  return std::any_of(arrived_.begin(), arrived_.end(),
                     [&](const sync_waiter& w) { return w.who.process.incarnation == incarnation; });
}

void sync_barrier::left(const service_user& who, const exit_status& exit, const char* how) {
  const auto incarnation = who.process.incarnation;
  const bool missed = has_arrived(incarnation) || (!arrived_.empty() && took_part_.contains(incarnation));
  if (missed) break_it({who.process, exit, how});
  took_part_.erase(incarnation);
}

void sync_barrier::died(const service_user& who, const exit_status& exit, bool inherited) {
  if (inherited) return;  // nobody expects it
  if (exit.success()) return left(who, exit, "ended");
  break_it({who.process, exit, "ended"});
  took_part_.erase(who.process.incarnation);
}

// Nothing says that somebody has given up, where it could not send it.
std::int64_t sync_barrier::look() {
  if (acting_ && acting_->state() != cell_state::registered) break_it({acting_->who.process, {}, "failed in the action"});
  const auto gave_up = [](const sync_waiter& w) { return w.state() == cell_state::cancelled; };
  if (const auto w = std::find_if(arrived_.begin(), arrived_.end(), gave_up); w != arrived_.end())
    break_it({w->who.process, {}, "did not want to wait any longer"});
  if (arrived_.empty()) return never_again;
  return world_.now + (acting_ ? sync_look_ns : slow_look_ns);
}

void sync_barrier::show() const noexcept {
  auto& b = body<barrier_body>();
  b.broken.store(broken_ ? 1 : 0);
  b.waiting.store(static_cast<std::uint32_t>(arrived_.size()));
}

}  // namespace cloister::internal
