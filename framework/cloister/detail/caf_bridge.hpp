// SPDX-License-Identifier: BSD-3-Clause
// The one place that knows which CAF this is: 0.17.6, the version that Debian and Ubuntu have. What another one spells otherwise is changed
// here. Everything that the control plane sends is a `note`: CAF delivers it, and looks at nothing inside. Public only through caf.hpp.
#pragma once

#include <cloister/error.hpp>
#include <cloister/fd.hpp>
#include <cloister/wire.hpp>

#include <caf/all.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <pthread.h>
#include <sys/eventfd.h>

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
using address = caf::actor_addr;

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

/// `hear(address, exit_status, why)`: of the ends of those that `self` monitors.
template <class Hear>
void on_down(event_actor& self, Hear hear) {
  self.set_down_handler([hear](caf::down_msg& down) {
    auto [exit, why] = to_exit(down.reason);
    hear(down.source, std::move(exit), std::move(why));
  });
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
/// Runs actors on the thread that sends to them, not on one of the system's: that saves a wake-up, and `send` returns when they are done.
/// REQUIRES: they were made by `spawn_for`, and nobody else sends to them but what ends them.
class own_thread final : public caf::execution_unit {
 public:
  explicit own_thread(caf::actor_system& system) : caf::execution_unit(&system) {}
  template <class Actor, class... Args>
  actor spawn_for(Args&&... args) {
    return system().spawn<Actor, caf::lazy_init>(std::forward<Args>(args)...);
  }
  /// Not from within such an actor.
  void send(const actor& to, note what) {
    to->enqueue(nullptr, caf::make_message_id(), caf::make_message(std::move(what)), this);
    while (!ready_.empty()) {
      const caf::intrusive_ptr<caf::resumable> job(ready_.back(), false);
      ready_.pop_back();
      if (job->resume(this, at_a_time) != caf::resumable::resume_later) continue;
      caf::intrusive_ptr_add_ref(job.get());
      ready_.push_back(job.get());
    }
  }
  void exec_later(caf::resumable* job) override { ready_.push_back(job); }

 private:
  static constexpr std::size_t at_a_time = 100;
  std::vector<caf::resumable*> ready_;  // each with a reference
};

inline void end(const actor& who, const exit_status& exit, const std::string& why) {
  caf::anon_send(who, caf::exit_msg{who.address(), to_reason(exit, why)});
}

inline void end(const actor& who) { caf::anon_send_exit(who, caf::exit_reason::user_shutdown); }
inline caf::error to_error(const cloister::error& why) { return caf::make_error(caf::sec::runtime_error, why.text()); }

/// Requests from a thread that is no actor, which may wait for something else at the same time.
class requester {
 public:
  struct answer {
    std::uint64_t number = 0;
    std::optional<std::string> wrong;  // of an error: its text
  };

  explicit requester(caf::actor_system& system)
      : worker_(system.spawn([](event_actor* self) -> caf::behavior {
          return {[self](const note& n) { (*std::static_pointer_cast<work>(n.content))(*self); }};
        })) {}
  requester(const requester&) = delete;
  requester& operator=(const requester&) = delete;
  ~requester() { end(worker_); }

  /// Whatever value is the answer to it, it is an answer.
  template <class T>
  void request(const actor& to, std::uint64_t number, T message) const {
    send(worker_, {std::make_shared<work>([to, number, message = std::move(message), all = answers_](event_actor& self) {
           self.request(to, caf::infinite, message)
               .then(
                   [all, number] {
                     all->put({number, std::nullopt});
                   },
                   [all, number](const caf::error& e) {
                     // unexpected_response: a value that nobody looks at.
                     all->put({number, e == caf::sec::unexpected_response ? std::nullopt : std::optional(caf::to_string(e))});
                   });
         })});
  }
  /// Readable when there may be answers.
  const owned_fd& readable() const noexcept { return answers_->bell; }
  std::vector<answer> take() const { return answers_->take(); }

 private:
  using work = std::function<void(event_actor&)>;
  struct answers {
    owned_fd bell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    std::mutex mutex;
    std::vector<answer> all;  // guarded by mutex
    void put(answer a) {
      const std::scoped_lock guard(mutex);
      all.push_back(std::move(a));
      static_cast<void>(!::eventfd_write(bell.get(), 1));
    }
    std::vector<answer> take() {
      const std::scoped_lock guard(mutex);
      std::uint64_t count = 0;
      static_cast<void>(!::eventfd_read(bell.get(), &count));
      return std::exchange(all, {});
    }
  };
  std::shared_ptr<answers> answers_ = std::make_shared<answers>();
  actor worker_;
};

}  // namespace cloister::detail::caf_bridge
