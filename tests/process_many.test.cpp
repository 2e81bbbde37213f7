// SPDX-License-Identifier: BSD-3-Clause
// Many processes, many threads, and what is left after a thousand of them.
#include "process_support.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <latch>

#include <sys/resource.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

long resident_kib(const char* file = "/proc/self/status") {
  std::ifstream in(file);
  for (std::string word; in >> word;) {
    if (word == "VmRSS:") {
      long kib = 0;
      in >> kib;
      return kib;
    }
  }
  return 0;
}

std::size_t zombies() {
  const auto all = harness::child_processes();
  return static_cast<std::size_t>(
      std::count_if(all.begin(), all.end(), [](pid_t pid) { return harness::process_state(pid) == 'Z'; }));
}

}  // namespace

TEST_CASE("100 children end with 0, and 100 that are asked to end right after their start by SIGTERM") {
  EACH_METHOD(how);
  const int count = (how == start_method::spawn ? 20 : 100) / harness::slowdown;
  std::vector<process> all;
  for (int i = 0; i < count; ++i) all.emplace_back(here(), by(how), [] {});
  for (auto& p : all) CHECK(p.join().success());
  all.clear();
  for (int i = 0; i < count; ++i) {
    all.emplace_back(here(), by(how), sleep_long);
    all.back().terminate();
  }
  for (auto& p : all) CHECK(p.join().signal() == SIGTERM);
  all.clear();
  for (int i = 0; i < count; ++i) {
    all.emplace_back(here(), by(how), sleep_long);
    all.back().kill();
  }
  for (auto& p : all) CHECK(p.join().signal() == SIGKILL);
  CHECK(active_children().empty());
}

TEST_CASE("what a process left behind ends with it, also where its launcher has more children than one read tells") {
  if (harness::sanitized) return;  // too much memory
  std::vector<process> all;
  for (int i = 0; i < 700; ++i) all.emplace_back(here(), sleep_long);
  queue<pid_t> strays{here()};
  process p{here(),
            [](queue<pid_t> out) {
              const pid_t stray = ::fork();
              if (stray == 0) {
                for (;;) ::pause();
              }
              out.put(stray);
            },
            strays};
  CHECK(p.join().success());
  CHECK(all_gone({strays.get()}));
  for (auto& each : all) each.kill();
}

TEST_CASE("promise 33: join, is_alive and exit agree in all threads", "[deadline:240]") {
  // 8 threads join the same children at once; then each asks everything, and starts children of its own.
  constexpr int thread_count = 8;
  const int rounds = 125 / harness::slowdown;
  std::atomic<int> wrong = 0;
  for (int round = 0; round < rounds / 5; ++round) {
    const int code = round % 3;
    process p{here(), {.stderr = 2}, [](int c) { ::_exit(c); }, code};
    std::latch ready(thread_count);
    std::vector<std::thread> threads;
    for (int t = 0; t < thread_count; ++t) {
      threads.emplace_back([&, t] {
        ready.arrive_and_wait();
        while (t % 2 == 0 && p.is_alive()) {}
        const auto exit = p.join();
        if (exit.code() != code || p.is_alive() || p.exit() != exit || p.join(0s).value() != exit) ++wrong;
      });
    }
    for (auto& t : threads) t.join();
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < thread_count; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) {
        process p{here(), [] {}};
        if (!p.join().success() || p.is_alive() || !p.exit()) ++wrong;
      }
    });
  }
  for (auto& t : threads) t.join();
  CHECK(wrong == 0);
}

TEST_CASE("promise 32: 1000 starts and joins, and 1000 starts and kills, leave no descriptor, memory or zombie", "[deadline:240]") {
  const bool kill = GENERATE(false, true);
  queue<int> kept{here()};
  const auto cycle = [&] {
    process p{here(),
              [](queue<int> q, bool stay) {
                q.put(1);
                if (stay) sleep_long();
              },
              kept, kill};
    if (kill) p.kill();
    p.join();
    while (kept.try_get()) {}
  };
  for (int i = 0; i < 100; ++i) cycle();
  const auto descriptors = harness::open_descriptors();
  const long memory = resident_kib();
  const auto others = harness::child_processes();
  for (int i = 0; i < 1000 / harness::slowdown; ++i) cycle();
  CHECK(harness::eventually([&] { return harness::open_descriptors().size() <= descriptors.size(); }));
  if (!harness::sanitized) CHECK(resident_kib() < memory + 1024);
  CHECK(zombies() == 0);
  CHECK(harness::child_processes() == others);
}

TEST_CASE("forked processes leave no zombie either") {
  for (int i = 0; i < 50; ++i) {
    process p = process::fork(here(), [] {});
    CHECK(p.join().success());
  }
  CHECK(harness::eventually([] { return zombies() == 0; }));
}
