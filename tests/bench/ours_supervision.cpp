// SPDX-License-Identifier: BSD-3-Clause
// Supervisors as contestants: how soon there is a replacement, how long many children take, what a supervisor costs.
#include <cloister/queue.hpp>
#include <cloister/supervisor.hpp>
#include <cloister/this_process.hpp>

#include <csignal>

#include <unistd.h>

#include <vector>

#include "memory_use.hpp"
#include "ours.hpp"

using namespace cloister;

namespace bench {
namespace {

struct birth {
  pid_t pid = 0;
  std::int64_t when = 0;
};

void report_birth(sink<birth> to) {
  to.put({::getpid(), now_ns()});
  this_process::sleep_for(std::chrono::nanoseconds::max());
}

void await_births(const queue<birth>& births, int count) {
  for (int i = 0; i < count; ++i) static_cast<void>(births.get());
}

constexpr unsigned without_limit = ~0U;

}  // namespace

figures our_replacement(const job& j) {
  const queue<birth> births{here()};
  const supervisor s{here(), {.intensity = without_limit}, supervised({.id = "worker"}, report_birth, births)};
  auto last = births.get();
  std::vector<double> samples;
  for (const auto until = now_ns() + to_ns(j.seconds); now_ns() < until || samples.size() < 5;) {
    const auto begin = now_ns();
    ::kill(last.pid, SIGKILL);
    last = births.get();
    samples.push_back(static_cast<double>(last.when - begin) / 1e6);
  }
  return {{"median", quantile(samples, 0.5)}, {"p99", quantile(samples, 0.99)}};
}

figures our_supervised_crowd(const job& j) {
  const queue<birth> births{here()};
  std::vector<child_recipe> children;
  for (int i = 0; i < j.count; ++i)
    children.push_back(supervised({.id = std::to_string(i), .shutdown = brutal_kill}, report_birth, births));
  const auto begin = now_ns();
  const supervisor s{here(), {.intensity = without_limit}, std::move(children)};
  await_births(births, j.count);
  const auto started = now_ns();
  for (const auto& child : s.which_children()) ::kill(child.process.value().pid, SIGKILL);
  await_births(births, j.count);
  return {{"start", static_cast<double>(started - begin) / 1e9}, {"restart", static_cast<double>(now_ns() - started) / 1e9}};
}

figures our_supervisors_memory(const job& j) {
  std::vector<supervisor> all;
  const auto each = memory_of_each(j, [&] { all.emplace_back(here()); });
  return {{"all", each.front().value * j.count / 1024}};
}

}  // namespace bench
