// SPDX-License-Identifier: BSD-3-Clause
// For those who come from CAF: a CAF behaviour in a process of its own, fed from a queue, and CAF actors that put into one.
//
//   caf::behavior squarer(caf::event_based_actor*, caf::actor out) { return {[=](int n) { caf::anon_send(out, n * n); }}; }
//   void squares(source<int> in, sink<int> out) {                    // the body of a process
//     caf_system system;                                             // its own actor system
//     auto to_out = system.spawn_sink(out);                          // an actor that puts what it is sent
//     system.feed(in, system->spawn(squarer, to_out));               // until the queue is closed and all is handled
//   }
//
// Opt-in: not part of cloister.hpp; link cloister::caf. CAF's headers are seen here and nowhere else.
// What is fed is a lease until the actor has answered: a process that is killed gives it back. At most `credit` messages are unanswered,
// so an actor that is slow, or that answers only when those behind it have taken what it sent, stops the queue's producers and nothing
// piles up.
// Threads: the one that made the system calls feed; CAF's own run the actors. Blocks: feed; the destructor, until all actors have ended.
#pragma once

#include <cloister/detail/caf_bridge.hpp>
#include <cloister/error.hpp>
#include <cloister/queue.hpp>
#include <cloister/wait.hpp>

#include <caf/all.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cloister {

/// An actor system of this process, which has no idle wake-ups; its threads count as the library's own (see process::fork).
class caf_system {
 public:
  /// `threads`: that run actors.
  explicit caf_system(std::size_t threads = 2) : state_(std::make_unique<state>(threads)) {}
  /// Ends the sinks that it made, and waits for all other actors.
  ~caf_system() {
    for (const auto& s : sinks_) detail::caf_bridge::end(s);
  }
  caf_system(const caf_system&) = delete;
  caf_system& operator=(const caf_system&) = delete;

  caf::actor_system& operator*() const noexcept { return state_->system; }
  caf::actor_system* operator->() const noexcept { return &state_->system; }

  /// Sends `to`, dynamically or statically typed, each message of the queue as a request, until the queue is closed and all are answered,
  /// in whatever order, with whatever value. Then ends it, also when this throws: `failure{peer_down}` if it ends or answers with an
  /// error, `stopping` if this process is asked to stop. What it had not answered goes back. T is to be a type that CAF takes as a
  /// message.
  template <class T, class Handle>
  void feed(const source<T>& from, const Handle& to, std::size_t credit = 16) const;

  /// An actor with a thread of its own that puts every T which it is sent. It takes the next one when there was room, and answers a request
  /// then: so `request` waits for room, `send` does not. What cannot be put is answered with an error, and is the last. Ends with the
  /// system.
  template <class T>
  caf::actor spawn_sink(sink<T> to);

 private:
  struct state {
    explicit state(std::size_t threads) : config(threads), system(config) {}
    detail::caf_bridge::config config;
    caf::actor_system system;
  };
  std::unique_ptr<state> state_;
  std::vector<caf::actor> sinks_;
};

template <class T, class Handle>
void caf_system::feed(const source<T>& from, const Handle& to, std::size_t credit) const {
  const struct ending {
    caf::actor target;
    ~ending() { detail::caf_bridge::end(target); }
  } at_the_end{caf::actor_cast<caf::actor>(to)};
  const detail::caf_bridge::requester requests(state_->system);
  std::unordered_map<std::uint64_t, lease<T>> on_loan;
  std::uint64_t number = 0;
  for (bool open = true; open || !on_loan.empty();) {
    const bool room = open && on_loan.size() < credit;
    if (room) {
      auto next = from.take(deadline::passed());
      if (next) {
        requests.request(at_the_end.target, ++number, **next);
        on_loan.emplace(number, *std::move(next));
        continue;
      }
      if (next == errc::closed) {
        open = false;
        continue;
      }
      if (!(next == errc::would_block || next == errc::timed_out)) throw failure(next.error());
    }
    const auto ready =
        room ? wait_any({from, requests.readable()}, deadline::never()) : wait_any({requests.readable()}, deadline::never());
    if (!ready) throw failure(ready.error());
    for (const auto& answer : requests.take()) {
      if (answer.wrong) throw failure(errc::peer_down, "caf_system feed: the actor could not handle a message: " + *answer.wrong);
      const auto settled = on_loan.extract(answer.number);
      settled.mapped().ack();
    }
  }
}

template <class T>
caf::actor caf_system::spawn_sink(sink<T> to) {
  auto made = state_->system.template spawn<caf::detached>([to = std::move(to)](caf::event_based_actor* self) -> caf::behavior {
    return {[self, to](const T& value) -> caf::result<void> {
      if (auto put = to.put(value, deadline::never()); !put) {
        self->quit(caf::exit_reason::user_shutdown);
        return detail::caf_bridge::to_error(put.error());
      }
      return caf::unit;
    }};
  });
  sinks_.push_back(made);
  return made;
}

}  // namespace cloister
