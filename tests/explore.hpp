// SPDX-License-Identifier: BSD-3-Clause
// Runs the real lock-free code under a scheduler that tries every interleaving, up to a bound, with a death at every step.
//
//   explore::result r = explore::run({.preemptions = 2, .kills = 1}, [](explore::world& w) {
//     auto s = std::make_shared<state>();                       // fresh for each execution
//     w.process([s] { ... code over explore::platform ... });   // one step for each shared access
//     w.process([s] { ... }, explore::mortal);                  // may be killed before any of its steps, or while asleep
//     w.after_death([s] { ... });                               // the repair; runs as a process of its own
//     w.at_end([s](explore::ending e) { return ...; });         // the invariant, after everybody has ended or hangs
//   });
//
// Every execution begins anew and follows recorded choices (depth first, no state is stored). Switching away from a process
// that could go on costs one of `preemptions`. What it cannot show: weak memory order, time-outs, signals.
// Single-threaded. Not for ThreadSanitizer, which does not know these stacks.
#pragma once

#include <cloister/detail/event_count.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace explore {

struct bounds {
  unsigned preemptions = 2;
  unsigned kills = 0;
  long executions = 20'000'000;  // then the result says `complete = false`
};

struct result {
  long executions = 0;
  bool complete = false;
  bool ok = false;
  std::string trace;  // of the first execution whose invariant failed: who ran each step
};

/// How an execution ended for at_end's function.
struct ending {
  bool all_ended;  ///< every process that was not killed has returned
  bool killed;     ///< somebody was killed
};

enum mortality : bool { immortal = false, mortal = true };

class world {
 public:
  void process(std::function<void()> body, mortality m = immortal);
  void after_death(std::function<void()> repair);
  void at_end(std::function<bool(ending)> invariant);

 private:
  friend class scheduler;
  struct entry {
    std::function<void()> body;
    mortality m;
  };
  std::vector<entry> processes_;
  std::function<void()> repair_;
  std::function<bool(ending)> invariant_;
};

result run(bounds b, const std::function<void(world&)>& scenario);

/// A step of the running process: others may run here. Accesses through the platform are steps by themselves.
void step();

/// Stands in for linux_platform.
struct platform {
  template <class T>
  class atom {
   public:
    atom(T v = {}) : value_(v) {}
    T load(std::memory_order = {}) const { return step(), value_; }
    void store(T v, std::memory_order = {}) { step(), value_ = v; }
    T exchange(T v, std::memory_order = {}) { return step(), std::exchange(value_, v); }
    T fetch_add(T v, std::memory_order = {}) {
      step();
      const T before = value_;
      value_ = static_cast<T>(value_ + v);
      return before;
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order = {}) {
      step();
      if (value_ != expected) return expected = value_, false;
      value_ = desired;
      return true;
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order o = {}) {
      return compare_exchange_strong(expected, desired, o);
    }
    T peek() const { return value_; }  ///< no step: for invariants

   private:
    T value_;
  };
  struct sleeper {
    explicit sleeper(atom<std::uint32_t>&) {}
  };

  static void fence() {}
  static std::uint64_t fenced_load(atom<std::uint64_t>& a) { return a.load(); }
  static bool stopped() { return false; }
  static bool faults() { return true; }  // a pipe's message is copied in two parts, and both are steps
  static void fault(std::string_view operation, unsigned number) {
    if (operation == "pipe_put" && (number == 3 || number == 4)) step();
  }
  static bool sleep(atom<std::uint32_t>& word, std::uint32_t seen, cloister::deadline, const sleeper&);
  static int wake(atom<std::uint32_t>& word, int at_most);
  template <class Try>
  static bool spin(Try&, cloister::deadline, cloister::detail::spin_budget&) {
    return false;
  }
};

}  // namespace explore
