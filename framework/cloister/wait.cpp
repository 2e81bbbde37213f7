// SPDX-License-Identifier: BSD-3-Clause
// Bells: an eventfd for each mailbox that somebody polls, never read, each wait with an epoll of its own in which the bell is
// edge-triggered. One ring is an edge for every epoll, so a stopped process swallows nobody else's.
#include <cloister/wait.hpp>

#include <cloister/detail/stop.hpp>

#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/epoll.h>

namespace cloister {

bool waitable::ready() const {
  if (object_->kind() == detail::object_kind::queue) { return object_->queue().would_return(detail::self_actor()); }
  const auto arrived = object_->pipe().poll(direction_, deadline::passed());
  return !arrived || *arrived;
}

void waitable::arm() const {
  auto& event = object_->kind() == detail::object_kind::queue ? object_->queue().ready_event() : object_->pipe().data(direction_);
  event.arm_bell();
}

int waitable::bell() const { return object_->bell(object_->kind() == detail::object_kind::queue ? 0 : 2 * direction_); }

namespace detail {
std::size_t next_rotation() noexcept {
  thread_local std::size_t turn = 0;
  return turn++;
}
}  // namespace detail

/// What one call waits for, in one epoll. Data of an event: the index.
class wait_set {
 public:
  explicit wait_set(std::span<const waitable> what) : what_(what) {}

  // All that are ready now, looked at without waiting.
  result<std::vector<std::size_t>> look(bool arm) const {
    std::vector<std::size_t> ready;
    std::vector<pollfd> plain;
    for (const auto& w : what_) {
      if (w.is_mailbox() && arm) w.arm();
      if (!w.is_mailbox()) plain.push_back({w.fd_, POLLIN, 0});
    }
    if (!plain.empty()) ::poll(plain.data(), plain.size(), 0);
    for (const auto& p : plain) {
      if (p.fd < 0 || (p.revents & POLLNVAL) != 0)
        return {errc::invalid, "wait: descriptor " + std::to_string(p.fd) + " is not open"};
    }
    std::size_t next = 0;
    for (std::size_t i = 0; i < what_.size(); ++i) {
      if (what_[i].is_mailbox() ? what_[i].ready() : plain[next++].revents != 0) ready.push_back(i);
    }
    return ready;
  }

  result<void> open() {
    epoll_ = owned_fd(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_) return {errc::no_descriptors, std::string("wait: ") + std::strerror(errno)};
    if (detail::stop_fd() < 0) return {errc::no_descriptors, "wait: this process has no descriptor left"};
    bool added = add(detail::stop_fd(), EPOLLIN, what_.size());
    for (std::size_t i = 0; i < what_.size() && added; ++i) {
      const auto& w = what_[i];
      added = w.is_mailbox() ? add(w.bell(), EPOLLIN | static_cast<std::uint32_t>(EPOLLET), i) : add(w.fd_, EPOLLIN, i);
      if (!added && errno == EBADF) return {errc::invalid, "wait: descriptor " + std::to_string(w.fd_) + " is not open"};
    }
    if (!added) return {errno == EPERM ? errc::invalid : errc::no_memory, std::string("wait: ") + std::strerror(errno)};
    return {};
  }

  void sleep(deadline until) const {
    epoll_event events[16];
    static_cast<void>(::epoll_wait(epoll_.get(), events, 16, until.remaining_ms()));
  }

 private:
  // The same mailbox or descriptor twice is one registration: EEXIST is no error.
  bool add(int fd, std::uint32_t events, std::size_t index) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = index;
    return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0 || errno == EEXIST;
  }

  std::span<const waitable> what_;
  owned_fd epoll_;
};

result<std::vector<std::size_t>> wait_ready(std::span<const waitable> what, deadline until) {
  return detail::wait_ready("wait", what, until);
}

result<std::vector<std::size_t>> detail::wait_ready(std::string_view operation, std::span<const waitable> what, deadline until) {
  const auto says = [&](const char* why) { return std::string(operation) + ": " + why; };
  if (detail::self_actor() == 0) return {errc::not_attached, says("this process belongs to no node")};
  if (what.empty()) return {errc::invalid, says("nothing to wait for")};
  wait_set set(what);
  auto ready = set.look(false);
  if (!ready || !ready->empty()) return ready;
  if (until == deadline::passed()) return {errc::would_block, says("nothing is ready")};
  try {
    if (auto opened = set.open(); !opened) return opened.error();
  } catch (const failure& f) { return f.error(); }
  for (;;) {
    if (const auto why = detail::stop_reason()) return {*why, says("this process was asked to stop")};
    ready = set.look(true);
    if (!ready || !ready->empty()) return ready;
    if (until.has_passed()) return {errc::timed_out, says("nothing became ready in time")};
    set.sleep(until);
  }
}

result<std::size_t> wait_any(std::span<const waitable> what, deadline until) {
  auto ready = wait_ready(what, until);
  if (!ready) return ready.error();
  return (*ready)[detail::next_rotation() % ready->size()];
}

ready_fd::ready_fd(waitable what) : what_(std::move(what)), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) throw failure(errc::no_descriptors, std::string("ready_fd: ") + std::strerror(errno));
  epoll_event event{};
  event.events = what_.is_mailbox() ? EPOLLIN | static_cast<std::uint32_t>(EPOLLET) : static_cast<std::uint32_t>(EPOLLIN);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, what_.is_mailbox() ? what_.bell() : what_.fd_, &event) != 0)
    throw failure(errc::invalid, std::string("ready_fd: ") + std::strerror(errno));
}

bool ready_fd::ready() {
  epoll_event event{};
  if (!what_.is_mailbox()) return ::epoll_wait(epoll_.get(), &event, 1, 0) > 0;
  static_cast<void>(::epoll_wait(epoll_.get(), &event, 1, 0));  // takes the edge: the descriptor is quiet until the next ring
  what_.arm();
  return what_.ready();
}

}  // namespace cloister
