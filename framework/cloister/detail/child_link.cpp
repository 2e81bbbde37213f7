// SPDX-License-Identifier: BSD-3-Clause
// Reading an exit channel: "started" once, by the starter; the end as often as anybody asks, for it stays in the socket.
#include <cloister/detail/child_link.hpp>

#include <cloister/detail/membership.hpp>
#include <cloister/detail/stop.hpp>
#include <cloister/internal/control.hpp>

#include <cerrno>

#include <fcntl.h>
#include <poll.h>

namespace cloister::detail {

using namespace internal;

child_link::child_link(owned_fd channel, std::string name, bool daemon, std::int64_t shutdown_ns)
    : channel_(std::move(channel)), daemon_(daemon), shutdown_ns_(shutdown_ns), name_(std::move(name)) {}

void child_link::assume(std::uint32_t incarnation, std::int32_t pid) noexcept {
  incarnation_ = incarnation;
  pid_ = pid;
}

void child_link::await_start() {
  datagram d;
  switch (await_datagram(channel_.get(), d)) {
    case receive_status::received: break;
    case receive_status::ended:
      throw failure(errc::no_descriptors, "process '" + name_ + "' start: the node's first process has no descriptor left");
    case receive_status::empty:
      throw failure(stop_reason().value_or(errc::stopping), "process '" + name_ + "' start: this process was asked to stop");
  }
  const auto message = decode<exit_message>(d.bytes);
  if (const auto* no = std::get_if<refused>(&message)) throw failure(no->code, no->text);
  if (const auto* yes = std::get_if<internal::started>(&message)) {
    assume(yes->incarnation, yes->pid);
    if (name_.empty()) name_ = "process-" + std::to_string(incarnation_);
    return;
  }
  throw failure(errc::broken, "process '" + name_ + "' start: the hub's answer makes no sense");
}

bool child_link::has_started() {
  pollfd readable{channel_.get(), POLLIN, 0};
  if (::poll(&readable, 1, 0) <= 0) return false;
  await_start();
  return true;
}

std::optional<exit_status> child_link::read_end() {
  if (exit_) return exit_;
  pollfd readable{channel_.get(), POLLIN, 0};
  if (::poll(&readable, 1, 0) <= 0) return {};
  datagram d;
  // Left there for forked processes, which have the same socket.
  if (receive_datagram(channel_.get(), d, true) == receive_status::received) {
    const auto message = decode<exit_message>(d.bytes);
    if (const auto* end = std::get_if<ended>(&message)) exit_ = end->exit;
  }
  if (!exit_) exit_.emplace();  // end-of-file without a word: ended, nobody knows how
  return exit_;
}

std::optional<exit_status> child_link::poll() {
  const std::scoped_lock guard(mutex_);
  return read_end();
}

result<exit_status> child_link::wait(deadline until) {
  if (membership::forked_by_user())
    return {errc::not_attached, "process '" + name_ + "' join: this process was forked by the program itself"};
  for (;;) {
    if (auto e = poll()) return *std::move(e);
    // The end of the channel stays readable (end-of-file follows the message), so every waiting thread wakes.
    pollfd both[2] = {{channel_.get(), POLLIN, 0}, {stop_fd(), POLLIN, 0}};
    const int n = ::poll(both, 2, until.remaining_ms());
    if (n > 0 && (both[0].revents != 0)) continue;
    if (n > 0 && both[1].revents != 0) {
      const auto why = stop_reason();
      if (why) return {*why, "process '" + name_ + "' join: this process was asked to stop"};
    }
    if (n == 0 && until.has_passed()) return {errc::timed_out, "process '" + name_ + "' join: still running"};
  }
}

void child_link::wait_unstoppably() noexcept {
  // Nothing but its end can come any more; it is read by whoever wants to know.
  pollfd end{channel_.get(), POLLIN, 0};
  while (::poll(&end, 1, -1) <= 0) {}
}

}  // namespace cloister::detail
