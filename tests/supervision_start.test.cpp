// SPDX-License-Identifier: BSD-3-Clause
// How supervisors and their children start, and what they can be made from: OTP's cases of those names.
#include "supervision_world.hpp"

using namespace supervision_test;

namespace {

std::string wrong(const supervisor_options& options, const std::vector<child_spec>& children) {
  const auto good = supervision::check(options, children);
  if (good) return "nothing";
  CHECK(good == errc::invalid);
  return good.error().text();
}

/// What is wrong with a child, at the supervisor's start and when it is added, which must be the same.
std::string wrong_child(const child_spec& c, const supervisor_options& options = {}) {
  const auto text = wrong(options, {c});
  world w(options, {});
  w.begin();
  const auto added = w.call(add_child{c});
  CHECK(w.all() == (text == "nothing" ? c.id : ""));
  CHECK((added ? "nothing" : added.error().text()) == text);
  return text;
}

}  // namespace

TEST_CASE("sup_start_normal: an empty supervisor starts and, told to stop, ends in order") {
  world w({.intensity = 2, .period = 1h}, {});
  w.begin();
  REQUIRE(w.was_ready.value().has_value());
  REQUIRE(w.list().empty());
  REQUIRE(w.count() == child_counts{});
  REQUIRE_FALSE(w.over);
  REQUIRE(w.call(stop_supervisor{}));
  REQUIRE(w.over.value().exception_type() == "cloister::orderly_end");
  REQUIRE(ended_normally(*w.over));
}

TEST_CASE("sup_start_normal: a supervisor has started when each child, one after the other, has") {
  world w({}, {spec("a"), spec("b")});
  w.slow = {"a", "b"};
  w.begin();
  REQUIRE(w.log == std::vector<std::string>{"start a"});
  w.begun("a");
  REQUIRE(w.log == std::vector<std::string>{"start a", "start b"});
  REQUIRE_FALSE(w.was_ready);
  w.begun("b");
  REQUIRE(w.was_ready.value().has_value());
}

TEST_CASE("sup_start_fail: a failing child ends those before it, in reverse, and the supervisor, which says which and why") {
  world w({.name = "top"}, {spec("a"), spec("b"), spec("c"), spec("d")});
  w.refuse = {"c"};
  w.begin();
  REQUIRE(w.log == std::vector<std::string>{"start a", "start b", "start c", "ask b", "ask a"});
  REQUIRE(*w.was_ready == errc::not_started);
  REQUIRE(w.was_ready->error().text() == "supervisor 'top' start: child 'c': no");
  REQUIRE_FALSE(ended_normally(w.over.value()));
}

TEST_CASE("sup_start_fail: an inner supervisor's failure to start is its outer one's, and names all on the way") {
  world w({.name = "top"}, {spec("a"), inner("in", {.name = "in"}, {spec("b"), inner("deep", {.name = "deep"}, {spec("c")})})});
  w.refuse = {"c"};
  w.begin();
  REQUIRE(w.log ==
          std::vector<std::string>{"start a", "start in", "start in/b", "start in/deep", "start in/deep/c", "ask in/b", "ask a"});
  REQUIRE(w.was_ready.value().error().text() ==
          "supervisor 'top' start: child 'in': supervisor 'in' start: child 'deep': supervisor 'deep' start: child 'c': no");
}

TEST_CASE("sup_start_ignore_child: a permanent child that declines is listed without a process") {
  world w({.intensity = 2, .period = 1h}, {});
  w.decline = {"a"};
  w.begin();
  const auto a = w.add(spec("a"));
  REQUIRE(a.state == child_state::stopped);
  REQUIRE_FALSE(a.process);
  REQUIRE(w.add(spec("b")).process);
  const auto all = w.list();
  REQUIRE(all.size() == 2);
  REQUIRE(all.front().id == "b");
  REQUIRE(all.front().state == child_state::running);
  REQUIRE(all.back().id == "a");
  REQUIRE(all.back().state == child_state::stopped);
  REQUIRE(w.count() == child_counts{2, 1, 0, 2});
}

TEST_CASE("sup_start_ignore_temporary_child: a temporary child that declines at its supervisor's start is not kept") {
  world w({.intensity = 2, .period = 1h}, {spec("a", temporary), spec("b", temporary), spec("c")});
  w.decline = {"a", "c"};
  w.begin();
  REQUIRE(w.was_ready.value().has_value());
  REQUIRE(w.all() == "bc");
  REQUIRE(w.running() == "b");
  REQUIRE(w.count() == child_counts{2, 1, 0, 2});
}

TEST_CASE("sup_start_ignore_temporary_child_start_child: a temporary child that declines at run time is not kept") {
  world w({.intensity = 2, .period = 1h}, {});
  w.decline = {"a"};
  w.begin();
  REQUIRE_FALSE(w.add(spec("a", temporary)).process);
  REQUIRE(w.add(spec("b", temporary)).process);
  REQUIRE(w.all() == "b");
  REQUIRE(w.count() == child_counts{1, 1, 0, 1});
}

static void expect_declining_child_is_not_kept(world& w) {
  w.begin();
  w.decline = {""};
  REQUIRE_FALSE(w.add().process);
  w.decline.clear();
  REQUIRE(w.add().process);
  REQUIRE(w.list().size() == 1);
  REQUIRE(w.count() == child_counts{1, 1, 0, 1});
}

TEST_CASE("sup_start_ignore_temporary_child_start_child_simple: a temporary dynamic child that declines is not kept") {
  world w({.strategy = simple_one_for_one, .intensity = 2, .period = 1h}, {spec("any", temporary)});
  expect_declining_child_is_not_kept(w);
}

TEST_CASE("sup_start_ignore_permanent_child_start_child_simple: a permanent dynamic child that declines is not kept") {
  world w({.strategy = simple_one_for_one, .intensity = 2, .period = 1h}, {spec("any", permanent)});
  expect_declining_child_is_not_kept(w);
  REQUIRE(w.call(stop_supervisor{}));
  REQUIRE(w.log == std::vector<std::string>{"start 1", "start 2", "ask 2"});
  REQUIRE(ended_normally(w.over.value()));
}

TEST_CASE("sup_start_child_returns_error: a child that fails to start is an error and leaves nothing behind") {
  const auto strategy = GENERATE(one_for_one, one_for_all, rest_for_one);
  const auto restart = GENERATE(permanent, transient, temporary);
  world w({.strategy = strategy}, {spec("a")});
  w.refuse = {"b"};
  w.begin();
  REQUIRE(w.call(add_child{spec("b", restart)}) == errc::not_started);
  REQUIRE(w.all() == "a");
  REQUIRE(w.count() == child_counts{1, 1, 0, 1});
  w.refuse.clear();
  REQUIRE(w.add(spec("b", restart)).process);
}

TEST_CASE("sup_start_child_returns_error: a dynamic child that fails to start leaves nothing behind") {
  world w({.strategy = simple_one_for_one}, {spec("any")});
  w.begin();
  w.refuse = {""};
  REQUIRE(w.call(add_child{}) == errc::not_started);
  REQUIRE(w.count() == child_counts{1, 0, 0, 0});
}

TEST_CASE("sup_start_map_faulty_specs: a faulty specification is refused at the start, also within an inner supervisor") {
  REQUIRE(wrong({.name = "top"}, {spec("")}) == "supervisor 'top': child '': its id is empty");
  REQUIRE(wrong({.name = "top"}, {spec("a"), inner("in", {.name = "in"}, {spec("")})}) ==
          "supervisor 'in': child '': its id is empty");
  REQUIRE(wrong({.name = "top"}, {inner("in", {.name = "in"}, {inner("deep", {.name = "deep", .period = 0s}, {})})}) ==
          "supervisor 'deep': its period is not more than 0");
}

TEST_CASE("child_specs: each wrong part of a child's specification has its own error, and what is right passes") {
  auto c = spec("a");
  c.restart = static_cast<restart_type>(3);
  REQUIRE(wrong_child(c) == "supervisor '': child 'a': its restart type is none of the three");
  REQUIRE(wrong_child(ending_within(-10ms, spec("a"))) ==
          "supervisor '': child 'a': its shutdown is negative, and not brutal_kill");
  REQUIRE(wrong_child(spec("")) == "supervisor '': child '': its id is empty");
  c = spec("a");
  c.delay = {.first = 2s, .most = 1s};
  REQUIRE(wrong_child(c) == "supervisor '': child 'a': its back-off's times are out of order");
  c.delay = {.first = 1s, .factor = 0.5};
  REQUIRE(wrong_child(c) == "supervisor '': child 'a': its back-off's factor is less than 1");
  c.delay = {.first = 1s, .jitter = 1.5};
  REQUIRE(wrong_child(c) == "supervisor '': child 'a': its back-off's jitter is not between 0 and 1");
  c = spec("a");
  c.ready_ns = -1;
  REQUIRE(wrong_child(c) == "supervisor '': child 'a': its ready_within is negative");
  c = spec("a");
  c.progress_ns = -1;
  REQUIRE(wrong_child(c) == "supervisor '': child 'a': its progress_within is negative");
  c = inner("a", {}, {});
  c.ready_ns = 1;
  REQUIRE(wrong_child(c) == "supervisor '': child 'a': a supervisor has no ready_within and no progress_within");
  REQUIRE(wrong_child(inner("a", {.name = "in", .period = 0s}, {})) == "supervisor 'in': its period is not more than 0");
  REQUIRE(wrong_child(inner("a", {.name = "in", .strategy = simple_one_for_one}, {})) ==
          "supervisor 'in': simple_one_for_one needs exactly one specification");

  for (const auto restart : {permanent, transient, temporary}) {
    for (const auto shutdown : {brutal_kill, 0ns, std::chrono::nanoseconds(1s), std::chrono::nanoseconds::max()}) {
      CHECK(wrong_child(ending_within(shutdown, spec("a", restart))) == "nothing");
      CHECK(wrong_child(ending_within(shutdown, inner("a", {}, {spec("b")}, restart))) == "nothing");
    }
  }
}

TEST_CASE("child_specs: ids are unique, and simple_one_for_one needs exactly one specification") {
  const supervisor_options simple{.name = "top", .strategy = simple_one_for_one};
  REQUIRE(wrong({.name = "top"}, {spec("a"), spec("b"), spec("a", temporary)}) == "supervisor 'top': two children have the id 'a'");
  REQUIRE(wrong(simple, {}) == "supervisor 'top': simple_one_for_one needs exactly one specification");
  REQUIRE(wrong(simple, {spec("a"), spec("b")}) == "supervisor 'top': simple_one_for_one needs exactly one specification");
  REQUIRE(wrong(simple, {spec("")}) == "nothing");
  REQUIRE(wrong(simple, {ending_within(-10ms, spec("a"))}) ==
          "supervisor 'top': child 'a': its shutdown is negative, and not brutal_kill");
}

TEST_CASE("child_specs_map: what may be significant depends on the restart type and on the supervisor's auto_shutdown") {
  const auto automatic = GENERATE(no_auto_shutdown, any_significant, all_significant);
  const auto restart = GENERATE(permanent, transient, temporary);
  const supervisor_options options{.name = "top", .auto_shutdown = automatic};
  REQUIRE(wrong_child(spec("a", restart), options) == "nothing");
  const auto text = wrong_child(significant(spec("a", restart)), options);
  const std::string title = "supervisor 'top': child 'a': ";
  if (restart == permanent) REQUIRE(text == title + "a permanent child cannot be significant");
  else if (automatic == no_auto_shutdown) REQUIRE(text == title + "it is significant, and its supervisor has no auto_shutdown");
  else REQUIRE(text == "nothing");
}

TEST_CASE("sup_flags: an impossible strategy, period or auto_shutdown is refused") {
  REQUIRE(wrong({.name = "top", .strategy = static_cast<strategy_type>(4)}, {}) ==
          "supervisor 'top': its strategy is none of the four");
  REQUIRE(wrong({.name = "top", .period = 0s}, {}) == "supervisor 'top': its period is not more than 0");
  REQUIRE(wrong({.name = "top", .period = -1s}, {}) == "supervisor 'top': its period is not more than 0");
  const auto no_type = static_cast<auto_shutdown_type>(3);
  REQUIRE(wrong({.name = "top", .auto_shutdown = no_type}, {}) == "supervisor 'top': its auto_shutdown is none of the three");
  for (const auto strategy : {one_for_one, one_for_all, rest_for_one})
    for (const auto automatic : {no_auto_shutdown, any_significant, all_significant})
      for (const unsigned intensity : {0U, 1U, 100U})
        CHECK(wrong({.strategy = strategy, .intensity = intensity, .period = 1ns, .auto_shutdown = automatic}, {}) == "nothing");
}
