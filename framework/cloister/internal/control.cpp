// SPDX-License-Identifier: BSD-3-Clause
// Asking the hub, and answering.
#include <cloister/internal/control.hpp>

#include <cloister/detail/stop.hpp>

#include <cerrno>
#include <cstring>

namespace cloister::internal {
namespace {

// Why it was given up: the caller's deadline, unless this process was asked to stop.
failure given_up(const std::string& text) {
  const auto why = detail::stop_reason();
  return {why.value_or(errc::timed_out), text + (why ? ", and this process was asked to stop" : " in time")};
}

}  // namespace

void send_request(const owned_fd& control, const request& message, std::span<const int> fds, const std::string& what,
                  deadline until) {
  const auto bytes = encode(message);
  if (bytes.size() > max_datagram) throw failure(errc::too_large, what + "a request to the node's hub is larger than 64 KiB");
  if (send_datagram(control.get(), bytes, fds, until)) return;
  const int error = errno;
  const std::string why = std::strerror(error);
  switch (error) {
    case EINVAL:
      throw failure(errc::too_large,
                    what + "a request to the node's hub has more than " + std::to_string(max_descriptors) + " descriptors");
    case EAGAIN: throw given_up(what + "the node's hub reads nothing");
    case EMSGSIZE: throw failure(errc::too_large, what + "a request to the node's hub is too large: " + why);
    case ETOOMANYREFS: throw failure(errc::no_descriptors, what + "too many descriptors are on their way to the node's hub");
    case ENOMEM:
    case ENOBUFS: throw failure(errc::no_memory, what + "no memory for a request to the node's hub");
    default: throw failure(errc::not_attached, what + "the node's hub cannot be reached: " + why);
  }
}

bool send_answer(const owned_fd& to, const answer& what) {
  constexpr std::size_t longest = 32 * 1024;  // half a datagram
  const auto bytes = encode(what);
  if (bytes.size() <= longest) return send_datagram(to.get(), bytes, {}, deadline::passed());
  const auto file = make_file("cloister answer", bytes);
  if (!file) return false;
  const int fd = file->get();
  return send_datagram(to.get(), encode(answer{beside{}}), {&fd, 1}, deadline::passed());
}

answer ask(const owned_fd& control, const request& message, std::vector<int> fds, datagram& reply, deadline until) {
  auto [mine, theirs] = socket_pair("a request to the node's hub: ");
  fds.insert(fds.begin(), theirs.get());
  send_request(control, message, fds, "", until);
  theirs.reset();
  // End-of-file instead of an answer: the hub could not take the request's descriptors (if it were gone, so would this process be).
  switch (await_datagram(mine.get(), reply, until)) {
    case receive_status::received: break;
    case receive_status::ended: throw failure(errc::no_descriptors, "the node's first process has no descriptor left");
    case receive_status::empty: throw given_up("the node's hub did not answer");
  }
  auto got = decode<answer>(reply.bytes);
  if (std::holds_alternative<beside>(got)) {
    if (reply.fds.empty())
      throw failure(errc::no_descriptors, "a long answer of the node's hub: this process has no descriptor left");
    const auto content = read_file(reply.fds.front(), "a long answer of the node's hub");
    got = decode<answer>(std::as_bytes(std::span(content)));
    reply.fds.erase(reply.fds.begin());
  }
  if (const auto* no = std::get_if<refused>(&got)) throw failure(no->code, no->text);
  return got;  // its descriptor may have been lost: `reply.fds` says
}

}  // namespace cloister::internal
