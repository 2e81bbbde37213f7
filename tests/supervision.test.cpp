// SPDX-License-Identifier: BSD-3-Clause
// The rules of supervision by themselves: no process, no clock; what children do is said by the test.
#include "supervision_world.hpp"

using namespace supervision_test;

TEST_CASE("supervision: an empty supervisor starts, and ends when it is told to") {
  world w({}, {});
  w.begin();
  REQUIRE(w.was_ready->has_value());
  REQUIRE(w.call(stop_supervisor{}));
  REQUIRE(w.over->exception_type() == "cloister::orderly_end");
}

TEST_CASE("supervision: children start in order and end in reverse") {
  world w({}, {spec("c"), spec("a"), spec("b")});
  w.begin();
  static_cast<void>(w.call(stop_supervisor{}));
  REQUIRE(w.log == std::vector<std::string>{"start c", "start a", "start b", "ask b", "ask a", "ask c"});
}

TEST_CASE("supervision: one that cannot be started ends those before it and the supervisor") {
  world w({.name = "top"}, {spec("a"), spec("b"), spec("c")});
  w.refuse = {"b"};
  w.begin();
  REQUIRE(*w.was_ready == errc::not_started);
  REQUIRE(w.was_ready->error().text() == "supervisor 'top' start: child 'b': no");
  REQUIRE(w.log == std::vector<std::string>{"start a", "start b", "ask a"});
  REQUIRE(w.over->exception_type() == "cloister::failure");
}

TEST_CASE("supervision: one_for_one replaces the crashed child alone; the third crash is one too many") {
  world w({.intensity = 2}, {spec("a"), spec("b")});
  w.begin();
  const auto b = w.process_of("b");
  for (int i = 0; i < 2; ++i) {
    const auto a = w.process_of("a");
    w.crash("a");
    REQUIRE(w.process_of("a") != a);
    REQUIRE(w.process_of("b") == b);
  }
  w.crash("a");
  REQUIRE(w.over);
  REQUIRE(w.reports.back().what == supervision_report::kind::stopped);
}

TEST_CASE("supervision: one_for_all replaces all, rest_for_one those behind") {
  const auto strategy = GENERATE(one_for_all, rest_for_one);
  world w({.strategy = strategy, .intensity = 3}, {spec("a"), spec("b"), spec("c")});
  w.begin();
  w.log.clear();
  w.crash("b");
  if (strategy == one_for_all) REQUIRE(w.log == std::vector<std::string>{"ask c", "ask a", "start a", "start b", "start c"});
  else REQUIRE(w.log == std::vector<std::string>{"ask c", "start b", "start c"});
  REQUIRE(w.running() == "abc");
}

TEST_CASE("supervision: a member of a group that cannot be started again is tried again with what the strategy says") {
  const auto strategy = GENERATE(one_for_all, rest_for_one);
  world w({.strategy = strategy, .intensity = 5}, {spec("a"), spec("b"), spec("c")});
  w.begin();
  w.log.clear();
  w.refuse_times["c"] = 1;
  w.crash("b");
  if (strategy == one_for_all)
    REQUIRE(w.log == std::vector<std::string>{"ask c", "ask a", "start a", "start b", "start c", "ask b", "ask a", "start a",
                                              "start b", "start c"});
  else REQUIRE(w.log == std::vector<std::string>{"ask c", "start b", "start c", "start c"});
  REQUIRE(w.running() == "abc");
}

TEST_CASE("supervision: a child that ignores being asked is killed when its time is over, and calls wait until then") {
  world w({}, {spec("a")});
  w.deaf = {"a"};
  w.begin();
  const auto end = w.call_later(terminate_child{"a"});
  const auto again = w.call_later(restart_child{"a"});
  REQUIRE(w.find("a").state == child_state::ending);  // questions do not wait
  w.pass(4 * second);
  REQUIRE_FALSE(w.answered(end));
  w.pass(2 * second);
  REQUIRE(w.answer_to(end).has_value());
  REQUIRE(w.answer_to(again).has_value());
  REQUIRE(w.log == std::vector<std::string>{"start a", "ask a", "kill a", "start a"});
}

TEST_CASE("supervision: back-off waits longer each time, and starts anew after a good run") {
  auto s = spec("a");
  s.delay = {.first = 1s, .most = 8s, .factor = 2, .jitter = 0};
  world w({.intensity = 100, .period = 1h}, {s});
  w.begin();
  for (const int wait : {1, 2, 4, 8, 8}) {
    w.crash("a");
    REQUIRE(w.find("a").state == child_state::restarting);
    w.pass(wait * second - 1);
    REQUIRE(w.find("a").state == child_state::restarting);
    w.pass(1);
    REQUIRE(w.find("a").state == child_state::running);
  }
  w.pass(9 * second);
  w.crash("a");
  w.pass(1 * second);
  REQUIRE(w.find("a").state == child_state::running);
}

TEST_CASE("supervision: a restart that falls due while another child is being ended waits for that") {
  auto s = spec("a");
  s.delay = {.first = 1s, .most = 8s, .factor = 2, .jitter = 0};
  world w({}, {s, spec("b")});
  w.deaf = {"b"};
  w.begin();
  w.crash("a");
  const auto end = w.call_later(terminate_child{"b"});
  w.pass(2 * second);
  REQUIRE(w.find("a").state == child_state::restarting);
  w.pass(3 * second);
  REQUIRE(w.answer_to(end));
  w.pass(0);
  REQUIRE(w.log == std::vector<std::string>{"start a", "start b", "ask b", "kill b", "start a"});
}

TEST_CASE("supervision: what the environment throws comes out of the event that caused it") {
  world w({.intensity = 5}, {spec("a"), spec("b")});
  w.begin();
  w.breaks = {"a"};
  REQUIRE_THROWS_AS(w.crash("a"), std::bad_alloc);
  world none({}, {spec("a")});
  none.breaks = {"a"};
  REQUIRE_THROWS_AS(none.begin(), std::bad_alloc);
}

TEST_CASE("supervision: significant children end their supervisor when they end by themselves") {
  const auto how = GENERATE(any_significant, all_significant);
  auto a = spec("a", transient), b = spec("b", temporary);
  a.significant = b.significant = true;
  world w({.auto_shutdown = how}, {a, b, spec("c")});
  w.begin();
  static_cast<void>(w.call(terminate_child{"b"}));
  REQUIRE_FALSE(w.over);
  REQUIRE(w.call(add_child{b}));
  w.finish("a");
  REQUIRE(w.over.has_value() == (how == any_significant));
  if (how == all_significant) w.crash("b");
  REQUIRE(w.over);
}

TEST_CASE("supervision: dynamic children of one kind are named by their processes and end together") {
  world w({.strategy = simple_one_for_one}, {spec("any", temporary)});
  w.begin();
  for (int i = 0; i < 3; ++i) REQUIRE(w.call(add_child{}));
  REQUIRE(w.count() == child_counts{1, 3, 0, 3});
  const auto first = w.list().back().process->incarnation;
  REQUIRE(w.call(terminate_child{first}));
  REQUIRE(w.call(terminate_child{first}));
  REQUIRE(w.call(terminate_child{std::uint32_t{99}, true}) == errc::not_found);
  REQUIRE(w.call(terminate_child{"any"}) == errc::unsupported);
  REQUIRE(w.count() == child_counts{1, 2, 0, 2});
  static_cast<void>(w.call(stop_supervisor{}));
}

TEST_CASE("supervision: ten thousand children start and end in time in proportion to their number") {
  const auto how_long = [](int n) {
    world w({.strategy = simple_one_for_one}, {spec("any", temporary)});
    w.begin();
    for (int i = 0; i < n; ++i) static_cast<void>(w.call(add_child{}));
    const auto began = std::chrono::steady_clock::now();
    static_cast<void>(w.call(stop_supervisor{}));
    return std::chrono::steady_clock::now() - began;
  };
  how_long(100);
  REQUIRE(how_long(10'000) < 50 * 10 * (how_long(1'000) + 1ms));
}
