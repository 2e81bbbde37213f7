// SPDX-License-Identifier: BSD-3-Clause
// A short text made of words and numbers where only async-signal-safe calls may run: in the launcher, and after a fork. (snprintf is
// none.) Owner: one thread. Never allocates; what does not fit is cut off.
#pragma once

#include <cstddef>

namespace cloister::internal {

class safe_text {
 public:
  safe_text& operator<<(const char* text) noexcept {
    while (*text != 0) put(*text++);
    return *this;
  }
  safe_text& operator<<(unsigned long number) noexcept {
    char digits[24];
    std::size_t n = 0;
    do digits[n++] = static_cast<char>('0' + number % 10);
    while ((number /= 10) != 0);
    while (n > 0) put(digits[--n]);
    return *this;
  }
  char* c_str() noexcept { return text_; }

 private:
  void put(char c) noexcept {
    if (size_ + 1 < sizeof text_) text_[size_++] = c;
  }
  char text_[96] = {};
  std::size_t size_ = 0;
};

}  // namespace cloister::internal
