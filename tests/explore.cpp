// SPDX-License-Identifier: BSD-3-Clause
// The scheduler: processes are ucontext stacks, choices are a list that is replayed and advanced like an odometer.
#include "explore.hpp"

#include <ucontext.h>
#include <array>
#include <memory>

namespace explore {

class scheduler {
 public:
  scheduler(bounds b, const std::function<void(world&)>& scenario) : bounds_(b), scenario_(scenario) {}
  result run();
  void step();
  bool sleep(const void* word, const std::function<bool()>& still);
  int wake(const void* word, int at_most);

  static scheduler* active;

 private:
  enum class state { runnable, asleep, ended, killed };
  struct process {
    std::function<void()> body;
    mortality m = immortal;
    state now = state::runnable;
    const void* sleeps_on = nullptr;
    ucontext_t context{};
  };
  struct choice {
    unsigned taken = 0, of = 0;
  };
  static constexpr unsigned most = 6;
  static constexpr std::size_t stack_bytes = 64 * 1024;

  void execute();
  void add(const std::function<void()>& body, mortality m);
  unsigned choose(unsigned of);
  void back_to_scheduler() { ::swapcontext(&processes_[running_].context, &home_); }
  static void enter();
  void kill(unsigned who);

  const bounds bounds_;
  const std::function<void(world&)>& scenario_;
  std::vector<choice> choices_;
  std::size_t depth_ = 0;
  std::array<process, most> processes_;
  unsigned count_ = 0;
  unsigned running_ = 0;
  unsigned preemptions_ = 0, kills_ = 0;
  std::string trace_;
  world* world_ = nullptr;
  ucontext_t home_{};
  std::vector<std::unique_ptr<char[]>> stacks_;
};

scheduler* scheduler::active = nullptr;

result run(bounds b, const std::function<void(world&)>& scenario) {
  scheduler s(b, scenario);
  scheduler::active = &s;
  const result r = s.run();
  scheduler::active = nullptr;
  return r;
}

void step() {
  if (scheduler::active != nullptr) scheduler::active->step();
}

void world::process(std::function<void()> body, mortality m) { processes_.push_back({std::move(body), m}); }
void world::after_death(std::function<void()> repair) { repair_ = std::move(repair); }
void world::at_end(std::function<bool(ending)> invariant) { invariant_ = std::move(invariant); }

bool platform::sleep(atom<std::uint32_t>& word, std::uint32_t seen, cloister::deadline, const sleeper&) {
  step();  // the kernel compares and queues in one
  return scheduler::active->sleep(&word, [&] { return word.peek() == seen; });
}

int platform::wake(atom<std::uint32_t>& word, int at_most) {
  step();
  return scheduler::active->wake(&word, at_most);
}

result scheduler::run() {
  for (unsigned i = 0; i < most; ++i) stacks_.push_back(std::make_unique<char[]>(stack_bytes));
  result r;
  for (;;) {
    world w;
    world_ = &w;
    depth_ = 0;
    preemptions_ = kills_ = 0;
    trace_.clear();
    scheduler* const self = active;
    active = nullptr;  // setting up takes no steps
    scenario_(w);
    active = self;
    execute();
    ++r.executions;
    ending e{true, kills_ > 0};
    for (unsigned i = 0; i < count_; ++i)
      e.all_ended = e.all_ended && (processes_[i].now == state::ended || processes_[i].now == state::killed);
    active = nullptr;
    const bool ok = w.invariant_(e);
    for (auto& p : processes_) p.body = nullptr;
    active = self;
    if (!ok) {
      r.trace = trace_;
      return r;
    }
    while (!choices_.empty() && choices_.back().taken + 1 >= choices_.back().of) choices_.pop_back();
    if (choices_.empty()) {
      r.complete = r.ok = true;
      return r;
    }
    ++choices_.back().taken;
    if (r.executions >= bounds_.executions) {
      r.ok = true;
      return r;
    }
  }
}

void scheduler::execute() {
  count_ = 0;
  for (auto& e : world_->processes_) add(e.body, e.m);
  running_ = 0;
  bool repair_due = static_cast<bool>(world_->repair_);
  for (;;) {
    if (kills_ > 0 && repair_due) {  // from now on the repair runs too
      repair_due = false;
      add(world_->repair_, immortal);
    }
    // The alternatives: go on; somebody else (a preemption if one could go on); die.
    std::array<unsigned, 2 * most> who{};
    unsigned n = 0;
    const bool can_go_on = processes_[running_].now == state::runnable;
    if (can_go_on) who[n++] = running_;
    if (!can_go_on || preemptions_ < bounds_.preemptions)
      for (unsigned i = 0; i < count_; ++i)
        if (i != running_ && processes_[i].now == state::runnable) who[n++] = i;
    const unsigned others = n;
    if (kills_ < bounds_.kills) {
      if (processes_[running_].m == mortal && (can_go_on || processes_[running_].now == state::asleep)) who[n++] = running_;
    }
    if (n == 0) return;
    if (others == 0 && n > 0) {  // everybody sleeps; a death may still wake them, by its repair
      const unsigned c = choose(n + 1);
      if (c == n) return;
      kill(who[c]);
      continue;
    }
    const unsigned c = choose(n);
    if (c >= others) {
      kill(who[c]);
      continue;
    }
    if (can_go_on && who[c] != running_) ++preemptions_;
    running_ = who[c];
    trace_ += static_cast<char>('0' + running_);
    ::swapcontext(&home_, &processes_[running_].context);
  }
}

void scheduler::add(const std::function<void()>& body, mortality m) {
  process& p = processes_.at(count_);
  p.body = body;
  p.m = m;
  p.now = state::runnable;
  ::getcontext(&p.context);
  p.context.uc_stack.ss_sp = stacks_[count_].get();
  p.context.uc_stack.ss_size = stack_bytes;
  p.context.uc_link = &home_;
  ::makecontext(&p.context, &scheduler::enter, 0);
  ++count_;
}

unsigned scheduler::choose(unsigned of) {
  if (of == 1) return 0;
  if (depth_ == choices_.size()) choices_.push_back({0, of});
  return choices_[depth_++].taken;
}

void scheduler::kill(unsigned who) {
  ++kills_;
  trace_ += 'x';
  trace_ += static_cast<char>('0' + who);
  processes_[who].now = state::killed;
}

void scheduler::enter() {
  scheduler& s = *active;
  process& p = s.processes_[s.running_];
  p.body();
  p.now = state::ended;
  s.back_to_scheduler();
}

void scheduler::step() { back_to_scheduler(); }

bool scheduler::sleep(const void* word, const std::function<bool()>& still) {
  if (!still()) return true;
  process& p = processes_[running_];
  p.now = state::asleep;
  p.sleeps_on = word;
  back_to_scheduler();
  return true;
}

int scheduler::wake(const void* word, int at_most) {
  int woken = 0;
  for (unsigned i = 0; i < count_ && woken < at_most; ++i) {
    if (processes_[i].now != state::asleep || processes_[i].sleeps_on != word) continue;
    processes_[i].now = state::runnable;
    ++woken;
  }
  return woken;
}

}  // namespace explore
