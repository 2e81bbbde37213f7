// SPDX-License-Identifier: BSD-3-Clause
// How processes come into being: methods and contexts, what is run and what is not, code that is named and not there.
#include "process_support.hpp"

#include <cloister/detail/body.hpp>
#include <cloister/detail/child_link.hpp>
#include <cloister/detail/membership.hpp>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>

#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

void report_method(const node& inner, queue<int> out) { out.put(static_cast<int>(inner.default_start_method())); }

struct copy_of_program {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("node_program_" + std::to_string(::getpid()));
  copy_of_program() { std::filesystem::copy_file(program::path(), path); }
  ~copy_of_program() {
    std::error_code none;
    std::filesystem::remove(path, none);
  }
};

}  // namespace

TEST_CASE("a context is a place with another default, and children follow it") {
  EACH_METHOD(how);
  queue<int> to{here()};
  const auto other = here().context(how);
  CHECK(other.default_start_method() == how);
  CHECK(here().default_start_method() == start_method::forkserver);
  process p{other, report_method, to};
  CHECK(p.join().success());
  CHECK(to.get() == static_cast<int>(how));
}

TEST_CASE("a queue made under any method serves a process started by any other, and its children") {
  EACH_METHOD(how);
  queue<int> to{here().context(how)};
  for (const auto other : all_methods) {
    process p{here(), by(other),
              [](const node& inner, queue<int> q) {
                process nested{inner, [](queue<int> own) { own.put(2); }, q};
                nested.join();
                q.put(1);
              },
              to};
    CHECK(p.join().success());
    CHECK(to.get() == 2);
    CHECK(to.get() == 1);
  }
}

TEST_CASE("start methods have names") {
  CHECK(to_string(start_method::forkserver) == "forkserver");
  CHECK(to_string(start_method::spawn) == "spawn");
  CHECK(to_string(start_method::fork) == "fork");
}

TEST_CASE("promise 19: a process started by exec runs nothing of main beyond the node") {
  program run({"twice"});
  const pid_t first = run.number("before");
  CHECK(run.number("after") == first);
  CHECK(run.number("forked") == 1);  // preloaded once, in the launcher
  // By exec, static objects and the lines before the node come again, and nothing else.
  CHECK(run.number("before") != first);
  CHECK(run.number("executed") == 0);
  CHECK(run.number("end") == first);
  CHECK(run.wait().success());
}

TEST_CASE("promise 18: a program that has threads before its node has its processes executed, not forked beside such threads") {
  // The launcher is executed, and then has the same thread: what it forked would wait for a lock that is held for ever.
  program run({"threads"});
  CHECK(run.number("forked") == 0);  // preloaded in the launcher only
  CHECK(run.number("executed") == 0);
  run.number("end");
  CHECK(run.wait().success());
}

TEST_CASE("a launcher that was executed runs the preload hooks again, with the environment, directory and umask of the node") {
  program run({"revived"});
  const pid_t first = run.number("launcher");
  CHECK(run.number("launcher") != first);
  CHECK(run.number("late") == 0);
  CHECK(run.number("directory") == 1);
  CHECK(run.number("umask") == 1);
  run.number("end");
  CHECK(run.wait().success());
}

TEST_CASE("what was in the output buffer when the node began is written once, by the first process") {
  program run({"buffered"});
  const auto text = run.rest();
  INFO(text);
  CHECK(text == "before the node\nforked 1\n");
  CHECK(run.wait().success());
}

TEST_CASE("a program without standard input and output is a node like any other") {
  program run({"hello"}, {.executable = {}, .closed_stdio = true});
  CHECK(run.wait().success());
}

TEST_CASE("a program whose file was deleted or replaced while it runs still starts processes by exec") {
  const bool replaced = GENERATE(false, true);
  copy_of_program copy;
  program run({"spawn"}, {.executable = copy.path.string(), .closed_stdio = false});
  run.number("ready");
  std::filesystem::remove(copy.path);
  if (replaced) std::ofstream(copy.path) << "something else";
  run.input("end\n");
  CHECK(run.number("executed") == 1);
  CHECK(run.number("exit") == 0);
  CHECK(run.wait().success());
}

TEST_CASE("code of a program that was linked without a build id has no name, and its start is refused") {
  program run({}, {.executable = std::filesystem::path(program::path()).replace_filename("without_build_id").string()});
  CHECK(run.rest().find("linked without a build id") != std::string::npos);
  CHECK(run.wait().success());
}

TEST_CASE("code that is of another build, or no code, is not run, and the error says why") {
  const auto here_code = detail::locate_code(reinterpret_cast<const void*>(&report_method));
  CHECK(detail::find_code(here_code) == reinterpret_cast<const void*>(&report_method));
  CHECK_THROWS_AS(detail::find_code({"", here_code.offset}), failure);
  auto other = here_code;
  other.build_id = "0123456789";
  CHECK_THROWS_WITH(detail::find_code(other), Catch::Contains("build id '0123456789'") && Catch::Contains("another build"));
  static int data = 0;
  CHECK_THROWS_AS(detail::locate_code(&data), failure);
  auto outside = here_code;
  outside.offset = 0;  // the file's header
  CHECK_THROWS_AS(detail::find_code(outside), failure);

  detail::start_request request;
  detail::encode_start(request, [] {});
  request.block.name = "stranger";
  request.block.entry.build_id = "0123456789";
  auto link = detail::membership::require().start(request);
  const auto exit = link->wait(deadline::never()).value();
  CHECK(exit.exception_text().find("another build") != std::string::npos);
}

TEST_CASE("process::fork runs any closure, and takes the handles in it along") {
  queue<int> q{here()};
  auto [mine, theirs] = pipe<int>(here());
  int local = 5;
  process p = process::fork(here(), [q, local, end = std::move(theirs)] {
    q.put(local);
    end.send(end.recv() + 1);
  });
  CHECK(q.get() == 5);
  mine.send(1);
  CHECK(mine.recv() == 2);
  CHECK(p.join().success());
  CHECK(mine.recv(10s) == errc::closed);
}

TEST_CASE("promise 18: nothing forks a process that has threads unless it is asked to by name") {
  std::atomic<bool> done = false;
  std::thread other([&] {
    while (!done) std::this_thread::yield();
  });
  CHECK_THROWS_WITH((process{here().context(start_method::fork), [] {}}), Catch::Contains("fork copies only the calling thread"));
  CHECK_THROWS_AS(process::fork(here(), [] {}), failure);
  process named = process::fork(here(), {.start = start_method::fork}, [] {});
  CHECK(named.join().success());
  process p{here(), [] {}};  // forkserver does not mind
  CHECK(p.join().success());
  done = true;
  other.join();
  CHECK_NOTHROW(process::fork(here(), [] {}).join());
}

TEST_CASE("a process that the program forks by itself belongs to no node") {
  queue<int> q{here()};
  q.put(1);
  const auto exit = harness::forked([&] {
    CHECK(q.try_get() == errc::not_attached);
    CHECK(q.try_put(2) == errc::not_attached);
    CHECK_THROWS_AS(this_process::id(), failure);
    CHECK_THROWS_AS((process{here(), [] {}}), failure);
    return q.try_get() == errc::not_attached && !detail::membership::current();
  });
  CHECK(exit.success());
  CHECK(q.get() == 1);
  process p{here(), [](queue<int> to) { to.put(3); }, q};
  CHECK(p.join().success());
  CHECK(q.get() == 3);
}

TEST_CASE("a process that the program forks by itself neither waits for its parent's children nor takes the news of their end") {
  queue<int> go{here()};
  process running{here(), [](queue<int> in) { in.get(); }, go};
  process ended{here(), [] { ::_exit(7); }};
  pollfd end{ended.sentinel(), POLLIN, 0};
  REQUIRE(::poll(&end, 1, 20'000) == 1);
  const auto exit = harness::forked([&] {
    const bool refused = running.join(1h) == errc::not_attached && ended.join(1h) == errc::not_attached;
    static_cast<void>(ended.exit());
    const process a = std::move(running), b = std::move(ended);  // and destroys them
    return refused;
  });
  CHECK(exit.success());
  CHECK(running.is_alive());
  CHECK(ended.join().code() == 7);
  go.put(1);
  CHECK(running.join().success());
}

TEST_CASE("process::fork inherits neither faults, nor blocked signals, nor messages that are not done") {
  joinable_queue<int> jobs{here()};
  jobs.put(1);
  jobs.put(2);
  CHECK(jobs.get() == 1);
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  inject_fault({.operation = "put", .step = 1});
  queue<int> said{here()};
  process p = process::fork(here(), [said, &jobs] {
    int not_done = 0;
    try {
      jobs.task_done();
    } catch (const failure& f) { not_done = f.code() == errc::invalid ? 1 : 2; }
    said.put(not_done);
    sleep_long();
  });
  clear_faults();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  CHECK(said.get(20s).value_or(0) == 1);
  p.terminate();
  CHECK(p.join(20s).value().signal() == SIGTERM);
  CHECK_NOTHROW(jobs.task_done());
}

TEST_CASE("a program that ignores SIGCHLD hears of the end of what it forks, though nobody can say how it ended") {
  ::signal(SIGCHLD, SIG_IGN);
  // The child runs to its end, and the kernel forgets it, before the hub reads its hello.
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(::sched_getcpu(), &one);
  const auto hub = hub_thread();
  for (const pid_t thread : {0, hub}) REQUIRE(::sched_setaffinity(thread, sizeof one, &one) == 0);
  REQUIRE(::setpriority(PRIO_PROCESS, static_cast<id_t>(hub), 19) == 0);
  for (int i = 0; i < 5; ++i) {
    process p = process::fork(here(), [] {});
    const auto exit = p.join(20s);
    REQUIRE(exit);
    CHECK((exit->success() || !exit->known()));
  }
}

TEST_CASE("a process that ends before its body can run has not succeeded") {
  program run({"leaves-early"});
  CHECK(run.rest().find("succeeded 0\n") != std::string::npos);
  CHECK(run.wait().success());
}

TEST_CASE("a process started by exec has all of a large environment") {
  const auto variable = [](int i) { return "TEST_VARIABLE_" + std::to_string(i); };
  for (int i = 0; i < 5000; ++i) ::setenv(variable(i).c_str(), "set", 1);
  program run({"environment"});
  for (int i = 0; i < 5000; ++i) ::unsetenv(variable(i).c_str());
  CHECK(run.number("variables") == 5000);
  CHECK(run.wait().success());
}

TEST_CASE("a node that cannot be made leaves nothing behind, and the next one can") {
  const std::string where = GENERATE("thread", "identity");
  program run({"fails-first", where});
  CHECK(run.number(where == "thread" ? "not_started" : "no_memory") == 1);
  CHECK(run.number("signals") == 0);
  CHECK(run.number("files") == 64);
  CHECK(run.number("children") == -1);
  CHECK(run.number("exit") == 0);
  CHECK(run.wait().success());
}

TEST_CASE("a process started by exec can have more handles than half of the limit of open files, which it gets back") {
  program run({"few-files"});
  CHECK(run.number("exit") == 0);
  CHECK(run.number("limit") == 256);
  run.number("end");
  CHECK(run.wait().success());
}

TEST_CASE("a preload hook that throws is a start that fails, and nothing of main runs twice") {
  program run({"bad-preload"});
  const auto text = run.rest();
  INFO(text);
  CHECK(text.find("refused 1\nend ") != std::string::npos);
  CHECK(text.find("end ") == text.rfind("end "));
  CHECK(run.wait().success());
}

TEST_CASE("a node in a process of another node ends what it started and closes what it opened, and nothing else") {
  EACH_METHOD(how);
  queue<std::string> to{here()};
  process p{here(), by(how),
            [](queue<std::string> out, std::string path) {
              program run({"own-child"}, {.executable = path, .closed_stdio = false});
              out.put(run.rest());
            },
            to, program::path()};
  const auto said = to.get();
  CHECK(said.find("alive 1\n") != std::string::npos);
  CHECK(said.find("kept 0\n") != std::string::npos);
  CHECK(p.join().success());
}

TEST_CASE("promise 18: 1000 starts from a parent with 32 threads that hold mutexes", "[deadline:240]") {
  const auto how = GENERATE(values({start_method::forkserver, start_method::spawn}));
  INFO(to_string(how));
  std::vector<std::mutex> mutexes(32);
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  for (auto& m : mutexes) {
    threads.emplace_back([&] {
      while (!done) {
        const std::scoped_lock held(m);
        std::vector<char> memory(4096);  // and the allocator's locks
        std::this_thread::sleep_for(1ms);
      }
    });
  }
  const int count = (how == start_method::spawn ? 50 : 950) / harness::slowdown;
  for (int i = 0; i < count; ++i) {
    process p{here(), by(how), [] { std::string(100, 'x').append("y"); }};
    if (!p.join().success()) FAIL("start " << i << ": " << p.exit()->text());
  }
  done = true;
  for (auto& t : threads) t.join();
}
