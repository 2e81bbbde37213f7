// SPDX-License-Identifier: BSD-3-Clause
// pool_keeper: what becomes of the letters that dead workers leave behind, and what submitters are told of them.
#include <cloister/actors/internal/pool_keeper.hpp>
#include <cloister/detail/letter.hpp>
#include <cloister/detail/queue_core.hpp>

#include <algorithm>
#include <unordered_set>

namespace cloister::internal {

using namespace detail;

void pool_keeper::collect_orphans() {
  for (const auto& q : queues_) {
    for (;;) {
      auto got = q->queue().take_dead(self_actor(), deadline::passed());
      if (got == errc::broken) return spoilt();
      if (!got) break;
      orphan o{&*q, *std::move(got), {}, {}};
      try {
        const auto bytes = own_copy(o.letter);
        decoder in(bytes);
        o.head = in.value<task_head>();
        if (!o.head.is_possible(bytes.size())) throw failure(errc::undecodable, "a letter without a head");
        o.name = in.value<std::string>();
      } catch (const failure&) {
        o.letter.deliver();  // nothing that a submitter has put
        continue;
      }
      orphans_.push_back(std::move(o));
    }
  }
}

// Those that no worker's entry names were not begun. One that is named waits for the notice of that worker's end.
void pool_keeper::settle_orphans() {
  for (auto o = orphans_.begin(); o != orphans_.end();) {
    if (std::any_of(workers_.begin(), workers_.end(),
                    [&](const worker& w) { return w.link && w.page->has(o->head.lane, o->head.ticket); })) {
      ++o;
      continue;
    }
    auto its = std::move(*o);
    o = orphans_.erase(o);
    give_back(std::move(its));
  }
}

void pool_keeper::give_back(orphan o) {
  const auto beginning = encode(o.head);
  const bool wakes = o.queue != &*queues_[normal_queue];
  o.letter.revive(beginning);
  if (wakes) wake_worker(*queues_[normal_queue]);
}

void pool_keeper::retry() {
  const auto now = deadline::now();
  for (std::size_t i = 0; i < later_.size();) {
    if (later_[i].when > now || waits_for_room(later_[i].what.head.lane)) {
      ++i;
      continue;
    }
    auto its = std::move(later_[i].what);
    later_.erase(later_.begin() + static_cast<std::ptrdiff_t>(i));
    give_back(std::move(its));
  }
}

std::string pool_keeper::task_text(const orphan& o) const {
  return "pool '" + name_ + "' " + (o.name.empty() ? "task" : "task '" + o.name + "'") +
         (o.head.end > 1 || o.head.base > 0 ? " (item " + std::to_string(o.head.base + o.head.begin) + ")" : "");
}

void pool_keeper::settle(orphan o, const worker& was, const exit_status& exit) {
  auto& head = o.head;
  const auto written = was.page->written.load(std::memory_order_acquire);
  const auto flushed = std::clamp(was.page->flushed.load(std::memory_order_acquire), head.begin, head.end);
  const auto done = std::clamp(worker_record::done_of(written), flushed, head.end);
  const auto begun = std::clamp(was.page->begun.load(std::memory_order_acquire), done, head.end);
  const auto bytes = std::min<std::size_t>(worker_record::bytes_of(written), worker_page::buffer_bytes);
  if (done > flushed) answer(head, flushed, done - flushed, true, was.page.buffer().first(bytes));
  head.begin = done;
  std::int64_t when = 0;
  if (begun > done) {
    ++head.tries;
    if (was.cancelled_ticket == head.ticket && was.cancelled_lane == head.lane) {
      answer_error(head, done, 1, {errc::cancelled, task_text(o) + ": cancelled"});  // who cancelled it waits no more
      head.begin = done + 1;
      head.tries = 0;
    } else if (head.tries < head.most_tries) {
      const auto doublings = std::min<unsigned>(head.tries - 1U, 16);
      when = deadline::now() + (std::int64_t{head.backoff_ms} * 1'000'000 << doublings);
    } else {
      auto text = task_text(o) + ": ";
      if (head.most_tries > 1)
        text += "set aside after it has ended in vain in " + std::to_string(head.tries) + " workers, the last time: ";
      if (was.killed_for != nullptr) text += std::string(was.killed_for) + "; ";
      text += "its worker (pid " + std::to_string(was.link->pid()) + ") ended: " + exit.text();
      answer_error(head, done, 1, error(was.killed_for != nullptr ? errc::timed_out : errc::worker_lost, std::move(text), exit));
      head.begin = done + 1;
      head.tries = 0;
    }
  }
  if (head.begin >= head.end) {
    // What the submitter has not heard of by then, whatever stood on the page, it will not hear.
    answer_error(head, 0, head.end, error(errc::worker_lost, task_text(o) + ": its result is lost", exit));
    board_.forget_cancelled(head.lane, head.ticket);
    return o.letter.deliver();
  }
  if (when == 0 && !waits_for_room(head.lane)) return give_back(std::move(o));
  later_.push_back({when, std::move(o)});
}

// ---- answers ------------------------------------------------------------------------------------------------------------

void pool_keeper::answer(const task_head& head, std::uint32_t first, std::uint32_t count, bool framed,
                         std::span<const std::byte> body) {
  encoder out;
  write_head(out, letter_head{letter_kind::reply, answer_key(first, count), head.ticket, framed ? answer_framed : answer_alone, 0});
  out.raw(body.data(), body.size());
  unsent_.push_back({head.lane, {out.bytes().begin(), out.bytes().end()}});
  if (unsent_.size() == 1) send_what_waits();
}

void pool_keeper::answer_error(const task_head& head, std::uint32_t first, std::uint32_t count, const error& why) {
  encoder body;
  *body.grow(1) = std::byte{0};
  body.value(why);
  answer(head, first, count, false, body.bytes());
}

bool pool_keeper::waits_for_room(std::uint64_t lane) const {
  return std::any_of(unsent_.begin(), unsent_.end(), [lane](const unsent& u) { return u.lane == lane; });
}

// In order for each lane; one that is full holds up no other.
void pool_keeper::send_what_waits() {
  std::unordered_set<std::uint64_t> full;
  std::deque<unsent> again;
  while (!unsent_.empty()) {
    auto next = std::move(unsent_.front());
    unsent_.pop_front();
    bool waits = full.contains(next.lane);
    if (!waits) {
      try {
        auto sent = put_bytes(*lanes_->find(next.lane), next.letter, deadline::passed());
        waits = sent == errc::would_block || sent == errc::no_memory;
      } catch (const failure& f) { waits = f.code() != errc::gone; }
    }
    if (!waits) continue;
    full.insert(next.lane);
    again.push_back(std::move(next));
  }
  unsent_ = std::move(again);
}

// ---- at the end -----------------------------------------------------------------------------------------------------------

void pool_keeper::fail_orphan(orphan& o, const error& why) {
  answer_error(o.head, o.head.begin, o.head.end - o.head.begin, why);
  o.letter.deliver();
}

// Whatever was submitted and is not done hears why.
void pool_keeper::fail_what_waits() {
  const auto why = [&] {
    const std::scoped_lock guard(mutex_);
    return cause_.value_or(error(errc::cancelled, "pool '" + name_ + "': terminated"));
  }();
  collect_orphans();
  for (auto& l : later_) orphans_.push_back(std::move(l.what));
  later_.clear();
  for (auto& o : orphans_) fail_orphan(o, why);
  orphans_.clear();
  for (const auto& q : queues_) {
    taken letter;
    while (q->queue().take(self_actor(), letter, deadline::passed())) {
      task_head head;
      std::array<std::byte, sizeof(task_head)> beginning{};
      letter.copy_to(beginning);
      if (letter.size() >= sizeof beginning) head = decode<task_head>(beginning);
      if (head.code != 0 && head.is_possible(letter.size())) answer_error(head, head.begin, head.end - head.begin, why);
      letter.deliver();
    }
  }
}

}  // namespace cloister::internal
