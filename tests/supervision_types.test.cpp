// SPDX-License-Identifier: BSD-3-Clause
// The restart types, children that go with others, and what is forgotten: OTP's cases of those names.
#include "supervision_world.hpp"

using namespace supervision_test;

namespace {

/// A supervisor with the child `a` that has ended so.
struct after {
  after(restart_type restart, const exit_status& how) : w({.intensity = 2, .period = 1h}, {}) {
    w.begin();
    w.add(spec("a", restart));
    w.end("a", how);
  }
  bool restarted() { return w.running() == "a" && w.count() == child_counts{1, 1, 0, 1} && w.find("a").restarts == 1; }
  bool kept() { return w.running().empty() && w.all() == "a" && w.count() == child_counts{1, 0, 0, 1}; }
  bool forgotten() { return w.list().empty() && w.count() == child_counts{}; }
  world w;
};

std::vector<exit_status> abnormal_ends() {
  return {abnormal(),
          by_kill(),
          exit_status::signaled(SIGSEGV),
          exit_status::signaled(SIGINT),
          exit_status(),
          exit_status::threw("std::runtime_error", "no"),
          exit_status::threw("cloister::declined", "no")};
}

}  // namespace

TEST_CASE("permanent_normal: a permanent child is restarted after a normal end") {
  REQUIRE(after(permanent, normal()).restarted());
}

TEST_CASE("transient_normal: a transient child stays known, not running, after a normal end") {
  REQUIRE(after(transient, normal()).kept());
}

TEST_CASE("temporary_normal: a temporary child is forgotten after a normal end") {
  REQUIRE(after(temporary, normal()).forgotten());
}

TEST_CASE("permanent_shutdown: a permanent child is restarted after an end that was asked for, or had a note") {
  after a(permanent, asked());
  REQUIRE(a.restarted());
  a.w.end("a", noted());
  REQUIRE(a.w.running() == "a");
  REQUIRE(a.w.find("a").restarts == 2);
}

TEST_CASE("transient_shutdown: a transient child stays known after an end that was asked for, or had a note, for restart_child") {
  after a(transient, asked());
  REQUIRE(a.kept());
  REQUIRE(a.w.restart("a").process);
  a.w.end("a", noted());
  REQUIRE(a.kept());
}

TEST_CASE("temporary_shutdown: a temporary child is forgotten, and its id is free") {
  after a(temporary, asked());
  REQUIRE(a.forgotten());
  REQUIRE(a.w.add(spec("a", temporary)).process);
  a.w.end("a", noted());
  REQUIRE(a.forgotten());
}

TEST_CASE("permanent_abnormal: a permanent child is restarted after a failure") {
  for (const auto& how : abnormal_ends()) {
    INFO(how.text());
    REQUIRE(after(permanent, how).restarted());
  }
}

TEST_CASE("transient_abnormal: a transient child is restarted after a failure") {
  for (const auto& how : abnormal_ends()) {
    INFO(how.text());
    REQUIRE(after(transient, how).restarted());
  }
}

TEST_CASE("temporary_abnormal: a temporary child is forgotten after a failure") {
  for (const auto& how : abnormal_ends()) {
    INFO(how.text());
    REQUIRE(after(temporary, how).forgotten());
  }
}

TEST_CASE("temporary_bystander: a temporary child that is ended with another is not restarted, and does its supervisor no harm") {
  const auto strategy = GENERATE(one_for_all, rest_for_one);
  world w({.strategy = strategy, .intensity = 2, .period = 5min}, {});
  w.begin();
  w.add(spec("a"));
  w.add(spec("b", temporary));
  w.add(spec("c"));
  w.finish("a");
  REQUIRE(w.log_from(3) == std::vector<std::string>{"ask c", "ask b", "start a", "start c"});
  REQUIRE(w.all() == "ac");
  w.pass(5 * 60 * second);
  REQUIRE_FALSE(w.over);
}

TEST_CASE("do_not_save_child_specs_for_temporary_children: a temporary id is free after any end, the other specifications remain") {
  const auto strategy = GENERATE(one_for_one, one_for_all, rest_for_one);
  const auto how = GENERATE(values({by_kill(), normal(), abnormal(), exit_status()}));  // the last: by a call
  const bool by_call = !how.known();
  const auto end = [&](world& w, const std::string& id) {
    if (by_call) REQUIRE(w.call(terminate_child{id}));
    else w.end(id, how);
  };
  world w({.strategy = strategy, .intensity = 2, .period = 1h}, {});
  w.begin();
  for (const auto restart : {permanent, transient}) {
    const std::string id = restart == permanent ? "permanent" : "transient";
    w.add(spec(id, restart));
    end(w, id);
    const bool stays_ended = by_call || (restart == transient && how == normal());
    REQUIRE(w.call(add_child{spec(id, restart)}) == (stays_ended ? errc::already_present : errc::already_started));
    if (stays_ended) REQUIRE(w.restart(id).process);
    REQUIRE(w.call(terminate_child{id}));
    REQUIRE(w.call(delete_child{id}));
  }
  w.add(spec("temporary", temporary));
  end(w, "temporary");
  REQUIRE(w.list().empty());
  REQUIRE(w.add(spec("temporary", temporary)).process);
}

TEST_CASE("do_not_save_start_parameters_for_temporary_children: what a temporary child is started from is let go of when it runs") {
  const auto strategy = GENERATE(one_for_one, one_for_all, rest_for_one, simple_one_for_one);
  const auto restart = GENERATE(permanent, transient, temporary);
  world w({.strategy = strategy}, strategy == simple_one_for_one ? std::vector{spec("any", restart)} : std::vector<child_spec>());
  w.begin();
  std::vector<std::weak_ptr<const void>> recipes;
  for (int i = 0; i < 100; ++i) {
    auto s = spec(std::to_string(i), restart);
    s.recipe = std::make_shared<int>();
    recipes.push_back(s.recipe);
    w.add(std::move(s));
  }
  const auto kept = std::count_if(recipes.begin(), recipes.end(), [](const auto& r) { return !r.expired(); });
  REQUIRE(kept == (restart == temporary ? 0 : 100));
  static_cast<void>(w.call(stop_supervisor{}));
  REQUIRE(std::all_of(recipes.begin(), recipes.end(), [](const auto& r) { return r.expired(); }));
}

TEST_CASE(
    "do_not_save_start_parameters_for_temporary_children: what a temporary inner supervisor is made from is let go of when it runs") {
  const auto restart = GENERATE(permanent, temporary);
  auto a = spec("a", temporary);
  a.recipe = std::make_shared<int>();
  const std::weak_ptr<const void> recipe = a.recipe;
  world w({}, {});
  w.begin();
  w.add(inner("in", {}, {std::move(a)}, restart));
  REQUIRE(w.find("in").supervisor);
  REQUIRE(w.within("in").running() == "a");
  REQUIRE(recipe.expired() == (restart == temporary));
}

TEST_CASE(
    "simple_one_for_one_corruption: what temporary dynamic children are started from is let go of, also after one has ended") {
  world w({.strategy = simple_one_for_one}, {spec("any", temporary)});
  w.begin();
  w.end(w.add_one(), abnormal());
  for (int i = 0; i < 10; ++i) {
    auto s = spec("");
    s.recipe = std::make_shared<int>();
    const std::weak_ptr<const void> recipe = s.recipe;
    w.add(std::move(s));
    REQUIRE(recipe.expired());
  }
  REQUIRE(w.count() == child_counts{1, 10, 0, 10});
  w.end(w.processes().front(), abnormal());
  REQUIRE(w.count() == child_counts{1, 9, 0, 9});
}
