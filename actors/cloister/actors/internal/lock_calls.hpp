// SPDX-License-Identifier: BSD-3-Clause
// What a condition does with its mutex.
#pragma once

#include <cloister/detail/attachment.hpp>
#include <cloister/error.hpp>

#include <cstdint>

namespace cloister::internal {

/// Unlocks it however often it is locked; how often that was. REQUIRES: this thread has it.
std::uint64_t unlock_whole(detail::attachment& lock) noexcept;
/// Locks it again, as often; whatever stops, for there may be nothing that can be done without it.
result<void> lock_whole(detail::attachment& lock, std::uint64_t depth);

}  // namespace cloister::internal
