// SPDX-License-Identifier: BSD-3-Clause
// The storm over synchronisation: processes lock, take tokens, wait, notify and meet at random, and are killed at random and replaced.
//
//   sync_storm [--seconds N] [--every MICROSECONDS] [--processes N] [--stop PERCENT] [--seed N]
//
// Eight processes over four locks, two semaphores, a condition, an event and a barrier; one is killed every 5 ms, or stopped and then killed.
// Throughout: behind each lock lies a record that two must never be in at once, and that is left whole unless its owner died, which the next
// owner is told. At the end, when all have ended by themselves: nothing is held, nobody waits, there are as many tokens as at first, and of each
// round of the barrier each index came back once, but for those who were killed before they said so.
#include <cloister/actors/actors.hpp>
#include <cloister/testing.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

using namespace cloister;
using namespace std::chrono_literals;

namespace {

struct settings {
  unsigned seconds = 60, every = 5000, processes = 8, stop = 20, seed = 1;
};

settings parse(int argc, char** argv) {
  settings s;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const auto value = static_cast<unsigned>(std::atoi(argv[i + 1]));
    if (name == "--seconds") s.seconds = value;
    else if (name == "--every") s.every = value;
    else if (name == "--processes") s.processes = value;
    else if (name == "--stop") s.stop = value;
    else if (name == "--seed") s.seed = value;
    else std::exit((std::fprintf(stderr, "sync_storm: no such option: %s\n", argv[i]), 2));
  }
  return s;
}

constexpr std::size_t locks = 4;
constexpr std::size_t parties = 3;

// Behind a lock; plain memory.
struct record {
  std::uint64_t inside, a, b;
};
struct board {
  std::array<record, locks> behind;
  std::array<std::atomic<std::uint64_t>, parties> met;  // by the index that a party got
  std::atomic<std::uint64_t> told, violations;
};

board& map(const owned_fd& fd) {
  void* at = ::mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) std::abort();
  return *static_cast<board*>(at);
}

struct arena {
  std::array<mutex, locks> m;
  std::array<semaphore, 2> s;
  condition c;
  event e;
  barrier b;
};

void violation(board& all, const char* what, std::uint64_t x, std::uint64_t y) {
  ++all.violations;
  std::fprintf(stderr, "sync_storm: %s: %lu, %lu\n", what, static_cast<unsigned long>(x), static_cast<unsigned long>(y));
}

void behind_lock(const mutex& m, board& all, std::size_t n) {
  const std::scoped_lock mine(m);
  volatile record& r = all.behind[n];
  if (m.owner_died()) {
    ++all.told;
    r.inside = 0;
    r.b = r.a;
    m.recovered();
  }
  if (r.inside != 0) violation(all, "two are behind one lock", r.inside, n);
  if (r.a != r.b) violation(all, "half a change, and nobody was told", r.a, r.b);
  r.inside = static_cast<std::uint64_t>(::getpid());
  r.a = r.a + 1;
  r.b = r.b + 1;
  r.inside = 0;
}

void work(arena of, owned_fd memory, event over, unsigned seed) {
  auto& all = map(memory);
  std::mt19937 random(seed);
  while (!over.is_set()) {
    const auto what = random() % 16;
    const auto n = random() % locks;
    if (what < 8) {
      behind_lock(of.m[n], all, n);
    } else if (what < 11) {
      const std::scoped_lock token(of.s[n % 2]);
      if (random() % 4 == 0) behind_lock(of.m[n], all, n);
    } else if (what == 11) {
      const std::scoped_lock mine(of.c);
      static_cast<void>(of.c.wait(std::chrono::microseconds(random() % 3000)));
    } else if (what == 12) {
      of.c.notify(1 + random() % 2);
    } else if (what == 13) {
      const auto index = of.b.wait(std::chrono::microseconds(random() % 2000));
      if (index) ++all.met[*index];
      else if (index == errc::barrier_broken && random() % 4 == 0) of.b.reset();
    } else if (what == 14) {
      static_cast<void>(of.e.wait(std::chrono::microseconds(random() % 2000)));
    } else {
      of.e.set();
      of.e.clear();
    }
  }
}

arena make_arena(const node& here) {
  arena of;
  for (auto& m : of.m) m = mutex{here};
  of.s = {semaphore{here, 2}, semaphore{here, 3}};
  of.c = condition{here, of.m[0]};
  of.e = event{here};
  of.b = barrier{here, parties};
  return of;
}

int storm(const node& here, const settings& o, const arena& of, const owned_fd& memory, const event& over) {
  auto& all = map(memory);
  over.clear();
  std::mt19937 random(o.seed);
  std::vector<process> crew;
  const auto start = [&] { return process{here, work, of, memory.duplicate(), over, static_cast<unsigned>(random())}; };
  for (unsigned i = 0; i < o.processes; ++i) crew.push_back(start());
  unsigned killed = 0, stopped = 0;
  for (const deadline until(std::chrono::seconds(o.seconds)); !until.has_passed(); ++killed) {
    this_process::sleep_for(std::chrono::microseconds(o.every));
    auto& victim = crew[random() % crew.size()];
    if (random() % 100 < o.stop) {
      ++stopped;
      ::kill(victim.pid(), SIGSTOP);
      this_process::sleep_for(std::chrono::microseconds(o.every));
    }
    victim.kill();
    victim.join();
    victim = start();
  }
  over.set();
  for (auto& p : crew) {
    if (const auto end = p.join(60s); !end || !end->success()) {
      std::printf("FAILED: a process did not end by itself: %s\n", end ? end->text().c_str() : end.error().text().c_str());
      return 1;
    }
  }
  std::uint64_t done = 0;
  const auto [fewest, most] = std::minmax_element(all.met.begin(), all.met.end());
  bool fine = all.violations == 0 && *most - *fewest <= killed;
  for (std::size_t n = 0; n < locks; ++n) {
    fine = fine && of.m[n].try_lock();
    done += all.behind[n].a;
  }
  fine = fine && of.s[0].value() == 2 && of.s[1].value() == 3 && of.b.n_waiting() == 0;
  std::printf(
      "%u killed, %u of them stopped before; %lu times behind a lock, %lu times told of a death; tokens %zu and %zu; %lu to %lu rounds\n%s\n",
      killed, stopped, static_cast<unsigned long>(done), static_cast<unsigned long>(all.told.load()), of.s[0].value(),
      of.s[1].value(), static_cast<unsigned long>(*fewest), static_cast<unsigned long>(*most),
      fine ? "all is as it was" : "FAILED");
  for (const auto& m : of.m) m.unlock();
  return fine ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  node here{argc, argv};
  log_to_stderr(log_level::off);
  const auto o = parse(argc, argv);
  const owned_fd memory(::memfd_create("board", MFD_CLOEXEC));
  if (::ftruncate(memory.get(), sizeof(board)) != 0) std::abort();
  const auto of = make_arena(here);
  const event over{here};
  auto short_one = o;
  short_one.seconds = 0;
  if (storm(here, short_one, of, memory, over) != 0) return 1;  // what is made at the first time stays
  const testing::leak_check leaks;
  const int failed = storm(here, o, of, memory, over);
  const auto left = leaks.found(20s);
  std::printf("%s", left.c_str());
  return failed != 0 || !left.empty() ? 1 : 0;
}
