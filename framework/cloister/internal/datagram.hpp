// SPDX-License-Identifier: BSD-3-Clause
// Datagrams with descriptors, over AF_UNIX SEQPACKET sockets, and files without a name for what is longer.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/error.hpp>
#include <cloister/fd.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace cloister::internal {

/// The largest datagram on any control socket.
inline constexpr std::size_t max_datagram = 64 * 1024;
inline constexpr std::size_t max_descriptors = 250;  // SCM_MAX_FD is 253

struct datagram {
  std::vector<std::byte> bytes;
  std::vector<owned_fd> fds;
  pid_t pid = 0;           // of the sending process, by the kernel's word, if the socket passes credentials
  bool truncated = false;  // descriptors were lost: the table of this process is full
};
enum class receive_status { received, empty, ended };

/// A pair of connected SEQPACKET sockets, close-on-exec. The first passes credentials if asked to. Throws `failure{no_descriptors}`.
/// `what` begins the error's text.
std::pair<owned_fd, owned_fd> socket_pair(const std::string& what = "", bool credentials = false);
/// Sends one datagram. False if the peer is gone, or the socket is full until then or until a second after this process was asked to stop:
/// errno says which. Never raises SIGPIPE.
bool send_datagram(int fd, std::span<const std::byte> bytes, std::span<const int> fds, deadline until = deadline::never()) noexcept;
/// Receives one datagram into `into` (its vectors are reused). Blocks unless the socket is non-blocking. `peek`: leaves it there.
receive_status receive_datagram(int fd, datagram& into, bool peek = false);
/// Waits for the one datagram that the hub sends on a fresh socket. At that time, or a second after this process was asked to stop, it hangs up:
/// `empty`, and the hub's send fails, now or later.
receive_status await_datagram(int fd, datagram& into, deadline until = deadline::never());

/// A file without a name, for what is longer than a datagram. Errors: no_descriptors, no_memory.
result<owned_fd> make_file(const char* name, std::span<const std::byte> content);
/// All of it. Throws `failure{broken}`: "`what` cannot be read".
std::string read_file(const owned_fd& file, const std::string& what);
}  // namespace cloister::internal
