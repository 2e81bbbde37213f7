// SPDX-License-Identifier: BSD-3-Clause
// The parts of an actor that do not know its type: its loop, what it has asked others, its timers; and asking from plain code.
//
// actor_core: lives in the actor's process, on the frame of its body; one thread. Blocks: only run(), while there is nothing to do.
// Everything it sends goes out at once or not at all.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/exception_words.hpp>
#include <cloister/detail/lanes.hpp>
#include <cloister/detail/letter.hpp>
#include <cloister/detail/mailbox.hpp>
#include <cloister/error.hpp>
#include <cloister/monitor.hpp>
#include <cloister/process.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace cloister {
class node;
}

namespace cloister::detail {

class actor_core;

/// A letter that was taken, and is being read.
struct letter {
  letter_head head;
  decoder& rest;
  taken& message;
};

/// How an actor of one type handles one type of message.
struct handler {
  std::uint64_t key = 0;
  void (*run)(void* actor, actor_core& core, letter& l) = nullptr;
  bool reads_once = false;  // a tell's bytes may lie in shared memory
};
/// The number of a type, from its name (FNV-1a).
constexpr std::uint64_t number_of_name(std::string_view name) noexcept {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}
/// The handlers that a program has for one type of actor.
class handler_table {
 public:
  void add(handler h);
  /// Nothing: none, or two that have the same name.
  const handler* find(std::uint64_t key) const noexcept;

 private:
  std::vector<handler> sorted_;
};

struct actor_settings {
  std::string name;
  bool ends_on_error = true;
};

struct reply_address {
  std::uint64_t lane = 0;  // 0: nobody wants one
  std::uint64_t ticket = 0;
  std::int64_t until = 0;
};

/// What an actor has asked somebody else.
class pending_reply {
 public:
  virtual ~pending_reply() = default;
  /// `rest`: the reply's value. Throws `failure`; calls nobody.
  virtual void read(decoder& rest) = 0;
  virtual void fail(const error& why) = 0;
  /// What was read, or failed, goes to whoever waits for it.
  virtual void settle() = 0;
  /// The actor ends: nothing of its code runs any more.
  virtual void abandoned() noexcept = 0;
};

class actor_core {
 public:
  actor_core(object_handle mailbox, const node& here, actor_settings settings, const handler_table& handlers);
  ~actor_core();
  actor_core(const actor_core&) = delete;
  actor_core& operator=(const actor_core&) = delete;

  /// The actor whose code this thread runs, if any.
  static actor_core* current() noexcept;
  const node& here() const noexcept { return here_; }
  attachment& mailbox() noexcept { return *mailbox_; }

  /// Handles letters until it is stopped, or nobody has a handle to it any more. Throws what ends the actor.
  void run(void* actor);
  void stop() noexcept { stopping_ = true; }

  /// Sends what `write` encodes as the reply, if one is wanted.
  void reply(const reply_address& to, const std::function<void(encoder&)>& write);
  void refuse(const reply_address& to, const error& why);
  /// To be called in a catch block: an exception left code of the actor's. Ends it, if that is its policy.
  void failed(const reply_address& to);

  /// `put` puts a letter with that head into `mailbox`, and returns its position.
  void ask(attachment& mailbox, deadline until, const std::function<result<std::uint64_t>(const letter_head&)>& put,
           std::uint64_t key, std::shared_ptr<pending_reply> reply);
  std::uint64_t after(std::chrono::nanoseconds delay, std::function<void()> what);
  void cancel(std::uint64_t timer);
  std::uint64_t monitor(const process_id& who, std::function<void(const exit_notice&)> what);
  std::uint64_t monitor(attachment& mailbox, std::function<void(const exit_notice&)> what);
  void demonitor(std::uint64_t number);

 private:
  struct pending {
    std::uint64_t mailbox = 0, position = 0;
    std::uint64_t timer = 0;
    std::shared_ptr<pending_reply> reply;
  };
  void open_letter(void* actor, taken& message);
  void cannot_open(const reply_address& to, taken& message, const error& why);
  void handle(void* actor, letter& l);
  void guarded(const std::function<void()>& code, const reply_address& to = {});
  result<void> send_back(const reply_address& to, letter_kind kind, const std::function<void(encoder&)>& write);
  void fail_pending(std::uint64_t ticket, const error& why);
  void settle(pending& p);
  void run_timers();
  void dead_letter(const std::string& why);

  // Constant after construction.
  object_handle mailbox_;
  const node& here_;
  const actor_settings settings_;
  const handler_table& handlers_;
  const std::uint32_t incarnation_;

  bool stopping_ = false;
  std::exception_ptr ends_with_;
  std::uint64_t last_number_ = 0;  // of tickets, timers and monitors
  std::unordered_map<std::uint64_t, pending> pending_;
  std::map<std::pair<std::int64_t, std::uint64_t>, std::function<void()>> timers_;  // when, number
  std::unordered_map<std::uint64_t, std::int64_t> timer_times_;
  std::unordered_map<std::uint64_t, std::function<void(const exit_notice&)>> monitors_;
  std::unordered_set<std::uint64_t> introduced_;
  lanes lanes_;
};

// ---- plain code -----------------------------------------------------------------------------------------------------

/// A mailbox for an actor: `closes` with its last handle. Throws `failure`.
object_handle make_mailbox(const std::string& name, std::uint64_t fingerprint, bool closes);
/// Starts what the request says, as a process that nobody joins; returns when it is ready. Throws `failure`.
void start_detached(const start_request& request);

/// Puts one letter. `limit`: how many may wait before it.
template <class M>
result<std::uint64_t> put_letter(attachment& mailbox, const letter_head& head, const M& message, std::uint64_t limit,
                                 deadline until) {
  if (auto room = mailbox.queue().await_fewer(limit, until); !room) return room.error();
  const auto write = [&](encoder& out) {
    write_head(out, head);
    out.value(message);
  };
  return send_written(mailbox, write, [&](outgoing& letter) { return letter.put_at(until); });
}

/// Asks, and waits: `put` as in actor_core::ask. `read` gets the reply's value.
result<void> ask_and_wait(attachment& mailbox, deadline until, const std::function<result<std::uint64_t>(const letter_head&)>& put,
                          std::uint64_t key, const std::function<void(decoder&)>& read);
/// The error of a put into a mailbox: `peer_down` with the exit instead of `closed`, if the actor was killed or failed.
error mailbox_error(attachment& mailbox, const error& e);
/// The process of the actor now, if there is one.
std::optional<process_id> actor_process(attachment& mailbox);
void actor_stop(attachment& mailbox);
void actor_monitor(attachment& mailbox, object_ref queue);

}  // namespace cloister::detail
