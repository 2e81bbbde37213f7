// SPDX-License-Identifier: BSD-3-Clause
// A pool's worker: the body of its process.
#pragma once

#include <cloister/actors/detail/pool_wire.hpp>
#include <cloister/detail/attachment.hpp>
#include <cloister/detail/body.hpp>
#include <cloister/fd.hpp>
#include <cloister/queue.hpp>

#include <array>
#include <cstdint>
#include <string>

namespace cloister::internal {

/// What a worker is told before the bytes of its pool's initializer.
struct worker_terms {
  std::string pool;
  std::uint32_t depth = 0;  // of nesting: 1 for a worker of a pool that no worker made
  std::uint64_t max_tasks = 0;
  std::uint64_t max_memory = 0;
  std::int64_t idle_ns = 0;
  std::uint64_t initializer = 0;  // its code's number; 0: none
};

/// The process's body. Its arguments: the three queues (sources), sink<pool_word>, the descriptors of its page, the board and the
/// functions, worker_terms, the initializer's own.
void run_pool_worker(detail::body_context& context);

/// How deep in pools this process is: 0 in one that is no worker.
std::uint32_t pool_depth() noexcept;

}  // namespace cloister::internal
