// SPDX-License-Identifier: BSD-3-Clause
// Limits of the start and crowd contests: fork, and posix_spawn (vfork and exec) of the smallest program there is.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "limits.hpp"
#include "starting.hpp"

extern char** environ;

namespace bench {
namespace {

pid_t spawn_nothing(const std::string& stage_fd) {
  std::string path = BENCH_NOTHING;
  std::string argument = stage_fd;
  char* const arguments[] = {path.data(), argument.data(), nullptr};
  pid_t pid = 0;
  errno = ::posix_spawn(&pid, path.c_str(), nullptr, nullptr, arguments, environ);
  if (errno != 0) throw_errno("posix_spawn " + path);
  return pid;
}

}  // namespace

figures fork_start(const job& j) {
  return measure_starts(j, [] {
    const auto pid = ::fork();
    if (pid < 0) throw_errno("fork");
    if (pid == 0) ::_exit(0);
    ::waitpid(pid, nullptr, 0);
  });
}

figures exec_start(const job& j) {
  return measure_starts(j, [] { ::waitpid(spawn_nothing(""), nullptr, 0); });
}

figures fork_crowd(const job& j) {
  stage s;
  crew members;
  return measure_crowd(
      s, j, [&](int) { return members.add(j, 0, [&] { s.wait_at_gate(); }); }, [&] { members.join(); });
}

figures exec_crowd(const job& j) {
  stage s;
  const auto inherited = ::dup(s.fd());  // without close-on-exec
  if (inherited < 0) throw_errno("dup");
  std::vector<pid_t> pids;
  return measure_crowd(
      s, j, [&](int) { return pids.emplace_back(spawn_nothing(std::to_string(inherited))); },
      [&] {
        for (const auto pid : pids) ::waitpid(pid, nullptr, 0);
      });
}

}  // namespace bench
