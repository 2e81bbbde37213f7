// SPDX-License-Identifier: BSD-3-Clause
// One file descriptor with one owner. It travels: sent in a message or as an argument, the receiver gets its own duplicate.
//
//   owned_fd log{::open("run.log", O_WRONLY | O_CREAT | O_CLOEXEC, 0644)};
//   process p{here, [](owned_fd out) { ::dprintf(out.get(), "hello\n"); }, std::move(log)};
//
// Move-only, one thread at a time. Closing never blocks on the library; errors of close(2) are ignored.
#pragma once

#include <utility>

namespace cloister {

class owned_fd {
 public:
  owned_fd() = default;
  /// Takes ownership of `fd`; a negative number means none.
  explicit owned_fd(int fd) noexcept : fd_(fd < 0 ? -1 : fd) {}
  owned_fd(owned_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  owned_fd& operator=(owned_fd&& other) noexcept;
  ~owned_fd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  /// Gives the descriptor up without closing it.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  void reset() noexcept;
  /// A second descriptor for the same file, close-on-exec; empty if there is none left.
  owned_fd duplicate() const noexcept;

 private:
  int fd_ = -1;
};

}  // namespace cloister
