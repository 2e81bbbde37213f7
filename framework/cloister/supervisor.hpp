// SPDX-License-Identifier: BSD-3-Clause
// What starts processes, watches them, and starts them again when they fail, by the rules of Erlang/OTP.
//
//   supervisor s{here, {.strategy = one_for_one, .intensity = 3, .period = 5s},
//                supervised({.id = "read", .restart = transient}, read, lines), supervised({.id = "print"}, print, lines)};
//   s.start_child({.id = "extra", .restart = temporary}, work, lines);
//   s.join();                                                  // until it ends by itself; ~supervisor stops it
//
// A restarted child gets the same arguments again, the same handles among them; messages that it had leased come back to it or to a sibling.
// Children start in order, each when the one before it runs, and end in reverse. An owner: move-only, one thread at a time. Its work is done by an
// actor in the node's first process. If the process that owns it dies, its children end, and nothing is restarted.
// Blocks: the constructor, until all children run; the destructor, until all have ended; calls, until they are done, which may be after a
// child that ends slowly. Each call without a deadline throws `failure`: invalid, not_found, already_started, already_present, running,
// restarting, unsupported, not_started, gone (it has ended), stopping, interrupted.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/body.hpp>
#include <cloister/error.hpp>
#include <cloister/place.hpp>
#include <cloister/process.hpp>
#include <cloister/supervision.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cloister {

/// How to make one child: made by `supervised(...)`, consumed by a supervisor.
class child_recipe {
 public:
  child_recipe(child_recipe&&) noexcept;
  child_recipe& operator=(child_recipe&&) noexcept;
  ~child_recipe();

 private:
  friend class supervisor;
  template <class F, class... Args>
  friend child_recipe supervised(child_options, F&&, Args&&...);
  explicit child_recipe(child_options options);
  child_options options_;
  std::unique_ptr<detail::start_request> request_;
};

/// A process that runs `body`, under the same rules as `process`'s constructor. Encodes the arguments. Throws `failure`.
template <class F, class... Args>
[[nodiscard]] child_recipe supervised(child_options options, F&& body, Args&&... args);

class [[nodiscard]] supervisor final {
 public:
  template <class... Children>
  explicit supervisor(const place& where, supervisor_options options = {}, Children&&... children)
      : supervisor(where, std::move(options), collect(std::forward<Children>(children)...)) {}
  supervisor(const place& where, supervisor_options options, std::vector<child_recipe> children);
  supervisor(supervisor&& other) noexcept;
  supervisor& operator=(supervisor&& other) noexcept;
  /// Stops it.
  ~supervisor();

  /// Adds a child and starts it.
  template <class F, class... Args>
  child_info start_child(child_options options, F&& body, Args&&... args) const {
    return add(supervised(std::move(options), std::forward<F>(body), std::forward<Args>(args)...));
  }
  /// Under simple_one_for_one: one more of its kind.
  child_info start_child() const;
  /// Ends it, by the rules of its `shutdown`; it stays known, unless temporary. No error if it is not running.
  void terminate_child(const std::string& id) const;
  void terminate_child(const process_id& who) const;  ///< under simple_one_for_one
  child_info restart_child(const std::string& id) const;  ///< one that is known and not running
  void delete_child(const std::string& id) const;         ///< forgets one that is not running
  std::vector<child_info> which_children() const;         ///< the newest first. Does not wait for what is going on
  child_info which_child(const std::string& id) const;
  child_counts count_children() const;
  /// New flags, and new specifications of children: those that run go on, new ones are not started, those not named stay.
  void change(supervisor_options options, std::vector<child_recipe> children) const;

  /// Stops it: ends all children, in reverse order. Returns when all have ended.
  void stop() const;
  /// Waits until it has ended.
  exit_status join() const;
  result<exit_status> join(deadline until) const;
  bool is_alive() const;
  const std::string& name() const;

 private:
  struct state;
  template <class... Children>
  static std::vector<child_recipe> collect(Children&&... children) {
    std::vector<child_recipe> all;
    (all.push_back(std::forward<Children>(children)), ...);
    return all;
  }
  child_info add(child_recipe what) const;
  std::unique_ptr<state> state_;
};

template <class F, class... Args>
child_recipe supervised(child_options options, F&& body, Args&&... args) {
  child_recipe recipe(std::move(options));
  detail::encode_start(*recipe.request_, std::forward<F>(body), std::forward<Args>(args)...);
  return recipe;
}

}  // namespace cloister
