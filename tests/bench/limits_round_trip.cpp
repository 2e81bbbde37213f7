// SPDX-License-Identifier: BSD-3-Clause
// Limits of the round trip contest: a note in shared memory announced by a futex word, by a spinning loop, or in a pipe.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <new>

#include "limits.hpp"
#include "round_trip.hpp"
#include "stage.hpp"

namespace bench {
namespace {

/// One note in each direction, with the word that says how many were sent.
struct line {
  alignas(128) std::atomic<std::uint32_t> turn{0};
  note value;
};
struct both_ways {
  line there, back;
};

class shared_lines {
 public:
  shared_lines() {
    void* at = ::mmap(nullptr, sizeof(both_ways), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED) throw_errno("mmap");
    lines_ = new (at) both_ways;
  }
  shared_lines(const shared_lines&) = delete;
  shared_lines& operator=(const shared_lines&) = delete;
  ~shared_lines() { ::munmap(lines_, sizeof(both_ways)); }
  both_ways* operator->() noexcept { return lines_; }

 private:
  both_ways* lines_;
};

void send(line& to, const note& n, bool wake) noexcept {
  to.value = n;
  to.turn.fetch_add(1);
  if (wake) futex_wake(to.turn, 1);
}

void sleep_until_changed(line& from, std::uint32_t seen) noexcept {
  while (from.turn.load() == seen) futex_wait(from.turn, seen);
}

void spin_until_changed(line& from, std::uint32_t seen) noexcept {
  for (int spins = 0; from.turn.load(std::memory_order_acquire) == seen; ++spins) {
    if (spins < 20'000) relax();
    else ::sched_yield();
  }
}

figures exchange_lines(const job& j, void (*wait)(line&, std::uint32_t) noexcept, bool wake) {
  shared_lines lines;
  crew members;
  members.add(j, 1, [&] {
    note n;
    for (std::uint32_t turn = 0;; ++turn) {
      wait(lines->there, turn);
      n = lines->there.value;
      if (!echo(n, j)) return;
      send(lines->back, n, wake);
    }
  });
  take_processor(j, 0);
  pinger p(j);
  note n = p.first();
  std::uint32_t turn = 0;
  do {
    send(lines->there, n, wake);
    wait(lines->back, turn++);
    n = lines->back.value;
  } while (p.next(n));
  send(lines->there, n, wake);
  members.join();
  return p.result();
}

}  // namespace

figures futex_round_trip(const job& j) {
  if (j.manner == "awake") throw not_applicable("it sleeps");
  return exchange_lines(j, sleep_until_changed, true);
}

figures spinning_round_trip(const job& j) {
  if (j.manner == "asleep") throw not_applicable("it never sleeps");
  return exchange_lines(j, spin_until_changed, false);
}

figures pipe_round_trip(const job& j) {
  if (j.manner == "awake") throw not_applicable("it sleeps");
  int there[2];
  int back[2];
  if (::pipe2(there, O_CLOEXEC) != 0 || ::pipe2(back, O_CLOEXEC) != 0) throw_errno("pipe");
  crew members;
  members.add(j, 1, [&] {
    note n;
    for (;;) {
      read_all(there[0], &n, sizeof(n));
      if (!echo(n, j)) return;
      write_all(back[1], &n, sizeof(n));
    }
  });
  take_processor(j, 0);
  pinger p(j);
  note n = p.first();
  do {
    write_all(there[1], &n, sizeof(n));
    read_all(back[0], &n, sizeof(n));
  } while (p.next(n));
  write_all(there[1], &n, sizeof(n));
  members.join();
  return p.result();  // the descriptors end with the program
}

}  // namespace bench
