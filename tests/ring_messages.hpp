// SPDX-License-Identifier: BSD-3-Clause
// Messages for the tests of rings: bytes that tell their number and length, so that tearing and mixing show.
#pragma once

#include "harness.hpp"

#include <cloister/detail/ring.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <cstring>

namespace ring_messages {

/// Message `number` of `size` bytes.
inline std::vector<std::byte> message(std::uint64_t number, std::size_t size) {
  std::vector<std::byte> bytes(size);
  std::uint64_t word = (number + 1) * 0x9e3779b97f4a7c15ULL ^ size;
  for (std::size_t i = 0; i < size; i += 8) {
    std::memcpy(bytes.data() + i, &word, std::min<std::size_t>(8, size - i));
    word = word * 6364136223846793005ULL + 1442695040888963407ULL;
  }
  return bytes;
}

inline cloister::result<std::uint64_t> put(cloister::detail::ring& r, unsigned direction, std::uint64_t number, std::size_t size,
                                           cloister::deadline until = cloister::deadline::passed()) {
  return r.put(direction, message(number, size), until);
}

/// Takes the next message. The error, if there is none.
inline cloister::result<std::vector<std::byte>> get(cloister::detail::ring& r, unsigned direction,
                                                    cloister::deadline until = cloister::deadline::passed()) {
  auto m = r.peek(direction, until);
  if (!m) return m.error();
  std::vector<std::byte> bytes(m->size());
  m->copy_to(bytes.data());
  r.pop(direction);
  return bytes;
}

/// True if the next message is exactly that. (Not compared by the test framework, which would print all of it.)
inline bool arrives(cloister::detail::ring& r, unsigned direction, const std::vector<std::byte>& expected,
                    cloister::deadline until = cloister::deadline::passed()) {
  return get(r, direction, until).value() == expected;
}

inline std::unique_ptr<cloister::detail::ring> make(std::size_t max_bytes = std::size_t{256} << 20) {
  cloister::detail::ring::options o;
  o.name = "p";
  o.max_bytes = max_bytes;
  return cloister::detail::ring::create(o).value();
}

/// A second mapping of the same pipe, as another process would have.
inline std::unique_ptr<cloister::detail::ring> attach(const cloister::detail::ring& r) {
  cloister::owned_fd fd(::fcntl(r.fd(), F_DUPFD_CLOEXEC, 0));
  return cloister::detail::ring::attach(cloister::detail::memory::attach(std::move(fd), "pipe 'p'").value()).value();
}

/// The memory that the pipe really takes.
inline std::size_t bytes_held(const cloister::detail::ring& r) {
  struct stat st {};
  REQUIRE(::fstat(r.fd(), &st) == 0);
  return static_cast<std::size_t>(st.st_blocks) * 512;
}

}  // namespace ring_messages
