// SPDX-License-Identifier: BSD-3-Clause
// Options of an object that its creator tells the hub.
#pragma once

#include <cstdint>

namespace cloister::internal {
inline constexpr std::uint32_t close_with_last_sink = 1;
/// An actor's mailbox: closed when its last source is gone; whoever was introduced to it hears of that, and of every death of a source.
inline constexpr std::uint32_t actor_mailbox = 2;
/// Besides: many take from it, children of the one who made it, and one of them that ends ends for nobody what others have taken. Whoever
/// was introduced hears when all are gone, and how the maker ended.
inline constexpr std::uint32_t many_takers = 8;
/// A queue that is of no use without its source: closed when that is gone.
inline constexpr std::uint32_t close_with_source = 4;
}  // namespace cloister::internal
