// SPDX-License-Identifier: BSD-3-Clause
// A typed actor: an object of a class of yours, built in a process of its own. Its `on` overloads are its interface.
//
//   struct deposit { long cents; };   struct balance {};
//   struct account {
//     long cents = 0;
//     long on(deposit d) { return cents += d.cents; }              // the reply's type is the return type
//     long on(balance) const { return cents; }
//   };
//   actor<account> a{here, 100};                                   // account{100}, over there
//   a.tell(deposit{5});                                            // does not wait for the handler
//   long now = a.ask(balance{});  if (auto soon = a.ask(balance{}, 1s)) ...
//   actor<account> b{s, {.id = "acc", .restart = permanent}, 100}; // a supervisor's child; the handle follows its restarts
//
// A handle: copyable, travels, any thread. Handlers run one at a time, in the order in which messages were put. A handler may take
// `self&` first, and may reply later (`reply<R>`, also as a coroutine). An actor ends by stop(), by its last handle (not under a
// supervisor), or with whoever made it; its object's destructor runs unless it is killed. What a handler throws answers the asker with
// `errc::threw`, and ends the actor, unless `.on_error = keep_state`.
// Blocks: the constructor, until the object is constructed (what that throws is `failure{not_started}`); tell and ask while
// `max_messages` wait, ask for the reply. Inside an actor nothing blocks: a tell throws or is `would_block`, asking is `self::ask`.
// When the actor's process dies: whoever waits for the reply to a message that it had taken gets `peer_down` with the exit at once;
// messages that it had not taken wait for its successor, or, without one, fail the same way.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/actor_core.hpp>
#include <cloister/detail/actor_handlers.hpp>
#include <cloister/detail/body.hpp>
#include <cloister/error.hpp>
#include <cloister/monitor.hpp>
#include <cloister/place.hpp>
#include <cloister/process.hpp>
#include <cloister/self.hpp>
#include <cloister/supervisor.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cloister {

enum class error_policy : std::uint8_t {
  end_actor,  ///< an exception that leaves a handler ends the actor, and is its exit status
  keep_state  ///< it goes on as if nothing had happened
};

struct actor_options {
  std::size_t max_messages = 4096;  ///< that wait; whoever puts more waits, or gets `would_block`. Replies do not count
  error_policy on_error = error_policy::end_actor;
  process_options process =
      {};  ///< its name, limits, output, ...; `deferred` and `daemon` do not count, `fork` is as `forkserver`, nor does anything of this under a
           ///< supervisor: there it is child_options::process
};

/// Something that an actor could not do anything with.
struct dead_letter {
  std::string actor;        ///< its name
  std::uint64_t count = 0;  ///< how many messages
  std::string why;
};
/// From now on what no actor of the node could do anything with is put into `to`: messages that have no handler or cannot be decoded, and
/// those that went down with an actor which has no successor. What does not fit is lost.
void watch_dead_letters(const queue<dead_letter>& to);

template <class T>
class [[nodiscard]] actor {
 public:
  /// None: every operation is `failure{invalid}`.
  actor() = default;
  /// Constructs T from the arguments, in a new process. `self&` may be the first parameter of T's constructor.
  template <class... Args>
  [[nodiscard]] explicit actor(const place& where, Args&&... args) : actor(where, actor_options{}, std::forward<Args>(args)...) {}
  template <class... Args>
  [[nodiscard]] actor(const place& where, actor_options options, Args&&... args);
  /// The same, as a child of `within`.
  template <class... Args>
  [[nodiscard]] actor(const supervisor& within, child_options as_child, Args&&... args)
      : actor(within, std::move(as_child), actor_options{}, std::forward<Args>(args)...) {}
  template <class... Args>
  [[nodiscard]] actor(const supervisor& within, child_options as_child, actor_options options, Args&&... args);

  /// Hands over a message, and does not wait until it is handled. Throws `failure`: closed, peer_down, would_block (in an actor),
  /// stopping, ...
  template <class M>
  void tell(const M& message) const {
    tell(message, deadline::never()).value();
  }
  /// Waits for room until then; in an actor it does not wait.
  template <class M>
  result<void> tell(const M& message, deadline until) const;
  template <class M>
  result<void> try_tell(const M& message) const {
    return tell(message, deadline::passed());
  }

  /// Hands over a message, and waits for the handler's value. Not from within an actor.
  template <class M>
  detail::answer_of<T, M> ask(const M& message) const {
    return ask(message, deadline::never()).value();
  }
  template <class M>
  result<detail::answer_of<T, M>> ask(const M& message, deadline until) const;

  /// Asks it to end, before it handles another message. Under a supervisor that is an end as any other: a permanent one is started again.
  void stop() const { detail::actor_stop(object()); }
  /// The process that it has now; nothing if it has none.
  std::optional<process_id> process() const { return detail::actor_process(object()); }
  bool is_alive() const { return process().has_value(); }
  const std::string& name() const { return object().name(); }
  /// How many messages wait; a snapshot.
  std::size_t waiting() const { return detail::queue_size(object()); }

  friend bool operator==(const actor& a, const actor& b) { return a.mailbox_.object() == b.mailbox_.object(); }
  const detail::object_handle& handle() const noexcept { return mailbox_; }

 private:
  friend class self;
  friend struct codec<actor>;
  template <class U, class... Args>
  friend std::pair<actor<U>, child_recipe> supervised_actor(child_options, actor_options, Args&&...);
  detail::attachment& object() const { return detail::object_of(mailbox_); }
  detail::object_handle mailbox_;
  std::uint64_t limit_ = 0;
};

/// A handle, and how to make its actor under a supervisor: for those who make a supervisor with all its children at once.
template <class T, class... Args>
[[nodiscard]] std::pair<actor<T>, child_recipe> supervised_actor(child_options as_child, actor_options options, Args&&... args);

/// Puts one exit_notice into `to` when the actor's process of now ends, at once if it has none.
template <class T>
void monitor(const actor<T>& who, const queue<exit_notice>& to) {
  detail::actor_monitor(detail::object_of(who.handle()), {detail::object_of(to.handle()).id(), detail::no_role});
}

/// Ties this process to the one that the actor has now. Throws `failure{not_started}` if it has none.
template <class T>
void link(const actor<T>& who) {
  const auto now = who.process();
  if (!now) throw failure(errc::not_started, "actor '" + who.name() + "' link: it has no process now");
  link(*now);
}

}  // namespace cloister

#include <cloister/detail/actor-inl.hpp>
