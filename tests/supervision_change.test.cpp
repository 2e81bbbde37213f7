// SPDX-License-Identifier: BSD-3-Clause
// Live changes of a supervisor: OTP's cases of those names.
#include "supervision_world.hpp"

using namespace supervision_test;

namespace {

supervision_answer change(world& w, supervisor_options options, std::vector<child_spec> children = {}) {
  return w.call(change_specs{std::move(options), std::move(children)});
}

}  // namespace

TEST_CASE("code_change: new flags count from then on, also for restarts that were") {
  world w({.intensity = 1, .period = 1h}, {spec("a"), spec("b")});
  w.begin();
  w.crash("a");
  REQUIRE(change(w, {.strategy = one_for_all, .intensity = 3, .period = 1h}));
  w.crash("a");
  REQUIRE(w.log_from(3) == std::vector<std::string>{"ask b", "start a", "start b"});
  w.crash("a");
  REQUIRE(w.running() == "ab");
  REQUIRE(change(w, {.intensity = 2, .period = 1h}));
  REQUIRE(w.running() == "ab");  // until the next
  w.crash("a");
  REQUIRE(w.over);
}

TEST_CASE(
    "code_change: added children are not started, changed ones go on and are changed when they start, others stay behind them") {
  world w({.strategy = rest_for_one, .intensity = 5}, {});
  w.begin();
  w.add(spec("a"));
  w.add(spec("b"));
  w.add(spec("c", transient));
  const auto before = w.processes();

  REQUIRE(change(w, {.strategy = rest_for_one, .intensity = 5}, {spec("d"), ending_within(1s, spec("b", transient)), spec("a")}));
  REQUIRE(w.all() == "dbac");
  REQUIRE(w.running() == "bac");
  REQUIRE(w.processes() == std::vector{before[1], before[0], before[2]});
  REQUIRE(w.count() == child_counts{4, 3, 0, 4});
  REQUIRE(w.find("b").restart == transient);
  REQUIRE(w.find("b").shutdown == 1s);
  REQUIRE(w.log.size() == 3);

  w.finish("b");
  REQUIRE(w.running() == "ac");
  w.crash("a");  // what is behind it now is what counts
  REQUIRE(w.log_from(3) == std::vector<std::string>{"ask c", "start a", "start c"});
  REQUIRE(w.restart("d").process);
  static_cast<void>(w.call(stop_supervisor{}));
  REQUIRE(w.log_from(6) == std::vector<std::string>{"start d", "ask c", "ask a", "ask d"});
}

TEST_CASE("code_change: a child that is no more named stays, and can be deleted like any other") {
  world w({}, {spec("a"), spec("b")});
  w.begin();
  REQUIRE(change(w, {}, {spec("b")}));
  REQUIRE(w.all() == "ba");
  REQUIRE(w.call(delete_child{"a"}) == errc::running);
  REQUIRE(w.call(terminate_child{"a"}));
  REQUIRE(w.call(delete_child{"a"}));
  REQUIRE(w.all() == "b");
}

TEST_CASE("code_change: what is faulty is refused, and nothing has changed") {
  world w({.name = "top", .intensity = 1, .period = 1h}, {spec("a"), spec("b")});
  w.begin();
  const supervisor_options good{.intensity = 100};
  REQUIRE(change(w, {.strategy = static_cast<strategy_type>(4)}).error().text() ==
          "supervisor 'top': its strategy is none of the four");
  REQUIRE(change(w, {.period = 0s}) == errc::invalid);
  REQUIRE(change(w, {.strategy = simple_one_for_one}, {spec("any")}) == errc::invalid);
  REQUIRE(change(w, good, {spec("b"), spec("")}) == errc::invalid);
  REQUIRE(change(w, good, {spec("b"), spec("c"), spec("c")}) == errc::invalid);
  REQUIRE(change(w, good, {spec("b"), ending_within(-10ms, spec("a"))}) == errc::invalid);
  REQUIRE(change(w, good, {spec("b"), inner("in", {.period = 0s}, {})}) == errc::invalid);
  REQUIRE(w.all() == "ab");
  REQUIRE(w.running() == "ab");
  w.crash("a");
  REQUIRE_FALSE(w.over);
  w.crash("a");
  REQUIRE(w.over);
}

TEST_CASE("code_change_map: a child's kind, recipe and restart type are replaced; the process of before ends by the new rules") {
  auto made_from = [](child_spec s, std::weak_ptr<const void>& recipe) {
    s.recipe = std::make_shared<int>();
    recipe = s.recipe;
    return s;
  };
  std::weak_ptr<const void> first, other;
  world w({}, {});
  w.begin();
  w.add(made_from(spec("a"), first));
  REQUIRE(change(w, {}, {made_from(ending_within(brutal_kill, spec("a", temporary)), other)}));
  REQUIRE(first.expired());
  REQUIRE_FALSE(other.expired());
  REQUIRE(w.call(terminate_child{"a"}));
  REQUIRE(w.log_from(1) == std::vector<std::string>{"kill a"});
  REQUIRE(w.list().empty());

  w.add(spec("b", transient));
  REQUIRE(w.call(terminate_child{"b"}));
  REQUIRE(change(w, {}, {inner("b", {}, {spec("c")})}));
  REQUIRE(w.count() == child_counts{1, 0, 1, 0});
  REQUIRE(w.restart("b").supervisor);
  REQUIRE(w.within("b").running() == "c");
}

TEST_CASE("code_change_simple: the template of dynamic children may change, and they follow it") {
  world w({.strategy = simple_one_for_one}, {spec("any", permanent)});
  w.begin();
  const auto first = w.add_one();
  REQUIRE(change(w, {.strategy = simple_one_for_one, .intensity = 5}, {ending_within(brutal_kill, spec("other", transient))}));
  REQUIRE(w.processes() == std::vector{first});
  for (const auto who : {first, w.add_one()}) {
    REQUIRE(w.find(who).restart == transient);
    REQUIRE(w.find(who).shutdown == brutal_kill);
    REQUIRE(w.find(who).id.empty());
    w.end(who, normal());
  }
  REQUIRE(w.list().empty());
}

TEST_CASE("code_change_simple: a dynamic child that was temporary stays so, as nothing is left to start it from") {
  world w({.strategy = simple_one_for_one}, {spec("any", temporary)});
  w.begin();
  const auto first = w.add_one();
  REQUIRE(change(w, {.strategy = simple_one_for_one}, {spec("any", permanent)}));
  const auto other = w.add_one();
  w.end(first, abnormal());
  REQUIRE(w.processes() == std::vector{other});
  w.end(other, abnormal());
  REQUIRE(w.processes().size() == 1);
}

TEST_CASE("code_change_simple: no template, two, or another strategy are refused, and nothing has changed") {
  world w({.strategy = simple_one_for_one, .intensity = 0}, {spec("any", transient)});
  w.begin();
  w.add();
  const supervisor_options simple{.strategy = simple_one_for_one, .intensity = 5};
  REQUIRE(change(w, simple) == errc::invalid);
  REQUIRE(change(w, simple, {spec("a"), spec("b")}) == errc::invalid);
  REQUIRE(change(w, {.strategy = one_for_one, .intensity = 5}, {spec("a")}) == errc::invalid);
  REQUIRE(change(w, simple, {ending_within(-10ms, spec("a"))}) == errc::invalid);
  REQUIRE(w.add().restart == transient);
  w.end(w.processes().front(), abnormal());
  REQUIRE(w.over);
}

TEST_CASE("code_change_simple_map: what dynamic children are started from changes with the template, unless it was their own") {
  const auto from = [] {
    auto s = spec("any");
    s.recipe = std::make_shared<int>();
    return s;
  };
  const auto before = from(), after = from(), own = from();
  world w({.strategy = simple_one_for_one, .intensity = 5}, {before});
  w.begin();
  const auto first = w.add_one();
  const auto other = w.add(own).process.value().incarnation;
  REQUIRE(w.recipes == std::vector<const void*>{before.recipe.get(), own.recipe.get()});
  REQUIRE(change(w, {.strategy = simple_one_for_one, .intensity = 5}, {after}));
  w.add();
  w.end(first, abnormal());
  w.end(other, abnormal());
  const auto *late = after.recipe.get(), *its = own.recipe.get();
  REQUIRE(std::vector(w.recipes.begin() + 2, w.recipes.end()) == std::vector<const void*>{late, late, its});
}
