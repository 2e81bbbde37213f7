// SPDX-License-Identifier: BSD-3-Clause
// What this process knows about itself lies in its membership; its parent and children are child_links.
#include <cloister/this_process.hpp>

#include <cloister/detail/child_link.hpp>
#include <cloister/detail/membership.hpp>
#include <cloister/detail/stop.hpp>
#include <cloister/internal/control.hpp>

#include <atomic>

#include <poll.h>
#include <unistd.h>

namespace cloister {

using detail::membership;

process_id this_process::id() {
  const auto& m = membership::require();
  return {m.id().incarnation, ::getpid(), m.self().name};
}

std::string this_process::name() { return membership::require().self().name; }
bool this_process::daemon() { return membership::require().self().daemon; }
bool this_process::stop_requested() noexcept { return detail::stop_requested(); }

void this_process::ready(const std::string& said) {
  auto& m = membership::require();
  if (m.self().says_ready) internal::send_request(m.control(), internal::say_ready{said});
}

void this_process::progress() {
  auto& m = membership::require();
  const auto interval = m.self().progress_ns / 4;
  if (interval == 0) return;
  static std::atomic<std::int64_t> told{0};  // when
  auto last = told.load(std::memory_order_relaxed);
  const auto now = deadline::now();
  if (now - last < interval || !told.compare_exchange_strong(last, now, std::memory_order_relaxed)) return;
  internal::send_request(m.control(), internal::show_progress{});
}

void this_process::sleep_for(std::chrono::nanoseconds duration) {
  const deadline until(duration);
  for (;;) {
    if (const auto why = detail::stop_reason()) throw failure(*why, "sleep: this process was asked to stop");
    if (until.has_passed()) return;
    pollfd stop{detail::stop_fd(), POLLIN, 0};
    const auto left = until.remaining_ns();
    const timespec wait{static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
    ::ppoll(&stop, 1, until.is_never() ? nullptr : &wait, nullptr);
  }
}

std::optional<parent_handle> parent_process() {
  auto& m = membership::require();
  if (m.id().parent == 0) return {};
  parent_handle p;
  p.id_ = {m.id().parent, m.id().parent_pid, m.self().parent_name};
  p.link_ = m.parent();
  return p;
}

bool parent_handle::is_alive() const { return !link_->poll(); }
exit_status parent_handle::join() const { return link_->wait(deadline::never()).value(); }
result<exit_status> parent_handle::join(deadline until) const { return link_->wait(until); }

std::vector<process_id> active_children() {
  std::vector<process_id> ids;
  for (const auto& c : membership::require().children()) ids.push_back({c->incarnation(), c->pid(), c->name()});
  return ids;
}

}  // namespace cloister
