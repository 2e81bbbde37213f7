// SPDX-License-Identifier: BSD-3-Clause
// Options of an object that its creator tells the hub.
#pragma once

#include <cstdint>

namespace cloister::internal {
inline constexpr std::uint32_t close_with_last_sink = 1;
}
