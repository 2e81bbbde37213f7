// SPDX-License-Identifier: BSD-3-Clause
// The table of fault points, and the faults armed in this process.
#include <cloister/fault.hpp>

#include <cloister/error.hpp>

#include <algorithm>
#include <array>
#include <csignal>
#include <mutex>

namespace cloister {
namespace {

struct operation_steps {
  std::string_view operation;
  unsigned steps;
};

// One row per operation; docs/testing.md says what each step is.
constexpr auto table = std::to_array<operation_steps>({
    {"wait", 3},   {"notify", 4},     {"put", 7},       {"grow", 7},      {"chunk", 6},     {"chunk_grow", 3},    {"get", 9},
    {"lease", 5},  {"lease_grow", 2}, {"ack", 2},       {"give_back", 3}, {"bury", 3},      {"take_dead", 1},     {"close", 3},
    {"repair", 8}, {"pipe_put", 5},   {"pipe_grow", 3}, {"pipe_get", 4},  {"pipe_trim", 3}, {"ask", 3},           {"handle", 3},
    {"lock", 2},   {"unlock", 2},     {"acquire", 2},   {"release", 2},   {"set", 2},       {"wait_notified", 3}, {"meet", 4},
    {"task", 6},   {"flush", 2},      {"revive", 2},
});

std::mutex& lock() {
  static std::mutex m;
  return m;
}
std::vector<fault>& armed() {  // guarded by lock()
  static std::vector<fault> v;
  return v;
}

}  // namespace

void inject_fault(fault f) {
  const unsigned steps = fault_steps(f.operation);
  if (f.step == 0 || f.step > steps)
    throw failure(errc::invalid, "inject_fault: operation '" + f.operation + "' has steps 1 to " + std::to_string(steps) +
                                     ", not " + std::to_string(f.step));
  const std::scoped_lock guard(lock());
  armed().push_back(std::move(f));
  detail::faults_armed.store(true, std::memory_order_relaxed);
}

void clear_faults() {
  const std::scoped_lock guard(lock());
  armed().clear();
  detail::faults_armed.store(false, std::memory_order_relaxed);
}

unsigned fault_steps(std::string_view operation) {
  const auto* row = std::find_if(table.begin(), table.end(), [&](const auto& r) { return r.operation == operation; });
  return row == table.end() ? 0 : row->steps;
}

std::vector<std::string_view> fault_operations() {
  std::vector<std::string_view> names;
  for (const auto& row : table) names.push_back(row.operation);
  return names;
}

void detail::fault_hit(std::string_view operation, unsigned step) noexcept {
  const std::scoped_lock guard(lock());
  for (auto& f : armed()) {
    if (f.operation != operation || f.step != step) continue;
    if (f.skip > 0) {
      --f.skip;
      continue;
    }
    ::raise(f.action == fault_action::kill ? SIGKILL : SIGSTOP);
  }
}

}  // namespace cloister
