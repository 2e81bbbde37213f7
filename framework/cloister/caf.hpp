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
// What is fed is a lease until the actor has answered: a process that is killed gives it back. At most `credit` messages are unanswered, so an
// actor that is slow, or that answers only when those behind it have taken what it sent, stops the queue's producers and nothing piles up.
// Threads: the one that made the system calls feed; CAF's own run the actors. Blocks: feed; the destructor, until all actors have ended.
#pragma once

#include <cloister/detail/caf_bridge.hpp>
#include <cloister/error.hpp>
#include <cloister/queue.hpp>

#include <caf/all.hpp>

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
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
    for (const auto& s : sinks_) caf::anon_send_exit(s, caf::exit_reason::user_shutdown);
  }
  caf_system(const caf_system&) = delete;
  caf_system& operator=(const caf_system&) = delete;

  caf::actor_system& operator*() const noexcept { return state_->system; }
  caf::actor_system* operator->() const noexcept { return &state_->system; }

  /// Sends `to`, dynamically or statically typed, each message of the queue as a request, until the queue is closed and all are answered, with
  /// whatever value. Then ends it. An error as answer, or the end of the actor, is `failure{peer_down}`: what it had not answered goes back.
  template <class T, class Handle>
  void feed(const source<T>& from, const Handle& to, std::size_t credit = 16) const {
    detail::caf_bridge::requester requests(state_->system);
    const auto target = caf::actor_cast<caf::actor>(to);
    std::deque<lease<T>> on_loan;
    const auto settle_one = [&] {
      if (const auto wrong = requests.await_oldest())
        throw failure(errc::peer_down, "caf_system feed: the actor could not handle a message: " + *wrong);
      on_loan.front().ack();
      on_loan.pop_front();
    };
    for (;;) {
      // While nothing comes, what is answered is acknowledged.
      auto next = from.take(on_loan.empty() ? deadline::never() : deadline::passed());
      if (next) {
        requests.request(target, **next);
        on_loan.push_back(*std::move(next));
        if (on_loan.size() >= credit) settle_one();
      } else if (next == errc::closed) {
        break;
      } else if (on_loan.empty() || !(next == errc::would_block || next == errc::timed_out)) {
        throw failure(next.error());
      } else {
        settle_one();
      }
    }
    while (!on_loan.empty()) settle_one();
    caf::anon_send_exit(target, caf::exit_reason::user_shutdown);
  }

  /// An actor with a thread of its own that puts every T which it is sent. It takes the next one when there was room, and answers a request
  /// then: so `request` waits for room, `send` does not. Ends with the system, or when the queue is closed.
  template <class T>
  caf::actor spawn_sink(sink<T> to) {
    auto made = state_->system.template spawn<caf::detached>([to = std::move(to)](caf::event_based_actor* self) -> caf::behavior {
      return {[self, to](const T& value) {
        if (auto put = to.put(value, deadline::never()); !put) self->quit(caf::exit_reason::user_shutdown);
      }};
    });
    sinks_.push_back(made);
    return made;
  }

 private:
  struct state {
    explicit state(std::size_t threads) : config(threads), system(config) {}
    detail::caf_bridge::config config;
    caf::actor_system system;
  };
  std::unique_ptr<state> state_;
  std::vector<caf::actor> sinks_;
};

}  // namespace cloister
