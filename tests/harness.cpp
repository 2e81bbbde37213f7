// SPDX-License-Identifier: BSD-3-Clause
// Catch2's own code (2.13) or its runner (3.x), the deadline around each case, and children.
#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#include <catch2/catch_test_case_info.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>
using listener_base = Catch::EventListenerBase;
#else
#define CATCH_CONFIG_RUNNER
#define CATCH_CONFIG_NO_POSIX_SIGNALS  // signals belong to what is tested
#include <catch2/catch.hpp>
using listener_base = Catch::TestEventListenerBase;
#endif

#include "harness.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <system_error>

#include <execinfo.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace harness {
namespace {

std::array<char, 512> deadline_line;  // written when a case begins, for the handler
std::size_t deadline_line_size = 0;

void deadline_passed(int) {
  // Async-signal-safe: backtrace() was called once before, so its library is loaded.
  static_cast<void>(!::write(STDERR_FILENO, deadline_line.data(), deadline_line_size));
  std::array<void*, 48> frames;
  const int count = ::backtrace(frames.data(), static_cast<int>(frames.size()));
  ::backtrace_symbols_fd(frames.data(), count, STDERR_FILENO);
  ::_exit(3);
}

unsigned seconds_for(const std::string& tags) {
  constexpr std::string_view tag = "[deadline:";
  const auto at = tags.find(tag);
  const unsigned seconds = at == std::string::npos ? 60 : static_cast<unsigned>(std::stoul(tags.substr(at + tag.size())));
  return seconds * slowdown;
}

struct deadline_listener : listener_base {
  using listener_base::listener_base;

  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    const unsigned seconds = seconds_for(info.tagsAsString());
    const std::string line = "\ndeadline of " + std::to_string(seconds) + " s passed in: " + std::string(info.name) + "\n";
    deadline_line_size = line.copy(deadline_line.data(), deadline_line.size());
    ::alarm(seconds);
  }
  void testCaseEnded(const Catch::TestCaseStats&) override { ::alarm(0); }
};
CATCH_REGISTER_LISTENER(deadline_listener)

}  // namespace

int run_tests(int argc, char** argv) {
  std::array<void*, 1> frame;
  ::backtrace(frame.data(), 1);
  struct sigaction action {};
  action.sa_handler = deadline_passed;
  ::sigaction(SIGALRM, &action, nullptr);
  return Catch::Session().run(argc, argv);
}

pid_t child::fork_and_run(const std::function<int()>& body) {
  std::cout.flush();
  std::fflush(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid > 0) return pid;

  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  for (const int number : {SIGINT, SIGTERM, SIGSEGV, SIGABRT, SIGFPE, SIGILL, SIGALRM}) ::signal(number, SIG_DFL);
  int code = 1;
  try {
    code = body();
  } catch (const std::exception& e) {
    std::cerr << "child " << ::getpid() << ": " << e.what() << '\n';
  } catch (...) {  // a failed REQUIRE has been reported already
  }
  std::cout.flush();
  std::fflush(nullptr);
  ::_exit(code);
}

child::~child() {
  if (pid_ > 0) kill();
}

cloister::exit_status child::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0)
    if (errno != EINTR) throw std::system_error(errno, std::generic_category(), "waitpid");
  pid_ = -1;
  return WIFSIGNALED(status) ? cloister::exit_status::signaled(WTERMSIG(status))
                             : cloister::exit_status::exited(WEXITSTATUS(status));
}

bool child::wait_stopped() const {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED | WEXITED | WNOWAIT) < 0)
    if (errno != EINTR) throw std::system_error(errno, std::generic_category(), "waitid");
  return info.si_code == CLD_STOPPED;
}

void child::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

void child::kill() {
  signal(SIGKILL);
  wait();
}

std::vector<std::string> open_descriptors() {
  std::vector<std::string> all;
  std::error_code ended;  // the descriptor of this very iteration is listed too, and gone when it is read
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const auto target = std::filesystem::read_symlink(entry.path(), ended).string();
    if (ended || target.starts_with("/proc/")) continue;
    all.push_back(entry.path().filename().string() + " -> " + target);
  }
  std::sort(all.begin(), all.end());
  return all;
}

std::vector<pid_t> child_processes() {
  std::vector<pid_t> all;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream in(task.path() / "children");
    for (pid_t pid = 0; in >> pid;) all.push_back(pid);
  }
  std::sort(all.begin(), all.end());
  return all;
}

char process_state(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(in, line);
  const auto end_of_name = line.rfind(") ");
  return end_of_name == std::string::npos ? '\0' : line[end_of_name + 2];
}

bool asleep(pid_t pid) { return process_state(pid) == 'S'; }

}  // namespace harness
