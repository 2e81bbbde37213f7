// SPDX-License-Identifier: BSD-3-Clause
// The restart strategies, and what happens beyond their intensity: OTP's cases of those names.
#include "supervision_world.hpp"

using namespace supervision_test;

namespace {

using kind = supervision_report::kind;

/// A supervisor with intensity 2 in an hour under which a third crash of `id` is one too many.
void ends_with_a_third_crash(world& w, const std::string& id) {
  w.crash(id);
  REQUIRE_FALSE(w.over);
  w.crash(id);
  REQUIRE(ended_normally(w.over.value()));
  REQUIRE(w.reports[w.reports.size() - 1].what == kind::stopped);
  REQUIRE(w.count_of(kind::gave_up) == 1);
}

}  // namespace

TEST_CASE("multiple_restarts: crashes further apart than the period never exceed the intensity") {
  world w({.intensity = 1, .period = 1s}, {spec("a")});
  w.begin();
  for (int i = 0; i < 10; ++i) {
    w.crash("a");
    REQUIRE(w.running() == "a");
    w.pass(2 * second + second / 10);
  }
  w.crash("a");
  w.crash("a");
  REQUIRE(w.over);
}

TEST_CASE("multiple_restarts: the restarts of just the period count, which may be for ever, and intensity 0 allows none") {
  world w({.intensity = 1, .period = 1s}, {spec("a")});
  w.begin();
  w.crash("a");
  w.pass(1 * second + 1);
  w.crash("a");
  REQUIRE(w.running() == "a");
  w.pass(1 * second);
  w.crash("a");
  REQUIRE(w.over);

  world ever({.intensity = 1, .period = std::chrono::nanoseconds::max()}, {spec("a")});
  ever.begin();
  ever.crash("a");
  ever.pass(1'000'000 * second);
  ever.crash("a");
  REQUIRE(ever.over);

  world none({.intensity = 0}, {spec("a")});
  none.begin();
  none.crash("a");
  REQUIRE(none.over);
  REQUIRE(none.log == std::vector<std::string>{"start a"});
}

TEST_CASE("one_for_one: only the crashed child is replaced; the third crash at intensity 2 ends the supervisor") {
  world w({.intensity = 2, .period = 1h}, {spec("a"), spec("b")});
  w.begin();
  const auto a = w.process_of("a"), b = w.process_of("b");
  w.crash("a");
  REQUIRE(w.process_of("a") != a);
  REQUIRE(w.process_of("b") == b);
  REQUIRE(w.count() == child_counts{2, 2, 0, 2});
  REQUIRE(w.find("a").restarts == 1);
  ends_with_a_third_crash(w, "b");
  REQUIRE(w.log_from(2) == std::vector<std::string>{"start a", "start b", "ask a"});
}

TEST_CASE("one_for_one_escalation: a child that cannot start again exhausts the intensity, and its sibling ends, too") {
  world w({.intensity = 4, .period = 1h}, {spec("a"), spec("b")});
  w.begin();
  w.refuse = {"a"};
  w.crash("a");
  REQUIRE(ended_normally(w.over.value()));
  REQUIRE(w.log_from(2) == std::vector<std::string>{"start a", "start a", "start a", "start a", "ask b"});
  REQUIRE(w.count_of(kind::start_failed) == 4);
}

TEST_CASE("one_for_all: one crash replaces all; the third at intensity 2 ends the supervisor") {
  world w({.strategy = one_for_all, .intensity = 2, .period = 1h}, {spec("a"), spec("b")});
  w.begin();
  const auto a = w.process_of("a"), b = w.process_of("b");
  w.crash("a");
  REQUIRE(w.log_from(2) == std::vector<std::string>{"ask b", "start a", "start b"});
  REQUIRE(w.process_of("a") != a);
  REQUIRE(w.process_of("b") != b);
  REQUIRE(w.count() == child_counts{2, 2, 0, 2});
  ends_with_a_third_crash(w, "b");
}

TEST_CASE("one_for_all_escalation: a member that cannot start again ends the supervisor and all") {
  world w({.strategy = one_for_all, .intensity = 4, .period = 1h}, {spec("a"), spec("b")});
  w.begin();
  w.refuse = {"b"};
  w.crash("a");
  REQUIRE(ended_normally(w.over.value()));
  std::vector<std::string> expected{"ask b"};
  for (int i = 0; i < 4; ++i) expected.insert(expected.end(), {"start a", "start b", "ask a"});
  REQUIRE(w.log_from(2) == expected);
}

TEST_CASE(
    "one_for_all_other_child_fails_restart: if a sibling cannot start, the restarted child is ended and all are tried again") {
  world w({.strategy = one_for_all, .intensity = 3, .period = 1h}, {spec("a"), spec("b")});
  w.begin();
  w.refuse_times["b"] = 1;
  w.crash("a");
  REQUIRE(w.log_from(2) == std::vector<std::string>{"ask b", "start a", "start b", "ask a", "start a", "start b"});
  REQUIRE(w.exits_of("a") == std::vector{exit_status::signaled(SIGSEGV), asked()});
  REQUIRE(w.running() == "ab");
  w.crash("a");  // two of three restarts were used, whoever's they were
  REQUIRE_FALSE(w.over);
  w.crash("a");
  REQUIRE(w.over);
}

TEST_CASE("rest_for_one: one crash replaces what was started after it; the third at intensity 2 ends the supervisor") {
  world w({.strategy = rest_for_one, .intensity = 2, .period = 1h}, {spec("a"), spec("b"), spec("c")});
  w.begin();
  const auto a = w.process_of("a"), b = w.process_of("b"), c = w.process_of("c");
  w.crash("b");
  REQUIRE(w.log_from(3) == std::vector<std::string>{"ask c", "start b", "start c"});
  REQUIRE(w.process_of("a") == a);
  REQUIRE(w.process_of("b") != b);
  REQUIRE(w.process_of("c") != c);
  REQUIRE(w.count() == child_counts{3, 3, 0, 3});
  w.crash("c");
  REQUIRE(w.log_from(6) == std::vector<std::string>{"start c"});
  w.crash("b");
  REQUIRE(ended_normally(w.over.value()));
  REQUIRE(w.log_from(7) == std::vector<std::string>{"ask c", "ask a"});
}

TEST_CASE("rest_for_one_escalation: a later child that cannot start again ends the supervisor and all") {
  world w({.strategy = rest_for_one, .intensity = 4, .period = 1h}, {spec("a"), spec("b")});
  w.begin();
  w.refuse = {"b"};
  w.crash("a");
  REQUIRE(ended_normally(w.over.value()));
  REQUIRE(w.log_from(2) == std::vector<std::string>{"ask b", "start a", "start b", "start b", "start b", "start b", "ask a"});
}

TEST_CASE("rest_for_one_other_child_fails_restart: if a later child cannot start, it and what follows are tried again") {
  world w({.strategy = rest_for_one, .intensity = 3, .period = 1h}, {spec("a"), spec("b"), spec("c")});
  w.begin();
  w.refuse_times["b"] = 1;
  w.crash("a");
  REQUIRE(w.log_from(3) == std::vector<std::string>{"ask c", "ask b", "start a", "start b", "start b", "start c"});
  REQUIRE(w.running() == "abc");
}

TEST_CASE("simple_one_for_one: only the crashed dynamic child is replaced; the third crash at intensity 2 ends the supervisor") {
  world w({.strategy = simple_one_for_one, .intensity = 2, .period = 1h}, {spec("any")});
  w.begin();
  const auto first = w.add_one(), other = w.add_one();
  w.end(first, abnormal());
  REQUIRE(w.processes() == std::vector{std::uint32_t{3}, other});
  REQUIRE(w.count() == child_counts{1, 2, 0, 2});
  w.end(other, abnormal());
  REQUIRE_FALSE(w.over);
  w.end(w.processes().back(), abnormal());
  REQUIRE(ended_normally(w.over.value()));
  REQUIRE(w.log_from(4) == std::vector<std::string>{"ask 3"});
}

TEST_CASE("simple_one_for_one_extra: what a restarted dynamic child says is in the list; the third crash ends the supervisor") {
  world w({.strategy = simple_one_for_one, .intensity = 2, .period = 1h}, {spec("any")});
  w.begin();
  w.says[""] = "extra";
  REQUIRE(w.add().said == "extra");
  const auto other = w.add_one();
  w.says[""] = "another";
  w.end(w.processes().front(), abnormal());
  const auto all = w.list();
  REQUIRE(all.size() == 2);
  REQUIRE(all.back().said == "another");
  REQUIRE(w.find(other).said == "extra");
  w.end(other, abnormal());
  w.end(w.processes().front(), abnormal());
  REQUIRE(ended_normally(w.over.value()));
}

TEST_CASE("simple_one_for_one_escalation: a dynamic child that cannot start again ends its supervisor and siblings") {
  world w({.strategy = simple_one_for_one, .intensity = 4, .period = 1h}, {spec("any")});
  w.begin();
  const auto first = w.add_one();
  w.add();
  w.refuse = {""};
  w.end(first, abnormal());
  REQUIRE(ended_normally(w.over.value()));
  REQUIRE(w.log_from(2) == std::vector<std::string>{"start 3", "start 4", "start 5", "start 6", "ask 2"});
}

TEST_CASE("simple_one_for_one_restart_ignore: a dynamic child that declines its restart is forgotten, and the supervisor lives") {
  world w({.strategy = simple_one_for_one, .intensity = 2, .period = 1h}, {spec("any", transient)});
  w.begin();
  const auto first = w.add_one();
  w.decline = {""};
  w.end(first, abnormal());
  REQUIRE(w.list().empty());
  REQUIRE(w.count() == child_counts{1, 0, 0, 0});
  REQUIRE_FALSE(w.over);
  w.decline.clear();
  REQUIRE(w.add().process);
}

TEST_CASE("simple_one_for_one_restart_ignore: under other strategies such a child stays known, and its siblings are started") {
  const auto strategy = GENERATE(one_for_one, one_for_all, rest_for_one);
  world w({.strategy = strategy, .intensity = 2, .period = 1h}, {spec("a"), spec("b")});
  w.begin();
  w.decline = {"a"};
  w.crash("a");
  REQUIRE(w.all() == "ab");
  REQUIRE(w.running() == "b");
  REQUIRE(w.count_of(kind::restarting) == 1);
  w.decline.clear();
  REQUIRE(w.restart("a").process);
}

TEST_CASE(
    "tree: a worker's crash stays within its supervisor; beyond its intensity the tree is made anew, without dynamic children") {
  world w({.strategy = one_for_all, .intensity = 4, .period = 1h}, {});
  w.begin();
  w.add(inner("left", {.intensity = 4, .period = 1h}, {spec("1"), spec("2")}));
  w.add(inner("right", {.intensity = 4, .period = 1h}, {}));
  REQUIRE(w.count() == child_counts{2, 2, 2, 0});
  REQUIRE(w.within("left").count() == child_counts{2, 2, 0, 2});
  REQUIRE(w.within("right").count() == child_counts{});

  auto& right = w.within("right");
  right.add(spec("3"));
  right.add(spec("4"));
  REQUIRE(w.count() == child_counts{2, 2, 2, 0});
  const auto left = w.within("left").processes(), old = right.processes();
  right.crash("4");
  REQUIRE(w.within("left").processes() == left);
  REQUIRE(right.processes().front() == old.front());
  REQUIRE(right.processes().back() != old.back());

  const auto logged = w.log.size();
  right.refuse = {"3"};
  right.crash("3");
  const std::vector<std::string> expected{"start right/3", "start right/3", "start right/3", "ask right/4",
                                          "ask left",      "ask left/2",    "ask left/1",    "start left",
                                          "start left/1",  "start left/2",  "start right"};
  REQUIRE(w.log_from(logged) == expected);
  REQUIRE(w.count() == child_counts{2, 2, 2, 0});
  REQUIRE(w.within("left").running() == "12");
  REQUIRE(&w.within("right") != &right);
  REQUIRE(w.within("right").list().empty());
}

TEST_CASE("tree: a supervisor that gave up has, as a child, ended normally: it is restarted if it is permanent only") {
  const auto restart = GENERATE(permanent, transient, temporary);
  world w({}, {inner("in", {.intensity = 0}, {spec("a")}, restart), spec("b")});
  w.begin();
  w.within("in").crash("a");
  REQUIRE_FALSE(w.over);
  REQUIRE(w.running() == (restart == permanent ? "inb" : "b"));
  REQUIRE(w.all() == (restart == temporary ? "b" : "inb"));
}

TEST_CASE("a back-off without an upper bound waits ever longer, and never less") {
  auto a = spec("a");
  a.delay = {1h, std::chrono::nanoseconds::max(), 1e15, 0.5};
  world w({.intensity = 100, .period = 1h}, {a});
  w.begin();
  w.crash("a");
  w.pass(2 * 3600 * second);
  REQUIRE(w.running() == "a");
  w.crash("a");
  for (int year = 0; year < 100; ++year) {
    w.pass(365 * 86400 * second);
    REQUIRE(w.find("a").state == child_state::restarting);
  }
}
