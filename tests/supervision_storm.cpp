// SPDX-License-Identifier: BSD-3-Clause
// The supervision storm: a tree of supervisors three levels deep, whose workers are killed and stopped at random.
//
//   supervision_storm [--seconds N] [--workers N] [--every MICROSECONDS] [--seed N]
//
// Workers answer numbers that they have on loan. Invariant: every number is answered, though its worker be killed or stopped at any moment; at
// the end the tree is whole, and when it is gone no process, descriptor or shared memory is left that was not there before.
// Groups restart by all three strategies, and give up now and then, so that the level above restarts them.
#include <cloister/cloister.hpp>
#include <cloister/testing.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

using namespace cloister;
using namespace std::chrono_literals;

namespace {

struct settings {
  unsigned seconds = 60, workers = 200, every_us = 5000, seed = 1;
};

void work(source<std::uint32_t> in, sink<std::uint32_t> out) {
  for (;;) {
    this_process::progress();
    auto n = in.take(50ms);
    if (n == errc::timed_out) continue;
    if (n == errc::closed) return;
    out.put(**n);
    n->ack();
  }
}

settings parse(int argc, char** argv) {
  settings s;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const auto value = static_cast<unsigned>(std::atoi(argv[i + 1]));
    if (name == "--seconds") s.seconds = value;
    else if (name == "--workers") s.workers = value;
    else if (name == "--every") s.every_us = value;
    else if (name == "--seed") s.seed = value;
    else std::exit((std::fprintf(stderr, "supervision_storm: no such option: %s\n", argv[i]), 2));
  }
  return s;
}

constexpr unsigned groups = 4, teams = 5;

std::vector<child_recipe> make_groups(const settings& o, const queue<std::uint32_t>& jobs, const queue<std::uint32_t>& answers) {
  constexpr strategy_type strategies[] = {one_for_one, one_for_all, rest_for_one};
  std::vector<child_recipe> all;
  for (unsigned g = 0; g < groups; ++g) {
    std::vector<child_recipe> in_group;
    for (unsigned t = 0; t < teams; ++t) {
      std::vector<child_recipe> in_team;
      for (unsigned w = 0; w < o.workers / groups / teams; ++w)
        in_team.push_back(supervised({.id = std::to_string(w), .shutdown = 1s, .progress_within = 1s}, work, jobs, answers));
      in_group.push_back(supervised({.id = std::to_string(t)}, {.strategy = strategies[t % 3], .intensity = 20, .period = 1s},
                                    std::move(in_team)));
    }
    all.push_back(supervised({.id = std::to_string(g)}, {.strategy = strategies[g % 3], .intensity = 1000, .period = 1s},
                             std::move(in_group)));
  }
  return all;
}

std::vector<pid_t> workers_of(const supervisor& top) {
  std::vector<pid_t> pids;
  for (unsigned g = 0; g < groups; ++g) {
    try {
      const auto group = supervisor::find(top, std::to_string(g));
      for (unsigned t = 0; t < teams; ++t)
        for (const auto& worker : supervisor::find(group, std::to_string(t)).which_children())
          if (worker.process) pids.push_back(worker.process->pid);
    } catch (const failure&) {}  // it is being restarted
  }
  return pids;
}

int storm(const node& here, const settings& o) {
  const supervisor warm{here};  // what is made once
  const testing::leak_check leaks;
  unsigned killed = 0, stopped = 0, gave_up = 0;
  std::vector<bool> answered;
  {
    queue<std::uint32_t> jobs{here}, answers{here};
    queue<supervision_report> reports{here};
    const supervisor top{here, {.name = "top", .intensity = 1'000'000}, make_groups(o, jobs, answers)};
    top.subscribe(reports);
    std::size_t left = 0;
    const auto collect = [&](deadline until) {
      while (auto n = answers.get(until)) {
        left -= answered[*n] ? 0 : 1;
        answered[*n] = true;
        until = deadline::passed();
      }
      while (auto r = reports.try_get()) gave_up += r->what == supervision_report::kind::gave_up ? 1 : 0;
    };

    std::minstd_rand random(o.seed);
    std::vector<pid_t> victims;
    const deadline end(std::chrono::seconds(o.seconds));
    for (unsigned turn = 0; !end.has_passed(); ++turn) {
      if (turn % 20 == 0) victims = workers_of(top);
      for (int i = 0; i < 20 && left < 1000; ++i, ++left) {
        jobs.put(static_cast<std::uint32_t>(answered.size()));
        answered.push_back(false);
      }
      if (!victims.empty()) {
        const bool stop = random() % 4 == 0;
        ::kill(victims[random() % victims.size()], stop ? SIGSTOP : SIGKILL);
        ++(stop ? stopped : killed);
      }
      collect(std::chrono::microseconds(o.every_us));
    }

    const bool whole = testing::whole(top, 60s);
    for (const deadline until(60s); left > 0 && !until.has_passed();) collect(100ms);
    if (!whole || left > 0)
      return std::printf("FAILED: the tree is %swhole, %zu numbers have no answer\n", whole ? "" : "not ", left), 1;
  }
  const auto leaked = leaks.found(20s);
  std::printf("%zu numbers answered; %u workers killed, %u stopped; supervisors gave up %u times\n%s", answered.size(), killed,
              stopped, gave_up, leaked.c_str());
  return leaked.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  node here{argc, argv};
  log_to_stderr(log_level::off);
  return storm(here, parse(argc, argv));
}
