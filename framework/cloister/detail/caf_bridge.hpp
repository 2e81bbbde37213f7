// SPDX-License-Identifier: BSD-3-Clause
// The one place that knows which CAF this is. Written for 0.17.6, the version that Debian and Ubuntu have; what 1.x spells otherwise has its
// other spelling here. Everything that the control plane sends is a `note`: CAF delivers it, and looks at nothing inside. Public only through caf.hpp.
#pragma once

#include <cloister/error.hpp>
#include <cloister/wire.hpp>

#include <caf/all.hpp>

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

namespace cloister::detail::caf_bridge {

/// One message between actors of the control plane, which all live in one process.
struct note {
  std::shared_ptr<void> content;
};

}  // namespace cloister::detail::caf_bridge

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(cloister::detail::caf_bridge::note)

namespace cloister::detail::caf_bridge {

using actor = caf::actor;
using event_actor = caf::event_based_actor;

/// Few threads, none of which wakes up while there is nothing to do.
struct config : caf::actor_system_config {
  explicit config(std::size_t threads) {
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", threads);
    add_thread_hook<named_threads>();
  }
  // cloister's own threads are known by their names (see process::fork).
  struct named_threads final : caf::thread_hook {
    void init(caf::actor_system&) override {}
    void thread_started() override { ::pthread_setname_np(::pthread_self(), "cloister caf"); }
    void thread_terminates() override {}
  };
};

/// How a process ended, and for what the node killed it if it did, as the reason for the end of the actor that stands for it.
inline caf::error to_reason(const exit_status& exit, const std::string& why = {}) {
  const auto bytes = encode(std::tuple(exit, why));
  return {1, caf::atom("cloister"), caf::make_message(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()))};
}
inline std::tuple<exit_status, std::string> to_exit(const caf::error& reason) {
  if (reason.category() == caf::atom("cloister") && reason.context().match_elements<std::string>()) {
    const auto& bytes = reason.context().get_as<std::string>(0);
    return decode<std::tuple<exit_status, std::string>>(std::as_bytes(std::span(bytes)));
  }
  return {reason ? exit_status::threw("cloister::failure", "its actor ended: " + caf::to_string(reason)) : exit_status::exited(0),
          ""};
}

template <class Actor, class... Args>
actor spawn(caf::actor_system& system, Args&&... args) {
  return system.spawn<Actor>(std::forward<Args>(args)...);
}
/// An actor that does nothing but end when it is told to; in the system of `beside`.
class proxy final : public event_actor {
 public:
  using event_actor::event_actor;
  caf::behavior make_behavior() override {
    return {[](const note&) {}};
  }
};
inline actor spawn_proxy(const actor& beside) { return beside.home_system().spawn<proxy, caf::hidden>(); }
inline actor handle_of(event_actor& self) { return caf::actor_cast<actor>(&self); }

inline void send_to_self(event_actor& self, std::chrono::nanoseconds after, note what) {
  self.delayed_send(&self, after, std::move(what));
}
inline void send(const actor& to, note what) { caf::anon_send(to, std::move(what)); }
inline void end(const actor& who, const exit_status& exit, const std::string& why) {
  caf::anon_send(who, caf::exit_msg{who.address(), to_reason(exit, why)});
}

/// Requests from a thread that is no actor, of which several may be under way.
class requester {
 public:
  explicit requester(caf::actor_system& system) : self_(system) {}
  template <class T>
  void request(const actor& to, T message) {
    unanswered_.push_back(self_->request(to, caf::infinite, std::move(message)));
  }
  std::size_t unanswered() const noexcept { return unanswered_.size(); }
  /// Waits for the answer to the oldest request, whatever it is. Its text, if it is an error.
  std::optional<std::string> await_oldest() {
    std::optional<std::string> wrong;
    unanswered_.front().receive([] {},
                                [&](const caf::error& e) {
                                  if (e != caf::sec::unexpected_response)
                                    wrong = caf::to_string(e);  // it is: a value that nobody looks at
                                });
    unanswered_.pop_front();
    return wrong;
  }

 private:
  caf::scoped_actor self_;
  std::deque<decltype(std::declval<caf::scoped_actor&>()->request(std::declval<const actor&>(), caf::infinite, 0))> unanswered_;
};

}  // namespace cloister::detail::caf_bridge
