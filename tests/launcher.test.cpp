// SPDX-License-Identifier: BSD-3-Clause
// The launcher's death touches nobody, and the next start revives it.
#include "process_support.hpp"

#include <atomic>
#include <csignal>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include <sys/socket.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

std::string described(const std::vector<pid_t>& pids) {
  std::string text;
  for (const pid_t pid : pids) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(stat, line);
    text += "\n  " + line.substr(0, 80);
  }
  return text;
}

}  // namespace

TEST_CASE("running children go on when the launcher is killed, and the next start revives it") {
  const auto how = GENERATE(values({start_method::forkserver, start_method::spawn}));
  queue<int> go{here()}, back{here()};
  process p{here(), by(how), [](queue<int> in, queue<int> out) { out.put(in.get() + 1); }, go, back};
  const pid_t old = launcher();
  REQUIRE(old > 0);
  ::kill(old, SIGKILL);
  REQUIRE(harness::eventually([&] { return !alive(old); }));
  CHECK(p.is_alive());
  go.put(1);
  CHECK(back.get() == 2);
  CHECK(p.join().text() == "exit 0");
  process q{here(), by(how), [](queue<int> out) { out.put(7); }, back};
  CHECK(back.get() == 7);
  CHECK(q.join().success());
  CHECK(launcher() != old);
  process r{here(), by(how), sleep_long};
  ::kill(launcher(), SIGKILL);
  r.kill();
  CHECK(r.join().signal() == SIGKILL);
}

TEST_CASE("how a process ended is known though the launcher is stopped") {
  queue<int> go{here()};
  const auto leave = [](queue<int> in) {
    const int status = in.get();
    if (status != 0) std::exit(status);
  };
  process killed{here(), sleep_long}, exits{here(), leave, go}, returns{here(), leave, go};
  ::kill(launcher(), SIGSTOP);
  ::kill(killed.pid(), SIGKILL);
  go.put(7);
  go.put(0);
  CHECK(killed.join().text() == "killed by SIGKILL");
  std::set<std::string> ends{exits.join().text(), returns.join().text()};
  CHECK(ends == std::set<std::string>{"exit 7", "exit 0"});
  ::kill(launcher(), SIGCONT);
}

TEST_CASE("a launcher that is sent SIGINT or SIGTERM goes on, and so do its children and the next starts") {
  const auto how = GENERATE(values({start_method::forkserver, start_method::spawn}));
  queue<int> go{here()}, back{here()};
  process p{here(), by(how), [](queue<int> in, queue<int> out) { out.put(in.get() + 1); }, go, back};
  const pid_t old = launcher();
  REQUIRE(old > 0);
  for (const int number : {SIGINT, SIGTERM}) ::kill(old, number);
  process q{here(), by(how), [](queue<int> out) { out.put(7); }, back};
  CHECK(back.get() == 7);
  CHECK(q.join().success());
  CHECK(launcher() == old);
  go.put(1);
  CHECK(back.get() == 2);
  CHECK(p.join().success());
}

TEST_CASE("a start whose request does not fit into the launcher's socket fails alone") {
  process p{here(), sleep_long};
  const pid_t old = launcher();
  // The sockets of this process are the hub's too. A request to the hub has room.
  for (int fd = 3; fd < 100; ++fd) {
    int room = 0;
    socklen_t size = sizeof room;
    if (::getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &size) == 0 && room != 256 * 1024)
      ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(room = 1), sizeof room);
  }
  try {
    process large{here(), {.name = "large", .env = {{"TEST_LARGE", std::string(20'000, 'x')}}}, [] {}};
    FAIL("it was started");
  } catch (const failure& f) {
    CHECK(f.code() == errc::too_large);
    CHECK_THAT(f.what(), Catch::Contains("process 'large' start: "));
  }
  CHECK(launcher() == old);
  CHECK(p.is_alive());
  process small{here(), [] {}};
  CHECK(small.join().success());
  p.kill();
}

TEST_CASE("the launcher is killed again and again while processes start: each start succeeds or says so", "[deadline:120]") {
  const auto how = GENERATE(values({start_method::forkserver, start_method::spawn}));
  std::atomic<bool> done = false;
  std::mutex guard;
  std::set<pid_t> killed;  // a child that a dead launcher has just forked still has its name: that one may be hit, too
  std::thread storm([&] {
    while (!done) {
      if (const pid_t pid = launcher(); pid > 0) {
        const std::scoped_lock lock(guard);
        killed.insert(pid);
        ::kill(pid, SIGKILL);
      }
      std::this_thread::sleep_for(7ms);
    }
  });
  queue<int> to{here()};
  int started = 0, refused = 0;
  const int rounds = how == start_method::spawn ? 30 : 150;
  for (int i = 0; i < rounds; ++i) {
    try {
      process p{here(), by(how), [](queue<int> out, int n) { out.put(n); }, to, i};
      const auto exit = p.join();
      if (const std::scoped_lock lock(guard); killed.contains(p.pid())) {
        static_cast<void>(to.try_get());
        continue;
      }
      if (!exit.success() && exit.known()) FAIL_CHECK("start " << i << ": " << exit.text());
      ++started;
      if (to.try_get().value_or(-1) != i) FAIL_CHECK("start " << i << " did not run: " << exit.text());
    } catch (const failure& f) {
      if (f.code() != errc::not_started) FAIL_CHECK(f.what());
      ++refused;
    }
    if (!to.empty()) FAIL_CHECK("start " << i << " ran twice");
  }
  done = true;
  storm.join();
  INFO(started << " started, " << refused << " refused, " << killed.size() << " killed");
  CHECK_FALSE(killed.empty());
  CHECK(started > rounds / 2);
  process last{here(), by(how), [] {}};
  CHECK(last.join().success());
  const bool only_the_launcher = harness::eventually([] { return harness::child_processes().size() <= 1; });
  INFO("left: " << described(harness::child_processes()));
  CHECK(only_the_launcher);
}
