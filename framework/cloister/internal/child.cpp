// SPDX-License-Identifier: BSD-3-Clause
// The start and the end of a started process.
#include <cloister/internal/child.hpp>

#include <cloister/detail/body.hpp>
#include <cloister/detail/exception_words.hpp>
#include <cloister/detail/membership.hpp>
#include <cloister/detail/stop.hpp>
#include <cloister/internal/control.hpp>
#include <cloister/internal/planned_fault.hpp>
#include <cloister/internal/safe_text.hpp>
#include <cloister/log.hpp>
#include <cloister/node.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)  // Clang; GCC defines the macros below
#if __has_feature(address_sanitizer)
#define CLOISTER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define CLOISTER_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define CLOISTER_ASAN 1
#endif
#if defined(CLOISTER_ASAN) || defined(__SANITIZE_THREAD__)
#define CLOISTER_SANITIZED 1
#endif
#ifdef CLOISTER_ASAN
#include <sanitizer/lsan_interface.h>
#endif

namespace cloister {

/// The one door through which a started process makes its own node.
struct child_start {
  static node make(start_method method) { return node(node::child_tag{}, method); }
};

namespace internal {

using detail::membership;

namespace {

void on_terminate(int) noexcept { detail::request_stop(errc::stopping); }
void on_interrupt(int) noexcept {}  // a handler, not SIG_IGN: it does not survive an exec in this process

void apply_limits(const detail::start_block& block) noexcept {
  const auto set = [](auto what, std::uint64_t value) {
    if (value == 0) return;
    const rlimit limit{value, value};
    static_cast<void>(::setrlimit(what, &limit));
  };
#ifndef CLOISTER_SANITIZED
  set(RLIMIT_DATA, block.memory_limit);
#endif
  if (block.cpu_limit_s != 0) {  // the soft limit is SIGXCPU; the hard one, a second later, SIGKILL
    const rlimit limit{block.cpu_limit_s, block.cpu_limit_s + 1};
    static_cast<void>(::setrlimit(RLIMIT_CPU, &limit));
  }
  set(RLIMIT_NOFILE, block.open_files_limit);
}

[[noreturn]] void end_by(int signal) noexcept {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  ::sigaction(signal, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::kill(::getpid(), signal);
  for (;;) ::pause();
}

void flush_everything() noexcept {
  try {
    std::cout.flush();
    std::cerr.flush();
    std::clog.flush();
  } catch (...) {}
  std::fflush(nullptr);
}

// Descriptors of this process that a start needs beyond what is there already, closed on the way out of the start-up.
void redirect(owned_fd& from, int to) noexcept {
  if (from && from.get() != to) static_cast<void>(::dup2(from.get(), to));
}

// The handles among the arguments of a start, by number; descriptors come first in `fds`, the objects' memories after them.
class started_handles final : public detail::handle_source {
 public:
  started_handles(membership& self, const detail::start_block& block, std::vector<owned_fd> fds)
      : self_(self), block_(block), fds_(std::move(fds)) {}

  std::shared_ptr<detail::attachment> take_object(std::uint64_t number, std::uint64_t, unsigned role, std::uint64_t) override {
    if (number >= block_.objects.size() || block_.objects[number].role != role)
      throw failure(errc::undecodable, "process start: a handle among the arguments does not fit");
    const auto object = block_.objects[number].object;
    if (auto known = self_.find(object)) return known;
    return self_.attach(object, std::move(fds_.at(block_.descriptors + number)));
  }
  owned_fd take_fd(std::uint64_t number) override {
    if (number >= block_.descriptors)
      throw failure(errc::undecodable, "process start: a descriptor among the arguments does not fit");
    return std::move(fds_[number]);
  }

 private:
  membership& self_;
  const detail::start_block& block_;
  std::vector<owned_fd> fds_;
};

// The same in a forked process, which has its parent's handles in its memory.
class forked_handles final : public detail::handle_source {
 public:
  explicit forked_handles(const detail::start_request& from) : request_(from) {}
  std::shared_ptr<detail::attachment> take_object(std::uint64_t number, std::uint64_t, unsigned, std::uint64_t) override {
    return request_.handles.at(number).object();
  }
  owned_fd take_fd(std::uint64_t number) override {
    return request_.fds
        .at(number + static_cast<std::size_t>(request_.block.has_stdout) + static_cast<std::size_t>(request_.block.has_stderr))
        .duplicate();
  }

 private:
  const detail::start_request& request_;
};

void run_entry(const detail::start_block& block, detail::handle_source& handles) {
  decoder in(std::as_bytes(std::span(block.arguments)), &handles);
  auto here = child_start::make(static_cast<start_method>(block.method));
  detail::body_context context{in, here};
  reinterpret_cast<detail::entry_point>(const_cast<void*>(detail::find_code(block.entry)))(context);
}

}  // namespace

void run_encoded(const detail::start_request& from) {
  forked_handles handles(from);
  run_entry(from.block, handles);
}

void settle_in(const detail::start_block& block) {
  apply_limits(block);
  for (const auto& [name, value] : block.env) {
    if (name == planned_fault_variable) arm_planned_fault(value);
    else ::setenv(name.c_str(), value.c_str(), 1);
  }
  if (block.cwd && ::chdir(block.cwd->c_str()) != 0)
    throw failure(errc::not_started,
                  "process '" + block.name + "' start: cannot enter '" + *block.cwd + "': " + std::strerror(errno));
}

owned_fd arm_life_pipe(int life) noexcept {
  safe_text path;
  path << "/proc/self/fd/" << static_cast<unsigned long>(life);
  // A description of its own: its owner and signal are this process's alone.
  owned_fd armed(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!armed || ::fcntl(armed.get(), F_SETOWN, ::getpid()) != 0 || ::fcntl(armed.get(), F_SETSIG, SIGKILL) != 0 ||
      ::fcntl(armed.get(), F_SETFL, O_RDONLY | O_NONBLOCK | O_ASYNC) != 0)
    return {};
  pollfd gone{armed.get(), 0, 0};
  if (::poll(&gone, 1, 0) > 0) ::_exit(never_ran);
  return armed;
}

void tag_process(std::uint32_t incarnation) noexcept {
  const rlimit tag{incarnation, RLIM_INFINITY};
  static_cast<void>(::setrlimit(RLIMIT_LOCKS, &tag));
}

std::uint32_t tag_of(pid_t pid) noexcept {
  rlimit tag{};
  if (::prlimit(pid, RLIMIT_LOCKS, nullptr, &tag) != 0 || tag.rlim_cur == RLIM_INFINITY) return 0;
  return static_cast<std::uint32_t>(tag.rlim_cur);
}

void install_child_signals() noexcept {
  for (const int signal : {SIGQUIT, SIGHUP, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU, SIGCHLD}) ::signal(signal, SIG_DFL);
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  action.sa_handler = on_terminate;
  action.sa_flags = 0;
  ::sigaction(SIGTERM, &action, nullptr);
}

void run_and_exit(const std::function<void()>& body) noexcept {
  auto& self = *membership::current();
  int code = 0;
  bool stopped = false;
  const auto report = [&] {
    const auto words = detail::words_of_current_exception();
    code = 1;
    self.report_exception(words);
  };
  try {
    body();
  } catch (const failure& f) {
    stopped = f.code() == errc::stopping && detail::stop_requested();
    if (!stopped) report();
  } catch (...) { report(); }
  self.end_children();
  flush_everything();
#ifdef CLOISTER_ASAN
  // Not in a copy: what other threads of the process that it was copied from had on their stacks looks lost there.
  const bool copy = self.self().method == static_cast<std::uint8_t>(start_method::fork);
  if (code == 0 && !stopped && !copy) __lsan_do_leak_check();
#endif
  // Unwound because somebody asked: the exit status says so, as if the signal had ended it.
  if (stopped) end_by(SIGTERM);
  ::_exit(code);
}

void child_main(std::span<const std::byte> bytes, std::span<const int> numbers, int life) {
  owned_fd armed = arm_life_pipe(life);
  if (!armed) ::_exit(never_ran);
  ::close(life);
  std::vector<owned_fd> fds;
  for (const int fd : numbers) fds.emplace_back(fd);
  child_header header;
  detail::start_block block;
  try {
    std::tie(header, block) = decode<std::tuple<child_header, detail::start_block>>(bytes);
  } catch (const std::exception&) { ::_exit(never_ran); }
  install_child_signals();
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  owned_fd control = std::move(fds.at(0));
  if (!send_datagram(control.get(), encode(request{hello{}}), {})) ::_exit(never_ran);  // the hub has given this start up

  log_to_stderr(static_cast<log_level>(block.log_level));
  // The name shows in ps and top.
  static_cast<void>(::prctl(PR_SET_NAME, block.name.c_str()));
  std::size_t next = 1;
  owned_fd arguments_fd;
  if (block.has_arguments_fd) arguments_fd = std::move(fds.at(next++));
  for (const auto& [has, to] : {std::pair{block.has_stdout, STDOUT_FILENO}, std::pair{block.has_stderr, STDERR_FILENO}}) {
    if (has) redirect(fds.at(next++), to);
  }
  membership self(header.identity, block, std::move(control), std::move(armed));
  started_handles handles(self, block,
                          {std::make_move_iterator(fds.begin() + static_cast<long>(next)), std::make_move_iterator(fds.end())});
  fds.clear();
  run_and_exit([&] {
    settle_in(block);
    if (block.has_arguments_fd) block.arguments = read_file(arguments_fd, "process start: its arguments");
    arguments_fd.reset();
    run_entry(block, handles);
  });
}

}  // namespace internal
}  // namespace cloister
