// SPDX-License-Identifier: BSD-3-Clause
// fork, exec, read, kill: see programs.hpp.
#include "programs.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <sstream>

namespace bench {
namespace {

constexpr int cannot_exec = 126;

volatile std::sig_atomic_t running_group = 0;

void kill_group_and_end(int signal) {
  if (running_group > 0) ::kill(-static_cast<pid_t>(running_group), SIGKILL);
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

struct ended {
  int status = 0;
  bool in_time = true;
  std::string output;  // stdout and stderr
};

void append_available(int fd, std::string& to) {
  char buffer[4096];
  for (;;) {
    const auto n = ::read(fd, buffer, sizeof(buffer));
    if (n <= 0 && !(n < 0 && errno == EINTR)) return;
    if (n > 0) to.append(buffer, static_cast<std::size_t>(n));
  }
}

[[noreturn]] void become(const std::vector<std::string>& command, int output) {
  std::vector<char*> arguments;
  for (const auto& a : command) arguments.push_back(const_cast<char*>(a.c_str()));
  arguments.push_back(nullptr);
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  const auto null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, STDIN_FILENO);
  ::execvp(arguments[0], arguments.data());
  ::_exit(cannot_exec);
}

ended run(const std::vector<std::string>& command, double seconds) {
  int output[2];
  if (::pipe2(output, O_CLOEXEC | O_NONBLOCK) != 0) throw_errno("pipe");
  const auto pid = ::fork();
  if (pid < 0) throw_errno("fork");
  if (pid == 0) {
    ::fcntl(output[1], F_SETFL, 0);
    become(command, output[1]);
  }
  ::setpgid(pid, pid);
  running_group = pid;
  ::close(output[1]);
  const auto watched = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (watched < 0) throw_errno("pidfd_open");

  ended result;
  pollfd wait[2] = {{watched, POLLIN, 0}, {output[0], POLLIN, 0}};
  for (const auto until = now_ns() + to_ns(seconds);;) {
    const auto left = (until - now_ns()) / 1'000'000;
    if (left <= 0) {
      result.in_time = false;
      break;
    }
    ::poll(wait, 2, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
    append_available(output[0], result.output);
    if ((wait[1].revents & POLLHUP) != 0) wait[1].fd = -1;
    if (wait[0].revents != 0) break;
  }
  ::kill(-pid, SIGKILL);  // its group, before its id is given away: nobody is left behind
  running_group = 0;
  ::waitpid(pid, &result.status, 0);
  while (::waitpid(-pid, nullptr, 0) > 0) {  // its orphans: the next contestant starts alone
  }
  append_available(output[0], result.output);
  ::close(watched);
  ::close(output[0]);
  return result;
}

std::string last_line(const std::string& text) {
  const auto end = text.find_last_not_of('\n');
  if (end == std::string::npos) return {};
  const auto begin = text.find_last_of('\n', end);
  return text.substr(begin + 1, end - begin);  // npos + 1 == 0
}

}  // namespace

void take_charge() {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, kill_group_and_end);
}

answer ask(const std::vector<std::string>& command, double seconds) {
  const auto e = run(command, seconds);
  if (!e.in_time) return {answer::kind::failed, {}, "no answer in " + std::to_string(static_cast<int>(seconds)) + " s"};
  if (WIFEXITED(e.status) && WEXITSTATUS(e.status) == cannot_exec) return {answer::kind::absent, {}, "not installed"};
  answer a;
  std::istringstream lines(e.output);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("n/a ")) return {answer::kind::not_applicable, {}, line.substr(4)};
    if (line.starts_with("failed ")) return {answer::kind::failed, {}, line.substr(7)};
    if (!line.starts_with("figure ")) continue;
    std::istringstream words(line.substr(7));
    figure f;
    if (words >> f.name >> f.value) a.values.push_back(f);
  }
  if (WIFSIGNALED(e.status)) return {answer::kind::failed, {}, "killed by signal " + std::to_string(WTERMSIG(e.status))};
  if (e.status != 0 || a.values.empty())
    return {answer::kind::failed, {}, "exit " + std::to_string(WEXITSTATUS(e.status)) + ": " + last_line(e.output)};
  a.what = answer::kind::measured;
  return a;
}

std::string first_line(const std::vector<std::string>& command) {
  const auto e = run(command, 20);
  if (!e.in_time || e.status != 0) return {};
  return e.output.substr(0, e.output.find('\n'));
}

}  // namespace bench
