// SPDX-License-Identifier: BSD-3-Clause
// How children are ended, and in which order: OTP's cases of those names.
#include "supervision_world.hpp"

using namespace supervision_test;

namespace {

using kind = supervision_report::kind;

constexpr auto infinity = std::chrono::nanoseconds::max();

/// Stops a supervisor whose answer may take its time.
std::uint64_t stop(world& w) { return w.call_later(stop_supervisor{}); }

}  // namespace

TEST_CASE("sup_stop_infinity: workers and supervisors may be given for ever to end, and then are not killed") {
  world w({.intensity = 2, .period = 1h}, {});
  w.deaf = {"b", "c"};
  w.begin();
  w.add(ending_within(infinity, inner("a", {}, {ending_within(infinity, spec("b"))})));
  w.add(ending_within(infinity, spec("c")));
  const auto stopped = stop(w);
  w.pass(1'000'000 * second);
  REQUIRE(w.log == std::vector<std::string>{"start a", "start a/b", "start c", "ask c"});
  w.end("c", asked());
  w.pass(1'000'000 * second);
  REQUIRE_FALSE(w.answered(stopped));
  w.within("a").end("b", asked());
  REQUIRE(w.answer_to(stopped));
  REQUIRE(w.log_from(4) == std::vector<std::string>{"ask a", "ask a/b"});
  REQUIRE(ended_normally(w.exits_of("a").at(0)));
  REQUIRE(w.exits_of("c") == std::vector{asked()});
  REQUIRE(w.count_of(kind::ended_otherwise) == 0);
}

TEST_CASE("sup_stop_timeout: a child that is busy beyond its time is killed, the polite one is asked") {
  world w({.intensity = 2, .period = 1h}, {});
  w.deaf = {"busy"};
  w.begin();
  w.add(ending_within(1s, spec("polite")));
  w.add(ending_within(1s, spec("busy")));
  const auto stopped = stop(w);
  w.pass(1 * second - 1);
  REQUIRE(w.log_from(2) == std::vector<std::string>{"ask busy"});
  w.pass(1);
  REQUIRE(w.log_from(2) == std::vector<std::string>{"ask busy", "kill busy", "ask polite"});
  REQUIRE(w.answer_to(stopped));
  REQUIRE(w.exits_of("polite") == std::vector{asked()});
  REQUIRE(w.exits_of("busy") == std::vector{by_kill()});
  REQUIRE(w.count_of(kind::ended_otherwise) == 1);  // it was not to be killed
  REQUIRE(ended_normally(w.over.value()));
}

TEST_CASE("sup_stop_timeout_dynamic: a dynamic child that is busy beyond its time is killed, the polite one is asked") {
  world w({.strategy = simple_one_for_one}, {ending_within(1s, spec("any"))});
  w.begin();
  w.add();
  const auto busy = w.add_one();
  w.ignores.insert(busy);
  const auto stopped = stop(w);
  REQUIRE(w.log_from(2) == std::vector<std::string>{"ask 1", "ask 2"});
  w.pass(1 * second - 1);
  REQUIRE_FALSE(w.answered(stopped));
  w.pass(1);
  REQUIRE(w.log_from(4) == std::vector<std::string>{"kill 2"});
  REQUIRE(w.exits_of("") == std::vector{asked(), by_kill()});
  REQUIRE(ended_normally(w.over.value()));
}

TEST_CASE("sup_stop_brutal_kill: a child to be killed is not asked, its sibling is") {
  world w({.intensity = 2, .period = 1h}, {ending_within(1s, spec("a")), ending_within(brutal_kill, spec("b"))});
  w.begin();
  static_cast<void>(w.call(stop_supervisor{}));
  REQUIRE(w.log_from(2) == std::vector<std::string>{"kill b", "ask a"});
  REQUIRE(w.exits_of("a") == std::vector{asked()});
  REQUIRE(w.exits_of("b") == std::vector{by_kill()});
  REQUIRE(w.count_of(kind::ended_otherwise) == 0);
}

TEST_CASE("sup_stop_brutal_kill_dynamic: ten dynamic children are killed, and their supervisor ends in order") {
  world w({.strategy = simple_one_for_one, .intensity = 2, .period = 1h}, {ending_within(brutal_kill, spec("any"))});
  w.begin();
  for (int i = 0; i < 10; ++i) w.add();
  static_cast<void>(w.call(stop_supervisor{}));
  REQUIRE(w.exits_of("") == std::vector<exit_status>(10, by_kill()));
  REQUIRE(w.count_of(kind::ended_otherwise) == 0);
  REQUIRE(ended_normally(w.over.value()));
}

TEST_CASE("sup_stop_race: children that end by themselves during the shutdown keep their reasons, and none is restarted") {
  const auto strategy = GENERATE(one_for_one, one_for_all, rest_for_one);
  const auto how = GENERATE(values({normal(), asked(), noted(), abnormal()}));
  world w({.strategy = strategy}, {spec("p", permanent), spec("t", transient), spec("y", temporary), spec("last")});
  w.deaf = {"last"};
  w.begin();
  const auto stopped = stop(w);
  for (const auto* id : {"p", "t", "y"}) w.end(id, how);
  REQUIRE_FALSE(w.answered(stopped));
  w.end("last", asked());
  REQUIRE(w.answer_to(stopped));
  REQUIRE(w.count_of(kind::started) == 4);
  for (const auto* id : {"p", "t", "y"}) REQUIRE(w.exits_of(id) == std::vector{how});
  REQUIRE(w.count_of(kind::ended_otherwise) == (how == abnormal() ? 3 : 0));
  REQUIRE(ended_normally(w.over.value()));
}

TEST_CASE("sup_stop_race: dynamic children that end by themselves during the shutdown keep their reasons, and none is restarted") {
  const auto restart = GENERATE(permanent, transient, temporary);
  world w({.strategy = simple_one_for_one}, {spec("any", restart)});
  w.begin();
  w.deaf = {""};
  std::vector<exit_status> ways{normal(), asked(), noted(), abnormal()};
  std::vector<std::uint32_t> all;
  for (std::size_t i = 0; i < ways.size(); ++i) all.push_back(w.add_one());
  const auto stopped = stop(w);
  for (std::size_t i = 0; i < ways.size(); ++i) {
    REQUIRE_FALSE(w.answered(stopped));
    w.end(all[i], ways[i]);
  }
  REQUIRE(w.answer_to(stopped));
  REQUIRE(w.exits_of("") == ways);
  REQUIRE(w.count_of(kind::started) == 4);
}

TEST_CASE(
    "sup_stop_non_shutdown_exit_dynamic: dynamic children may answer the stop in other ways, and the supervisor ends in order") {
  const auto how = GENERATE(values({normal(), noted(), abnormal(), exit_status::threw("std::runtime_error", "no")}));
  world w({.strategy = simple_one_for_one, .intensity = 0}, {spec("any")});
  w.begin();
  for (int i = 0; i < 3; ++i) w.add();
  w.ends_with[""] = how;
  REQUIRE(w.call(stop_supervisor{}));
  REQUIRE(w.exits_of("") == std::vector<exit_status>(3, how));
  REQUIRE(w.count_of(kind::ended_otherwise) == (ended_normally(how) ? 0 : 3));
  REQUIRE(ended_normally(w.over.value()));
}

TEST_CASE("simple_one_for_one_shutdown: all children are asked at once, and have the same time") {
  world w({.strategy = simple_one_for_one, .intensity = 2, .period = 1h}, {ending_within(2s, spec("any"))});
  w.begin();
  w.deaf = {""};
  const auto first = w.add_one(), second_child = w.add_one();
  w.add();
  const auto begun = w.time;
  const auto stopped = stop(w);
  REQUIRE(w.log_from(3) == std::vector<std::string>{"ask 1", "ask 2", "ask 3"});
  w.pass(1 * second);
  w.end(first, asked());
  w.end(second_child, asked());
  REQUIRE(w.log.size() == 6);
  while (!w.answered(stopped)) w.pass(second / 10);
  REQUIRE(w.log_from(6) == std::vector<std::string>{"kill 3"});
  REQUIRE(w.time - begun == 2 * second);
  REQUIRE(w.exits_of("") == std::vector{asked(), asked(), by_kill()});
}

TEST_CASE("order_of_children: the start is in the order of the list, the end in the reverse, a part of it under rest_for_one") {
  std::vector<child_spec> all;
  for (const auto* id : {"c", "a", "e", "b", "d"}) all.push_back(spec(id));
  world w({.strategy = rest_for_one, .intensity = 2, .period = 1h}, all);
  w.begin();
  REQUIRE(w.log == std::vector<std::string>{"start c", "start a", "start e", "start b", "start d"});
  REQUIRE(w.all() == "caebd");
  w.crash("e");
  REQUIRE(w.log_from(5) == std::vector<std::string>{"ask d", "ask b", "start e", "start b", "start d"});
  REQUIRE(w.all() == "caebd");
  static_cast<void>(w.call(stop_supervisor{}));
  REQUIRE(w.log_from(10) == std::vector<std::string>{"ask d", "ask b", "ask e", "ask a", "ask c"});
}

TEST_CASE("order_of_children: children are ended one at a time") {
  world w({}, {spec("a"), spec("b")});
  w.deaf = {"a", "b"};
  w.begin();
  const auto stopped = stop(w);
  REQUIRE(w.log_from(2) == std::vector<std::string>{"ask b"});
  w.end("b", asked());
  REQUIRE(w.log_from(3) == std::vector<std::string>{"ask a"});
  w.end("a", asked());
  REQUIRE(w.answer_to(stopped));
}

// ------------------------------------------------------------------------------------------------ starts that take for ever

TEST_CASE("a stop does not wait for a start that hangs: what starts is asked to end, and killed after its shutdown") {
  world w({.intensity = 8, .period = 1h}, {ending_within(2s, spec("a"))});
  w.begin();
  w.slow = {"a"};
  w.crash("a");
  const auto end_it = GENERATE(true, false);
  const auto call = end_it ? w.call_later(terminate_child{"a"}) : w.call_later(stop_supervisor{});
  REQUIRE(w.log_from(2) == std::vector<std::string>{"ask a"});
  REQUIRE_FALSE(w.answered(call));
  w.pass(1 * second);
  REQUIRE(w.log.size() == 3);
  w.pass(1 * second);
  REQUIRE(w.log_from(3) == std::vector<std::string>{"kill a"});
  w.refused("a");
  REQUIRE(w.answer_to(call));
  REQUIRE(w.over.has_value() == !end_it);
  if (end_it) REQUIRE(w.find("a").state == child_state::stopped);
}

TEST_CASE("a start whose turn comes after the word that it is wanted no more is ended, too") {
  world w({.intensity = 8, .period = 1h}, {spec("a")});
  w.begin();
  w.slow = {"a", "b"};
  w.crash("a");
  const auto add = w.call_later(add_child{spec("b")});
  const bool stops = GENERATE(true, false);
  const auto call = stops ? w.call_later(stop_supervisor{}) : w.call_later(terminate_child{"a"});
  w.refused("a");
  REQUIRE(w.log_from(2) ==
          (stops ? std::vector<std::string>{"ask a", "start b", "ask b"} : std::vector<std::string>{"ask a", "start b"}));
  w.refused("b");
  REQUIRE(w.answer_to(add) == errc::not_started);
  REQUIRE(w.answer_to(call));
  REQUIRE(w.over.has_value() == stops);
}

TEST_CASE("a supervisor that nobody wants any more ends what starts, and starts nothing else") {
  world w({.strategy = one_for_all, .intensity = 8, .period = 1h}, {spec("a"), spec("b")});
  w.begin();
  w.slow = {"a"};
  w.crash("a");
  w.abandon();
  REQUIRE(w.log.back() == "ask a");
  w.begun("a");
  REQUIRE(w.over);
  REQUIRE(w.log.back() == "ask a");
}

TEST_CASE(
    "a child that was ended with its group, and is about to be started with it, has not ended for whoever waits for its end") {
  world w({.strategy = one_for_all, .intensity = 8, .period = 1h}, {spec("a"), spec("b", transient)});
  w.begin();
  w.slow = {"a"};
  w.crash("a");
  const auto end = w.call_later(await_child{"b"});
  REQUIRE_FALSE(w.answered(end));
  w.begun("a");
  REQUIRE_FALSE(w.answered(end));
  w.finish("b");
  REQUIRE(std::get<exit_status>(w.answer_to(end).value()) == normal());
}
