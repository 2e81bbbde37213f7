// SPDX-License-Identifier: BSD-3-Clause
// OTP's cases that are about the ends of processes, over real ones; the others, and the exact order of things, in supervision_*.test.cpp.
#include "supervisor_support.hpp"

#include <sys/ioctl.h>

using namespace cloister;
using namespace support;

TEST_CASE("sup_start_map: what is not said about a child is as in OTP, and can be read") {
  const supervisor s{here(),
                     {},
                     supervised({.id = "a"}, sleep_long),
                     supervised({.id = "b", .shutdown = brutal_kill}, sleep_long),
                     supervised({.id = "c"}, supervisor_options{})};
  const auto a = s.which_child("a"), b = s.which_child("b"), c = s.which_child("c");
  for (const auto& child : {a, b, c}) {
    CHECK(child.state == child_state::running);
    CHECK(child.restart == permanent);
    CHECK_FALSE(child.significant);
    CHECK(child.restarts == 0);
  }
  CHECK(a.shutdown == 5s);
  CHECK_FALSE(a.supervisor);
  CHECK(b.shutdown == brutal_kill);
  CHECK(c.shutdown == std::chrono::nanoseconds::max());
  CHECK(c.supervisor);
  CHECK(refused([&] { s.which_child("d"); }) == errc::not_found);
  CHECK(supervisor_options().strategy == one_for_one);
  CHECK(supervisor_options().intensity == 1);
  CHECK(supervisor_options().period == 5s);
  CHECK(supervisor_options().auto_shutdown == no_auto_shutdown);
}

TEST_CASE("sup_start_map_simple: a dynamic child can be read by its process, another process is not found") {
  const supervisor s{here(), {.strategy = simple_one_for_one}, supervised({.restart = transient, .shutdown = 7s}, sleep_long)};
  const auto first = s.start_child().process.value(), other = s.start_child().process.value();
  CHECK(first != other);
  for (const auto& who : {first, other}) {
    CHECK(s.which_child(who).process == who);
    CHECK(s.which_child(who).restart == transient);
    CHECK(s.which_child(who).shutdown == 7s);
  }
  CHECK(refused([&] { s.which_child(this_process::id()); }) == errc::not_found);
}

TEST_CASE("sup_start_fail: of a supervisor that cannot start nothing is left, and what failed is said") {
  queue<pid_t> pids{here()};
  try {
    const supervisor s{here(),
                       {.name = "top"},
                       supervised(
                           {.id = "a"},
                           [](sink<pid_t> to) {
                             to.put(::getpid());
                             sleep_long();
                           },
                           pids),
                       supervised(
                           {.id = "b", .ready_within = 50s},
                           [](source<pid_t> from, sink<pid_t> to) {
                             to.put(from.get());  // when the first has begun
                             throw std::runtime_error("no such file");
                           },
                           pids, pids)};
    FAIL("it started");
  } catch (const failure& f) {
    CHECK(f.code() == errc::not_started);
    CHECK(f.what() ==
          std::string("supervisor 'top' start: child 'b': it ended before it was ready: std::runtime_error: no such file"));
  }
  CHECK_FALSE(alive(pids.get(20s).value()));
}

TEST_CASE("child_specs: check says what is wrong, and starts nothing; what is wrong is no supervisor, also within another") {
  const auto check = [](const supervisor_options& options, child_options first, child_options other) {
    std::vector<child_recipe> children;
    children.push_back(supervised(std::move(first), [] { std::abort(); }));
    children.push_back(supervised(std::move(other), supervisor_options{}, supervised({.id = "within"}, [] { std::abort(); })));
    return supervisor::check(options, children);
  };
  CHECK(check({}, {.id = "a"}, {.id = "b"}));
  CHECK(check({}, {.id = "a"}, {.id = "a"}) == errc::invalid);
  CHECK(check({}, {.id = "a", .shutdown = -10ms}, {.id = "b"}) == errc::invalid);
  CHECK(check({.strategy = simple_one_for_one}, {.id = "a"}, {.id = "b"}) == errc::invalid);
  CHECK(check({}, {.id = "a", .restart = transient, .significant = true}, {.id = "b"}) == errc::invalid);
  CHECK(check({.auto_shutdown = any_significant}, {.id = "a", .restart = transient, .significant = true}, {.id = "b"}));

  const supervisor top{here()};
  CHECK(refused([&] { const supervisor in(top, {.id = "in"}, {.strategy = simple_one_for_one}); }) == errc::invalid);
  CHECK(refused([&] { const supervisor in(top, {.id = "in"}, {.period = 0s}); }) == errc::invalid);
  CHECK(top.which_children().empty());
}

TEST_CASE("sup_stop_timeout: a child that does not end in its time is killed, the polite one ends as it was asked to") {
  const bool dynamic = GENERATE(false, true);  // and sup_stop_timeout_dynamic
  queue<supervision_report> reports{here()};
  const auto busy = [] {
    this_process::ready();
    for (;;) ::pause();
  };
  {
    const supervisor_options simple{.strategy = simple_one_for_one};
    const supervisor s = dynamic ? supervisor{here(), simple, supervised({.shutdown = 200ms, .ready_within = 50s}, busy)}
                                 : supervisor{here(), {}, supervised({.id = "polite", .shutdown = 50s}, sleep_long)};
    s.subscribe(reports);
    if (dynamic) static_cast<void>(s.start_child().process == s.start_child().process);
    else s.start_child({.id = "busy", .shutdown = 200ms, .ready_within = 50s}, busy);
  }
  const auto all = reports_to_the_end(reports);
  CHECK(exit_of(all, dynamic ? "" : "busy", kind::ended_otherwise).signal() == SIGKILL);
  if (!dynamic) CHECK(exit_of(all, "polite").signal() == SIGTERM);
  CHECK(std::count_if(all.begin(), all.end(), [](const auto& r) { return r.what == kind::ended_otherwise; }) == (dynamic ? 2 : 1));
  CHECK(ended_normally(all.back().exit));
}

TEST_CASE("sup_stop_brutal_kill: a child to be killed is not asked, its sibling is") {
  queue<supervision_report> reports{here()};
  {
    const supervisor s{here(),
                       {},
                       supervised({.id = "a", .shutdown = 50s}, sleep_long),
                       supervised({.id = "b", .shutdown = brutal_kill}, sleep_long)};
    s.subscribe(reports);
  }
  const auto all = reports_to_the_end(reports);
  CHECK(exit_of(all, "a").signal() == SIGTERM);
  CHECK(exit_of(all, "b").signal() == SIGKILL);
}

TEST_CASE("sup_stop_brutal_kill_dynamic: ten dynamic children are killed, and their supervisor ends in order") {
  queue<supervision_report> reports{here()};
  {
    const supervisor s{here(), {.strategy = simple_one_for_one}, supervised({.shutdown = brutal_kill}, sleep_long)};
    s.subscribe(reports);
    for (int i = 0; i < 10; ++i) s.start_child();
  }
  const auto all = reports_to_the_end(reports);
  CHECK(std::count_if(all.begin(), all.end(), [](const auto& r) { return r.what == kind::ended && r.exit.signal() == SIGKILL; }) ==
        10);
  CHECK(ended_normally(all.back().exit));
}

TEST_CASE("sup_stop_race: children that end by themselves during the shutdown keep their reasons, and none is restarted") {
  queue<supervision_report> reports{here()};
  gate crowd, last;
  int asked[2];
  REQUIRE(::pipe2(asked, O_CLOEXEC) == 0);
  const owned_fd hears(asked[0]);
  owned_fd says(asked[1]);
  supervisor s{here(), {.intensity = 100}};
  s.subscribe(reports);
  std::vector<pid_t> pids;
  for (const auto restart : {permanent, transient, temporary}) {
    for (int how = 0; how < ways; ++how) {
      s.start_child(
          {.id = std::to_string(restart) + std::to_string(how), .restart = restart},
          [](int mine, owned_fd at) {
            gate::wait_at(at);
            end_in_way(mine);
          },
          how, crowd.waiting.duplicate());
      pids.push_back(pid_of(s, std::to_string(restart) + std::to_string(how)));
    }
  }
  s.start_child(
      {.id = "last", .shutdown = 50s},
      [](owned_fd says_so, owned_fd at) {
        sleep_until_asked();
        static_cast<void>(!::write(says_so.get(), "!", 1));
        gate::wait_at(at);
      },
      std::move(says), last.waiting.duplicate());
  std::thread stopping([&] { s.stop(); });
  char mark;
  CHECK(::read(hears.get(), &mark, 1) == 1);
  crowd.open();
  CHECK(all_gone(pids));
  last.open();
  stopping.join();

  const auto all = reports_to_the_end(reports);
  CHECK(std::count_if(all.begin(), all.end(), [](const auto& r) { return r.what == kind::started; }) == 3 * ways + 1);
  CHECK(std::none_of(all.begin(), all.end(), [](const auto& r) { return r.what == kind::restarting; }));
  for (const auto restart : {permanent, transient, temporary}) {
    const auto exit = [&](int how) {
      return exit_of(all, std::to_string(restart) + std::to_string(how), is_normal(how) ? kind::ended : kind::ended_otherwise);
    };
    CHECK(exit(returns).success());
    CHECK(exit(is_asked).signal() == SIGTERM);
    CHECK(exit(has_a_note).exception_text() == "enough");
    CHECK(exit(exits_with_3).code() == 3);
    CHECK(exit(throws).exception_text() == "no");
    CHECK(exit(is_killed).signal() == SIGKILL);
  }
  CHECK(ended_normally(all.back().exit));
}

TEST_CASE("simple_one_for_one_shutdown: all dynamic children are asked at once") {
  constexpr int n = 5;
  int arrived[2];
  REQUIRE(::pipe2(arrived, O_CLOEXEC) == 0);
  const owned_fd out(arrived[0]), in(arrived[1]);
  queue<supervision_report> reports{here()};
  {
    const supervisor s{here(),
                       {.strategy = simple_one_for_one},
                       supervised(
                           {.shutdown = 40s},
                           [](int all, owned_fd from, owned_fd to) {
                             sleep_until_asked();
                             static_cast<void>(!::write(to.get(), "!", 1));
                             for (int there = 0; there < all; ::ioctl(from.get(), FIONREAD, &there))
                               std::this_thread::sleep_for(1ms);
                           },
                           n, out.duplicate(), in.duplicate())};
    s.subscribe(reports);
    for (int i = 0; i < n; ++i) s.start_child();
  }
  const auto all = reports_to_the_end(reports);
  CHECK(std::count_if(all.begin(), all.end(), [](const auto& r) { return r.what == kind::ended && r.exit.success(); }) == n);
}

TEST_CASE("order_of_children: children start in the order of the list, and end in the reverse") {
  queue<supervision_report> reports{here()};
  std::vector<child_recipe> children;
  for (const auto* id : {"c", "a", "d", "b"}) children.push_back(supervised({.id = id}, sleep_long));
  {
    const supervisor s{here()};
    s.subscribe(reports);
    const supervisor in{s, {.id = "in"}, {.strategy = rest_for_one}, std::move(children)};
    testing::kill_child(in, "d");
    CHECK(soon([&] { return in.which_child("d").restarts == 1 && in.which_child("b").state == child_state::running; }));
  }
  std::string order;
  for (const auto& r : reports_to_the_end(reports)) {
    const bool begins = r.what == kind::started;
    if (r.child.id != "in" && (begins || r.what == kind::ended)) order += (begins ? '+' : '-') + r.child.id;
  }
  CHECK(order == "+c+a+d+b-d-b+d+b-b-d-a-c");
}
