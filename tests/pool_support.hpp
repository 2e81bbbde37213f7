// SPDX-License-Identifier: BSD-3-Clause
// What the tests of the pool share: a function, its items and their results, and waiting for workers.
#pragma once

#include "process_support.hpp"

#include <cloister/actors/pool.hpp>

#include <numeric>
#include <vector>

namespace support {

inline int square(int x) { return x * x; }
inline std::vector<int> up_to(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}
inline std::vector<int> squares(int n) {
  auto v = up_to(n);
  for (auto& x : v) x *= x;
  return v;
}
inline bool all_started(const cloister::pool& p, std::size_t n) {
  return harness::eventually([&] { return p.workers().size() == n; }, 20s);
}

}  // namespace support
