// SPDX-License-Identifier: BSD-3-Clause
// What a supervisor does, step by step: OTP's rules (supervisor.erl) without a thread, a clock or a process of its own. It starts, watches
// and ends children through an `environment`, and is told what happens by events; while it waits for one event the others wait in its
// inbox, in order, except questions, which are answered at once.
//
// Owner: a supervisor actor. One thread at a time. Never blocks. The environment may put events from within its calls.
#pragma once

#include <cloister/error.hpp>
#include <cloister/internal/waiting_task.hpp>
#include <cloister/process.hpp>
#include <cloister/supervision.hpp>

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

namespace cloister::internal {

struct supervisor_spec;

/// How a child is treated.
struct child_terms {
  std::string id;
  restart_type restart = permanent;
  bool significant = false;
  std::int64_t shutdown_ns = 5'000'000'000;  // brutal_kill is negative; the largest: for ever
  back_off delay;
  std::int64_t ready_ns = 0, progress_ns = 0;  // 0: it is ready when it runs; need not show progress
};
/// And what it is made from: a supervisor, or what the environment knows how to start.
struct child_spec : child_terms {
  std::shared_ptr<const void> recipe;
  std::shared_ptr<const supervisor_spec> inner;
};
struct supervisor_spec {
  supervisor_options options;
  std::vector<child_spec> children;
};

/// Its body threw `declined`: it started, and is not needed.
inline bool has_declined(const exit_status& exit) { return exit.exception_type() == "cloister::declined"; }

/// A child by its id, or under simple_one_for_one by its process's incarnation.
using child_name = std::variant<std::string, std::uint32_t>;

// What a supervisor can be asked to do; `answer_to` is the environment's.
// simple_one_for_one: only its recipe counts, and may be none
struct add_child {
  child_spec spec;
};
// `lives`: whoever it is, the process named is alive
struct terminate_child {
  child_name who;
  bool lives = false;
};
struct restart_child {
  child_name who;
};
struct delete_child {
  child_name who;
};
struct list_children {};
struct find_child {
  child_name who;
};
struct count_children {};
struct change_specs {  // flags and the specifications of the static children
  supervisor_options options;
  std::vector<child_spec> children;
};
struct stop_supervisor {};
// answered when it is not going to be restarted any more, by how it ended
struct await_child {
  child_name who;
};
using supervision_call = std::variant<add_child, terminate_child, restart_child, delete_child, list_children, find_child,
                                      count_children, change_specs, stop_supervisor, await_child>;
using supervision_value = std::variant<std::monostate, child_info, std::vector<child_info>, child_counts, exit_status>;
using supervision_answer = result<supervision_value>;

// What happens to it.
struct called {
  std::uint64_t answer_to = 0;
  supervision_call what;
};
struct child_started {
  std::uint64_t child = 0;
  process_id process;
  std::string said = {};
};
// it could not be started
struct child_refused {
  std::uint64_t child = 0;
  cloister::error why;
};
// it started, and said that it is not needed
struct child_declined {
  std::uint64_t child = 0;
};
// `why`: for what the node killed it
struct child_ended {
  std::uint64_t child = 0;
  exit_status exit;
  std::string why = {};
};
struct time_came {};
// to itself
struct retry_child {
  std::uint64_t child = 0;
};
// nobody wants it any more: end, restart nothing
struct abandoned {};
// the same, and kill them all
struct killed {};
using supervision_event =
    std::variant<called, child_started, child_refused, child_declined, child_ended, time_came, retry_child, abandoned, killed>;

class supervision {
 public:
  class environment {
   public:
    virtual ~environment() = default;
    /// Starts `child`; answered by child_started, child_refused or child_declined, and then once by child_ended, each with that number.
    virtual void start(std::uint64_t child, const child_spec& spec) = 0;
    /// It is not started again by itself: what was kept for its successor (a pipe's end) ends as it has ended.
    virtual void parted(const child_spec& spec, const exit_status& exit) = 0;
    virtual void ask_to_end(std::uint64_t child) = 0;
    virtual void kill(std::uint64_t child) = 0;
    virtual std::int64_t now() const = 0;
    /// One time_came at that time or later; a new call replaces the last one. The largest: never.
    virtual void wake_at(std::int64_t when) = 0;
    virtual void answer(std::uint64_t answer_to, supervision_answer what) = 0;
    virtual void report(supervision_report what) = 0;
    /// All initial children run, or the supervisor has ended because one could not be started.
    virtual void ready(result<void> how) = 0;
    /// The last call: no child is left. `how`: as of a process; orderly_end if it was stopped or gave up.
    virtual void ended(exit_status how) = 0;
  };

  /// What is wrong with them, if anything, also in the supervisors among them; each mistake has its own sentence.
  static result<void> check(const supervisor_options& options, const std::vector<child_spec>& children);

  /// REQUIRES: check(). `world` outlives this.
  supervision(environment& world, supervisor_options options, std::vector<child_spec> children);
  supervision(const supervision&) = delete;
  supervision& operator=(const supervision&) = delete;

  // What the environment throws, and std::bad_alloc, comes out of these; then nothing more is done.
  void begin();
  void on(supervision_event event);
  /// The number of that child's latest start, if it runs: for those who ask it something.
  result<std::uint64_t> running(const child_name& who);

 private:
  struct child {
    std::uint64_t number = 0;  // of its latest start; 0: it never ran
    child_spec spec;
    child_state state = child_state::stopped;
    std::optional<process_id> process;
    std::uint32_t named_by = 0;  // under simple_one_for_one: its latest process, also while it is being restarted
    std::string said;
    unsigned restarts = 0;
    bool has_run = false;
    bool comes_back = false;  // stopped, until its group is started again
    std::int64_t started_at = 0, delay = 0;
    exit_status last_exit;
    std::list<child>::iterator self;
  };
  using children = std::list<child>;
  enum class step : std::uint8_t { go_on, end };

  task<> run();
  task<step> handle(supervision_event event);
  task<step> handle_call(called call);
  task<result<supervision_value>> add(add_child what);
  task<step> child_gone(child& c, child_ended gone);
  task<step> restart(child& c);
  task<step> attempt(child& c);
  task<step> restart_group(child& failed);
  void try_again(child& c, const cloister::error& why);
  task<result<bool>> start(child& c);  // true: it runs; false: it declined
  task<supervision_event> await_start(std::uint64_t number);
  bool is_end_of(const supervision_event& event, const child& c) const;
  void end_start();
  bool is_over() const { return abandoned_ || stopped_; }
  task<> end(child& c);
  task<> end_together(const std::vector<child*>& all);
  task<> end_all();
  task<std::optional<child_ended>> await_end(std::int64_t until);  // of one that is ending; nothing: too late

  std::optional<supervision_answer> answer_question(const supervision_call& call);
  child& keep(child_spec spec);
  result<child*> find(const child_name& who);
  child* by_number(std::uint64_t number);
  bool too_many_restarts();
  void forget(child& c);
  void drop_or_stop(child& c);
  bool ends_with(const child& c) const;
  result<supervision_value> change(change_specs what);
  void wait_for(std::uint64_t answer_to, const child_name& who);
  void has_ended(child& c);  // and is not started again
  child_info info(const child& c) const;
  void report(supervision_report::kind what, const child& c, const exit_status& exit = {}, std::string text = {});
  void schedule();
  bool simple() const { return options_.strategy == simple_one_for_one; }

  environment& world_;
  supervisor_options options_;
  child_spec template_;                            // simple_one_for_one
  children children_;                              // in the order of their start
  std::unordered_map<std::string, child*> by_id_;  // not under simple_one_for_one
  std::unordered_map<std::uint64_t, child*> by_number_;
  std::unordered_map<std::uint32_t, child*> by_incarnation_;  // under simple_one_for_one
  inbox<supervision_event> inbox_;
  std::deque<std::int64_t> restarts_;                            // within the period
  std::vector<std::pair<std::int64_t, std::uint64_t>> retries_;  // when, which child
  std::uint64_t last_number_ = 0;
  bool abandoned_ = false, killed_ = false, stopped_ = false;
  child* starting_ = nullptr;
  std::int64_t kill_start_at_ = 0;  // if what is starting was asked to end; the largest: it was not
  std::unordered_map<const child*, std::vector<std::uint64_t>> awaited_;  // calls to be answered at a child's end
  std::minstd_rand random_;                                               // so that not all come back at the same moment
  std::optional<task<>> running_;
};

}  // namespace cloister::internal
