// SPDX-License-Identifier: BSD-3-Clause
// The words of supervision: what a supervisor and a child of one are told at their start. The rules are Erlang/OTP's.
//
// A child ends *normally* with exit code 0, by SIGTERM (it was asked to end), or by an uncaught `orderly_end`; every other end is a
// failure. It has *started* when its process runs, or, if it has a `ready_within`, when it has called this_process::ready(). Plain values
// that travel: any thread, any process.
#pragma once

#include <cloister/process.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <vector>

namespace cloister {

/// Which children a failed one takes along.
enum strategy_type : std::uint8_t {
  one_for_one,        ///< none: it alone is restarted
  one_for_all,        ///< all: the others are stopped, and all are started again
  rest_for_one,       ///< those that were started after it
  simple_one_for_one  ///< none; all children are made from one specification, at run time, and named by their processes
};

/// When a child that has ended by itself is started again.
enum restart_type : std::uint8_t {
  permanent,  ///< always
  transient,  ///< if it failed
  temporary   ///< never; its specification is forgotten when it ends
};

/// Whether a supervisor ends when its significant children have ended by themselves.
enum auto_shutdown_type : std::uint8_t {
  no_auto_shutdown,
  any_significant,  ///< with the first
  all_significant   ///< with the last
};

/// As `shutdown` of a child: no asking, SIGKILL at once.
inline constexpr std::chrono::nanoseconds brutal_kill{-1};

struct supervisor_options {
  std::string name = {};  ///< for messages; "supervisor-N" if empty
  strategy_type strategy = one_for_one;
  unsigned intensity = 1;                                     ///< more restarts than this...
  std::chrono::nanoseconds period = std::chrono::seconds(5);  ///< ...within this time, and the supervisor gives up; more than 0
  auto_shutdown_type auto_shutdown = no_auto_shutdown;
};

/// Time between the restarts of a child that keeps failing: `first`, then `factor` times as much each time, up to `most`, each varied by
/// up to `jitter` of itself in both directions. Starts anew when the child has run for longer than `most`. Off while `first` is 0.
struct back_off {
  std::chrono::nanoseconds first{0};
  std::chrono::nanoseconds most = std::chrono::seconds(30);
  double factor = 2;
  double jitter = 0.1;
};

struct child_options {
  std::string id = {};  ///< names it within its supervisor; must not be empty, except under simple_one_for_one
  restart_type restart = permanent;
  bool significant = false;  ///< see auto_shutdown_type
  std::optional<std::chrono::nanoseconds> shutdown =
      {};  ///< how long it may take to end; brutal_kill; nanoseconds::max(): for ever.
           ///< Default: 5 s, of a supervisor for ever
  back_off delay = {};
  std::chrono::nanoseconds ready_within{
      0};  ///< its start is over when it calls this_process::ready(), and failed if that takes longer; 0: at once
  std::chrono::nanoseconds progress_within{
      0};                        ///< it calls this_process::progress() at least that often, or is killed as hanging; 0: it need not
  process_options process = {};  ///< its name, limits, output, ...; `shutdown` above counts, `deferred` and `daemon` do not
};

enum class child_state : std::uint8_t { stopped, starting, running, restarting, ending };

/// One child, as its supervisor sees it.
struct child_info {
  std::string id;  ///< empty under simple_one_for_one
  child_state state = child_state::stopped;
  std::optional<process_id> process;  ///< while it has one; of a supervisor without pid
  restart_type restart = permanent;
  bool significant = false;
  bool supervisor = false;
  std::chrono::nanoseconds shutdown{0};
  unsigned restarts = 0;  ///< how often it was started again, for whatever reason
  std::string said = {};  ///< what it told this_process::ready(), this time
};

struct child_counts {
  std::size_t specs = 0;   ///< of simple_one_for_one: 1
  std::size_t active = 0;  ///< that run
  std::size_t supervisors = 0;
  std::size_t workers = 0;
  friend bool operator==(const child_counts&, const child_counts&) = default;
};

/// Thrown out of the body of a process: it ends, and normally, though not because its work was done. `note` is for reports.
class orderly_end : public std::exception {
 public:
  explicit orderly_end(std::string note = {}) : note_(std::move(note)) {}
  const char* what() const noexcept override { return note_.c_str(); }

 private:
  std::string note_;
};

/// Thrown out of the body of a process before it is ready: it is not needed, and its supervisor goes on without it. It stays known, but
/// is not started again by itself; a temporary one, and one under simple_one_for_one, is forgotten.
class declined : public std::exception {
 public:
  explicit declined(std::string note = {}) : note_(std::move(note)) {}
  const char* what() const noexcept override { return note_.c_str(); }

 private:
  std::string note_;
};

/// One thing that happened under a supervisor: see supervisor::subscribe.
struct supervision_report {
  enum class kind : std::uint8_t {
    started,
    ended,            ///< by itself, or as it was asked to
    ended_otherwise,  ///< it was asked to end, and ended another way
    start_failed,
    restarting,
    gave_up,  ///< the supervisor ends: this child was restarted too often
    stopped   ///< the supervisor has ended
  };
  kind what = kind::started;
  std::string supervisor;    ///< its name; of one within another "outer/inner"
  child_info child;          ///< as it was just before its end, or is now
  exit_status exit;          ///< of ended, ended_otherwise, stopped
  std::string text = {};     ///< why: of start_failed; of ended, if the node killed it, for what
  std::uint64_t missed = 0;  ///< how many reports before this one did not fit into the subscriber's queue
};

/// True for an end that a `transient` child is not restarted after.
bool ended_normally(const exit_status& exit);

}  // namespace cloister
