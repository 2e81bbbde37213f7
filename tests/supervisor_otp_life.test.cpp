// SPDX-License-Identifier: BSD-3-Clause
// OTP's cases of restarts, calls and changes, over real processes; see supervisor_otp.test.cpp.
#include "supervisor_support.hpp"

#include <atomic>
#include <set>
#include <thread>

using namespace cloister;
using namespace support;

namespace {

/// Says where it runs, and ends when it is told to.
void worker(source<int> orders, sink<pid_t> to) {
  to.put(::getpid());
  static_cast<void>(orders.get());
}

void supervises_worker(const node& here, source<int> commands, source<int> orders, sink<pid_t> to) {
  const supervisor s{here, {.intensity = 5}, supervised({.id = "a"}, worker, orders, to)};
  for (;;) {
    static_cast<void>(commands.get());
    s.terminate_child("a");
    s.restart_child("a");
  }
}

/// Is ready while there are tickets.
void with_ticket(source<int> tickets) {
  if (!tickets.try_get()) throw std::runtime_error("no ticket");
  this_process::ready();
  sleep_long();
}

}  // namespace

TEST_CASE("transient_shutdown: whether a child of any type is restarted depends on how its process ended") {
  queue<supervision_report> reports{here()};
  const supervisor s{here(), {.intensity = 100}};
  s.subscribe(reports);
  const auto id = [](restart_type restart, int how) { return std::to_string(restart) + std::to_string(how); };
  for (const auto restart : {permanent, transient, temporary}) {
    for (int how = 0; how < ways; ++how) {
      queue<int> once{here()};
      once.put(how);
      s.start_child(
          {.id = id(restart, how), .restart = restart},
          [](source<int> from) {
            if (const auto mine = from.try_get()) end_in_way(*mine);
            else sleep_long();
          },
          once);
    }
  }
  for (int ended = 0; ended < 3 * ways;) ended += reports.get(50s).value().what == kind::ended ? 1 : 0;
  for (int how = 0; how < ways; ++how) {
    INFO("way " << how);
    CHECK(soon([&] { return s.which_child(id(permanent, how)).state == child_state::running; }));
    CHECK(s.which_child(id(permanent, how)).restarts == 1);
    if (is_normal(how)) CHECK(s.which_child(id(transient, how)).state == child_state::stopped);
    else CHECK(soon([&] { return s.which_child(id(transient, how)).state == child_state::running; }));
    CHECK(s.which_child(id(transient, how)).restarts == (is_normal(how) ? 0 : 1));
    CHECK(refused([&] { s.which_child(id(temporary, how)); }) == errc::not_found);
  }
}

TEST_CASE(
    "tree: a worker's crash stays within its supervisor; beyond its intensity the tree is made anew, without dynamic children") {
  queue<int> tickets{here()};
  tickets.put(1);
  const supervisor top{here(), {.strategy = one_for_all, .intensity = 4, .period = 1h}};
  const supervisor_options below{.intensity = 4, .period = 1h};
  const supervisor left{top, {.id = "left"}, below, supervised({.id = "1"}, sleep_long), supervised({.id = "2"}, sleep_long)};
  const supervisor right{top, {.id = "right"}, below};
  CHECK(top.count_children() == child_counts{2, 2, 2, 0});
  CHECK(right.count_children() == child_counts{});
  right.start_child({.id = "3", .ready_within = 50s}, with_ticket, tickets);
  right.start_child({.id = "4"}, sleep_long);
  const auto one = pid_of(left, "1"), two = pid_of(left, "2"), three = pid_of(right, "3"), four = pid_of(right, "4");

  ::kill(four, SIGKILL);
  CHECK(soon([&] { return pid_of(right, "4") != four; }));
  CHECK(pid_of(right, "3") == three);
  CHECK(pid_of(left, "1") == one);
  CHECK(pid_of(left, "2") == two);

  ::kill(three, SIGKILL);
  CHECK(soon([&] { return pid_of(left, "1") != one && pid_of(left, "2") != two && right.which_children().empty(); }));
  CHECK(all_gone({one, two, three, four}));
  CHECK(top.count_children() == child_counts{2, 2, 2, 0});
  CHECK(left.count_children() == child_counts{2, 2, 0, 2});
  CHECK(right.count_children() == child_counts{});
}

TEST_CASE(
    "simple_global_supervisor: a supervisor in a process of its own, and its worker, come back after any end, under new pids") {
  queue<int> commands{here()}, orders{here()};
  queue<pid_t> pids{here()};
  const supervisor top{
      here(), {.intensity = 5}, supervised({.id = "own", .shutdown = 50s}, supervises_worker, commands, orders, pids)};
  const auto next = [&] { return pids.get(50s).value(); };
  std::set<pid_t> seen{next()};
  const auto first = pid_of(top, "own");
  ::kill(first, SIGKILL);
  const auto other = next();
  CHECK(seen.insert(other).second);
  const auto own = pid_of(top, "own");
  CHECK(own != first);
  ::kill(other, SIGKILL);
  CHECK(seen.insert(next()).second);
  orders.put(1);
  CHECK(seen.insert(next()).second);
  commands.put(1);
  const auto last = next();
  CHECK(seen.insert(last).second);
  CHECK(pid_of(top, "own") == own);
  seen.erase(last);
  CHECK(all_gone({seen.begin(), seen.end()}));
  CHECK(alive(last));
}

TEST_CASE("count_children: the list and the counts of many processes agree, and all are gone when they are killed") {
  const std::size_t n = static_cast<std::size_t>(100 / harness::slowdown);
  const supervisor s{here(), {.strategy = simple_one_for_one}, supervised({.restart = temporary}, sleep_long)};
  for (std::size_t i = 0; i < n; ++i) s.start_child();
  CHECK(s.which_children().size() == n);
  CHECK(s.count_children() == child_counts{1, n, 0, n});
  for (std::size_t i = 0; i < n; ++i) s.start_child();
  const auto all = s.which_children();
  CHECK(all.size() == 2 * n);
  CHECK(s.count_children() == child_counts{1, 2 * n, 0, 2 * n});
  for (const auto& c : all) ::kill(c.process.value().pid, SIGKILL);
  CHECK(soon([&] { return s.count_children() == child_counts{1, 0, 0, 0}; }));
  CHECK(s.which_children().empty());
}

TEST_CASE("child_adm: calls to a supervisor that has ended fail") {
  const supervisor s{here(), {}, supervised({.id = "a"}, sleep_long)};
  s.stop();
  CHECK(refused([&] { s.terminate_child("a"); }) == errc::gone);
  CHECK(refused([&] { s.restart_child("a"); }) == errc::gone);
  CHECK(refused([&] { s.delete_child("a"); }) == errc::gone);
  CHECK(refused([&] { s.start_child({.id = "b"}, sleep_long); }) == errc::gone);
  CHECK(refused([&] { s.which_children(); }) == errc::gone);
  CHECK(refused([&] { s.which_child("a"); }) == errc::gone);
  CHECK(refused([&] { s.count_children(); }) == errc::gone);
  CHECK(refused([&] { s.change({}, {}); }) == errc::gone);
}

TEST_CASE("child_adm_simple: a process that is no child of it is not found, and left alone") {
  const supervisor s{here(), {.strategy = simple_one_for_one}, supervised({}, sleep_long)};
  process other{here(), sleep_long};
  const auto child = s.start_child().process.value();
  CHECK(refused([&] { s.terminate_child(other.id()); }) == errc::not_found);
  CHECK(other.is_alive());
  other.terminate();
  s.terminate_child(child);
  s.terminate_child(child);
  CHECK_FALSE(alive(child.pid));
  CHECK(s.count_children() == child_counts{1, 0, 0, 0});
  const auto second = s.start_child().process.value();
  CHECK(refused([&] { s.terminate_child("a"); }) == errc::unsupported);
  CHECK(refused([&] { s.restart_child("a"); }) == errc::unsupported);
  CHECK(refused([&] { s.delete_child("a"); }) == errc::unsupported);
  CHECK(alive(second.pid));
}

TEST_CASE("child_adm_simple: a process that is no child of it is not found when the call has to wait while others ask, either") {
  const supervisor top{here()};
  const supervisor s{top, {.id = "in"}, {.strategy = simple_one_for_one}, supervised({.shutdown = 200ms, .ready_within = 50s}, [] {
                       this_process::ready();
                       for (;;) ::pause();
                     })};
  const auto child = s.start_child().process.value();
  process other{here(), sleep_long};
  const auto same = supervisor::find(top, "in"), third = supervisor::find(top, "in");
  std::thread ends([&] { s.terminate_child(child); });
  std::atomic<errc> code{errc::timed_out};
  std::thread waits([&] { code = refused([&] { same.terminate_child(other.id()); }); });
  while (alive(child.pid)) third.count_children();
  ends.join();
  waits.join();
  CHECK(code == errc::not_found);
  other.terminate();
}

TEST_CASE("extra_return: what a child says is that of its latest start") {
  queue<int> numbers{here()};
  for (const int n : {1, 2, 3}) numbers.put(n);
  const supervisor s{here()};
  const auto first = s.start_child(
      {.id = "a", .ready_within = 50s},
      [](source<int> from) {
        this_process::ready("number " + std::to_string(from.get()));
        sleep_long();
      },
      numbers);
  CHECK(first.said == "number 1");
  s.terminate_child("a");
  CHECK(s.which_child("a").said.empty());
  CHECK(s.restart_child("a").said == "number 2");
  testing::kill_child(s, "a");
  CHECK(soon([&] { return s.which_child("a").said == "number 3"; }));
}

TEST_CASE("hanging_restart_loop: a child whose restart fails again and again can be looked at, and ended") {
  queue<int> tickets{here()};
  tickets.put(1);
  const supervisor s{here(), {.intensity = 1'000'000}};
  s.start_child({.id = "a", .ready_within = 50s}, with_ticket, tickets);
  queue<supervision_report> reports{here()};
  s.subscribe(reports);
  testing::kill_child(s, "a");
  for (int failed = 0; failed < 3;)
    if (reports.get(50s).value().what == supervision_report::kind::start_failed) ++failed;
  CHECK(s.count_children() == child_counts{1, 0, 0, 1});
  CHECK(refused([&] { s.start_child({.id = "a"}, sleep_long); }) == errc::already_started);
  CHECK(refused([&] { s.restart_child("a"); }) == errc::restarting);
  CHECK(refused([&] { s.delete_child("a"); }) == errc::restarting);
  s.terminate_child("a");
  CHECK(s.which_child("a").state == child_state::stopped);
  tickets.put(1);
  CHECK(s.restart_child("a").process);
}

TEST_CASE(
    "hanging_restart_loop_simple: dynamic children whose restarts fail again and again can be ended, by processes that they had") {
  // and count_restarting_children
  queue<int> tickets{here()};
  const supervisor_options options{.strategy = simple_one_for_one, .intensity = 1'000'000};
  const supervisor s{here(), options, supervised({.ready_within = 50s}, with_ticket, tickets)};
  std::vector<process_id> all;
  for (int i = 0; i < 3; ++i) {
    tickets.put(1);
    all.push_back(s.start_child().process.value());
  }
  for (const auto& who : all) ::kill(who.pid, SIGKILL);
  CHECK(soon([&] { return s.count_children() == child_counts{1, 0, 0, 3}; }));
  for (std::size_t left = 3; const auto& who : all) {
    CHECK(s.which_child(who).state != child_state::running);
    s.terminate_child(who);
    CHECK(s.count_children() == child_counts{1, 0, 0, --left});
  }
  tickets.put(1);
  CHECK(s.start_child().process);
}

TEST_CASE("significant_transient: the normal end of a significant child ends its supervisor, a failure does not") {
  const auto automatic = GENERATE(any_significant, all_significant);
  queue<int> a{here()}, b{here()};
  queue<pid_t> pids{here()};
  const supervisor s{here(),
                     {.intensity = 5, .auto_shutdown = automatic},
                     supervised({.id = "a", .restart = transient, .significant = true}, worker, a, pids),
                     supervised({.id = "b", .restart = transient, .significant = true}, worker, b, pids),
                     supervised({.id = "c"}, sleep_long)};
  const auto c = pid_of(s, "c"), old = pid_of(s, "a");
  ::kill(old, SIGKILL);
  CHECK(soon([&] { return s.which_child("a").restarts == 1 && s.which_child("a").state == child_state::running; }));
  a.put(1);
  if (automatic == all_significant) {
    CHECK(soon([&] { return s.which_child("a").state == child_state::stopped; }));
    CHECK(s.is_alive());
    b.put(1);
  }
  const auto exit = s.join(50s);
  REQUIRE(exit);
  CHECK(ended_normally(*exit));
  CHECK_FALSE(alive(c));
}

TEST_CASE(
    "code_change: a changed child goes on as it is, and is what it was changed to when it starts again; a new one is not started") {
  const auto one = [] { this_process::ready("one"), sleep_long(); };
  const auto two = [] { this_process::ready("two"), sleep_long(); };
  const supervisor s{
      here(), {.intensity = 0}, supervised({.id = "a", .ready_within = 50s}, one), supervised({.id = "b"}, sleep_long)};
  const auto a = pid_of(s, "a"), b = pid_of(s, "b");
  const auto change = [&](child_options first, child_options second) {
    std::vector<child_recipe> children;
    children.push_back(supervised(std::move(first), two));
    children.push_back(supervised(std::move(second), two));
    s.change({.strategy = one_for_all, .intensity = 5}, std::move(children));
  };
  CHECK(refused([&] { change({.id = "a"}, {.id = "a"}); }) == errc::invalid);
  CHECK(refused([&] { change({.id = "a"}, {.id = "c", .shutdown = -10ms}); }) == errc::invalid);
  CHECK(s.count_children() == child_counts{2, 2, 0, 2});

  change({.id = "a", .shutdown = 1s, .ready_within = 50s}, {.id = "c", .ready_within = 50s});
  CHECK(pid_of(s, "a") == a);
  CHECK(s.which_child("a").said == "one");
  CHECK(s.which_child("a").shutdown == 1s);
  CHECK(s.which_child("c").state == child_state::stopped);
  CHECK(s.count_children() == child_counts{3, 2, 0, 3});
  ::kill(a, SIGKILL);
  CHECK(soon([&] { return s.which_child("a").said == "two" && pid_of(s, "b") != b && s.which_child("c").said == "two"; }));
}

TEST_CASE("child_unlink: a child that cuts itself loose from its session and its signals is ended nevertheless") {
  const supervisor s{here()};
  s.start_child({.id = "a", .shutdown = 100ms, .ready_within = 50s}, [] {
    ::setsid();
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
    this_process::ready();
    for (;;) ::pause();
  });
  const auto a = pid_of(s, "a");
  s.terminate_child("a");
  CHECK_FALSE(alive(a));
}
