// SPDX-License-Identifier: BSD-3-Clause
// The contestants that are limits: bare mechanisms of the machine, without any of the promises of a library.
// They show what is left to gain; nobody is asked to beat them.
#pragma once

#include <cstddef>

#include "contest.hpp"

namespace bench {

figures bare_ring_queue(const job& j);
figures pipe_queue(const job& j);

figures futex_round_trip(const job& j);
figures spinning_round_trip(const job& j);
figures pipe_round_trip(const job& j);

figures fork_start(const job& j);
figures exec_start(const job& j);
figures fork_crowd(const job& j);
figures exec_crowd(const job& j);

/// Moves exactly that many bytes; throws on errors and at the end of the stream.
void write_all(int fd, const void* from, std::size_t bytes);
void read_all(int fd, void* to, std::size_t bytes);

/// Says to the processor that this is a waiting loop.
inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace bench
