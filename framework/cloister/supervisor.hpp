// SPDX-License-Identifier: BSD-3-Clause
// What starts processes, watches them, and starts them again when they fail, by the rules of Erlang/OTP.
//
//   supervisor s{here, {.strategy = one_for_one, .intensity = 3, .period = 5s},
//                supervised({.id = "read", .restart = transient}, read, lines),
//                supervised({.id = "crew"}, {.strategy = one_for_all}, supervised({.id = "a"}, work, lines), supervised({.id = "b"}, work, lines))};
//   s.start_child({.id = "extra", .restart = temporary}, work, lines);
//   supervisor inner{s, {.id = "more"}, {.intensity = 10}};    // one more within it; its calls find it after a restart, too,
//                                                              // except under simple_one_for_one, where it has no name of its own
//   s.join();                                                  // until it ends by itself; ~supervisor stops it
//
// A restarted child gets the same arguments again, the same handles among them; messages that it had leased come back to it or to a
// sibling. Children start in order, each when the one before it runs, and end in reverse. A supervisor that ends because its children
// failed too often has, as a child, ended *normally*: a permanent one is restarted, with the children that it was made with.
//
// Children are executed anew if `where` starts processes so, or their options say so; else the launcher forks them: what is started again
// and again has nothing of the process that first asked for it.
//
// An owner: move-only, each object one thread at a time. Its work is done by an actor in the node's first process. If the process that
// owns it dies, its children end, and nothing is restarted: whoever wants a supervisor in a process of its own supervises a process that
// makes one. One made in another belongs to that: its destructor leaves it running, `stop` ends it as terminate_child would.
// Blocks: the constructor, until all children run; the destructor, until all have ended; calls, until they are done, which may be after a
// child that ends slowly. Each call without a deadline throws `failure`: invalid, not_found, already_started, already_present, running,
// restarting, unsupported, not_started, gone (it has ended), stopping, interrupted.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/body.hpp>
#include <cloister/error.hpp>
#include <cloister/place.hpp>
#include <cloister/process.hpp>
#include <cloister/queue.hpp>
#include <cloister/supervision.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace cloister {

namespace detail {
struct recipe_maker;
}

/// How to make one child: made by `supervised(...)`, consumed by a supervisor.
class child_recipe {
 public:
  child_recipe(child_recipe&&) noexcept;
  child_recipe& operator=(child_recipe&&) noexcept;
  ~child_recipe();

 private:
  friend class supervisor;
  friend struct detail::recipe_maker;
  template <class F, class... Args>
    requires(!std::same_as<std::remove_cvref_t<F>, supervisor_options>)
  friend child_recipe supervised(child_options, F&&, Args&&...);
  friend child_recipe supervised(child_options, supervisor_options, std::vector<child_recipe>);
  explicit child_recipe(child_options options);  // a process's: `request` is to be filled
  child_recipe(child_options options, supervisor_options inner, std::vector<child_recipe> children);
  child_options options_;
  std::unique_ptr<detail::start_request> request_;  // else it is a supervisor
  supervisor_options inner_;
  std::vector<child_recipe> children_;
};

namespace detail {
template <class... Children>
std::vector<child_recipe> collect(Children&&... children) {
  std::vector<child_recipe> all;
  (all.push_back(std::forward<Children>(children)), ...);
  return all;
}
}  // namespace detail

/// A process that runs `body`, under the same rules as `process`'s constructor. Encodes the arguments. Throws `failure`.
template <class F, class... Args>
  requires(!std::same_as<std::remove_cvref_t<F>, supervisor_options>)
[[nodiscard]] child_recipe supervised(child_options options, F&& body, Args&&... args);
/// A supervisor with its own children.
[[nodiscard]] child_recipe supervised(child_options options, supervisor_options inner, std::vector<child_recipe> children);
template <std::same_as<child_recipe>... Children>
[[nodiscard]] child_recipe supervised(child_options options, supervisor_options inner, Children&&... children) {
  return supervised(std::move(options), std::move(inner), detail::collect(std::move(children)...));
}

class [[nodiscard]] supervisor final {
 public:
  template <std::same_as<child_recipe>... Children>
  explicit supervisor(const place& where, supervisor_options options = {}, Children&&... children)
      : supervisor(where, std::move(options), detail::collect(std::move(children)...)) {}
  supervisor(const place& where, supervisor_options options, std::vector<child_recipe> children);
  /// One more child of `within`, made as by start_child.
  template <std::same_as<child_recipe>... Children>
  supervisor(const supervisor& within, child_options as_child, supervisor_options options = {}, Children&&... children)
      : supervisor(within, std::move(as_child), std::move(options), detail::collect(std::move(children)...)) {}
  supervisor(const supervisor& within, child_options as_child, supervisor_options options, std::vector<child_recipe> children);
  /// The supervisor that is the child `id` of `within`. It need not run.
  static supervisor find(const supervisor& within, const std::string& id);
  supervisor(supervisor&& other) noexcept;
  supervisor& operator=(supervisor&& other) noexcept;
  /// Stops it, unless it is within another.
  ~supervisor();

  /// What is wrong with these, if anything, each mistake in its own sentence: what the constructor would throw. Starts nothing.
  static result<void> check(const supervisor_options& options, const std::vector<child_recipe>& children);

  /// Adds a child and starts it.
  template <class F, class... Args>
  child_info start_child(child_options options, F&& body, Args&&... args) const {
    return start_child(supervised(std::move(options), std::forward<F>(body), std::forward<Args>(args)...));
  }
  child_info start_child(child_recipe what) const;
  /// Under simple_one_for_one: one more of its kind.
  child_info start_child() const;
  /// Ends it, by the rules of its `shutdown`; it stays known, unless temporary. No error if it is not running.
  void terminate_child(const std::string& id) const;
  void terminate_child(const process_id& who) const;      ///< under simple_one_for_one
  child_info restart_child(const std::string& id) const;  ///< one that is known and not running
  void delete_child(const std::string& id) const;         ///< forgets one that is not running
  std::vector<child_info> which_children() const;         ///< the newest first. Does not wait for what is going on
  child_info which_child(const std::string& id) const;
  child_info which_child(const process_id& who) const;  ///< under simple_one_for_one
  child_counts count_children() const;
  /// New flags, and new specifications of children: those that run go on, new ones are not started, those not named stay.
  void change(supervisor_options options, std::vector<child_recipe> children) const;

  /// Whatever happens from now on to its children, and to those of supervisors within it, is put into `to`; see
  /// supervision_report::missed for what a full queue does. Of one within another: to all under their common root. Nothing comes from one
  /// that has ended.
  void subscribe(const queue<supervision_report>& to) const;

  /// Stops it: ends all children, in reverse order. Returns when all have ended.
  void stop() const;
  /// Waits until it has ended, and is not restarted.
  exit_status join() const;
  result<exit_status> join(deadline until) const;
  bool is_alive() const;
  const std::string& name() const;

 private:
  struct state;
  explicit supervisor(std::unique_ptr<state> made);
  state& here() const;
  std::unique_ptr<state> state_;
};

template <class F, class... Args>
  requires(!std::same_as<std::remove_cvref_t<F>, supervisor_options>)
child_recipe supervised(child_options options, F&& body, Args&&... args) {
  child_recipe recipe(std::move(options));
  detail::encode_start(*recipe.request_, std::forward<F>(body), std::forward<Args>(args)...);
  return recipe;
}

}  // namespace cloister
