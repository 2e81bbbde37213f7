// SPDX-License-Identifier: BSD-3-Clause
// What the processes of one contestant share: a gate to start together, a stop flag, and the totals.
//
//   stage s;  crew members;
//   members.add(j, 0, [&] { s.wait_at_gate(); ... });  // a forked process; many of them
//   s.await_ready(1);  s.open_gate();  ...  s.request_stop();  members.join();
//
// `stage` is a small shared mapping. Forked processes inherit it; a process started in another way attaches by the
// descriptor. All members may be called by any process that has it. `crew` belongs to the process that made it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "contest.hpp"

namespace bench {

class stage {
 public:
  stage();                 // a new one
  explicit stage(int fd);  // attaches; does not take the descriptor over
  stage(const stage&) = delete;
  stage& operator=(const stage&) = delete;
  ~stage();

  int fd() const noexcept { return fd_; }

  /// A participant says that it is set up, and waits until the gate opens. Blocks without deadline.
  void wait_at_gate() noexcept;
  /// Waits until `n` participants in all have come to the gate; throws after 60 s.
  void await_ready(std::uint32_t n);
  /// Lets everybody go; returns the time.
  std::int64_t open_gate() noexcept;

  bool stopping() const noexcept { return page_->stop.load(std::memory_order_relaxed) != 0; }
  void request_stop() noexcept { page_->stop.store(1, std::memory_order_relaxed); }

  /// A producer reports what it sent; true for the last of `producers`.
  bool add_sent(std::uint64_t messages, std::uint64_t sum, int producers) noexcept;
  /// A consumer reports what it received since its last report, and when the last message came.
  void add_received(std::uint64_t messages, std::uint64_t sum, std::int64_t when) noexcept;
  /// True when all of `producers` have reported and everything they sent was received.
  bool all_received(int producers) const noexcept;
  std::uint64_t received() const noexcept { return page_->received.load(); }
  std::int64_t last_received_at() const noexcept { return page_->last.load(); }
  /// Throws if what was received is not what was sent.
  void check_totals() const;

  /// 64 words for whatever a contestant has to tell its processes, for example port numbers.
  std::atomic<std::uint32_t>& word(std::size_t i) noexcept { return page_->words[i % 64]; }

 private:
  struct page {
    alignas(64) std::atomic<std::uint32_t> gate;
    alignas(64) std::atomic<std::uint32_t> ready;
    alignas(64) std::atomic<std::uint32_t> stop;
    alignas(64) std::atomic<std::uint32_t> finished;
    alignas(64) std::atomic<std::uint64_t> sent;
    std::atomic<std::uint64_t> sent_sum;
    std::atomic<std::uint64_t> received;
    std::atomic<std::uint64_t> received_sum;
    std::atomic<std::int64_t> last;
    alignas(64) std::atomic<std::uint32_t> words[64];
  };
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);

  void map();

  int fd_ = -1;
  bool owns_fd_ = false;
  page* page_ = nullptr;
};

/// Forked processes, watched by pid.
class crew {
 public:
  crew() = default;
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;
  /// Kills who still runs and reaps everybody.
  ~crew();

  /// Forks a process that takes the processor of `side`, runs `body` and ends; it dies with this process.
  /// REQUIRES: no other thread in this process, and this process has not yet taken a processor itself.
  pid_t add(const job& j, int side, const std::function<void()>& body);
  /// Waits for all. If one failed, kills the others and throws.
  void join();
  const std::vector<pid_t>& pids() const noexcept { return pids_; }

 private:
  std::vector<pid_t> pids_;  // not yet reaped
};

/// futex(2) on a word in shared memory. `wait` returns when the word is not `seen`, on a wake, a signal or after `timeout_ns` (< 0: never).
void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t seen, std::int64_t timeout_ns = -1) noexcept;
void futex_wake(std::atomic<std::uint32_t>& word, int count) noexcept;

/// Writes one byte-filled page into each of `mib` MiB of private memory and keeps it until the program ends.
void hold_ballast(std::size_t mib);

}  // namespace bench
