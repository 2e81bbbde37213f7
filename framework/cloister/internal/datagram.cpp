// SPDX-License-Identifier: BSD-3-Clause
// Datagrams with descriptors over AF_UNIX SEQPACKET sockets.
#include <cloister/internal/datagram.hpp>

#include <cloister/detail/stop.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cloister::internal {
namespace {

constexpr int look_for_stop_ms = 100;  // rare: a wait takes some microseconds, and a signal ends that of its thread

std::atomic<bool> given_up{false};  // the last one to find a full socket did: those who come after it do not wait a second each

// Whoever waits for the hub: true at its own time, or a second after this process was asked to stop.
bool give_up(std::optional<deadline>& at, deadline until) noexcept {
  if (!at && detail::stop_requested()) at = std::chrono::seconds(1);
  return until.has_passed() || (at && at->has_passed());
}

int until_next_look(deadline until) noexcept {
  return until.is_never() ? look_for_stop_ms : std::min(look_for_stop_ms, until.remaining_ms());
}

}  // namespace

std::pair<owned_fd, owned_fd> socket_pair(const std::string& what, bool credentials) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    throw failure(errc::no_descriptors, what + "no descriptor left: " + std::strerror(errno));
  std::pair<owned_fd, owned_fd> pair{owned_fd(ends[0]), owned_fd(ends[1])};
  if (credentials) {
    // The kernel counts at least 768 bytes a datagram, and doubles what it is asked for: there can be some 340 of them, whatever the
    // system's default is.
    const int on = 1, room = 128 * 1024;
    static_cast<void>(::setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    static_cast<void>(::setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room));
  }
  return pair;
}

bool send_datagram(int fd, std::span<const std::byte> bytes, std::span<const int> fds, deadline until) noexcept {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_descriptors)];
  iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    if (fds.size() > max_descriptors) {
      errno = EINVAL;
      return false;
    }
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
  }
  std::optional<deadline> hang_up;
  for (;;) {
    if (::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
      given_up = false;
      return true;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN || until == deadline::passed()) return false;
    if ((given_up && detail::stop_requested()) || give_up(hang_up, until)) {
      given_up = detail::stop_requested();
      errno = EAGAIN;
      return false;
    }
    pollfd writable{fd, POLLOUT, 0};
    ::poll(&writable, 1, until_next_look(until));
  }
}

receive_status receive_datagram(int fd, datagram& into, bool peek) {
  into.fds.clear();
  into.truncated = false;
  into.pid = 0;
  into.bytes.resize(max_datagram);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_descriptors) + CMSG_SPACE(sizeof(ucred))];
  iovec data{into.bytes.data(), into.bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n = 0;
  // ECONNRESET: the peer ended without reading everything. It is told once, before what the peer had sent.
  do n = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC | (peek ? MSG_PEEK : 0));
  while (n < 0 && (errno == EINTR || errno == ECONNRESET));
  if (n < 0) {
    into.bytes.clear();
    return errno == EAGAIN || errno == EWOULDBLOCK ? receive_status::empty : receive_status::ended;
  }
  into.bytes.resize(static_cast<std::size_t>(n));
  into.truncated = (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_RIGHTS) {
      const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int received = -1;
        std::memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
        into.fds.emplace_back(received);
        // A program may have closed its standard input or output: what is printed must not go into a mailbox.
        if (received <= STDERR_FILENO) into.fds.back() = into.fds.back().duplicate();
        if (!into.fds.back()) into.truncated = true;
      }
    } else if (c->cmsg_type == SCM_CREDENTIALS) {
      ucred credentials{};
      std::memcpy(&credentials, CMSG_DATA(c), sizeof credentials);
      into.pid = credentials.pid;
    }
  }
  return n == 0 && into.fds.empty() ? receive_status::ended : receive_status::received;
}

receive_status await_datagram(int fd, datagram& into, deadline until) {
  std::optional<deadline> hang_up;
  for (;;) {
    pollfd readable{fd, POLLIN, 0};
    if (::poll(&readable, 1, until_next_look(until)) > 0) return receive_datagram(fd, into);
    if (!give_up(hang_up, until)) continue;
    // From now on nothing can come; what came just now counts.
    static_cast<void>(::shutdown(fd, SHUT_RD));
    return receive_datagram(fd, into) == receive_status::received ? receive_status::received : receive_status::empty;
  }
}

result<owned_fd> make_file(const char* name, std::span<const std::byte> content) {
  owned_fd file(::memfd_create(name, MFD_CLOEXEC));
  if (!file) return {errc::no_descriptors, "no descriptor left"};
  for (std::size_t done = 0; done < content.size();) {
    const auto n = ::write(file.get(), content.data() + done, content.size() - done);
    if (n < 0 && errno != EINTR) return {errc::no_memory, "no memory"};
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  return file;
}

std::string read_file(const owned_fd& file, const std::string& what) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0 || info.st_size < 0) throw failure(errc::broken, what + " cannot be read");
  std::string content(static_cast<std::size_t>(info.st_size), '\0');
  for (std::size_t done = 0; done < content.size();) {
    const auto n = ::pread(file.get(), content.data() + done, content.size() - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw failure(errc::broken, what + " cannot be read");
    done += static_cast<std::size_t>(n);
  }
  return content;
}

}  // namespace cloister::internal
