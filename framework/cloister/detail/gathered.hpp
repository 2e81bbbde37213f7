// SPDX-License-Identifier: BSD-3-Clause
// A message on its way into shared memory: one piece of memory or several that follow each other, so that a large vector is copied
// once, from where its owner has it. A view: the pieces belong to the caller. One thread.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>

namespace cloister::detail {

class gathered {
 public:
  template <std::convertible_to<std::span<const std::byte>> Bytes>
  gathered(const Bytes& whole) noexcept : first_(whole), size_(first_.size()) {}  // NOLINT(google-explicit-constructor)
  /// REQUIRES: !pieces.empty()
  explicit gathered(std::span<const std::span<const std::byte>> pieces) noexcept
      : first_(pieces.front()), more_(pieces.subspan(1)) {
    for (const auto& piece : pieces) size_ += piece.size();
  }

  std::size_t size() const noexcept { return size_; }

  /// Copies them out from the first byte on.
  class reader {
   public:
    explicit reader(const gathered& message) noexcept : piece_(message.first_), more_(message.more_) {}
    /// The next bytes. REQUIRES: so many are left.
    void copy(std::byte* to, std::size_t bytes) noexcept {
      while (bytes > piece_.size()) {
        if (!piece_.empty()) std::memcpy(to, piece_.data(), piece_.size());
        to += piece_.size();
        bytes -= piece_.size();
        piece_ = more_.front();
        more_ = more_.subspan(1);
      }
      if (bytes != 0) std::memcpy(to, piece_.data(), bytes);
      piece_ = piece_.subspan(bytes);
    }

   private:
    std::span<const std::byte> piece_;
    std::span<const std::span<const std::byte>> more_;
  };

 private:
  std::span<const std::byte> first_;
  std::span<const std::span<const std::byte>> more_;
  std::size_t size_ = 0;
};

}  // namespace cloister::detail
