// SPDX-License-Identifier: BSD-3-Clause
// Children administered at run time, and supervisors that answer while a restart loops: OTP's cases of those names.
#include "supervision_world.hpp"

using namespace supervision_test;

TEST_CASE("child_adm: a child's life by calls, each answer as it must be") {
  world w({.intensity = 2, .period = 1h}, {ending_within(1s, spec("a"))});
  w.begin();
  REQUIRE(w.count() == child_counts{1, 1, 0, 1});
  REQUIRE(w.call(add_child{spec("a")}) == errc::already_started);

  REQUIRE(w.call(terminate_child{"other"}) == errc::not_found);
  REQUIRE(w.call(terminate_child{"a"}));
  REQUIRE(w.exits_of("a") == std::vector{asked()});
  REQUIRE(w.find("a").state == child_state::stopped);
  REQUIRE_FALSE(w.find("a").process);
  REQUIRE(w.count() == child_counts{1, 0, 0, 1});
  REQUIRE(w.call(terminate_child{"a"}));
  REQUIRE(w.call(add_child{spec("a")}) == errc::already_present);

  REQUIRE(w.restart("a").process);
  REQUIRE(w.count() == child_counts{1, 1, 0, 1});
  REQUIRE(w.call(restart_child{"a"}) == errc::running);
  REQUIRE(w.call(restart_child{"b"}) == errc::not_found);

  REQUIRE(w.call(delete_child{"a"}) == errc::running);
  REQUIRE(w.call(delete_child{"other"}) == errc::not_found);
  REQUIRE(w.call(terminate_child{"a"}));
  REQUIRE(w.call(delete_child{"a"}));
  REQUIRE(w.call(restart_child{"a"}) == errc::not_found);
  REQUIRE(w.list().empty());
  REQUIRE(w.count() == child_counts{});

  const auto again = w.add(spec("a")).process.value().incarnation;
  REQUIRE(w.count() == child_counts{1, 1, 0, 1});
  REQUIRE(w.log == std::vector<std::string>{"start a", "ask a", "start a", "ask a", "start a"});

  // A process names a child only under simple_one_for_one.
  REQUIRE(w.call(terminate_child{again}) == errc::not_found);
  REQUIRE(w.call(restart_child{again}) == errc::not_found);
  REQUIRE(w.call(delete_child{again}) == errc::not_found);
  REQUIRE(w.call(find_child{again}) == errc::not_found);
  REQUIRE(w.process_of("a") == again);
}

TEST_CASE("child_adm: a temporary child that is ended by a call is forgotten; a failed restart by a call is not repeated") {
  world w({}, {spec("a", temporary), spec("b")});
  w.begin();
  REQUIRE(w.call(terminate_child{"a"}));
  REQUIRE(w.call(terminate_child{"a"}) == errc::not_found);
  REQUIRE(w.all() == "b");
  REQUIRE(w.call(terminate_child{"b"}));
  w.refuse = {"b"};
  REQUIRE(w.call(restart_child{"b"}) == errc::not_started);
  REQUIRE(w.find("b").state == child_state::stopped);
  w.refuse.clear();
  REQUIRE(w.restart("b").state == child_state::running);
  REQUIRE(w.log_from(2) == std::vector<std::string>{"ask a", "ask b", "start b", "start b"});
}

TEST_CASE("child_adm_simple: dynamic children are named by their processes, and have no second life") {
  world w({.strategy = simple_one_for_one, .intensity = 2, .period = 1h}, {ending_within(1s, spec("any"))});
  w.begin();
  REQUIRE(w.list().empty());
  REQUIRE(w.count() == child_counts{1, 0, 0, 0});
  const auto first = w.add_one();
  REQUIRE(w.processes() == std::vector{first});
  REQUIRE(w.count() == child_counts{1, 1, 0, 1});
  const auto other = w.add_one();
  REQUIRE(w.processes() == std::vector{first, other});
  REQUIRE(w.count() == child_counts{1, 2, 0, 2});

  REQUIRE(w.call(terminate_child{"any"}) == errc::unsupported);
  REQUIRE(w.count() == child_counts{1, 2, 0, 2});
  REQUIRE(w.call(terminate_child{first}));
  REQUIRE(w.processes() == std::vector{other});
  REQUIRE(w.count() == child_counts{1, 1, 0, 1});
  REQUIRE(w.call(terminate_child{first}));
  REQUIRE(w.count() == child_counts{1, 1, 0, 1});
  REQUIRE(w.call(terminate_child{std::uint32_t{99}, true}) == errc::not_found);
  REQUIRE(w.log == std::vector<std::string>{"start 1", "start 2", "ask 1"});

  for (const child_name& who : {child_name{"any"}, child_name{other}, child_name{first}}) {
    REQUIRE(w.call(restart_child{who}) == errc::unsupported);
    REQUIRE(w.call(delete_child{who}) == errc::unsupported);
  }
  REQUIRE(w.processes() == std::vector{other});
}

TEST_CASE("extra_return: what a child says when it is ready is in the answers and in the list, of each start the latest") {
  world w({.intensity = 2, .period = 1h}, {spec("a")});
  w.says["a"] = "first";
  w.begin();
  REQUIRE(w.find("a").said == "first");
  REQUIRE(w.call(terminate_child{"a"}));
  REQUIRE(w.find("a").said.empty());
  w.says["a"] = "second";
  REQUIRE(w.restart("a").said == "second");
  w.says["a"] = "third";
  w.crash("a");
  REQUIRE(w.find("a").said == "third");
  REQUIRE(w.count() == child_counts{1, 1, 0, 1});
  REQUIRE(w.call(terminate_child{"a"}));
  REQUIRE(w.call(delete_child{"a"}));
  w.says["a"] = "fourth";
  REQUIRE(w.add(spec("a")).said == "fourth");
}

TEST_CASE("which_children: lists and finds children through start, end and deletion, the newest first") {
  world w({.name = "top"}, {spec("a"), inner("b", {}, {}, transient)});
  w.begin();
  auto all = w.list();
  REQUIRE(all.size() == 2);
  REQUIRE(all[0].id == "b");
  REQUIRE(all[0].supervisor);
  REQUIRE(all[0].restart == transient);
  REQUIRE(all[1].id == "a");
  REQUIRE_FALSE(all[1].supervisor);
  REQUIRE(w.process_of("a") == all[1].process.value().incarnation);
  REQUIRE(w.call(find_child{"c"}) == errc::not_found);

  w.add(spec("c", temporary));
  REQUIRE(w.list().front().id == "c");
  REQUIRE(w.find("c").restart == temporary);
  REQUIRE(w.call(terminate_child{"a"}));
  REQUIRE(w.find("a").state == child_state::stopped);
  REQUIRE_FALSE(w.find("a").process);
  REQUIRE(w.all() == "abc");
  REQUIRE(w.call(delete_child{"a"}));
  REQUIRE(w.call(find_child{"a"}) == errc::not_found);
  REQUIRE(w.all() == "bc");
}

TEST_CASE("which_children_simple_one_for_one: lists and finds dynamic children by their processes") {
  world w({.strategy = simple_one_for_one}, {spec("any", temporary)});
  w.begin();
  REQUIRE(w.list().empty());
  REQUIRE(w.call(find_child{"any"}) == errc::unsupported);
  const auto first = w.add_one(), other = w.add_one();
  REQUIRE(w.processes() == std::vector{first, other});
  REQUIRE(w.find(first).process.value().incarnation == first);
  REQUIRE(w.find(first).id.empty());
  REQUIRE(w.call(find_child{std::uint32_t{99}}) == errc::not_found);
  REQUIRE(w.call(terminate_child{first}));
  REQUIRE(w.call(find_child{first}) == errc::not_found);
  REQUIRE(w.find(other).state == child_state::running);
}

TEST_CASE("sup_start_map_simple: what a dynamic child was made from can be read by its process") {
  world w({.strategy = simple_one_for_one}, {ending_within(7s, spec("any", transient))});
  w.begin();
  const auto first = w.add_one(), other = w.add_one();
  for (const auto who : {first, other}) {
    const auto c = w.find(who);
    REQUIRE(c.restart == transient);
    REQUIRE(c.shutdown == 7s);
    REQUIRE_FALSE(c.significant);
    REQUIRE_FALSE(c.supervisor);
  }
  REQUIRE(w.call(find_child{std::uint32_t{99}}) == errc::not_found);
}

// A restart loop is a start that fails again and again; here the test says when each one does.

TEST_CASE("hanging_restart_loop: while a child's restart fails again and again, calls are answered, and one ends the loop") {
  world w({.intensity = 8, .period = 10s}, {spec("a")});
  w.begin();
  w.slow = {"a"};
  w.crash("a");
  REQUIRE(w.log == std::vector<std::string>{"start a", "start a"});
  const auto add = w.call_later(add_child{spec("a")});
  const auto again = w.call_later(restart_child{"a"});
  const auto remove = w.call_later(delete_child{"a"});
  REQUIRE(w.count() == child_counts{1, 0, 0, 1});
  REQUIRE_FALSE(w.find("a").process);
  w.refused("a");
  REQUIRE(w.answer_to(add) == errc::already_started);
  REQUIRE(w.answer_to(again) == errc::restarting);
  REQUIRE(w.answer_to(remove) == errc::restarting);
  REQUIRE(w.log.size() == 3);

  const auto end = w.call_later(terminate_child{"a"});
  w.refused("a");
  REQUIRE(w.answer_to(end));
  REQUIRE(w.find("a").state == child_state::stopped);
  REQUIRE(w.count() == child_counts{1, 0, 0, 1});
  REQUIRE(w.log_from(3) == std::vector<std::string>{"ask a"});
  w.slow.clear();
  REQUIRE(w.restart("a").state == child_state::running);

  w.slow = {"a"};
  w.crash("a");
  const auto stop = w.call_later(stop_supervisor{});
  w.refused("a");
  REQUIRE(w.answer_to(stop));
  REQUIRE(ended_normally(w.over.value()));
  REQUIRE(w.log_from(4) == std::vector<std::string>{"start a", "start a", "ask a"});
}

TEST_CASE(
    "hanging_restart_loop_rest_for_one: the children behind one whose restart fails again and again wait, the one before it runs") {
  world w({.strategy = rest_for_one, .intensity = 8, .period = 10s}, {spec("a"), spec("b"), spec("c")});
  w.begin();
  w.slow = {"b"};
  w.crash("b");
  REQUIRE(w.log_from(3) == std::vector<std::string>{"ask c", "start b"});
  const auto again = w.call_later(restart_child{"b"});
  const auto last = w.call_later(delete_child{"c"});
  w.refused("b");
  REQUIRE(w.answer_to(again) == errc::restarting);
  REQUIRE(w.answer_to(last));
  REQUIRE(w.running() == "a");
  const auto end = w.call_later(terminate_child{"b"});
  w.refused("b");
  REQUIRE(w.answer_to(end));
  REQUIRE(w.count() == child_counts{2, 1, 0, 2});
  w.slow.clear();
  REQUIRE(w.restart("b").process);
  REQUIRE(w.running() == "ab");
}

TEST_CASE(
    "hanging_restart_loop_simple: a dynamic child whose restart fails again and again can be ended, by the process that it had") {
  world w({.strategy = simple_one_for_one, .intensity = 8, .period = 10s}, {spec("any")});
  w.begin();
  const auto process = w.add_one();
  w.slow = {""};
  w.end(process, abnormal());
  const auto remove = w.call_later(delete_child{process});
  w.refused("");
  REQUIRE(w.answer_to(remove) == errc::unsupported);
  REQUIRE(w.list().size() == 1);
  REQUIRE(w.count() == child_counts{1, 0, 0, 1});
  const auto end = w.call_later(terminate_child{process});
  w.refused("");
  REQUIRE(w.answer_to(end));
  REQUIRE(w.count() == child_counts{1, 0, 0, 0});
  REQUIRE(w.log.size() == 4);
  w.slow.clear();
  w.add();
  REQUIRE(w.count() == child_counts{1, 1, 0, 1});
}

TEST_CASE("count_restarting_children: children in restart loops are workers and not active, and can be ended") {
  world w({.strategy = simple_one_for_one, .intensity = 20, .period = 10s}, {spec("any")});
  w.begin();
  std::vector<std::uint32_t> all;
  for (int i = 0; i < 3; ++i) all.push_back(w.add_one());
  REQUIRE(w.count() == child_counts{1, 3, 0, 3});
  w.slow = {""};
  for (std::size_t i = 0; i < all.size(); ++i) {
    w.end(all[i], abnormal());
    while (w.count().active > 2 - i) w.refused("");  // whoever's turn it is
    REQUIRE(w.list().size() == 3);
    REQUIRE(w.count() == child_counts{1, 2 - i, 0, 3});
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto end = w.call_later(terminate_child{all[i]});
    while (!w.answered(end)) w.refused("");
    REQUIRE(w.answer_to(end));
    REQUIRE(w.count() == child_counts{1, 0, 0, 2 - i});
  }
  const auto starts = w.log.size();
  w.slow.clear();
  w.pass(10 * second);
  REQUIRE(w.log.size() == starts);
  REQUIRE_FALSE(w.over);
}
