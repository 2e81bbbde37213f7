// SPDX-License-Identifier: BSD-3-Clause
// What an actor can do from within its handlers, and replies that come later.
//
//   reply<long> on(self& me, transfer t) {                          // a coroutine: other messages are handled while it waits
//     long left = (co_await me.ask(t.from, withdraw{t.cents}, 1s)).value();
//     co_return left;
//   }
//   reply<int> on(next) { waiting.emplace_back(); return waiting.back(); }        // ... and some time: waiting.front().send(42);
//
// One thread: the actor's. Nothing blocks. Everything here ends with the actor: what waits then is dropped, without running any more of
// its code. A coroutine takes its message by value; what it refers to otherwise is the actor's.
#pragma once

#include <cloister/detail/actor_core.hpp>
#include <cloister/detail/actor_handlers.hpp>
#include <cloister/error.hpp>

#include <chrono>
#include <concepts>
#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace cloister {

template <class T>
class actor;
template <class R>
class asking;

class self {
 public:
  explicit self(detail::actor_core& core) : core_(core) {}
  self(const self&) = delete;
  self& operator=(const self&) = delete;

  /// The node that it lives in, to make things.
  const node& here() const noexcept { return core_.here(); }
  /// A handle to itself: pass `*this`. An actor that keeps it does not end with its last handle elsewhere.
  template <class T>
  actor<T> handle(const T& me) const;
  /// Ends the actor after this handler.
  void stop() { core_.stop(); }

  /// Asks another actor (or itself): `co_await` the result, or give `then` what is to be called with it.
  template <class T, class M>
  asking<detail::answer_of<T, M>> ask(const actor<T>& whom, const M& message, deadline until = deadline::never());
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ <= 12
  template <class T, class M>
    requires(std::is_aggregate_v<M> && !std::is_trivially_copyable_v<M>)
  asking<detail::answer_of<T, M>> ask(const actor<T>& whom, M&& message, deadline until = deadline::never()) {
    static_assert(
        std::is_lvalue_reference_v<M>,
        "cloister: give this message a name first: in a co_await, this compiler (GCC up to 12) destroys an unnamed aggregate "
        "at the wrong place.");
    return ask<T, M>(whom, std::as_const(message), until);
  }
#endif
  /// Never waits: `would_block` if there is no room.
  template <class T, class M>
  result<void> tell(const actor<T>& whom, const M& message) {
    return whom.try_tell(message);
  }

  /// Has `what` called, once, after that time, between messages. Returns its number, for cancel.
  template <std::invocable F>
  std::uint64_t after(std::chrono::nanoseconds delay, F what) {
    return core_.after(delay, std::move(what));
  }
  void cancel(std::uint64_t timer) { core_.cancel(timer); }

  /// Has `what` called once with how it ended, when that process, or the process that the actor has now, ends; soon, if it has. Returns its
  /// number, for demonitor.
  std::uint64_t monitor(const process_id& who, std::function<void(const exit_notice&)> what) {
    return core_.monitor(who, std::move(what));
  }
  template <class T>
  std::uint64_t monitor(const actor<T>& who, std::function<void(const exit_notice&)> what) {
    return core_.monitor(detail::object_of(who.handle()), std::move(what));
  }
  void demonitor(std::uint64_t number) { core_.demonitor(number); }

 private:
  detail::actor_core& core_;
};

/// What self::ask returns: nothing happens with the reply unless it is awaited or given to `then`.
template <class R>
class [[nodiscard]] asking {
 public:
  /// Calls `what(result<R>)` when there is a reply, or why there is none.
  template <std::invocable<result<R>> F>
  void then(F what) && {
    if (state_->got) what(*std::exchange(state_->got, std::nullopt));
    else state_->then = std::move(what);
  }
  bool await_ready() const noexcept { return state_->got.has_value(); }
  void await_suspend(std::coroutine_handle<> who) noexcept { state_->waiter = who; }
  result<R> await_resume() { return *std::move(state_->got); }

 private:
  friend class self;
  struct state final : detail::pending_reply {
    std::optional<result<R>> got;
    std::function<void(result<R>)> then;
    std::coroutine_handle<> waiter;
    void read(decoder& rest) override {
      if constexpr (std::is_void_v<R>) got = result<R>();
      else got = rest.value<R>();
    }
    void fail(const error& why) override { got = why; }
    void settle() override {
      if (then) return std::exchange(then, {})(*std::exchange(got, std::nullopt));
      if (auto frame = std::exchange(waiter, {})) frame.resume();
    }
    void abandoned() noexcept override {
      if (auto frame = std::exchange(waiter, {})) frame.destroy();
    }
  };
  std::shared_ptr<state> state_ = std::make_shared<state>();
};

namespace detail {
/// One reply that is still owed.
template <class R>
struct owed_reply {
  using value = std::conditional_t<std::is_void_v<R>, std::tuple<>, R>;
  actor_core* core = nullptr;  // once the handler has returned
  reply_address to;
  std::optional<result<value>> early;
  bool done = false;

  void settle(result<value> what) {
    if (done) return;
    if (core == nullptr) {
      if (!early) early = std::move(what);
      return;
    }
    done = true;
    if (!what) core->refuse(to, what.error());
    else if constexpr (std::is_void_v<R>) core->reply(to, [](encoder&) {});
    else core->reply(to, [&](encoder& out) { out.value(*what); });
  }
  void bind(actor_core& c, const reply_address& a) {
    core = &c;
    to = a;
    if (early) settle(*std::exchange(early, std::nullopt));
  }
  ~owed_reply() {
    if (core != nullptr && !done && actor_core::current() == core)
      core->refuse(to, error(errc::gone, "ask: the actor gave no reply"));
  }
};

template <class R>
struct reply_promise_base {
  std::shared_ptr<owed_reply<R>> owed = std::make_shared<owed_reply<R>>();
  std::suspend_never initial_suspend() const noexcept { return {}; }
  std::suspend_never final_suspend() const noexcept { return {}; }
  void unhandled_exception() {
    const auto words = words_of_current_exception();
    owed->settle(error(errc::threw, words.type + ": " + words.text, exit_status::threw(words.type, words.text)));
    actor_core::current()->failed({});
  }
};
template <class R>
struct reply_promise : reply_promise_base<R> {
  void return_value(R value) { this->owed->settle(std::move(value)); }
};
template <>
struct reply_promise<void> : reply_promise_base<void> {
  void return_void() { owed->settle(std::tuple<>()); }
};
}  // namespace detail

/// A reply that comes later: what a handler returns instead of its value. Copies are the same reply; the first send or fail counts. If
/// all copies go without one, the asker gets `errc::gone`. As a coroutine's return type: `co_return` sends, an exception is treated as a
/// handler's.
template <class R>
class reply {
 public:
  reply() : owed_(std::make_shared<detail::owed_reply<R>>()) {}
  template <std::convertible_to<R> V>
    requires(!std::is_void_v<R>)
  void send(V&& value) const { owed_->settle(R(std::forward<V>(value))); }
  void send() const requires std::is_void_v<R> { owed_->settle(std::tuple<>()); }
  void fail(const error& why) const { owed_->settle(why); }

  struct promise_type : detail::reply_promise<R> {
    reply get_return_object() { return reply(this->owed); }
  };
  /// The handler's call, which is the library's.
  void bind(detail::actor_core& core, const detail::reply_address& to) const { owed_->bind(core, to); }

 private:
  explicit reply(std::shared_ptr<detail::owed_reply<R>> owed) : owed_(std::move(owed)) {}
  std::shared_ptr<detail::owed_reply<R>> owed_;
};

}  // namespace cloister
