// SPDX-License-Identifier: BSD-3-Clause
// The rules of supervision by themselves: no process, no clock; what children do is said by the test. For tests/supervision*.test.cpp.
//
//   world w({.intensity = 2}, {spec("a"), spec("b")});
//   w.begin();
//   w.crash("a");
//   REQUIRE(w.running() == "ab");
//
// Children start, and end when they are asked to, at once, unless the test says otherwise. One that is a supervisor is a world itself; what
// happens in it stands in the outermost's log too, as "start id/of child".
#pragma once

#include <cloister/internal/supervision.hpp>

#include "harness.hpp"

#include <algorithm>
#include <csignal>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <set>

namespace supervision_test {

using namespace cloister;
using namespace cloister::internal;
using namespace std::chrono_literals;

inline constexpr std::int64_t second = 1'000'000'000;

inline child_spec spec(std::string id, restart_type restart = permanent) {
  child_spec s;
  s.id = std::move(id);
  s.restart = restart;
  return s;
}

inline child_spec significant(child_spec s) {
  s.significant = true;
  return s;
}

inline child_spec ending_within(std::chrono::nanoseconds shutdown, child_spec s) {
  s.shutdown_ns = shutdown.count();
  return s;
}

inline child_spec inner(std::string id, supervisor_options options, std::vector<child_spec> children,
                        restart_type restart = permanent) {
  auto s = spec(std::move(id), restart);
  s.shutdown_ns = std::chrono::nanoseconds::max().count();
  s.inner = std::make_shared<const supervisor_spec>(supervisor_spec{std::move(options), std::move(children)});
  return s;
}

// How children end, by OTP's names.
inline exit_status normal() { return exit_status::exited(0); }
inline exit_status asked() { return exit_status::signaled(SIGTERM); }                         // shutdown
inline exit_status noted() { return exit_status::threw("cloister::orderly_end", "enough"); }  // {shutdown, enough}
inline exit_status abnormal() { return exit_status::exited(3); }
inline exit_status by_kill() { return exit_status::signaled(SIGKILL); }  // killed

class world final : public supervision::environment {
 public:
  world(supervisor_options options, std::vector<child_spec> all) : machine_(*this, std::move(options), std::move(all)) {}

  // What children do, by id; under simple_one_for_one that is "". Inner supervisors are made with the same in mind.
  std::set<std::string> refuse, decline, deaf;   // deaf: does not end when it is asked to
  std::set<std::string> slow;                    // its start takes until the test says begun, refused or declined
  std::set<std::string> breaks;                  // its start throws
  std::map<std::string, int> refuse_times;       // counted down
  std::map<std::string, exit_status> ends_with;  // when it is asked to
  std::map<std::string, std::string> says;       // when it is ready
  std::set<std::uint64_t> ignores;               // processes that are deaf
  bool at_once = true;                           // events come within the calls that cause them, else after these

  // What happened.
  std::vector<std::string> log;
  std::vector<const void*> recipes;  // of each start
  std::optional<result<void>> was_ready;
  std::optional<exit_status> over;
  std::vector<supervision_report> reports;
  std::int64_t time = 1000 * second, wake = std::numeric_limits<std::int64_t>::max();

  void begin() {
    run([&] { machine_.begin(); });
  }
  supervision_answer call(supervision_call what) {
    const auto to = call_later(std::move(what));
    REQUIRE(answers_.contains(to));
    return answers_.at(to);
  }
  std::uint64_t call_later(supervision_call what) {
    const auto to = ++calls_;
    run([&] { machine_.on(called{to, std::move(what)}); });
    return to;
  }
  bool answered(std::uint64_t to) const { return answers_.contains(to); }
  const supervision_answer& answer_to(std::uint64_t to) const { return answers_.at(to); }

  child_info add(child_spec what = {}) { return std::get<child_info>(call(add_child{std::move(what)}).value()); }
  std::uint32_t add_one() { return add().process.value().incarnation; }
  child_info restart(const std::string& id) { return std::get<child_info>(call(restart_child{id}).value()); }
  std::vector<child_info> list() { return std::get<std::vector<child_info>>(call(list_children{}).value()); }
  child_counts count() { return std::get<child_counts>(call(count_children{}).value()); }
  child_info find(const child_name& who) { return std::get<child_info>(call(find_child{who}).value()); }
  std::uint32_t process_of(const std::string& id) { return find(id).process.value().incarnation; }
  /// The ids of all children, oldest first.
  std::string all() {
    std::string ids;
    for (const auto& c : list()) ids = c.id + ids;
    return ids;
  }
  std::string running() {
    std::string ids;
    for (const auto& c : list())
      if (c.state == child_state::running) ids = c.id + ids;
    return ids;
  }
  /// The processes of all children, oldest first.
  std::vector<std::uint32_t> processes() {
    std::vector<std::uint32_t> numbers;
    for (const auto& c : list())
      if (c.process) numbers.insert(numbers.begin(), c.process->incarnation);
    return numbers;
  }
  std::vector<std::string> log_from(std::size_t begin) const {
    return {log.begin() + static_cast<std::ptrdiff_t>(begin), log.end()};
  }
  /// How the children called `id` ended while they were being ended or by themselves, as their supervisor reported it.
  std::vector<exit_status> exits_of(const std::string& id) const {
    std::vector<exit_status> exits;
    for (const auto& r : reports)
      if (r.child.id == id && (r.what == supervision_report::kind::ended || r.what == supervision_report::kind::ended_otherwise))
        exits.push_back(r.exit);
    return exits;
  }
  std::size_t count_of(supervision_report::kind what) const {
    return static_cast<std::size_t>(
        std::count_if(reports.begin(), reports.end(), [what](const auto& r) { return r.what == what; }));
  }

  void end(std::uint64_t number, const exit_status& how) {
    if (alive_.erase(number) != 0) happens(child_ended{number, how});
  }
  void end(const std::string& id, const exit_status& how) { end(latest_.at(id), how); }
  void crash(const std::string& id) { end(id, exit_status::signaled(SIGSEGV)); }
  void finish(const std::string& id) { end(id, normal()); }
  void begun(const std::string& id) { is_ready(latest_.at(id), id); }
  void refused(const std::string& id) { happens(child_refused{latest_.at(id), cloister::error(errc::not_started, "no")}); }
  void declined(const std::string& id) { happens(child_declined{latest_.at(id)}); }
  void abandon() { happens(abandoned{}); }
  void pass(std::int64_t ns) {
    time += ns;
    wake_up();
  }
  /// The supervisor that is child `id` now.
  world& within(const std::string& id) { return *inner_.at(latest_.at(id)); }

  void start(std::uint64_t child, const child_spec& s) override {
    names_[child] = s.id;
    latest_[s.id] = child;
    recipes.push_back(s.recipe.get());
    note("start", child);
    if (breaks.contains(s.id)) throw std::bad_alloc();
    if (refuse.contains(s.id) || (refuse_times[s.id] > 0 && refuse_times[s.id]-- > 0)) return refused(s.id);
    if (decline.contains(s.id)) return declined(s.id);
    if (slow.contains(s.id)) return;
    if (!s.inner) return is_ready(child, s.id);
    auto& made = inner_[child];
    made = std::unique_ptr<world>(new world(*this, child, *s.inner));
    made->begin();
  }
  void parted(const child_spec&, const exit_status&) override {}
  void ask_to_end(std::uint64_t child) override {
    note("ask", child);
    if (const auto in = inner_.find(child); in != inner_.end()) return in->second->happens(abandoned{});
    const auto& id = names_.at(child);
    if (deaf.contains(id) || ignores.contains(child)) return;
    const auto how = ends_with.find(id);
    end(child, how == ends_with.end() ? asked() : how->second);
  }
  void kill(std::uint64_t child) override {
    note("kill", child);
    if (const auto in = inner_.find(child); in != inner_.end()) return in->second->happens(killed{});
    end(child, by_kill());
  }
  std::int64_t now() const override { return outer_ != nullptr ? outer_->now() : time; }
  void wake_at(std::int64_t when) override { wake = when; }
  void answer(std::uint64_t to, supervision_answer what) override { REQUIRE(answers_.emplace(to, std::move(what)).second); }
  void report(supervision_report what) override { reports.push_back(std::move(what)); }
  void ready(result<void> how) override {
    was_ready = how;
    if (outer_ == nullptr) return;
    if (how) outer_->is_ready(child_of_outer_, outer_->names_.at(child_of_outer_));
    else outer_->happens(child_refused{child_of_outer_, how.error()});
  }
  void ended(exit_status how) override {
    REQUIRE(alive_.empty());
    over = how;
    if (outer_ != nullptr) outer_->end(child_of_outer_, how);
  }

 private:
  world(world& outer, std::uint64_t child, const supervisor_spec& what) : world(what.options, what.children) {
    outer_ = &outer;
    child_of_outer_ = child;
    refuse = outer.refuse, decline = outer.decline, deaf = outer.deaf, slow = outer.slow;
  }
  void note(const char* what, std::uint64_t child) {
    const auto& id = names_.at(child);
    note(what, id.empty() ? std::to_string(child) : id);
  }
  void note(const std::string& what, const std::string& name) {
    log.push_back(what + " " + name);
    if (outer_ != nullptr) outer_->note(what, outer_->names_.at(child_of_outer_) + "/" + name);
  }
  void is_ready(std::uint64_t child, const std::string& id) {
    alive_.insert(child);
    process_id process;
    process.incarnation = static_cast<std::uint32_t>(child);
    process.name = id;
    happens(child_started{child, std::move(process), says[id]});
  }
  void happens(supervision_event event) {
    if (at_once) return machine_.on(std::move(event));
    pending_.push_back(std::move(event));
    run([] {});
  }
  // What happens in consequence of `step` comes after it.
  template <class Step>
  void run(Step step) {
    const bool outermost = !std::exchange(busy_, true);
    step();
    if (!outermost) return;
    while (!pending_.empty()) {
      auto next = std::move(pending_.front());
      pending_.pop_front();
      machine_.on(std::move(next));
    }
    busy_ = false;
  }
  void wake_up() {
    for (int turns = 0; wake <= now(); ++turns) {
      REQUIRE(turns < 100);
      wake = std::numeric_limits<std::int64_t>::max();
      run([&] { machine_.on(time_came{}); });
    }
    for (auto& [child, in] : inner_) in->wake_up();
  }

  world* outer_ = nullptr;
  std::uint64_t child_of_outer_ = 0;
  supervision machine_;
  std::uint64_t calls_ = 0;
  std::map<std::uint64_t, supervision_answer> answers_;
  std::map<std::uint64_t, std::string> names_;
  std::map<std::string, std::uint64_t> latest_;
  std::map<std::uint64_t, std::unique_ptr<world>> inner_;  // also those that have ended
  std::set<std::uint64_t> alive_;
  std::deque<supervision_event> pending_;
  bool busy_ = false;
};

}  // namespace supervision_test
