// SPDX-License-Identifier: BSD-3-Clause
// No fork while the hub's thread works: a copy would have, held for ever, whatever locks that thread holds just then (glibc's allocator is
// prepared for forks, those of sanitizers and other libraries are not).
//
// The hub's thread holds the gate during each round, and not while it waits for events. Every fork of the process takes it by a handler
// of pthread_atfork, so it waits for the end of a round, which waits for nobody. Threads: any; not recursive.
#pragma once

#include <semaphore>

namespace cloister::detail {

inline std::binary_semaphore fork_gate{1};
inline thread_local bool holds_fork_gate = false;

/// What the hub's thread has while it works. It may fork itself.
class fork_gate_holder {
 public:
  fork_gate_holder() noexcept {
    fork_gate.acquire();
    holds_fork_gate = true;
  }
  ~fork_gate_holder() {
    holds_fork_gate = false;
    fork_gate.release();
  }
  fork_gate_holder(const fork_gate_holder&) = delete;
  fork_gate_holder& operator=(const fork_gate_holder&) = delete;
};

}  // namespace cloister::detail
