// SPDX-License-Identifier: BSD-3-Clause
// What the tests of the pool share: a function, its items and their results, and waiting for workers.
#pragma once

#include "process_support.hpp"

#include <cloister/actors/pool.hpp>

#include <numeric>
#include <string>
#include <vector>

#include <unistd.h>

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
// The first worker that starts is armed; the others are not.
struct armed {
  std::string point;
  unsigned index = 0;
  cloister::fault_action what = cloister::fault_action::kill;
};
inline cloister::pool_options with_fault(const cloister::queue<armed>& faults, const cloister::queue<pid_t>& who, int workers) {
  cloister::pool_options o;
  o.workers = workers;
  o.initializer = {[](const cloister::source<armed>& in, const cloister::sink<pid_t>& say) {
                     const auto f = in.try_get();
                     if (!f) return;
                     say.put(::getpid());
                     cloister::inject_fault({f->point, f->index, f->what, 0});
                   },
                   cloister::source<armed>(faults), cloister::sink<pid_t>(who)};
  return o;
}
inline bool all_started(const cloister::pool& p, std::size_t n) {
  return harness::eventually([&] { return p.workers().size() == n; }, 20s);
}

}  // namespace support
