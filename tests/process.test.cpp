// SPDX-License-Identifier: BSD-3-Clause
// A process's life, for each start method: before it starts, while it runs, after it has ended.
#include "process_support.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

struct point {
  int x, y;
};

void tell(source<int> go, sink<std::string> to, std::string text, std::vector<int> numbers, point p, std::optional<double> none) {
  go.get();
  std::string all = text + "/" + this_process::name() + "/" + std::to_string(::getpid() == this_process::id().pid);
  for (const int n : numbers) all += "," + std::to_string(n);
  to.put(all + ";" + std::to_string(p.x) + ";" + std::to_string(p.y) + ";" + std::to_string(none.has_value()));
}

struct adder {
  int a;
  sink<int> to;
  void operator()(int b) const { to.put(a + b); }
};

bool lists(pid_t pid) {
  for (const auto& c : active_children())
    if (c.pid == pid) return true;
  return false;
}

}  // namespace

TEST_CASE("the first process knows itself") {
  const auto self = this_process::id();
  CHECK(self.pid == ::getpid());
  CHECK(self.name == "main");
  CHECK_FALSE(this_process::daemon());
  CHECK_FALSE(parent_process().has_value());
  CHECK(node::cpu_count() >= 1);
  CHECK(cpu_count() >= 1);
}

TEST_CASE("a process is nothing before its start, listed while it runs, and gives code 0 after it") {
  EACH_METHOD(how);
  queue<int> go{here()};
  queue<std::string> to{here()};
  process p{here(),      {.name = "teller", .start = how, .deferred = true}, tell, go, to, "hi", std::vector{1, 2}, point{3, 4},
            std::nullopt};
  CHECK_FALSE(p.started());
  CHECK_FALSE(p.is_alive());
  CHECK_FALSE(p.exit().has_value());
  CHECK(p.name() == "teller");
  CHECK_THROWS_AS(p.pid(), failure);
  CHECK_THROWS_AS(p.sentinel(), failure);
  CHECK_THROWS_AS(p.join(), failure);
  CHECK_THROWS_AS(p.terminate(), failure);
  CHECK(active_children().empty());

  p.start();
  CHECK(p.started());
  CHECK(p.pid() > 0);
  CHECK(p.pid() != ::getpid());
  CHECK_THROWS_AS(p.start(), failure);
  CHECK(p.is_alive());
  CHECK(lists(p.pid()));
  CHECK_FALSE(p.exit().has_value());
  go.put(1);
  CHECK(to.get() == "hi/teller/1,1,2;3;4;0");
  const auto exit = p.join();
  CHECK(exit.success());
  CHECK(exit.text() == "exit 0");
  CHECK_FALSE(p.is_alive());
  CHECK(p.exit() == exit);
  CHECK(p.join(0s).value() == exit);
  CHECK_FALSE(lists(p.pid()));
}

TEST_CASE("lambdas, callable objects and functions are bodies, and arguments become their parameters' types") {
  EACH_METHOD(how);
  queue<int> to{here()};
  process a{here(), by(how), adder{2, to}, 3};
  process b{here(), by(how), [](sink<int> out, std::string_view text) { out.put(static_cast<int>(text.size())); }, to, "four"};
  process c{here(), by(how),
            [](const node& inner, queue<int> out) { out.put(static_cast<int>(inner.default_start_method()) + 100); }, to};
  CHECK(a.join().success());
  CHECK(b.join().success());
  CHECK(c.join().success());
  std::vector<int> got = to.get_many(3);
  std::sort(got.begin(), got.end());
  CHECK(got == std::vector<int>{4, 5, 100 + static_cast<int>(how)});
}

TEST_CASE("a child's main thread is not its parent's") {
  EACH_METHOD(how);
  queue<int> to{here()};
  process p{here(), by(how), [](queue<int> out) { out.put(static_cast<int>(::syscall(SYS_gettid))); }, to};
  const int there = to.get();
  CHECK(there != static_cast<int>(::syscall(SYS_gettid)));
  CHECK(there == p.pid());
}

TEST_CASE("the daemon flag is the creator's unless it is said") {
  EACH_METHOD(how);
  process plain{here(), by(how), [] {}};
  CHECK_FALSE(plain.daemon());
  process daemon{here(), {.daemon = true, .start = how}, sleep_long};
  CHECK(daemon.daemon());
  daemon.terminate();

  queue<std::pair<bool, bool>> flags{here()};
  process p{here(),
            {.daemon = true, .start = how},
            [](const node& inner, queue<std::pair<bool, bool>> out) {
              process inherits{inner, [](queue<std::pair<bool, bool>> to) { to.put({this_process::daemon(), true}); }, out};
              inherits.join();
              process says{inner,
                           {.daemon = false},
                           [](queue<std::pair<bool, bool>> to) {
                             to.put({this_process::daemon(), false});
                           },
                           out};
              out.put({inherits.daemon(), says.daemon()});
              says.join();
            },
            flags};
  CHECK(p.join().success());
  const auto all = flags.get_many(3);
  CHECK(std::count(all.begin(), all.end(), std::pair(true, true)) == 1);   // the inheriting one, of itself
  CHECK(std::count(all.begin(), all.end(), std::pair(true, false)) == 1);  // its creator, of both
  CHECK(std::count(all.begin(), all.end(), std::pair(false, false)) == 1);
}

TEST_CASE("join with no time or less returns at once while the process runs") {
  EACH_METHOD(how);
  process p{here(), by(how), sleep_long};
  CHECK(p.join(0s) == errc::timed_out);
  CHECK(p.join(-1s) == errc::timed_out);
  CHECK(p.join(5ms) == errc::timed_out);
  CHECK(p.is_alive());
  CHECK(lists(p.pid()));
  p.terminate();
  CHECK(p.join().signal() == SIGTERM);
  CHECK_FALSE(lists(p.pid()));
}

TEST_CASE("the sentinel is quiet while the process lives and readable after its end, for everybody and for good") {
  EACH_METHOD(how);
  queue<int> go{here()};
  process p{here(), by(how), [](queue<int> in) { in.get(); }, go};
  pollfd end{p.sentinel(), POLLIN, 0};
  CHECK(::poll(&end, 1, 0) == 0);
  process later{here(), by(how), sleep_long};  // with fork it holds copies of what is open here
  go.put(1);
  CHECK(::poll(&end, 1, -1) == 1);
  CHECK(p.join().success());
  CHECK(::poll(&end, 1, 1000) == 1);
  CHECK(p.join(1s)->success());
  later.kill();
}

TEST_CASE("a process is closed only when it has ended, and then it is nothing") {
  EACH_METHOD(how);
  process p{here(), {.name = "closing", .start = how}, sleep_long};
  CHECK_THROWS_WITH(p.close(), Catch::Contains("'closing' close: it is still running"));
  p.kill();
  CHECK(p.join().signal() == SIGKILL);
  p.close();
  CHECK_NOTHROW(p.close());
  CHECK_THROWS_AS(p.pid(), failure);
  CHECK_THROWS_AS(p.join(), failure);
  CHECK_THROWS_AS(p.is_alive(), failure);
  process nothing;
  CHECK_THROWS_WITH(nothing.join(), Catch::Contains("holds no process"));
}

TEST_CASE("a moved process is the same process, and assignment ends the old one") {
  EACH_METHOD(how);
  process a{here(), by(how), [](queue<int> q) { q.put(1); }, queue<int>{here()}};
  process b{here(), by(how), sleep_long};
  const auto id = b.id();
  process c = std::move(b);
  CHECK(c.id() == id);
  CHECK(c.is_alive());
  CHECK_FALSE(b.started());
  a = std::move(c);  // joins the first
  CHECK(a.id() == id);
  a.terminate();
  CHECK(a.join().signal() == SIGTERM);
  std::vector<process> many;
  for (int i = 0; i < 3; ++i) many.emplace_back(here(), by(how), [] {});
  for (auto& p : many) CHECK(p.join().success());
}

TEST_CASE("join survives a handled signal and still tells the exit code") {
  EACH_METHOD(how);
  static volatile std::sig_atomic_t handled = 0;
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) { handled = handled + 1; };
  ::sigaction(SIGUSR1, &action, &before);
  process p{here(), by(how),
            [](pid_t parent) {
              for (int i = 0; i < 20; ++i) {
                ::kill(parent, SIGUSR1);
                ::usleep(2000);
              }
            },
            ::getpid()};
  CHECK(p.join().success());
  CHECK(handled > 0);
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("what is in the output buffer when a process starts is written once") {
  EACH_METHOD(how);
  std::FILE* file = std::tmpfile();
  std::fputs("once\n", file);  // not flushed
  process p{here(), by(how), [] {}};
  CHECK(p.join().success());
  std::fflush(file);
  std::fseek(file, 0, SEEK_END);
  CHECK(std::ftell(file) == 5);
  std::fclose(file);
}

TEST_CASE("the starter keeps nothing of the arguments after the start") {
  EACH_METHOD(how);
  auto [mine, theirs] = one_way<int>(here());
  process p{here(), by(how), [](pipe_end<int, void> out) { out.send(1); }, std::move(theirs)};
  CHECK(mine.recv() == 1);
  CHECK(p.join().success());
  CHECK(mine.recv(10s) == errc::closed);  // nobody holds the sending end any more
}
