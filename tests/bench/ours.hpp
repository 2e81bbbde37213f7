// SPDX-License-Identifier: BSD-3-Clause
// This library's own contestants: its mailboxes and its processes, used as any program would use them.
#pragma once

#include <cloister/fd.hpp>
#include <cloister/node.hpp>
#include <cloister/process.hpp>

#include <functional>
#include <vector>

#include "contest.hpp"
#include "stage.hpp"

namespace bench {

/// The program's node, made by main.
cloister::node& here() noexcept;

figures our_queue(const job& j);
figures our_leases(const job& j);
figures our_queue_round_trip(const job& j);
figures our_queue_memory(const job& j);
figures our_ask(const job& j);
figures our_tell(const job& j);
figures our_replacement(const job& j);
figures our_supervised_crowd(const job& j);
figures our_supervisors_memory(const job& j);
figures our_free_mutex(const job& j);
figures our_free_semaphore(const job& j);
figures our_free_event(const job& j);
figures our_contended_mutex(const job& j);
figures our_contended_semaphore(const job& j);
figures our_hand_over(const job& j);
figures our_event_for_many(const job& j);
figures our_many_mutexes(const job& j);
figures our_pool_map(const job& j);
figures our_pool_imap_unordered(const job& j);
figures our_pool_apply(const job& j);
figures our_pool_large(const job& j);
figures our_pool_speed_up(const job& j);
figures our_pool_start(const job& j);
figures our_pool_backlog(const job& j);
figures queues_large(const job& j);
figures threads_map(const job& j);
figures threads_speed_up(const job& j);
figures our_pipe(const job& j);
figures our_pipe_round_trip(const job& j);
figures our_pipe_memory(const job& j);

/// A descriptor of the stage to hand to a process.
cloister::owned_fd copy_of(const stage& s);
/// Joins them as they end. If one failed, kills the others, which may be waiting for it, and throws.
void join_all(std::vector<cloister::process>& processes);
/// "each": private memory, and what is reserved in shared memory, of one of the objects that `add` makes and uses once.
figures memory_of_each(const job& j, const std::function<void()>& add);

}  // namespace bench
