// SPDX-License-Identifier: BSD-3-Clause
// What can go wrong, and how it is said.
//
// One rule holds for the whole library: a call without a deadline returns its value or throws `failure`;
// a call with a deadline (its last argument), or one named `try_...`, returns `result<T>`.
//
//   if (auto r = q.get(1s)) use(*r);
//   else if (r == errc::timed_out) ...
//   else std::cerr << r.error().text() << '\n';
//
// Everything here is a plain value: usable from any thread, owns its memory, never blocks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

namespace cloister {

/// The kinds of failure. Two kinds differ only if a caller would do something different about them.
enum class errc : std::uint8_t {
  timed_out,        ///< the deadline passed; nothing was consumed or changed
  would_block,      ///< a `try_` call found nothing to take, or no room to put
  closed,           ///< the mailbox was closed (and, for a reader, is drained)
  peer_down,        ///< the process at the other side died; `error::exit()` says how
  stopping,         ///< this process was asked to stop (SIGTERM): unwind
  interrupted,      ///< Ctrl-C in the first process: the node is shutting down
  too_large,        ///< one message is larger than the mailbox may ever become
  no_memory,        ///< memory could not be reserved; nothing was changed
  no_descriptors,   ///< the process or the system has no file descriptor left
  undecodable,      ///< bytes that are not an encoding of the type asked for
  wrong_type,       ///< a handle that names another message type or another kind of object
  gone,             ///< the object a handle names no longer exists
  broken,           ///< shared memory holds what no correct process writes; only this object is affected
  not_attached,     ///< no node in this process, or it was forked behind the library's back
  invalid,          ///< the call makes no sense now or with these arguments: a mistake in the program
  not_started,      ///< a process could not be started
  not_found,        ///< there is no such child, name, ...
  already_started,  ///< a child of that id is running
  already_present,  ///< a child of that id is known, and not running
  running,          ///< not while it runs
  restarting,       ///< not while it is being restarted
  unsupported,      ///< this kind of object has no such call, this actor no such handler
  threw,            ///< the actor's handler threw: `error::exit()` has type and text
  not_owner,        ///< only the thread that locked it may do that
  deadlock,         ///< waiting would never end: for oneself, or in a circle
  barrier_broken,   ///< one of those who were to meet does not come; it takes a `reset` to meet again
  worker_lost,      ///< the process that ran the task ended in the middle of it; `error::exit()` says how
  cancelled,        ///< nobody wants the result any more
};

inline constexpr errc last_errc = errc::cancelled;

/// The enumerator's name: "timed_out".
std::string_view to_string(errc code) noexcept;

/// How a process ended.
class exit_status {
 public:
  exit_status() = default;  ///< unknown: dead for certain, but nobody can tell how
  static exit_status exited(int code);
  static exit_status signaled(int signal);
  static exit_status threw(std::string type, std::string text);

  bool known() const noexcept { return kind_ != kind::unknown; }
  bool success() const noexcept { return kind_ == kind::exited && code_ == 0; }
  /// The exit code; 1 after an uncaught exception; nothing after a signal or if unknown.
  std::optional<int> code() const noexcept;
  /// The signal that ended it, if one did.
  std::optional<int> signal() const noexcept;
  /// Type and text of the exception that left the body; empty if none did.
  const std::string& exception_type() const noexcept { return exception_type_; }
  const std::string& exception_text() const noexcept { return exception_text_; }
  /// One phrase: "exit 3", "killed by SIGKILL", "std::runtime_error: no such file", "unknown".
  std::string text() const;

  friend bool operator==(const exit_status&, const exit_status&) = default;

 private:
  enum class kind : std::uint8_t { unknown, exited, signaled, threw };
  kind kind_ = kind::unknown;
  int code_ = 0;  // exit code or signal number
  std::string exception_type_;
  std::string exception_text_;
};

/// What went wrong: a kind for the program, a sentence for a person, and the peer's end where that was the cause.
class error {
 public:
  error(errc code, std::string text) : code_(code), text_(std::move(text)) {}
  error(errc code, std::string text, exit_status exit);

  errc code() const noexcept { return code_; }
  /// Names the operation and the object: "queue 'tasks' get: closed".
  const std::string& text() const noexcept { return text_; }
  /// How the peer ended, for `peer_down` and `worker_lost`, and what was thrown, for `threw`; nullptr otherwise.
  const exit_status* exit() const noexcept { return exit_.get(); }

 private:
  errc code_;
  std::string text_;
  std::shared_ptr<const exit_status> exit_;
};

/// The exception: an `error` thrown. Leaving the body of a process, it becomes that process's exit reason.
class failure : public std::runtime_error {
 public:
  explicit failure(cloister::error e) : std::runtime_error(e.text()), error_(std::move(e)) {}
  failure(errc code, const std::string& text) : failure(cloister::error(code, text)) {}

  errc code() const noexcept { return error_.code(); }
  const cloister::error& error() const noexcept { return error_; }

 private:
  cloister::error error_;
};

/// A value or an `error`. Unlike std::expected, `*` and `->` are checked: on an error they throw `failure`.
template <class T>
class [[nodiscard]] result {
  using stored = tl::expected<T, cloister::error>;

 public:
  using value_type = T;

  result() requires std::is_default_constructible_v<stored>
  = default;
  result(cloister::error e) : stored_(tl::unexpect, std::move(e)) {}  // NOLINT(google-explicit-constructor)
  result(errc code, std::string text) : result(cloister::error(code, std::move(text))) {}
  template <class U = T>
    requires(!std::is_void_v<T> && std::is_constructible_v<T, U&&> && !std::is_same_v<std::remove_cvref_t<U>, result> &&
             !std::is_same_v<std::remove_cvref_t<U>, cloister::error>)
  result(U&& value) : stored_(std::forward<U>(value)) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const noexcept { return stored_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }

  /// The value; throws `failure` with the error's text if there is none.
  std::add_lvalue_reference_t<T> value() & { return check(), get(stored_); }
  std::add_lvalue_reference_t<const T> value() const& { return check(), get(stored_); }
  T value() && { return check(), static_cast<T>(get(std::move(stored_))); }
  std::add_lvalue_reference_t<T> operator*() & { return value(); }
  std::add_lvalue_reference_t<const T> operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  auto operator->() requires(!std::is_void_v<T>) { return check(), &*stored_; }
  auto operator->() const requires(!std::is_void_v<T>) { return check(), &*stored_; }
  template <class U>
    requires(!std::is_void_v<T>)
  T value_or(U&& other)
  const& { return stored_.value_or(std::forward<U>(other)); }
  template <class U>
    requires(!std::is_void_v<T>)
  T value_or(U&& other) && { return std::move(stored_).value_or(std::forward<U>(other)); }

  /// REQUIRES: !has_value(); otherwise throws `failure{errc::invalid}`.
  const cloister::error& error() const {
    if (has_value()) throw failure(errc::invalid, "result: error() of a result that holds a value");
    return stored_.error();
  }

  /// True if this is an error of that kind.
  friend bool operator==(const result& r, errc code) noexcept { return !r.has_value() && r.stored_.error().code() == code; }

 private:
  void check() const {
    if (!stored_) [[unlikely]]
      throw failure(stored_.error());
  }
  template <class S>
  static decltype(auto) get(S&& s) {
    if constexpr (!std::is_void_v<T>) return *std::forward<S>(s);
  }
  stored stored_;
};

}  // namespace cloister
