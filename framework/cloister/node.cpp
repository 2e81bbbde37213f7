// SPDX-License-Identifier: BSD-3-Clause
// The first process: launcher first, then the hub's thread, then this process's own membership; and the orderly end.
#include <cloister/node.hpp>

#include <cloister/detail/membership.hpp>
#include <cloister/detail/stop.hpp>
#include <cloister/fault.hpp>
#include <cloister/internal/hub.hpp>
#include <cloister/internal/launcher.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace cloister {
namespace {

std::atomic<internal::hub*> interrupted_hub{nullptr};
std::terminate_handler previous_terminate = nullptr;

bool other_threads() {
  unsigned count = 0;
  if (DIR* tasks = ::opendir("/proc/self/task")) {
    while (const dirent* entry = ::readdir(tasks)) count += entry->d_name[0] != '.' ? 1 : 0;
    ::closedir(tasks);
  }
  return count != 1;
}

void on_interrupt(int) {
  const int kept = errno;
  detail::request_stop(errc::interrupted);
  if (auto* hub = interrupted_hub.load()) hub->interrupt();
  ::signal(SIGINT, SIG_DFL);  // the second one ends everything at once
  errno = kept;
}

// An uncaught failure{interrupted} is no crash: the program was told to end, and says so by the signal.
[[noreturn]] void on_terminate() {
  if (detail::stop_reason() == errc::interrupted) {
    try {
      if (auto current = std::current_exception()) std::rethrow_exception(current);
    } catch (const failure& f) {
      if (f.code() == errc::interrupted) {
        // Children unwind first; a second Ctrl-C ends everything at once.
        if (auto* self = detail::membership::current()) self->shut_down(true);
        if (auto* hub = interrupted_hub.load()) hub->join();
        std::fflush(nullptr);
        ::signal(SIGINT, SIG_DFL);
        ::raise(SIGINT);
      }
    } catch (...) {}
  }
  if (previous_terminate != nullptr) previous_terminate();
  std::abort();
}

// The soft limit of open files, put back at the end, also of an attempt to make a node.
struct raised_file_limit {
  raised_file_limit() {
    if (::getrlimit(RLIMIT_NOFILE, &before) != 0) before = {};
  }
  ~raised_file_limit() {
    if (before.rlim_cur != 0) static_cast<void>(::setrlimit(RLIMIT_NOFILE, &before));
  }
  raised_file_limit(const raised_file_limit&) = delete;
  raised_file_limit& operator=(const raised_file_limit&) = delete;
  void raise() const {
    rlimit raised = before;
    raised.rlim_cur = raised.rlim_max;
    static_cast<void>(::setrlimit(RLIMIT_NOFILE, &raised));
  }
  rlimit before{};
};

// The environment as it is now, for whoever executes a launcher later.
struct kept_environment {
  kept_environment() {
    for (char** entry = environ; *entry != nullptr; ++entry) texts.emplace_back(*entry);
    for (auto& text : texts) entries.push_back(text.data());
    entries.push_back(nullptr);
  }
  std::vector<std::string> texts;
  std::vector<char*> entries;
};

// umask(2) tells it only by changing it.
unsigned file_mask() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    unsigned mask = 0;
    if (word == "Umask:" && status >> std::oct >> mask) return mask;
  }
  return 022;
}

// A launcher until a hub has it.
struct new_launcher {
  ~new_launcher() {
    if (pid <= 0) return;
    ::kill(pid, SIGKILL);  // it has started nothing yet
    ::waitpid(pid, nullptr, 0);
  }
  pid_t pid = -1;
};

}  // namespace

struct node::state {
  raised_file_limit files;
  kept_environment environment;
  owned_fd life_write, life_read, executable, directory;
  std::unique_ptr<internal::hub> hub;
  std::unique_ptr<detail::membership> self;
  bool handles_interrupt = false;
  int exceptions = std::uncaught_exceptions();
};

unsigned node::cpu_count() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int n = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return n > 0 ? static_cast<unsigned>(n) : 1;
}

node::node(child_tag, start_method method) : place(method) {}

node_context node::context(start_method method) const { return node_context(method); }

node::node(int, char** argv, node_options options) : place(options.start) {
  internal::become_what_was_executed(argv, options.preload);
  if (detail::membership::current() != nullptr) throw failure(errc::invalid, "node: this process belongs to a node already");
  auto s = std::make_unique<state>();
  // A program may be started without standard input or output: none of our descriptors may take their numbers.
  int spare = 0;
  do spare = ::open("/dev/null", O_RDWR);
  while (spare >= 0 && spare <= STDERR_FILENO);
  if (spare >= 0) ::close(spare);
  int life[2];
  if (::pipe2(life, O_CLOEXEC) != 0) throw failure(errc::no_descriptors, std::string("node: life pipe: ") + std::strerror(errno));
  s->life_read = owned_fd(life[0]);
  s->life_write = owned_fd(life[1]);
  s->executable = owned_fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  s->directory = owned_fd(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!s->executable) throw failure(errc::not_started, std::string("node: /proc/self/exe: ") + std::strerror(errno));

  auto [hub_end, launcher_end] = internal::socket_pair("node: ");
  internal::launcher_context context{
      launcher_end.get(), s->life_read.get(), s->executable.get(), argv, s->files.before.rlim_cur, s->environment.entries.data(),
      s->directory.get(), file_mask()};
  std::cout.flush();
  std::fflush(nullptr);
  new_launcher launcher;
  if (other_threads()) {
    launcher.pid = internal::execute_launcher(context);
  } else {
    launcher.pid = ::fork();
    if (launcher.pid < 0)
      throw failure(errc::not_started, std::string("node: the launcher cannot be forked: ") + std::strerror(errno));
    if (launcher.pid == 0) {
      clear_faults();  // the first process's alone
      internal::prepare_launcher(options.preload);
      internal::launcher_main(context);  // closes what else is open, above all the first process's end of the life pipe
    }
  }
  launcher_end.reset();
  context.socket = -1;

  // A subreaper, so that children of a launcher that died can be reaped here; descriptors up to the hard limit.
  static_cast<void>(::prctl(PR_SET_CHILD_SUBREAPER, 1));
  s->files.raise();

  auto [first_hub_end, first_end] = internal::socket_pair("node: ", true);
  s->hub = std::make_unique<internal::hub>(std::move(hub_end), launcher.pid, context, std::move(first_hub_end));
  launcher.pid = -1;
  detail::start_block self;
  self.name = "main";
  self.method = static_cast<std::uint8_t>(method_);
  s->self = std::make_unique<detail::membership>(detail::process_identity{1, 1, 0, 0}, std::move(self), std::move(first_end),
                                                 std::move(s->life_read));
  s->self->close_on_fork(s->life_write.get());

  struct sigaction before {};
  if (::sigaction(SIGINT, nullptr, &before) == 0 && (before.sa_flags & SA_SIGINFO) == 0 && before.sa_handler == SIG_DFL) {
    interrupted_hub = s->hub.get();
    struct sigaction action {};
    action.sa_handler = on_interrupt;
    ::sigaction(SIGINT, &action, nullptr);
    s->handles_interrupt = true;
    previous_terminate = std::set_terminate(on_terminate);
  }
  state_ = std::move(s);
}

node::~node() {
  if (!state_) return;
  auto& s = *state_;
  const bool failed = std::uncaught_exceptions() > s.exceptions;
  s.self->shut_down(failed);
  s.hub->join();
  interrupted_hub = nullptr;
  s.self.reset();
  s.hub.reset();
  if (s.handles_interrupt) {
    std::set_terminate(previous_terminate);
    ::signal(SIGINT, SIG_DFL);
    if (detail::stop_reason() == errc::interrupted) {
      std::cout.flush();
      std::fflush(nullptr);
      ::raise(SIGINT);
    }
  }
}

}  // namespace cloister
