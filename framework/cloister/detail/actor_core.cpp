// SPDX-License-Identifier: BSD-3-Clause
// The loop of an actor, and asking from plain code.
#include <cloister/detail/actor_core.hpp>

#include <cloister/detail/child_link.hpp>
#include <cloister/detail/stop.hpp>
#include <cloister/fault.hpp>
#include <cloister/internal/control.hpp>
#include <cloister/internal/registry_options.hpp>
#include <cloister/log.hpp>
#include <cloister/node.hpp>
#include <cloister/queue.hpp>
#include <cloister/supervision.hpp>
#include <cloister/this_process.hpp>

#include <csignal>

#include <algorithm>
#include <array>
#include <limits>

namespace cloister::detail {

using namespace internal;

namespace {

thread_local actor_core* running_here = nullptr;

struct reading {
  incoming handles;
  decoder in;
  letter_head head;
  reading(attachment& mailbox, std::span<const std::byte> bytes) : handles(mailbox), in(bytes, &handles), head(read_head(in)) {}
};

// Has the hub introduce that lane to the mailbox, unless that is remembered.
void introduce_to(std::unordered_set<std::uint64_t>& introduced, const attachment& mailbox, std::uint64_t lane) {
  constexpr std::size_t most_remembered = 4096;
  if (introduced.contains(mailbox.id())) return;
  send_request(membership::require().control(), introduce{mailbox.id(), lane});
  if (introduced.size() >= most_remembered) introduced.clear();
  introduced.insert(mailbox.id());
}

// The head alone; of a letter that is too short for one, a tell's.
letter_head head_of(const taken& message) {
  std::array<std::byte, sizeof(letter_head)> bytes{};
  const auto have = std::span(bytes).first(std::min(bytes.size(), message.size()));
  message.copy_to(have);
  decoder in(have);
  return have.size() == bytes.size() ? read_head(in) : letter_head();
}

// What this thread hears of what it asked. In a forked process another one: the parent's is the parent's.
class thread_lane {
 public:
  static thread_lane& of_this_thread() {
    thread_local thread_lane lane;
    const auto member = membership::require().serial();
    if (!lane.mailbox_ || lane.member_ != member) {
      const auto made = make_queue({.name = "lane"}, lane_fingerprint, 0, close_with_source);
      lane.mailbox_ = object_handle(made.object(), source_role);
      lane.member_ = member;
      lane.introduced_.clear();
    }
    return lane;
  }
  attachment& mailbox() noexcept { return *mailbox_; }
  std::uint64_t next_ticket() noexcept { return ++last_ticket_; }
  void introduce_to(const attachment& other) { detail::introduce_to(introduced_, other, mailbox_->id()); }

 private:
  object_handle mailbox_;
  std::uint64_t member_ = 0;  // whose it is: this process may have been forked, or have had another node
  std::uint64_t last_ticket_ = 0;
  std::unordered_set<std::uint64_t> introduced_;
};

error down_error(attachment& mailbox, const exit_status& exit) {
  if (ended_normally(exit)) return {errc::closed, "actor '" + mailbox.name() + "' ask: it has ended"};
  return {errc::peer_down, "actor '" + mailbox.name() + "' ask: its process ended: " + exit.text(), exit};
}

actor_state state_of(attachment& mailbox) {
  datagram reply;
  auto got = internal::ask(membership::require().control(), find_actor{mailbox.id()}, {}, reply);
  if (auto* state = std::get_if<actor_state>(&got)) return std::move(*state);
  throw failure(errc::broken, "actor '" + mailbox.name() + "': the hub's answer makes no sense");
}

}  // namespace

// ---- handlers -------------------------------------------------------------------------------------------------------

void handler_table::add(handler h) {
  const auto at =
      std::lower_bound(sorted_.begin(), sorted_.end(), h.key, [](const handler& a, std::uint64_t key) { return a.key < key; });
  if (at != sorted_.end() && at->key == h.key) {
    if (at->run != h.run) at->run = nullptr;  // two types of one name, of different files: neither
    return;
  }
  sorted_.insert(at, h);
}

const handler* handler_table::find(std::uint64_t key) const noexcept {
  const auto at =
      std::lower_bound(sorted_.begin(), sorted_.end(), key, [](const handler& a, std::uint64_t k) { return a.key < k; });
  return at == sorted_.end() || at->key != key || at->run == nullptr ? nullptr : &*at;
}

// ---- the actor ------------------------------------------------------------------------------------------------------

actor_core::actor_core(object_handle mailbox, const node& here, actor_settings settings, const handler_table& handlers)
    : mailbox_(std::move(mailbox)),
      here_(here),
      settings_(std::move(settings)),
      handlers_(handlers),
      incarnation_(membership::require().id().incarnation),
      lanes_(*mailbox_) {
  running_here = this;
}

actor_core::~actor_core() {
  running_here = nullptr;
  // Only the end of the process ends its use: that is when the hub knows how it ended.
  static object_handle until_then;
  until_then = std::move(mailbox_);
}

actor_core* actor_core::current() noexcept {
  // A process forked by a handler is no actor.
  return running_here != nullptr && identity != nullptr && running_here->incarnation_ == identity->incarnation ? running_here
                                                                                                               : nullptr;
}

void actor_core::run(void* actor) {
  const struct abandoning {
    actor_core& core;
    ~abandoning() {
      // Frames of coroutines may use the actor, which outlives this.
      for (auto& [ticket, p] : std::exchange(core.pending_, {})) p.reply->abandoned();
      core.timers_.clear();
      core.monitors_.clear();
    }
  } at_the_end{*this};
  while (!stopping_) {
    if (!timers_.empty()) run_timers();
    if (stopping_) break;
    taken message;
    const auto until = timers_.empty() ? deadline::never() : deadline::at(timers_.begin()->first.first);
    auto got = mailbox_->queue().take(self_actor(), message, until, "wait");
    if (got) open_letter(actor, message);
    else if (got == errc::closed) return;
    else if (!(got == errc::timed_out || got == errc::would_block)) throw failure(got.error());
    if (ends_with_) std::rethrow_exception(ends_with_);
    if (stop_requested()) throw failure(*stop_reason(), "actor '" + settings_.name + "': it was asked to stop");
  }
}

void actor_core::open_letter(void* actor, taken& message) {
  reply_address to;
  try {
    if (const auto in_place = message.view(); !in_place.empty()) {
      reading r(*mailbox_, in_place);
      const auto* known = handlers_.find(r.head.key);
      if (r.head.kind == letter_kind::tell && known != nullptr && known->reads_once) {
        letter l{r.head, r.in, message};
        return known->run(actor, *this, l);
      }
    }
    if (const auto head = head_of(message); head.kind == letter_kind::ask) to = {head.reply_to, head.ticket, head.until};
    reading r(*mailbox_, own_copy(message));
    letter l{r.head, r.in, message};
    handle(actor, l);
  } catch (const failure& f) {  // of what it says: its handler's own exceptions do not come here
    cannot_open(to, message, f.error());
  } catch (const std::bad_alloc&) {
    cannot_open(to, message, {errc::no_memory, "actor '" + settings_.name + "': no memory for a message"});
  }
}

void actor_core::cannot_open(const reply_address& to, taken& message, const error& why) {
  message.deliver();
  if (to.lane != 0) refuse(to, why);
  else dead_letter(why.text());
}

void actor_core::handle(void* actor, letter& l) {
  switch (l.head.kind) {
    case letter_kind::tell:
    case letter_kind::ask: {
      if (l.head.kind == letter_kind::ask && deadline::at(l.head.until).has_passed()) return l.message.deliver();
      const auto* h = handlers_.find(l.head.key);
      if (h == nullptr) throw failure(errc::unsupported, "actor '" + settings_.name + "': it has no handler for such a message");
      return h->run(actor, *this, l);
    }
    case letter_kind::reply:
    case letter_kind::refusal: {
      const auto refused = l.head.kind == letter_kind::refusal ? std::optional(l.rest.value<error>()) : std::nullopt;
      auto p = pending_.extract(l.head.ticket);
      if (p.empty()) return l.message.deliver();
      auto& reply = *p.mapped().reply;
      try {
        if (refused) reply.fail(*refused);
        else reply.read(l.rest);
      } catch (const failure& f) { reply.fail(f.error()); }
      l.message.deliver();
      return settle(p.mapped());
    }
    case letter_kind::down: {
      const auto exit = l.rest.value<exit_status>();
      l.message.deliver();
      std::vector<std::uint64_t> over;
      for (const auto& [ticket, p] : pending_)
        if (p.mailbox == l.head.key && p.position < l.head.ticket) over.push_back(ticket);
      const auto mailbox = membership::require().find(l.head.key);
      for (const auto ticket : over)
        fail_pending(ticket,
                     mailbox ? down_error(*mailbox, exit) : error(errc::peer_down, "ask: the actor ended: " + exit.text(), exit));
      return;
    }
    case letter_kind::ended: {
      const auto notice = l.rest.value<exit_notice>();
      l.message.deliver();
      if (const auto m = monitors_.extract(l.head.ticket)) guarded([&] { m.mapped()(notice); });
      return;
    }
  }
  throw failure(errc::undecodable, "actor '" + settings_.name + "': a letter of no known kind");
}

void actor_core::guarded(const std::function<void()>& code, const reply_address& to) {
  try {
    code();
  } catch (...) { failed(to); }
}

void actor_core::failed(const reply_address& to) {
  const auto words = words_of_current_exception();
  const bool stop = stop_requested();
  refuse(to, stop ? error(errc::stopping, "actor '" + settings_.name + "': it was asked to stop")
                  : error(errc::threw, words.type + ": " + words.text, exit_status::threw(words.type, words.text)));
  if (stop || settings_.ends_on_error) ends_with_ = std::current_exception();
  else log(log_level::warning, "actor '" + settings_.name + "' goes on after " + words.type + ": " + words.text);
}

void actor_core::dead_letter(const std::string& why) {
  log(log_level::warning, why);
  try {
    send_request(membership::require().control(), bury_letter{mailbox_->id(), why});
  } catch (const failure&) {}  // it is being stopped
}

// ---- replies --------------------------------------------------------------------------------------------------------

// An error is why the asker hears nothing; one that has ended needs not hear.
result<void> actor_core::send_back(const reply_address& to, letter_kind kind, const std::function<void(encoder&)>& write) {
  try {
    const auto target = lanes_.find(to.lane);
    const auto whole = [&](encoder& out) {
      write_head(out, letter_head{kind, 0, to.ticket, 0, 0});
      write(out);
    };
    auto sent = send_written(*target, whole, [](outgoing& letter) { return letter.put(deadline::passed()); });
    return sent == errc::closed ? result<void>() : sent;
  } catch (const failure& f) { return f.code() == errc::gone ? result<void>() : f.error(); }
}

void actor_core::reply(const reply_address& to, const std::function<void(encoder&)>& write) {
  fault_point("handle", 2);
  if (to.lane == 0 || deadline::at(to.until).has_passed()) return;
  if (auto sent = send_back(to, letter_kind::reply, write); !sent) refuse(to, sent.error());
  fault_point("handle", 3);
}

void actor_core::refuse(const reply_address& to, const error& why) {
  if (to.lane == 0) return;
  if (auto sent = send_back(to, letter_kind::refusal, [&](encoder& out) { out.value(why); }); !sent)
    log(log_level::error, "actor '" + settings_.name + "': a reply is lost: " + sent.error().text());
}

// ---- what it asks ---------------------------------------------------------------------------------------------------

void actor_core::ask(attachment& mailbox, deadline until, const std::function<result<std::uint64_t>(const letter_head&)>& put,
                     std::uint64_t key, std::shared_ptr<pending_reply> reply) {
  const auto ticket = ++last_number_;
  fault_point("ask", 1);
  introduce_to(introduced_, mailbox, mailbox_->id());
  fault_point("ask", 2);
  pending p{mailbox.id(), 0, 0, std::move(reply)};
  const auto position = put({letter_kind::ask, key, ticket, mailbox_->id(), until.at_ns()});
  fault_point("ask", 3);
  if (!position) {
    p.reply->fail(mailbox_error(mailbox, position.error()));
    return p.reply->settle();
  }
  p.position = *position;
  if (!until.is_never())
    p.timer = after(std::chrono::nanoseconds(until.remaining_ns()), [this, ticket, name = mailbox.name()] {
      fail_pending(ticket, {errc::timed_out, "actor '" + name + "' ask: no reply in time"});
    });
  pending_.emplace(ticket, std::move(p));
}

void actor_core::fail_pending(std::uint64_t ticket, const error& why) {
  auto p = pending_.extract(ticket);
  if (p.empty()) return;
  p.mapped().reply->fail(why);
  settle(p.mapped());
}

void actor_core::settle(pending& p) {
  cancel(p.timer);
  guarded([&] { p.reply->settle(); });
}

std::uint64_t actor_core::after(std::chrono::nanoseconds delay, std::function<void()> what) {
  const auto number = ++last_number_;
  const auto when = deadline(delay).at_ns();
  timers_.emplace(std::pair(when, number), std::move(what));
  timer_times_.emplace(number, when);
  return number;
}

void actor_core::cancel(std::uint64_t timer) {
  if (const auto at = timer_times_.extract(timer)) timers_.erase({at.mapped(), timer});
}

void actor_core::run_timers() {
  const auto now = deadline::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now && !ends_with_ && !stopping_) {
    const auto due = timers_.extract(timers_.begin());
    timer_times_.erase(due.key().second);
    guarded(due.mapped());
  }
  if (ends_with_) std::rethrow_exception(ends_with_);
}

std::uint64_t actor_core::monitor(const process_id& who, std::function<void(const exit_notice&)> what) {
  const auto number = ++last_number_;
  monitors_.emplace(number, std::move(what));
  send_request(membership::require().control(),
               monitor_process{who.incarnation, who.pid, who.name, {mailbox_->id(), no_role}, number});
  return number;
}

std::uint64_t actor_core::monitor(attachment& mailbox, std::function<void(const exit_notice&)> what) {
  const auto number = ++last_number_;
  monitors_.emplace(number, std::move(what));
  send_request(membership::require().control(), monitor_actor{mailbox.id(), {mailbox_->id(), no_role}, number});
  return number;
}

void actor_core::demonitor(std::uint64_t number) {
  if (monitors_.erase(number) != 0)
    send_request(membership::require().control(), end_monitor{0, {mailbox_->id(), no_role}, number});
}

// ---- plain code -----------------------------------------------------------------------------------------------------

object_handle make_mailbox(const std::string& name, std::uint64_t fingerprint, bool closes) {
  const auto made = make_queue({.name = name, .close_with_last_sink = closes}, fingerprint, 0, actor_mailbox);
  return {made.object(), sink_role};
}

void start_detached(const start_request& request) {
  auto& self = membership::require();
  self.keep(self.start(request));
}

result<void> ask_and_wait(attachment& mailbox, deadline until, const std::function<result<std::uint64_t>(const letter_head&)>& put,
                          std::uint64_t key, const std::function<void(decoder&)>& read) {
  try {
    if (actor_core::current() != nullptr)
      return {errc::invalid, "actor '" + mailbox.name() + "' ask: an actor must not wait for another one: use self::ask"};
    auto& lane = thread_lane::of_this_thread();
    fault_point("ask", 1);
    lane.introduce_to(mailbox);
    fault_point("ask", 2);
    const auto ticket = lane.next_ticket();
    const auto position = put({letter_kind::ask, key, ticket, lane.mailbox().id(), until.at_ns()});
    fault_point("ask", 3);
    if (!position) return mailbox_error(mailbox, position.error());
    for (;;) {
      taken message;
      if (auto got = lane.mailbox().queue().take(self_actor(), message, until, "ask"); !got) {
        if (got == errc::timed_out || got == errc::would_block)
          return {errc::timed_out, "actor '" + mailbox.name() + "' ask: no reply in time"};
        return got.error();
      }
      const struct consumption {
        taken& read;
        ~consumption() { read.deliver(); }  // also one that says nothing: the next ask would find it again
      } at_the_end{message};
      reading r(lane.mailbox(), own_copy(message));
      if (r.head.kind == letter_kind::down && r.head.key == mailbox.id() && *position < r.head.ticket) {
        return down_error(mailbox, r.in.value<exit_status>());
      }
      if (r.head.ticket != ticket) continue;  // for an earlier ask, which did not wait for it
      if (r.head.kind == letter_kind::refusal) return r.in.value<error>();
      if (r.head.kind != letter_kind::reply) continue;
      read(r.in);
      return {};
    }
  } catch (const failure& f) { return f.error(); } catch (const std::bad_alloc&) {
    return {errc::no_memory, "actor '" + mailbox.name() + "' ask: no memory"};
  }
}

error mailbox_error(attachment& mailbox, const error& e) {
  if (e.code() != errc::closed) return {e.code(), "actor '" + mailbox.name() + "': " + e.text()};
  return down_error(mailbox, state_of(mailbox).exit);
}

std::optional<process_id> actor_process(attachment& mailbox) { return state_of(mailbox).process; }
void actor_stop(attachment& mailbox) { send_request(membership::require().control(), stop_actor{mailbox.id()}); }
void actor_monitor(attachment& mailbox, object_ref queue) {
  send_request(membership::require().control(), monitor_actor{mailbox.id(), queue});
}

}  // namespace cloister::detail
