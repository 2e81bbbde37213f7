// SPDX-License-Identifier: BSD-3-Clause
// The launcher's loop, starting by fork and by exec, reaping, and strays.
#include <cloister/internal/launcher.hpp>

#include <cloister/detail/event_count.hpp>
#include <cloister/internal/child.hpp>
#include <cloister/internal/safe_text.hpp>
#include <cloister/log.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace cloister::internal {
namespace {

// Its value: "launcher:SOCKET:LIFE:EXE:LIMIT:UMASK" or "process:BLOCK:LIFE:COUNT:LIMIT".
constexpr const char* role_variable = "CLOISTER_EXEC";

// One datagram from the hub, received without allocating.
struct launch {
  launch_header header;
  std::byte block[max_datagram];
};
launch incoming;
std::size_t incoming_size;
std::array<int, max_descriptors> incoming_fds;
std::size_t incoming_count;
bool incoming_truncated;  // this process's table of descriptors is full

bool receive_launch(int socket) noexcept {
  alignas(cmsghdr) static char control[CMSG_SPACE(sizeof(int) * max_descriptors)];
  iovec data{&incoming, sizeof incoming};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n = 0;
  do n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  incoming_count = 0;
  incoming_truncated = (message.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); n > 0 && c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::memcpy(incoming_fds.data() + incoming_count, CMSG_DATA(c), count * sizeof(int));
    incoming_count += count;
  }
  if (n < static_cast<ssize_t>(sizeof(launch_header))) return false;
  incoming_size = static_cast<std::size_t>(n) - sizeof(launch_header);
  return true;
}

void report(int socket, const launcher_report& what, int fd = -1) noexcept {
  const auto bytes = std::as_bytes(std::span(&what, 1));
  static_cast<void>(send_datagram(socket, bytes, fd >= 0 ? std::span<const int>(&fd, 1) : std::span<const int>{}));
}

// What an executed process gets as its environment: room for one variable, then the launcher's. Made by prepare_launcher.
std::vector<char*> child_environment;

[[noreturn]] void fail_exec() noexcept {
  // The hub reads the process's end; its text is all that can be said from here.
  static constexpr char text[] = "cloister: a process could not be executed\n";
  static_cast<void>(::write(STDERR_FILENO, text, sizeof text - 1));
  ::_exit(never_ran);
}

// Descriptors above the limit stay usable; those that this process opens itself count.
void lower_file_limit(const launcher_context& context) noexcept {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || context.file_limit == 0) return;
  files.rlim_cur = context.file_limit;
  if (incoming_count + 64 < context.file_limit) static_cast<void>(::setrlimit(RLIMIT_NOFILE, &files));
}

// Runs in the forked child: executes the program, which finds its block and descriptors by the environment.
[[noreturn]] void execute_child(const launcher_context& context, int block, std::size_t count) noexcept {
  // Descriptors become 10, 11, ...: duplicated above everything first, then down, and no longer close-on-exec.
  constexpr unsigned base = 10;
  const int high = static_cast<int>(base + count) + 8;
  std::array<int, max_descriptors + 4> kept{};
  std::size_t n = 0;
  for (const int fd : {block, context.life, context.executable}) kept[n++] = ::fcntl(fd, F_DUPFD, high + 4);
  for (std::size_t i = 0; i < count; ++i) kept[n++] = ::fcntl(incoming_fds[i], F_DUPFD, high + 4);
  for (std::size_t i = 0; i < n; ++i) {
    if (kept[i] < 0 || ::dup2(kept[i], static_cast<int>(base + i)) < 0) fail_exec();
  }
  const int program = static_cast<int>(base) + 2;
  static_cast<void>(::syscall(SYS_close_range, 3U, base - 1, 0U));
  static_cast<void>(::syscall(SYS_close_range, base + static_cast<unsigned>(n), ~0U, 0U));
  static_cast<void>(::fcntl(program, F_SETFD, FD_CLOEXEC));

  static safe_text variable;
  variable << role_variable << "=process:" << base << ":" << base + 1 << ":" << count << ":" << context.file_limit;
  child_environment.front() = variable.c_str();
  lower_file_limit(context);  // only now: the copies above needed numbers beyond it
  ::syscall(SYS_execveat, program, "", context.argv, child_environment.data(), AT_EMPTY_PATH);
  fail_exec();
}

// Closes every descriptor beyond standard input and output that is not in `kept` (which it sorts).
void close_all_but(std::span<int> kept) noexcept {
  std::sort(kept.begin(), kept.end());
  unsigned from = 3;
  for (const int fd : kept) {
    if (static_cast<unsigned>(fd) > from) static_cast<void>(::syscall(SYS_close_range, from, static_cast<unsigned>(fd) - 1, 0U));
    from = std::max(from, static_cast<unsigned>(fd) + 1);
  }
  static_cast<void>(::syscall(SYS_close_range, from, ~0U, 0U));
}

[[noreturn]] void start_child(const launcher_context& context) noexcept {
  static_cast<void>(::prctl(PR_SET_NAME, "cloister start"));  // not to be taken for the launcher
  tag_process(incoming.header.incarnation);
  // A request to stop may come before there is a handler: it stays pending, also over an exec, until child_main lets it in.
  install_child_signals();
  if (incoming.header.method == launch_method::exec) {
    const int block = ::memfd_create("cloister start", MFD_CLOEXEC);
    if (block < 0 || ::write(block, incoming.block, incoming_size) != static_cast<ssize_t>(incoming_size)) fail_exec();
    execute_child(context, block, incoming_count);
  }
  std::array<int, max_descriptors + 1> kept{};
  *std::copy_n(incoming_fds.begin(), incoming_count, kept.begin()) = context.life;
  close_all_but(std::span(kept).first(incoming_count + 1));
  lower_file_limit(context);
  // From there on this is an ordinary single-threaded process: it may allocate.
  child_main(std::span(incoming.block).first(incoming_size), std::span(incoming_fds).first(incoming_count), context.life);
}

// Pids of children that the hub knows of: forked here, or reported as strays. One bit each; only touched pages cost memory.
constexpr pid_t pid_limit = 1 << 22;
std::array<unsigned char, pid_limit / 8> known;

bool test_known(pid_t pid) noexcept { return pid < pid_limit && (known[static_cast<std::size_t>(pid) / 8] >> (pid % 8) & 1) != 0; }
void set_known(pid_t pid, bool on) noexcept {
  if (pid >= pid_limit) return;
  auto& byte = known[static_cast<std::size_t>(pid) / 8];
  byte = static_cast<unsigned char>(on ? byte | 1 << pid % 8 : byte & ~(1 << pid % 8));
}

int children_list = -1;  // the kernel's list of this process's children, as text

// Calls `visit(pid)` for each child of this process.
template <class Visit>
void for_each_child(Visit visit) noexcept {
  static char text[262144];
  std::size_t n = 0;  // a read returns some hundred numbers at most, and may cut one in two
  for (ssize_t got = 1; got > 0 && n < sizeof text; n += static_cast<std::size_t>(got > 0 ? got : 0))
    got = ::pread(children_list, text + n, sizeof text - n, static_cast<off_t>(n));
  pid_t pid = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (text[i] >= '0' && text[i] <= '9') {
      pid = pid * 10 + (text[i] - '0');
    } else if (pid > 0) {  // each number is followed by a blank
      visit(pid);
      pid = 0;
    }
  }
}

// Tells the hub of children that it has not heard of: what a dead process left behind, or what forked itself.
void report_strays(const launcher_context& context) noexcept {
  for_each_child([&](pid_t pid) {
    if (test_known(pid)) return;
    set_known(pid, true);
    report(context.socket, {report_kind::stray, 0, pid, 0});
  });
}

// Threads that a program starts before its node are in an executed launcher, too, and the locks that they hold would be held for ever in
// a process forked from here. (The directory has a link for each thread, and two; ThreadSanitizer has a thread of its own.)
bool has_threads() noexcept {
#ifdef CLOISTER_TSAN
  constexpr nlink_t alone = 4;
#else
  constexpr nlink_t alone = 3;
#endif
  struct stat tasks {};
  return ::stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > alone;
}

void launch_one(const launcher_context& context) noexcept {
  const auto incarnation = incoming.header.incarnation;
  if (has_threads()) incoming.header.method = launch_method::exec;
  const pid_t pid = incoming_truncated ? -1 : ::fork();
  if (pid == 0) start_child(context);
  const int why = incoming_truncated ? EMFILE : errno;
  for (std::size_t i = 0; i < incoming_count; ++i) ::close(incoming_fds[i]);
  if (pid < 0) {
    report(context.socket, {report_kind::failed, incarnation, 0, why});
    return;
  }
  set_known(pid, true);
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));  // not reaped yet, so it is that process
  report(context.socket, {report_kind::launched, incarnation, pid, pidfd < 0 ? errno : 0}, pidfd);
  if (pidfd >= 0) ::close(pidfd);
}

int child_signal = -1;  // an eventfd

void on_child_ended(int) {
  const int kept = errno;
  const std::uint64_t one = 1;
  static_cast<void>(!::write(child_signal, &one, sizeof one));
  errno = kept;
}

// Reaps everything that has ended; true if something had.
bool reap(const launcher_context& context) noexcept {
  bool any = false;
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return any;
    any = true;
    set_known(pid, false);
    report(context.socket, {report_kind::ended, 0, pid, status});
  }
}

// The first process is gone: children get SIGKILL one by one (never a process group: it is the user's) until there is none.
[[noreturn]] void end_all_children() noexcept {
  for (;;) {
    for_each_child([](pid_t pid) { ::kill(pid, SIGKILL); });
    if (::waitpid(-1, nullptr, 0) < 0 && errno == ECHILD) ::_exit(0);
  }
}

}  // namespace

void launcher_main(const launcher_context& context) {
  static_cast<void>(::prctl(PR_SET_NAME, "cloister"));
  std::array<int, 3> kept{context.socket, context.life, context.executable};
  close_all_but(kept);
  static_cast<void>(::prctl(PR_SET_CHILD_SUBREAPER, 1));
  children_list = ::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
  for (const int signal : {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU}) ::signal(signal, SIG_IGN);
  // A handler and an eventfd, no signalfd: if the program starts threads before its node, an executed launcher has them too, and one
  // of them may be given the signal. (An inherited SIG_IGN would destroy exit statuses.)
  child_signal = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction on_child {};
  on_child.sa_handler = on_child_ended;
  on_child.sa_flags = SA_RESTART | SA_NOCLDSTOP;
  ::sigaction(SIGCHLD, &on_child, nullptr);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    static_cast<void>(::setrlimit(RLIMIT_NOFILE, &files));
  }
  sigset_t blocked;  // for those who are forked here: ignored, they would be lost
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGINT);
  ::sigprocmask(SIG_SETMASK, &blocked, nullptr);
  // The life pipe too: a process that the program forked by itself may keep the socket open after the first process's end.
  std::array<pollfd, 3> watched{{{context.socket, POLLIN, 0}, {child_signal, POLLIN, 0}, {context.life, 0, 0}}};
  for (;;) {
    if (::poll(watched.data(), watched.size(), -1) < 0) continue;
    if (watched[2].revents != 0) end_all_children();
    if (watched[1].revents != 0) {
      std::uint64_t count = 0;
      static_cast<void>(!::read(child_signal, &count, sizeof count));
      if (reap(context)) report_strays(context);
    }
    if (watched[0].revents != 0) {
      if (!receive_launch(context.socket)) end_all_children();
      launch_one(context);
    }
  }
}

pid_t execute_launcher(const launcher_context& context) {
  // Descriptors are passed by number, so what must survive exec is duplicated without close-on-exec in the new process only.
  const int socket = 10, life = 11, executable = 12;
  std::string variable = std::string(role_variable) + "=launcher:" + std::to_string(socket) + ":" + std::to_string(life) + ":" +
                         std::to_string(executable) + ":" + std::to_string(context.file_limit) + ":" +
                         std::to_string(context.file_mask);
  std::vector<char*> environment{variable.data()};
  for (char** entry = context.environment; *entry != nullptr; ++entry) environment.push_back(*entry);
  environment.push_back(nullptr);
  // Copies above the target numbers, so that no dup2 overwrites what a later one needs.
  const owned_fd s(::fcntl(context.socket, F_DUPFD_CLOEXEC, 20)), l(::fcntl(context.life, F_DUPFD_CLOEXEC, 20)),
      x(::fcntl(context.executable, F_DUPFD_CLOEXEC, 20));
  const std::string path = "/proc/self/fd/" + std::to_string(x.get());
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, s.get(), socket);
  ::posix_spawn_file_actions_adddup2(&actions, l.get(), life);
  ::posix_spawn_file_actions_adddup2(&actions, x.get(), executable);
  if (context.directory >= 0) ::posix_spawn_file_actions_addfchdir_np(&actions, context.directory);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int error =
      s && l && x ? ::posix_spawn(&pid, path.c_str(), &actions, &attributes, context.argv, environment.data()) : EMFILE;
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) throw failure(errc::not_started, std::string("the launcher could not be executed: ") + std::strerror(error));
  return pid;
}

void prepare_launcher(std::span<void (*const)()> hooks) noexcept {
  try {
    for (auto* hook : hooks) hook();
    child_environment.assign(1, nullptr);
    for (char** entry = environ; *entry != nullptr; ++entry) child_environment.push_back(*entry);
    child_environment.push_back(nullptr);
  } catch (const std::exception& e) {
    detail::log(log_level::error, std::string("a preload hook threw: ") + e.what());
    ::_exit(never_ran);
  } catch (...) {
    detail::log(log_level::error, "a preload hook threw");
    ::_exit(never_ran);
  }
  std::fflush(nullptr);
}

void become_what_was_executed(char** argv, std::span<void (*const)()> preload) {
  const char* value = ::getenv(role_variable);
  if (value == nullptr) return;
  const std::string text = value;
  ::unsetenv(role_variable);
  int a = -1, b = -1, c = -1;
  unsigned long limit = 0;
  unsigned mask = 0;
  const auto cloexec = [](int fd) { static_cast<void>(::fcntl(fd, F_SETFD, FD_CLOEXEC)); };
  if (std::sscanf(text.c_str(), "launcher:%d:%d:%d:%lu:%u", &a, &b, &c, &limit, &mask) == 5) {
    ::umask(static_cast<mode_t>(mask));
    for (const int fd : {a, b, c}) cloexec(fd);
    prepare_launcher(preload);
    launcher_main({a, b, c, argv, limit});
  }
  if (std::sscanf(text.c_str(), "process:%d:%d:%d:%lu", &a, &b, &c, &limit) == 4) {
    std::vector<int> fds;
    for (int i = 0; i < c; ++i) {
      fds.push_back(b + 2 + i);
      cloexec(fds.back());
    }
    cloexec(b);
    std::vector<std::byte> block(static_cast<std::size_t>(std::max<off_t>(::lseek(a, 0, SEEK_END), 0)));
    std::size_t got = 0;
    while (got < block.size()) {
      const auto n = ::pread(a, block.data() + got, block.size() - got, static_cast<off_t>(got));
      if (n <= 0) ::_exit(never_ran);
      got += static_cast<std::size_t>(n);
    }
    ::close(a);
    child_main(block, fds, b);
  }
}

}  // namespace cloister::internal
