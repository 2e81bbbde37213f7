// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/actors/detail/pool_link.hpp>

#include <cloister/detail/stop.hpp>

#include <chrono>

namespace cloister::detail {

void wake_worker(attachment& normal) {
  static_cast<void>(put_bytes(normal, encode(task_head{}), deadline::passed()));  // closed: then they look around anyway
}

std::uint32_t pool_link::number_of(const void* function) const {
  if (!owner_)
    throw failure(errc::invalid,
                  "pool '" + name() +
                      "': only the process that made the pool may give it a plain function; elsewhere use a lambda that calls it");
  return owner_->number_of(function);
}

error pool_link::put_error(const job& of, const error& e) const {
  if (e.code() != errc::closed) return {e.code(), of.what() + ": " + e.text()};
  if (auto why = cause()) return *why;
  return {errc::closed, of.what() + ": the pool is closed"};
}

void pool_link::submit(const std::shared_ptr<job>& of, std::size_t base, std::uint32_t count, unsigned queue, task_head head,
                       const std::function<void(encoder&)>& write) {
  using namespace std::chrono_literals;
  auto& in = of->home();
  auto& normal = *queues_[normal_queue];
  in.introduce(normal);
  if (head.run_ns != 0 && !limits_.exchange(true)) static_cast<void>(words_.try_put({}));
  head.lane = in.lane();
  head.ticket = in.expect(of, base, count);
  head.end = count;
  head.base = base;
  const auto whole = [&](encoder& out) {
    out.value(head);
    write(out);
  };
  // Whatever comes of it, the ticket does not stay open.
  struct closing {
    inbox& in;
    std::uint64_t ticket;
    const job& of;
    bool done = false;
    ~closing() {
      if (!done) in.fail(ticket, {errc::invalid, of.what() + ": its arguments cannot be encoded"});
    }
  } at_the_end{in, head.ticket, *of};
  of->submitted(count);
  auto put = send_written(*queues_[queue], whole, [&](outgoing& letter) {
    auto done = letter.put(deadline::passed());
    // Workers may be waiting for room in this process's lane, so it is read meanwhile.
    while (done == errc::would_block) {
      if (const auto why = stop_reason()) return result<void>(*why, "this process was asked to stop");
      in.read_meanwhile(1ms);
      done = letter.put(deadline::passed());
    }
    return done;
  });
  at_the_end.done = true;
  if (!put) return static_cast<void>(in.fail(head.ticket, put_error(*of, put.error())));
  if (queue != normal_queue) wake_worker(normal);
}

void pool_link::cancel(std::uint64_t lane, std::uint64_t ticket) const noexcept {
  const bool marked = owner_ && owner_->mark_cancelled(lane, ticket);
  try {
    static_cast<void>(words_.put({marked ? pool_word::what::stop : pool_word::what::cancel, 0, lane, ticket}, deadline::never()));
  } catch (const failure&) {}
}

void pool_link::learn(const job& of, std::uint32_t items, std::int64_t ns) {
  if (items == 0 || ns <= 0 || of.code() == 0) return;
  const double each = static_cast<double>(ns) / items;
  const std::scoped_lock guard(mutex_);
  auto& known = costs_.try_emplace(of.code(), each).first->second;
  known += (each - known) / 4;
}

std::optional<double> pool_link::cost(std::uint64_t code) const {
  const std::scoped_lock guard(mutex_);
  const auto known = costs_.find(code);
  return known == costs_.end() ? std::nullopt : std::optional(known->second);
}

}  // namespace cloister::detail
