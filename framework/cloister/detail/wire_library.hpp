// SPDX-License-Identifier: BSD-3-Clause
// The codecs of the library's own plain types.
#pragma once

#include <cloister/wire.hpp>

namespace cloister {

/// A flag, and the number that stands for the descriptor. The receiver gets a duplicate; the sender keeps its own.
template <>
struct codec<owned_fd> {
  static constexpr std::uint64_t fingerprint = 1;
  static void put(encoder& out, const owned_fd& fd);
  static owned_fd get(decoder& in);
};

template <>
struct codec<exit_status> {
  static constexpr std::uint64_t fingerprint = 2;
  static void put(encoder& out, const exit_status& exit);
  static exit_status get(decoder& in);
};

template <>
struct codec<error> {
  static constexpr std::uint64_t fingerprint = 3;
  static void put(encoder& out, const error& e);
  static error get(decoder& in);
};

}  // namespace cloister
