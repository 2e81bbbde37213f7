// SPDX-License-Identifier: BSD-3-Clause
// Closing and duplicating; duplicates stay above standard input and output.
#include <cloister/fd.hpp>

#include <fcntl.h>
#include <unistd.h>

namespace cloister {

owned_fd& owned_fd::operator=(owned_fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

void owned_fd::reset() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

owned_fd owned_fd::duplicate() const noexcept { return owned_fd(fd_ < 0 ? -1 : ::fcntl(fd_, F_DUPFD_CLOEXEC, 3)); }

}  // namespace cloister
