// SPDX-License-Identifier: BSD-3-Clause
// How processes end, for each start method: by themselves, by request, by force, by mistake.
#include "process_support.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

struct telltale {
  const sink<std::string>& to;
  std::string text;
  ~telltale() { to.try_put(text).value(); }
};

struct my_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace

TEST_CASE("terminate unwinds a process that blocks, whatever it blocks in") {
  EACH_METHOD(how);
  const std::string in = GENERATE("get", "put", "recv", "join", "sleep", "wait", "thread");
  INFO("blocked in " << in);
  queue<std::string> said{here()};
  process p{here(), by(how),
            [](const node& inner, sink<std::string> to, std::string where) {
              telltale t{to, "unwound"};
              try {
                if (where == "get") {
                  queue<int> q{inner};
                  to.put("ready");
                  q.get();
                } else if (where == "put") {
                  queue<int> q{inner, {.max_items = 1}};
                  q.put(1);
                  to.put("ready");
                  q.put(2);
                } else if (where == "recv") {
                  auto [a, b] = pipe<int>(inner);
                  to.put("ready");
                  a.recv();
                } else if (where == "join") {
                  process stays{inner, sleep_long};
                  to.put("ready");
                  stays.join();
                } else if (where == "wait") {
                  queue<int> q{inner};
                  to.put("ready");
                  wait_any({q});
                } else if (where == "thread") {
                  queue<int> q{inner};
                  std::thread second([&] {
                    to.put("ready");
                    const auto got = q.get(1h);
                    to.try_put(got == errc::stopping ? "second stopped" : "second wrong").value();
                  });
                  struct joins {
                    std::thread& t;
                    ~joins() { t.join(); }
                  } at_end{second};
                  sleep_long();
                } else {
                  to.put("ready");
                  sleep_long();
                }
              } catch (const failure& f) {
                to.try_put(std::string(to_string(f.code()))).value();
                throw;
              }
            },
            said, in};
  REQUIRE(said.get() == "ready");
  p.terminate();
  if (in == "thread") CHECK(said.get() == "second stopped");
  CHECK(said.get() == "stopping");
  CHECK(said.get() == "unwound");
  const auto exit = p.join();
  CHECK(exit.signal() == SIGTERM);
  CHECK(exit.text() == "killed by SIGTERM");
}

TEST_CASE("a busy process sees that it was asked to stop") {
  EACH_METHOD(how);
  queue<int> to{here()};
  process p{here(), by(how),
            [](queue<int> out) {
              out.put(1);
              while (!this_process::stop_requested()) {}
            },
            to};
  to.get();
  p.terminate();
  CHECK(p.join().text() == "exit 0");
  p.terminate();  // no effect any more
  p.kill();
}

TEST_CASE("kill ends a process that hears nothing") {
  EACH_METHOD(how);
  queue<int> to{here()};
  process p{here(), by(how),
            [](queue<int> out) {
              ::signal(SIGTERM, SIG_IGN);
              out.put(1);
              for (;;) ::pause();
            },
            to};
  to.get();
  p.terminate();
  CHECK(p.join(50ms) == errc::timed_out);
  p.kill();
  CHECK(p.join().signal() == SIGKILL);
  CHECK(p.exit()->text() == "killed by SIGKILL");
}

TEST_CASE("when kill returns, the signal has been sent") {
  EACH_METHOD(how);
  for (int i = 0; i < 20; ++i) {
    const process p{here(), by(how), support::sleep_long};
    ::kill(p.pid(), SIGSTOP);
    REQUIRE(harness::eventually([&] { return harness::process_state(p.pid()) == 'T'; }, 20s));
    p.kill();
    CHECK(harness::process_state(p.pid()) != 'T');  // whoever waits to be killed is stopped no more
  }
}

TEST_CASE("the exit status says how a process ended") {
  EACH_METHOD(how);
  const auto ending = [&](auto body) {
    process p{here(), {.start = how, .stderr = ::fileno(std::tmpfile())}, body};
    return p.join();
  };
  CHECK(ending([] {}) == exit_status::exited(0));
  CHECK(ending([] { ::_exit(7); }) == exit_status::exited(7));
  CHECK(ending([] { return 5; }) == exit_status::exited(0));  // what a body returns is nobody's
  CHECK(ending([] { ::abort(); }).signal() == SIGABRT);
  if (!harness::sanitized)
    CHECK(ending([] { ::raise(SIGSEGV); }).signal() == SIGSEGV);  // a sanitizer makes a report and an exit of it
  CHECK(ending([] { throw my_error("no such thing"); }).exception_text() == "no such thing");
  CHECK(ending([] { throw my_error("no such thing"); }).exception_type().find("my_error") != std::string::npos);
  CHECK(ending([] { throw my_error("no such thing"); }).code() == 1);
  CHECK(ending([] { throw 3; }).exception_type() == "int");
  const auto failed = ending([] { throw failure(errc::broken, "out of luck"); });
  CHECK(failed.exception_type() == "cloister::failure");
  CHECK(failed.exception_text() == "out of luck");
}

TEST_CASE("exit in the body is the process's exit code") {
  const auto how = GENERATE(values({start_method::forkserver, start_method::spawn}));
  process p{here(), by(how), [] { std::exit(3); }};
  CHECK(p.join() == exit_status::exited(3));
}

TEST_CASE("the end of the body ends the process, whatever threads it left behind") {
  EACH_METHOD(how);
  process p{here(), by(how), [] {
              std::thread([] {
                for (;;) ::pause();
              }).detach();
            }};
  CHECK(p.join() == exit_status::exited(0));
}

TEST_CASE("a process object that is destroyed joins") {
  EACH_METHOD(how);
  queue<int> go{here()}, to{here()};
  std::thread later;
  {
    process p{here(), by(how), [](queue<int> in, queue<int> out) { out.put(in.get()); }, go, to};
    later = std::thread([&] {
      harness::eventually([] { return harness::asleep(::getpid()); });
      go.put(1);
    });
  }
  CHECK(to.size() == 1);
  later.join();
}

TEST_CASE("a process object that is destroyed by an exception ends its process") {
  EACH_METHOD(how);
  pid_t pid = 0;
  try {
    process p{here(), by(how), sleep_long};
    process deaf{here(), {.start = how, .shutdown = 20ms}, [] {
                   ::signal(SIGTERM, SIG_IGN);
                   for (;;) ::pause();
                 }};
    process patient{here(), {.start = how, .shutdown = std::chrono::nanoseconds::max()}, sleep_long};
    pid = p.pid();
    throw my_error("unwind");
  } catch (const my_error&) {}
  CHECK_FALSE(alive(pid));
}

TEST_CASE("a standard error that nobody reads does not hold up the news of an end") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const std::vector<char> full(static_cast<std::size_t>(::fcntl(ends[1], F_GETPIPE_SZ)));
  REQUIRE(::write(ends[1], full.data(), full.size()) == static_cast<ssize_t>(full.size()));
  const owned_fd before(::dup(2));
  ::dup2(ends[1], 2);
  queue<exit_notice> heard{here()};
  process p{here(), [] { ::_exit(3); }};
  monitor(p, heard);
  const auto exit = p.join(20s);
  const auto notice = heard.get(20s);
  ::dup2(before.get(), 2);
  ::close(ends[0]);
  ::close(ends[1]);
  CHECK(exit.value().code() == 3);
  CHECK(notice.value().exit.code() == 3);
}

TEST_CASE("an abnormal end that nobody asked for is one line on stderr") {
  // The line is the first process's: its stderr is looked at through a pipe.
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const int before = ::dup(2);
  ::dup2(ends[1], 2);
  {
    process p{here(), {.name = "unlucky"}, [] { throw my_error("alas"); }};
    p.join();
    process q{here(), {.name = "asked"}, sleep_long};
    q.kill();
    q.join();
  }
  ::dup2(before, 2);
  ::close(before);
  ::close(ends[1]);
  char text[512];
  const auto n = ::read(ends[0], text, sizeof text);
  ::close(ends[0]);
  const std::string line(text, n > 0 ? static_cast<std::size_t>(n) : 0);
  CHECK(line.find("unlucky") != std::string::npos);
  CHECK(line.find("alas") != std::string::npos);
  CHECK(line.find("asked") == std::string::npos);
  CHECK(line.find("unlucky") == line.rfind("unlucky"));
}
