// SPDX-License-Identifier: BSD-3-Clause
// The program of this library's contestants: the table, and the contests about processes.
#include "ours.hpp"

#include <cloister/wait.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <stdexcept>
#include <vector>

#include "memory_use.hpp"
#include "starting.hpp"

using namespace cloister;

namespace bench {
namespace {

node* node_of_main = nullptr;

void nothing() {}

void wait_at_gate(owned_fd fd) { stage(fd.get()).wait_at_gate(); }

template <start_method Method>
figures start(const job& j) {
  return measure_starts(j, [] { process(here(), {.start = Method}, nothing).join(); });
}

figures crowd(const job& j) {
  stage s;
  std::vector<process> processes;
  processes.reserve(static_cast<std::size_t>(j.count));
  return measure_crowd(
      s, j, [&](int) { return processes.emplace_back(here(), wait_at_gate, copy_of(s)).pid(); }, [&] { processes.clear(); });
}

}  // namespace

node& here() noexcept { return *node_of_main; }

owned_fd copy_of(const stage& s) { return owned_fd(::fcntl(s.fd(), F_DUPFD_CLOEXEC, 0)); }

void join_all(std::vector<process>& processes) {
  while (!processes.empty()) {
    const auto ended = processes.begin() + static_cast<std::ptrdiff_t>(wait_any(processes, deadline::never()).value());
    const auto exit = ended->join();
    if (!exit.success()) {
      const auto what = ended->name() + ": " + exit.text();
      for (const auto& p : processes) p.kill();
      throw std::runtime_error(what);
    }
    processes.erase(ended);
  }
}

figures memory_of_each(const job& j, const std::function<void()>& add) {
  const auto used = [] { return anonymous_kib(::getpid()) + memfd_kib(); };
  add();
  const auto before = used();
  for (int i = 0; i < j.count; ++i) add();
  return {{"each", (used() - before) / j.count}};
}

}  // namespace bench

int main(int argc, char** argv) {
  node here{argc, argv};
  bench::node_of_main = &here;
  static const bench::contestant table[] = {
      {"queue", "queue", bench::our_queue},
      {"queue", "leases", bench::our_leases},
      {"queue", "pipe", bench::our_pipe},
      {"round-trip", "pipe", bench::our_pipe_round_trip},
      {"memory", "pipe", bench::our_pipe_memory},
      {"round-trip", "queue", bench::our_queue_round_trip},
      {"memory", "queue", bench::our_queue_memory},
      {"round-trip", "ask", bench::our_ask},
      {"queue", "tell", bench::our_tell},
      {"replacement", "supervisor", bench::our_replacement},
      {"supervised", "supervisor", bench::our_supervised_crowd},
      {"supervisors", "supervisor", bench::our_supervisors_memory},
      {"lock", "mutex", bench::our_free_mutex},
      {"lock", "semaphore", bench::our_free_semaphore},
      {"lock", "event", bench::our_free_event},
      {"contended", "mutex", bench::our_contended_mutex},
      {"contended", "semaphore", bench::our_contended_semaphore},
      {"hand-over", "semaphore", bench::our_hand_over},
      {"wake-many", "event", bench::our_event_for_many},
      {"locks", "mutex", bench::our_many_mutexes},
      {"pool-map", "pool", bench::our_pool_map},
      {"pool-map", "threads", bench::threads_map},
      {"pool-imap", "pool", bench::our_pool_imap_unordered},
      {"pool-apply", "pool", bench::our_pool_apply},
      {"pool-large", "pool", bench::our_pool_large},
      {"pool-large", "queues", bench::queues_large},
      {"pool-speed-up", "pool", bench::our_pool_speed_up},
      {"pool-speed-up", "threads", bench::threads_speed_up},
      {"pool-start", "pool", bench::our_pool_start},
      {"pool-backlog", "pool", bench::our_pool_backlog},
      {"start", "forkserver", bench::start<start_method::forkserver>},
      {"start", "spawn", bench::start<start_method::spawn>},
      {"start", "fork", bench::start<start_method::fork>},
      {"replacement", "start and join", bench::start<start_method::forkserver>},
      {"crowd", "forkserver", bench::crowd},
  };
  return bench::contestant_main(argc, argv, "cloister " BENCH_CLOISTER_VERSION, table);
}
