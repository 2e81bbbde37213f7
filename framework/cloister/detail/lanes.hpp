// SPDX-License-Identifier: BSD-3-Clause
// The lanes in which those who asked in a mailbox hear of it (detail/letter.hpp), as whoever answers sees them. One thread.
#pragma once

#include <cloister/detail/attachment.hpp>

#include <cstdint>
#include <memory>
#include <unordered_map>

namespace cloister::detail {

class lanes {
 public:
  /// `mailbox`: where it was asked; outlives this.
  explicit lanes(attachment& mailbox) noexcept : mailbox_(mailbox) {}

  /// Asks the hub if it is not known yet. Throws `failure`: gone (whoever asked has ended), no_descriptors, stopping, ...
  std::shared_ptr<attachment> find(std::uint64_t id);

 private:
  attachment& mailbox_;
  std::unordered_map<std::uint64_t, std::shared_ptr<attachment>> known_;
};

}  // namespace cloister::detail
