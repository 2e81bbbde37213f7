// SPDX-License-Identifier: BSD-3-Clause
// A storm for the pool: tasks over eight workers of which one is killed, or stopped for a while, every 20 ms. Every task that may be repeated
// is done, and its result exact; every other future is resolved; the pool is back to its size; nothing is left.
//   pool_storm [TASKS] [SEED]
#include <cloister/actors/actors.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

using namespace cloister;
using namespace std::chrono_literals;

namespace {

constexpr unsigned crew = 8;

// Some 50 microseconds of work.
std::uint64_t work(std::uint32_t x) {
  std::uint64_t h = x;
  for (int i = 0; i < 20'000; ++i) h = h * 6364136223846793005u + 1442695040888963407u;
  return h;
}

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "pool_storm: %s\n", what);
  std::_Exit(1);
}

std::size_t descriptors() {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& e : std::filesystem::directory_iterator("/proc/self/fd")) ++n;
  return n;
}

}  // namespace

int main(int argc, char** argv) {
  node here{argc, argv};
  log_to_stderr(log_level::error);
  const auto tasks = argc > 1 ? static_cast<std::uint32_t>(std::strtoul(argv[1], nullptr, 10)) : 100'000U;
  const auto seed = argc > 2 ? static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10)) : std::random_device()();
  std::printf("pool_storm: %u tasks, seed %u\n", tasks, seed);
  { static_cast<void>(pool{here, {.workers = 1}}.apply(work, 1U)); }
  const auto before = descriptors();
  unsigned kills = 0, stops = 0;
  std::uint32_t lost = 0, late = 0;
  const auto began = std::chrono::steady_clock::now();
  {
    const pool p{here, {.workers = static_cast<int>(crew)}};
    std::atomic<bool> over{false};
    std::thread weather([&] {
      std::minstd_rand random(seed);
      std::vector<std::pair<std::chrono::steady_clock::time_point, pid_t>> stopped;
      while (!over) {
        std::this_thread::sleep_for(20ms);  // how often
        const auto now = std::chrono::steady_clock::now();
        while (!stopped.empty() && stopped.front().first <= now) {
          ::kill(stopped.front().second, SIGCONT);
          stopped.erase(stopped.begin());
        }
        const auto all = p.workers();
        if (all.empty()) continue;
        const auto victim = all[random() % all.size()].pid;
        if (random() % 2 == 0) {
          ++kills;
          ::kill(victim, SIGKILL);
        } else {
          ++stops;
          ::kill(victim, SIGSTOP);
          stopped.emplace_back(now + 300ms, victim);
        }
      }
      for (const auto& [when, pid] : stopped) ::kill(pid, SIGCONT);
    });

    // A third each: at once and repeated; lazily and repeated, some in chunks; once, with a deadline.
    const auto third = tasks / 3;
    std::vector<std::uint32_t> numbers(third);
    for (std::uint32_t i = 0; i < third; ++i) numbers[i] = i;
    const auto repeated = p.with({.name = "repeated", .tries = 10'000});
    const auto all = repeated.map_async(work, numbers);
    std::vector<future<std::uint64_t>> once;
    for (std::uint32_t i = 0; i < third; ++i) once.push_back(p.with({.name = "once", .deadline = 1s}).apply_async(work, i));
    std::uint32_t next = 0;
    for (const auto h : p.with({.tries = 10'000, .chunk = 5, .window = 500}).imap(work, numbers)) {
      require(h == work(next), "a lazy result is wrong");
      ++next;
    }
    require(next == third, "lazy results are missing");
    const auto got = all.get(10min);
    require(got.has_value() && got->size() == third, "the map is not done");
    for (std::uint32_t i = 0; i < third; ++i) require((*got)[i] == work(i), "a result is wrong");
    for (std::uint32_t i = 0; i < third; ++i) {
      const auto r = once[i].get(10min);
      if (r) require(*r == work(i), "a result of a task that is run once is wrong");
      else if (r == errc::worker_lost) ++lost;
      else
        require(r == errc::timed_out && ++late > 0 && r.error().text().find("deadline") != std::string::npos,
                r.error().text().c_str());
    }
    over = true;
    weather.join();
    for (int i = 0; i < 2000 && p.workers().size() != crew; ++i) std::this_thread::sleep_for(10ms);
    require(p.workers().size() == crew, "the pool is not back to its size");
    p.close();
    p.join();
  }
  for (int i = 0; i < 500 && descriptors() > before; ++i) std::this_thread::sleep_for(10ms);
  require(descriptors() <= before, "descriptors are left");
  require(active_children().empty(), "processes are left");
  std::printf("pool_storm: %u killed, %u stopped, %u of %u that run once lost, %u late, %.1f s\n", kills, stops, lost, tasks / 3,
              late, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
}
