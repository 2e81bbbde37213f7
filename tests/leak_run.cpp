// SPDX-License-Identifier: BSD-3-Clause
// The leak run: very many short lives and requests, after which nothing has grown.
//
//   leak_run [--processes N] [--requests N] [--growth KIB]
//
// Processes, actors, supervised children that end or are killed and restarted, monitors and links; asks by old and new threads, and calls
// of supervisors. After the first tenth, when what is kept for later is there, and at the end: descriptors, processes and shared memory are
// the same, and the private memory of the first process, of an actor that is asked all the time, and of one that asks many, has grown by
// less than 1024 KiB, or `--growth`.
#include <cloister/cloister.hpp>
#include <cloister/testing.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include <malloc.h>
#include <unistd.h>

using namespace cloister;
using namespace std::chrono_literals;

namespace {

struct add {
  long n;
};
struct summer {
  long sum = 0;
  long on(add a) { return sum += a.n; }
};

struct forward {
  actor<summer> to;
};
/// Asks whom it is told to.
struct relay {
  reply<long> on(self& me, forward f) { co_return (co_await me.ask(f.to, add{1})).value(); }
};

struct settings {
  unsigned processes = 100'000, requests = 100'000;
  long growth = 1024;
};

settings parse(int argc, char** argv) {
  settings s;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const auto value = static_cast<unsigned>(std::atoi(argv[i + 1]));
    if (name == "--processes") s.processes = value;
    else if (name == "--requests") s.requests = value;
    else if (name == "--growth") s.growth = static_cast<long>(value);
    else std::exit((std::fprintf(stderr, "leak_run: no such option: %s\n", argv[i]), 2));
  }
  return s;
}

// Memory that is this process's alone, in KiB.
long private_memory(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/smaps_rollup");
  long total = 0, value = 0;
  for (std::string word; in >> word;)
    if (word == "Private_Dirty:" && in >> value) total += value;
  return total;
}

void live(sink<int> up) {
  up.put(1);
  this_process::sleep_for(1h);
}

class lives {
 public:
  explicit lives(const node& here) : here_(here) {
    up_.get();
    up_.get();
  }

  void round(unsigned processes, unsigned requests) {
    for (unsigned i = 0; i < processes; ++i) {
      begin_one(i);
      for (unsigned r = i * std::uint64_t{requests} / processes; r < (i + 1) * std::uint64_t{requests} / processes; ++r) request(r);
    }
    if (!testing::eventually([this] { return dynamic_.count_children().workers == 0; }, 60s) || !testing::whole(permanent_, 60s))
      std::exit((std::printf("FAILED: children are missing, or too many\n"), 1));
  }
  pid_t asked() const { return asked_.process().value().pid; }
  pid_t asking() const { return relay_.process().value().pid; }

 private:
  void begin_one(unsigned i) {
    switch (i % 5) {
      case 0: {
        process p{here_, [] {}};
        monitor(p, ends_);
        p.join();
        ends_.get();
        break;
      }
      case 1: {
        const actor<summer> short_lived{here_};
        if (short_lived.ask(add{1}) != 1 || relay_.ask(forward{short_lived}) != 2) std::abort();
        break;
      }
      case 2: dynamic_.start_child(); break;
      case 3: {
        // It may run before its supervisor knows which process it is.
        testing::eventually([this] { return testing::kill_child(permanent_, "child").pid > 0; }, 60s);
        up_.get();
        break;
      }
      default: {
        process p{here_,
                  [](process_id other, actor<summer> a) {
                    link(other);
                    a.ask(add{1});
                  },
                  permanent_.which_child("linked").process.value(), asked_};
        p.join();
        break;
      }
    }
  }
  void request(unsigned r) {
    switch (r % 10) {
      case 0: std::thread([this] { asked_.ask(add{1}); }).join(); break;
      case 1: permanent_.which_children(); break;
      case 3: {
        const queue<exit_notice> short_lived{here_};
        monitor(permanent_.which_child("linked").process.value(), short_lived);
        break;
      }
      case 2: asked_.tell(add{1}); break;
      default: asked_.ask(add{1}); break;
    }
  }

  const node& here_;
  queue<exit_notice> ends_{here_};
  queue<int> up_{here_};
  actor<summer> asked_{here_};
  actor<relay> relay_{here_};
  supervisor dynamic_{here_,
                      {.strategy = simple_one_for_one, .intensity = 1'000'000},
                      supervised({.restart = temporary, .ready_within = 1h}, [] { this_process::ready(); })};
  supervisor permanent_{
      here_, {.intensity = 1'000'000}, supervised({.id = "child"}, live, up_), supervised({.id = "linked"}, live, up_)};
};

int leak_run(const node& here, const settings& o) {
  lives all(here);
  all.round(o.processes / 10, o.requests / 10);
  const testing::leak_check leaks;
  struct {
    const char* who;
    pid_t pid;
    long before;
  } watched[] = {
      {"the first process", ::getpid(), 0}, {"an actor that is asked", all.asked(), 0}, {"an actor that asks", all.asking(), 0}};
  ::malloc_trim(0);
  for (auto& w : watched) w.before = private_memory(w.pid);
  all.round(o.processes / 10 * 9, o.requests / 10 * 9);
  ::malloc_trim(0);
  bool flat = true;
  std::printf("%u processes, %u requests; private memory in KiB:\n", o.processes, o.requests);
  for (const auto& w : watched) {
    const auto more = private_memory(w.pid) - w.before;
    std::printf("  %s: %ld, and %ld more\n", w.who, w.before, more);
    flat = flat && more < o.growth;
  }
  const auto leaked = leaks.found(20s);
  std::printf("%s", leaked.c_str());
  return leaked.empty() && flat ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  node here{argc, argv};
  log_to_stderr(log_level::off);
  return leak_run(here, parse(argc, argv));
}
