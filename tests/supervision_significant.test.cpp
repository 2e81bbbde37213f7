// SPDX-License-Identifier: BSD-3-Clause
// Significant children, at whose end a supervisor ends, and live changes of what is significant: OTP's cases of those names.
#include "supervision_world.hpp"

using namespace supervision_test;

namespace {

supervisor_options with(auto_shutdown_type automatic) { return {.intensity = 100, .auto_shutdown = automatic}; }

supervision_answer change(world& w, auto_shutdown_type automatic, std::vector<child_spec> children = {}) {
  return w.call(change_specs{with(automatic), std::move(children)});
}

std::vector<exit_status> all_ends() { return {normal(), asked(), noted(), abnormal(), by_kill()}; }

const child_spec& plain() {
  static const auto a = spec("plain");
  return a;
}
child_spec weighty(const std::string& id, restart_type restart = transient) { return significant(spec(id, restart)); }

void nothing_counts_after(auto_shutdown_type before) {
  world w(with(before), {weighty("a")});
  w.begin();
  REQUIRE(change(w, no_auto_shutdown));
  w.finish("a");
  REQUIRE_FALSE(w.over);
  REQUIRE(w.call(add_child{weighty("b")}) == errc::invalid);
  REQUIRE(w.restart("a").significant);
  w.crash("a");
  REQUIRE(w.running() == "a");
  w.finish("a");
  REQUIRE_FALSE(w.over);
}

}  // namespace

TEST_CASE("nonsignificant_temporary: no end of a temporary child that is not significant ends its supervisor") {
  const auto automatic = GENERATE(no_auto_shutdown, any_significant, all_significant);
  for (const auto& how : all_ends()) {
    world w(with(automatic), {spec("a", temporary)});
    w.begin();
    w.end("a", how);
    REQUIRE(w.list().empty());
    REQUIRE_FALSE(w.over);
  }
}

TEST_CASE(
    "nonsignificant_transient: no end of a transient child that is not significant ends its supervisor; failures are restarted") {
  const auto automatic = GENERATE(no_auto_shutdown, any_significant, all_significant);
  for (const auto& how : all_ends()) {
    world w(with(automatic), {spec("a", transient)});
    w.begin();
    w.end("a", how);
    REQUIRE(w.running() == (ended_normally(how) ? "" : "a"));
    REQUIRE_FALSE(w.over);
  }
}

TEST_CASE("significant_temporary: any end of the first, or of the last, ends the supervisor; one by a call does not") {
  for (const auto& how : all_ends()) {
    INFO(how.text());
    world any(with(any_significant), {weighty("a", temporary), weighty("b", temporary), plain()});
    any.begin();
    REQUIRE(any.call(terminate_child{"a"}));
    REQUIRE_FALSE(any.over);
    any.end("b", how);
    REQUIRE(ended_normally(any.over.value()));
    REQUIRE(any.log_from(4) == std::vector<std::string>{"ask plain"});

    world all(with(all_significant), {weighty("a", temporary), weighty("b", temporary), weighty("c", temporary), plain()});
    all.begin();
    all.end("a", how);
    REQUIRE(all.running() == "bcplain");
    REQUIRE(all.call(terminate_child{"b"}));
    REQUIRE_FALSE(all.over);
    all.end("c", how);
    REQUIRE(ended_normally(all.over.value()));
  }
}

TEST_CASE("significant_temporary: the last one's end by a call does not end the supervisor either") {
  const auto automatic = GENERATE(any_significant, all_significant);
  world w(with(automatic), {weighty("a", temporary), weighty("b", transient)});
  w.begin();
  REQUIRE(w.call(terminate_child{"a"}));
  REQUIRE(w.call(terminate_child{"b"}));
  REQUIRE_FALSE(w.over);
  w.restart("b");
  w.finish("b");
  REQUIRE(w.over);
}

TEST_CASE("significant_transient: only a normal end of the first, or of the last, ends the supervisor; failures are restarted") {
  for (const auto& how : all_ends()) {
    INFO(how.text());
    world any(with(any_significant), {weighty("a"), weighty("b"), plain()});
    any.begin();
    any.end("a", how);
    REQUIRE(any.over.has_value() == ended_normally(how));
    if (!any.over) REQUIRE(any.running() == "abplain");

    world all(with(all_significant), {weighty("a"), weighty("b"), plain()});
    all.begin();
    all.end("a", how);
    REQUIRE_FALSE(all.over);
    REQUIRE(all.running() == (ended_normally(how) ? "bplain" : "abplain"));
    all.finish("b");
    REQUIRE(all.over.has_value() == ended_normally(how));
    if (all.over) continue;
    all.finish("a");
    REQUIRE(all.over);
  }
}

TEST_CASE("significant_transient: one that is being restarted has not ended") {
  auto a = weighty("a");
  a.delay = {.first = 1s, .jitter = 0};
  world w(with(all_significant), {a, weighty("b")});
  w.begin();
  w.crash("a");
  w.finish("b");
  REQUIRE_FALSE(w.over);
  w.pass(1 * second);
  REQUIRE(w.running() == "a");
  w.finish("a");
  REQUIRE(w.over);
}

TEST_CASE("significant_simple: simple_one_for_one has no auto_shutdown, and so no significant children") {
  const auto automatic = GENERATE(no_auto_shutdown, any_significant, all_significant);
  const supervisor_options options{.strategy = simple_one_for_one, .auto_shutdown = automatic};
  for (const auto restart : {transient, temporary})
    REQUIRE(supervision::check(options, {significant(spec("any", restart))}) == errc::invalid);
  REQUIRE(supervision::check(options, {spec("any", transient)}).has_value() == (automatic == no_auto_shutdown));
}

TEST_CASE("significant_bystander: a significant child that is ended with another does not end its supervisor") {
  const auto strategy = GENERATE(one_for_all, rest_for_one);
  const auto automatic = GENERATE(any_significant, all_significant);
  auto options = with(automatic);
  options.strategy = strategy;
  world w(options, {plain(), weighty("a"), weighty("b", temporary)});
  w.begin();
  w.crash("plain");
  REQUIRE_FALSE(w.over);
  REQUIRE(w.running() == "plaina");  // and the temporary one is gone
  w.finish("a");
  REQUIRE(w.over);
}

TEST_CASE("significant_escalation: an inner supervisor that ends by itself ends the outer one if it is significant there") {
  const auto is_significant = GENERATE(false, true);
  const auto restart = GENERATE(transient, temporary);
  auto in = inner("in", with(any_significant), {weighty("a"), spec("b")}, restart);
  in.significant = is_significant;
  world w(with(any_significant), {in, plain()});
  w.begin();
  w.within("in").finish("a");
  REQUIRE(w.within("in").over);
  REQUIRE(w.over.has_value() == is_significant);
  REQUIRE(w.log_from(4) ==
          (is_significant ? std::vector<std::string>{"ask in/b", "ask plain"} : std::vector<std::string>{"ask in/b"}));
}

// ------------------------------------------------------------------------------------------------------- live changes

TEST_CASE("significant_upgrade_never_any: after the change significant children are taken, and the first one's end counts") {
  world w(with(no_auto_shutdown), {spec("old", transient)});
  w.begin();
  REQUIRE(w.call(add_child{weighty("a")}) == errc::invalid);
  REQUIRE(change(w, any_significant));
  w.add(weighty("a"));
  w.add(weighty("b"));
  w.finish("old");
  REQUIRE_FALSE(w.over);
  w.finish("a");
  REQUIRE(w.over);
}

TEST_CASE(
    "significant_upgrade_any_never: after the change no end counts, no significant child is taken, and an old one may be restarted") {
  nothing_counts_after(any_significant);
}

TEST_CASE("significant_upgrade_never_all: after the change significant children are taken, and the last one's end counts") {
  world w(with(no_auto_shutdown), {});
  w.begin();
  REQUIRE(change(w, all_significant));
  w.add(weighty("a"));
  w.add(weighty("b"));
  w.finish("a");
  REQUIRE_FALSE(w.over);
  w.finish("b");
  REQUIRE(w.over);
}

TEST_CASE(
    "significant_upgrade_all_never: after the change no end counts, no significant child is taken, and an old one may be restarted") {
  nothing_counts_after(all_significant);
}

TEST_CASE("significant_upgrade_any_all: after the change not the first end counts, but the last") {
  world w(with(any_significant), {weighty("a"), weighty("b")});
  w.begin();
  REQUIRE(change(w, all_significant));
  w.finish("a");
  REQUIRE_FALSE(w.over);
  w.finish("b");
  REQUIRE(w.over);
}

TEST_CASE("significant_upgrade_all_any: after the change the first end counts; one that has ended does not") {
  world w(with(all_significant), {weighty("a"), weighty("b"), weighty("c")});
  w.begin();
  w.finish("a");
  REQUIRE(change(w, any_significant));
  REQUIRE_FALSE(w.over);
  w.finish("b");
  REQUIRE(w.over);
}

TEST_CASE("significant_upgrade_child: what a running child is worth can be changed, as its supervisor allows it") {
  world w(with(no_auto_shutdown), {spec("a", transient)});
  w.begin();
  const auto a = w.process_of("a");
  REQUIRE(change(w, no_auto_shutdown, {weighty("a")}) == errc::invalid);
  REQUIRE_FALSE(w.find("a").significant);
  REQUIRE(change(w, any_significant, {weighty("a")}));
  REQUIRE(w.find("a").significant);
  REQUIRE(change(w, any_significant, {spec("a", transient)}));
  REQUIRE(w.process_of("a") == a);
  w.finish("a");
  REQUIRE_FALSE(w.over);
  w.restart("a");
  REQUIRE(change(w, any_significant, {weighty("a")}));
  w.finish("a");
  REQUIRE(w.over);
}
