// SPDX-License-Identifier: BSD-3-Clause
// The clocks of the start and crowd contests; see starting.hpp.
#include "starting.hpp"

#include <vector>

#include "memory_use.hpp"

namespace bench {

figures measure_starts(const job& j, const std::function<void()>& start_and_join) {
  hold_ballast(j.ballast_mib);
  start_and_join();  // warms up, and starts a fork server where there is one
  std::vector<double> samples;
  for (const auto until = now_ns() + to_ns(j.seconds); now_ns() < until || samples.size() < 5;) {
    const auto begin = now_ns();
    start_and_join();
    samples.push_back(static_cast<double>(now_ns() - begin) / 1e6);
  }
  return {{"median", quantile(samples, 0.5)}, {"p99", quantile(samples, 0.99)}};
}

figures measure_crowd(stage& s, const job& j, const std::function<pid_t(int)>& start, const std::function<void()>& join_all) {
  std::vector<pid_t> pids;
  pids.reserve(static_cast<std::size_t>(j.count));
  const auto begin = now_ns();
  for (int i = 0; i < j.count; ++i) pids.push_back(start(i));
  s.await_ready(static_cast<std::uint32_t>(j.count));
  const auto seconds = static_cast<double>(now_ns() - begin) / 1e9;
  const auto kib = typical_private_kib(pids);
  s.open_gate();
  join_all();
  return {{"start", seconds}, {"private", kib}};
}

}  // namespace bench
