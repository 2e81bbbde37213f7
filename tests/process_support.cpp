// SPDX-License-Identifier: BSD-3-Clause
// Looking at processes through /proc, and running node_program in a session of its own.
#include "process_support.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace support {

using namespace cloister;

void sleep_long() { this_process::sleep_for(1h); }

bool alive(pid_t pid) {
  const char state = harness::process_state(pid);
  return state != '\0' && state != 'Z' && state != 'X';
}

bool all_gone(const std::vector<pid_t>& pids) {
  return harness::eventually([&] { return std::none_of(pids.begin(), pids.end(), alive); });
}

std::size_t count_descriptors(pid_t pid) {
  std::error_code gone;
  std::size_t n = 0;
  for (std::filesystem::directory_iterator at("/proc/" + std::to_string(pid) + "/fd", gone), end; !gone && at != end;
       at.increment(gone))
    ++n;
  return n;
}

pid_t launcher() {
  for (const pid_t pid : harness::child_processes()) {
    std::ifstream comm("/proc/" + std::to_string(pid) + "/comm");
    std::string name;
    std::getline(comm, name);
    if (name == "cloister" && alive(pid)) return pid;
  }
  return 0;
}

pid_t hub_thread() {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream comm(entry.path() / "comm");
    std::string name;
    if (std::getline(comm, name) && name == "cloister hub") return std::atoi(entry.path().filename().c_str());
  }
  return 0;
}

std::vector<pid_t> session_members(pid_t sid) {
  std::vector<pid_t> all;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid > 0 && ::getsid(pid) == sid && alive(pid)) all.push_back(pid);
  }
  return all;
}

std::string program::path() { return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "node_program").string(); }

program::program(std::vector<std::string> arguments, setup how) {
  const std::string file = how.executable.empty() ? path() : how.executable;
  arguments.insert(arguments.begin(), file);
  std::vector<char*> argv;
  for (auto& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  output_ = owned_fd(ends[0]);
  const owned_fd writing(ends[1]);
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  const owned_fd reading(ends[0]);
  input_ = owned_fd(ends[1]);
  pid_ = session_ = ::fork();
  if (pid_ != 0) {
    // Its session must exist before anybody looks for it.
    harness::eventually([&] { return ::getsid(pid_) == pid_; });
    return;
  }
  ::setsid();
  for (const int number : {SIGINT, SIGTERM, SIGALRM}) ::signal(number, SIG_DFL);
  if (how.closed_stdio) {
    for (const int fd : {0, 1, 2}) ::close(fd);
  } else {
    ::dup2(reading.get(), 0);
    ::dup2(writing.get(), 1);
    ::dup2(writing.get(), 2);
  }
  ::execv(file.c_str(), argv.data());
  ::_exit(126);
}

program::~program() {
  for (const auto pid : session_members(session_)) ::kill(pid, SIGKILL);
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
}

std::optional<std::string> program::line() {
  for (;;) {
    if (const auto end = buffer_.find('\n'); end != std::string::npos) {
      auto text = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return text;
    }
    char part[4096];
    const auto n = ::read(output_.get(), part, sizeof part);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return buffer_.empty() ? std::nullopt : std::optional(std::exchange(buffer_, {}));
    buffer_.append(part, static_cast<std::size_t>(n));
  }
}

pid_t program::number(const std::string& name) {
  const auto text = line().value_or("the end");
  std::istringstream in(text);
  std::string word;
  pid_t n = 0;
  if (!(in >> word >> n) || word != name) throw std::runtime_error("expected '" + name + " NUMBER', got: " + text);
  return n;
}

std::string program::rest() {
  std::string text;
  while (auto l = line()) text += *l + "\n";
  return text;
}

void program::input(const std::string& text) const {
  static_cast<void>(!::write(input_.get(), text.data(), text.size()));
  input_.reset();
}

void program::signal(int number) const { ::kill(pid_, number); }
void program::signal_group(int number) const { ::kill(-pid_, number); }

exit_status program::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
  pid_ = -1;
  return WIFSIGNALED(status) ? exit_status::signaled(WTERMSIG(status)) : exit_status::exited(WEXITSTATUS(status));
}

}  // namespace support
