// SPDX-License-Identifier: BSD-3-Clause
// A program that tests run in a session of its own: `node_program SCENARIO`. It says on standard output what it does, a line at a time.
// Its first lines run before the node: a process started by exec must not get beyond it.
#include <cloister/cloister.hpp>
#include <cloister/detail/membership.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <stdexcept>
#include <thread>

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace cloister;
using namespace std::chrono_literals;

namespace {

void say(const std::string& name, long number) {
  const auto text = name + " " + std::to_string(number) + "\n";
  static_cast<void>(!::write(1, text.data(), text.size()));
}
void sleep_long() { this_process::sleep_for(1h); }
pid_t launcher_pid() { return std::atoi(::getenv("TEST_LAUNCHER")); }

int preloaded = 0;
std::mutex contended;  // held nearly always by a thread that was there before the node
std::string scenario;
void preload() {
  ++preloaded;
  if (scenario == "bad-preload") throw std::runtime_error("no such library");
  if (scenario == "leaves-early") ::setenv("TEST_LEAVE_EARLY", "1", 1);
  ::setenv("TEST_LAUNCHER", std::to_string(::getpid()).c_str(), 1);
}

struct unwinds {
  ~unwinds() { say("unwound", ::getpid()); }
};

// Children, grandchildren, and a daemon forked twice behind the library's back; then waits to be killed.
void tree(const node& here, start_method method) {
  queue<pid_t> pids{here};
  process child{here,
                {.name = "child", .start = method},
                [](const node& inner, queue<pid_t> out) {
                  process grandchild{inner,
                                     [](queue<pid_t> to) {
                                       to.put(::getpid());
                                       for (volatile int busy = 1; busy != 0;) ::usleep(1000);  // does not hear a SIGTERM
                                     },
                                     out};
                  if (const pid_t between = ::fork(); between == 0) {
                    if (const pid_t daemon = ::fork(); daemon != 0) ::_exit(0);
                    ::setsid();
                    for (;;) ::pause();
                  } else {
                    int status = 0;
                    ::waitpid(between, &status, 0);
                  }
                  out.put(::getpid());
                  sleep_long();
                },
                pids};
  say("child", child.pid());
  for (int i = 0; i < 2; ++i) say("pid", pids.get());
  queue<pid_t> launcher{here};
  process asker{here, [](queue<pid_t> out) { out.put(launcher_pid()); }, launcher};
  say("launcher", launcher.get());
  asker.join();
  say("ready", ::getpid());
  sleep_long();
}

void hello(const node& here) {
  process a{here, [] {
              const std::scoped_lock own(contended);
              say("forked", preloaded);
            }};
  a.join();
  process b{here, {.start = start_method::spawn}, [] { say("executed", preloaded); }};
  b.join();
}

// The hook leaves the launcher's number in its environment.
void revived(const node& here) {
  queue<pid_t> launcher{here};
  const auto ask = [](queue<pid_t> out) { out.put(preloaded == 1 ? launcher_pid() : 0); };
  process a{here, ask, launcher};
  const pid_t first = launcher.get();
  say("launcher", first);
  a.join();
  // Too late for everybody who is started from here.
  ::setenv("TEST_LATE", "1", 1);
  const auto directory = std::filesystem::current_path();
  std::filesystem::current_path("/proc");
  const auto mask = ::umask(0);
  ::kill(first, SIGKILL);
  for (;;) {  // a start may fail while nobody has noticed yet
    try {
      process b{here, ask, launcher};
      if (const auto now = launcher.get(10s)) {
        say("launcher", *now);
        process c{here,
                  [](std::string where, unsigned file_mask) {
                    say("late", ::getenv("TEST_LATE") != nullptr);
                    say("directory", std::filesystem::current_path() == where);
                    say("umask", ::umask(0) == file_mask);
                  },
                  directory.string(), static_cast<unsigned>(mask)};
        c.join();
        return;
      }
    } catch (const failure&) {}
  }
}

// Starts a process by exec each time a line comes, and says how that ended.
void spawn_on_demand(const node& here) {
  say("ready", ::getpid());
  for (std::string line; std::getline(std::cin, line) && line != "end";) {}
  process p{here, {.start = start_method::spawn}, [] { say("executed", 1); }};
  say("exit", p.join().code().value_or(-1));
}

void interrupted(const node& here, bool caught) {
  queue<int> never{here};
  process a{here, [] {
              unwinds u;
              sleep_long();
            }};
  process b{here,
            {.start = start_method::spawn},
            [](queue<int> q) {
              unwinds u;
              q.get();
            },
            never};
  say("ready", ::getpid());
  if (!caught) never.get();
  const auto got = never.get(1h);
  say("interrupted", got == errc::interrupted);
  say("requested", this_process::stop_requested());
}

pid_t launcher_of(const node& here) {
  queue<pid_t> launcher{here};
  process asker{here, [](queue<pid_t> out) { out.put(launcher_pid()); }, launcher};
  return launcher.get();
}

void waits_for_launcher(const node& here) {
  say("launcher", launcher_of(here));
  std::string line;
  std::getline(std::cin, line);
  say("starting", 1);
  process a{here, sleep_long};
  say("started", 1);
}

// A child that asks the hub for something all the time.
void asks(const node& here) {
  process a{here, [](const node& inner) {
              for (;;) {
                queue<int> q{inner};
                if (this_process::stop_requested()) this_process::sleep_for(1s);  // which says so
              }
            }};
  say("child", a.pid());
  say("signal", a.join().signal().value_or(0));
}

// A child that tells the hub something all the time, and asks for nothing.
void tells(const node& here) {
  process a{here, [] {
              while (!this_process::stop_requested()) detail::membership::require().signal(0, 0, 0);
            }};
  say("child", a.pid());
  a.join();
}

// The node's end waits for one process, which has a daemon of its own, and starts another one.
void waited_for(const node& here) {
  queue<int> ready{here}, ending{here};
  static process daemon, waited;
  daemon = process{here,
                   {.daemon = true},
                   [](queue<int> begun, queue<int> out) {
                     begun.put(1);
                     try {
                       sleep_long();
                     } catch (const failure&) { out.put(1); }
                   },
                   ready,
                   ending};
  waited = process{here,
                   [](const node& inner, queue<int> begun, queue<int> in) {
                     const process own{inner, {.daemon = true}, sleep_long};
                     begun.put(1);
                     in.get();
                     say("exit", process{inner, [] {}}.join().code().value_or(-1));
                     say("alive", own.is_alive());
                     own.kill();
                   },
                   ready, ending};
  for (int i = 0; i < 2; ++i) ready.get();
}

void refuses(const node& here) {
  try {
    process a{here, [] {}};
    a.join();
  } catch (const failure& f) { say("refused", f.code() == errc::not_started); }
}

void leaves_early(const node& here) {
  process a{here, {.start = start_method::spawn}, [] { say("ran", 1); }};
  say("succeeded", a.join().success());
}

void environment(const node& here) {
  process a{here, {.start = start_method::spawn}, [] {
              long n = 0;
              while (::getenv(("TEST_VARIABLE_" + std::to_string(n)).c_str()) != nullptr) ++n;
              say("variables", n);
            }};
  a.join();
}

long descriptors_of_null() {
  long n = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    n += std::filesystem::read_symlink(entry.path(), gone) == "/dev/null" ? 1 : 0;
  }
  return n;
}

// A child of the program itself, older than its node, which must outlive it.
int own_child(int argc, char** argv) {
  const pid_t own = ::fork();
  if (own == 0) {
    for (;;) ::pause();
  }
  const long before = descriptors_of_null();
  {
    node here{argc, argv};
    process a{here, [] {}};
    a.join();
  }
  say("kept", descriptors_of_null() - before);
  say("alive", ::waitpid(own, nullptr, WNOHANG) == 0);
  ::kill(own, SIGKILL);
  ::waitpid(own, nullptr, 0);
  return 0;
}

void stubborn(const node& here) {
  process a{here, {.shutdown = 1h}, [] {
              say("ready", ::getpid());
              for (volatile int busy = 1; busy != 0;) ::usleep(1000);
            }};
  const auto got = a.join(1h);
  say("interrupted", got == errc::interrupted);
}

void uncaught(const node& here) {
  process a{here, sleep_long};
  throw std::runtime_error("not caught: the program ends, and so do its processes");
}

void unwinding(const node& here) {
  try {
    process a{here, [] {
                unwinds u;
                say("ready", 1);
                sleep_long();
              }};
    queue<int> q{here};
    process b{here,
              [](queue<int> out) {
                out.put(1);
                sleep_long();
              },
              q};
    q.get();
    throw std::runtime_error("unwind");
  } catch (const std::runtime_error&) { say("caught", 1); }
}

// More handles than half of the soft limit of open files.
void few_files(const node& here) {
  std::vector<queue<int>> all;
  for (int i = 0; i < 150; ++i) all.emplace_back(here);
  process a{here,
            {.start = start_method::spawn},
            [](std::vector<queue<int>> in) {
              rlimit files{};
              ::getrlimit(RLIMIT_NOFILE, &files);
              in.back().put(static_cast<int>(files.rlim_cur));
            },
            all};
  say("exit", a.join().code().value_or(-1));
  say("limit", all.back().try_get().value_or(0));
}

bool no_identity = false;

// A node that cannot be made leaves nothing: no process, no blocked signal, no other limit. The next one is a node like any other.
int fails_first(int argc, char** argv, const std::string& where) {
  rlimit files{}, now{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = 64;
  ::setrlimit(RLIMIT_NOFILE, &files);
  pthread_attr_t usual, huge;
  ::pthread_getattr_default_np(&usual);
  ::pthread_getattr_default_np(&huge);
  ::pthread_attr_setstacksize(&huge, std::size_t{1} << 47);
  if (where == "thread") ::pthread_setattr_default_np(&huge);
  no_identity = where == "identity";
  try {
    node here{argc, argv};
  } catch (const failure& f) {
    sigset_t blocked;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    ::getrlimit(RLIMIT_NOFILE, &now);
    say(std::string(to_string(f.code())), 1);
    say("signals", sigismember(&blocked, SIGUSR1));
    say("files", static_cast<long>(now.rlim_cur));
    say("children", ::waitpid(-1, nullptr, WNOHANG));
  }
  no_identity = false;
  ::pthread_setattr_default_np(&usual);
  node here{argc, argv};
  say("exit", process{here, [] {}}.join().code().value_or(-1));
  return 0;
}

struct question {
  int n;
};
struct answerer {
  int on(question q) const { return q.n + 1; }
};
// A node, its end, and another one, in one thread.
int later_node(int argc, char** argv) {
  for (int n = 0; n < 3; ++n) {
    node here{argc, argv};
    const actor<answerer> a{here};
    say("answer", a.ask(question{n}, 20s).value());
  }
  return 0;
}

}  // namespace

// Instead of the C library's: there may be no page for a process's identity.
extern "C" int madvise(void* at, std::size_t bytes, int advice) noexcept {
  if (advice == MADV_WIPEONFORK && no_identity) {
    errno = ENOMEM;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_madvise, at, bytes, advice));
}

int main(int argc, char** argv) {
  if (::getenv("TEST_LEAVE_EARLY") != nullptr) return 0;
  const std::string what = argc > 1 ? argv[1] : "";
  scenario = what;
  if (what == "fails-first") return fails_first(argc, argv, argv[2]);
  if (what == "own-child") return own_child(argc, argv);
  if (what == "later-node") return later_node(argc, argv);
  if (what == "few-files") {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = 256;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  if (what == "threads") {
    std::thread([] {
      for (;;) {
        {
          const std::scoped_lock held(contended);
          ::usleep(2000);
        }
        ::usleep(20);
      }
    }).detach();
  }
  if (what == "twice") say("before", ::getpid());
  if (what == "buffered") std::fputs("before the node\n", stdout);  // into the buffer: standard output is a pipe
  node here{argc, argv, {.preload = {preload}}};
  if (what == "twice") say("after", ::getpid());
  if (what == "tree") tree(here, start_method::forkserver);
  else if (what == "tree-spawn") tree(here, start_method::spawn);
  else if (what == "tree-fork") tree(here, start_method::fork);
  else if (what == "hello" || what == "threads" || what == "twice") hello(here);
  else if (what == "revived") revived(here);
  else if (what == "buffered") return process{here, [] { say("forked", preloaded); }}.join().code().value_or(1);
  else if (what == "spawn") spawn_on_demand(here);
  else if (what == "interrupted") interrupted(here, true);
  else if (what == "uncaught-interrupted") interrupted(here, false);
  else if (what == "stubborn") stubborn(here);
  else if (what == "waits-for-launcher") waits_for_launcher(here);
  else if (what == "asks") asks(here);
  else if (what == "tells") tells(here);
  else if (what == "waited-for") waited_for(here);
  else if (what == "bad-preload") refuses(here);
  else if (what == "leaves-early") leaves_early(here);
  else if (what == "environment") environment(here);
  else if (what == "few-files") few_files(here);
  else if (what == "uncaught") uncaught(here);
  else if (what == "unwinding") unwinding(here);
  else return 2;
  say("end", ::getpid());
  return 0;
}
