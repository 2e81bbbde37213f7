// SPDX-License-Identifier: BSD-3-Clause
// Supervisor actors around `supervision`: its environment is CAF for the ends of processes and for time, and the hub for their starts.
#include <cloister/internal/control_plane.hpp>

#include <cloister/deadline.hpp>
#include <cloister/detail/caf_bridge.hpp>
#include <cloister/internal/control.hpp>
#include <cloister/log.hpp>

#include <atomic>
#include <csignal>
#include <map>
#include <set>
#include <unordered_map>

namespace cloister::internal {
namespace {

namespace caf_bridge = detail::caf_bridge;
using caf_bridge::note;

// Where the answer to a call goes, or, if it is await_child, how the child ended. A call that nobody answers came too late.
class reply_channel {
 public:
  reply_channel(owned_fd to, bool of_exit) : to_(std::move(to)), of_exit_(of_exit) {}
  reply_channel(const reply_channel&) = delete;
  reply_channel& operator=(const reply_channel&) = delete;
  ~reply_channel() {
    try {
      if (to_) give(cloister::error(errc::gone, "supervisor: it has ended"));
    } catch (const std::exception&) {}
  }
  void give(const supervision_answer& what) {
    const owned_fd to = std::move(to_);
    if (of_exit_) {
      const auto exit = what ? std::get<exit_status>(*what) : exit_status();
      static_cast<void>(send_datagram(to.get(), encode(exit_message{internal::ended{exit}}), {}, deadline::passed()));
    } else {
      static_cast<void>(
          send_answer(to, what ? internal::answer(*what) : internal::refused{what.error().code(), what.error().text()}));
    }
  }

 private:
  owned_fd to_;
  const bool of_exit_;
};

// What a supervisor actor is sent.
struct process_started {  // of child number `child`, as all of these
  std::uint64_t child = 0;
  process_id process;
  caf_bridge::actor proxy;
};
struct process_ready {
  std::uint64_t child = 0;
  std::string said;
};
struct start_refused {
  std::uint64_t child = 0;
  cloister::error why;
};
struct inner_ready {
  std::uint64_t child = 0;
  result<void> how;
};
struct answered_call {
  std::vector<child_name> path;
  supervision_call what;
  std::shared_ptr<reply_channel> answer_to;
};
struct tick {};
using message = std::variant<supervision_event, process_started, process_ready, start_refused, inner_ready, answered_call, tick>;

note packed(message what) { return {std::make_shared<message>(std::move(what))}; }

// What a supervisor actor is made from: of a root, who is told its life; of one within another, that one, and its number there.
struct setup {
  control_plane::host& hub;
  std::uint64_t root;
  supervisor_spec what;
  owned_fd exit_channel;
  caf_bridge::actor outer;
  std::uint64_t child = 0;
};

// Supervisors within others are named like processes, by numbers that no process gets.
std::uint32_t next_inner_number() {
  static std::atomic<std::uint32_t> last{0};
  return 0x8000'0000U | last.fetch_add(1, std::memory_order_relaxed);
}

class supervisor_actor final : public caf::event_based_actor, private supervision::environment {
 public:
  supervisor_actor(caf::actor_config& config, const std::shared_ptr<setup>& s)
      : caf::event_based_actor(config),
        hub_(s->hub),
        root_(s->root),
        name_(s->what.options.name),
        exit_channel_(std::move(s->exit_channel)),
        outer_(std::move(s->outer)),
        child_of_outer_(s->child),
        machine_(*this, std::move(s->what.options), std::move(s->what.children)) {
    caf_bridge::on_down(*this, [this](const caf_bridge::address& who, exit_status exit, std::string why) {
      or_break_down([&] {
        const auto watched = watched_.find(who);
        if (watched == watched_.end()) return;
        const auto child = watched->second;
        watched_.erase(watched);
        gone(child, std::move(exit), std::move(why));
      });
    });
  }

  caf::behavior make_behavior() override {
    or_break_down([&] { machine_.begin(); });
    return {[this](const note& n) {
      or_break_down([&] { std::visit(*this, std::move(*std::static_pointer_cast<message>(n.content))); });
    }};
  }

  void operator()(supervision_event&& event) {
    if (std::holds_alternative<killed>(event)) killed_ = true;
    machine_.on(std::move(event));
  }
  void operator()(process_started&& start) {
    const auto found = children_.find(start.child);
    if (found == children_.end()) return;
    auto& c = found->second;
    c.process = start.process;
    watched_[start.proxy.address()] = start.child;
    monitor(start.proxy);
    if (killed_) kill(start.child);
    else if (c.early_signal != 0) hub_.signal_child(c.process.incarnation, c.early_signal);
    if (c.ready_ns == 0) return begin(start.child, {});
    if (c.ready_ns >= never_again - now()) return;
    c.ready_by = now() + c.ready_ns;
    due_.emplace(c.ready_by, start.child);
    arm();
  }
  void operator()(process_ready&& ready) {
    const auto found = children_.find(ready.child);
    if (found != children_.end() && !found->second.begun) begin(ready.child, std::move(ready.said));
  }
  void operator()(start_refused&& no) {
    if (children_.erase(no.child) != 0) machine_.on(child_refused{no.child, std::move(no.why)});
  }
  void operator()(inner_ready&& inner) {
    const auto found = children_.find(inner.child);
    if (found == children_.end()) return;
    if (inner.how) return begin(inner.child, {});
    watched_.erase(found->second.inner.address());
    children_.erase(found);
    machine_.on(child_refused{inner.child, inner.how.error()});
  }
  void operator()(answered_call&& call) {
    if (!call.path.empty()) return pass_on(std::move(call));
    const auto to = ++last_call_;
    waiting_.emplace(to, std::move(call.answer_to));
    machine_.on(called{to, std::move(call.what)});
  }
  void operator()(tick&&) {
    tick_at_ = never_again;
    while (!due_.empty() && due_.begin()->first <= now()) {
      const auto child = due_.extract(due_.begin()).value().second;
      const auto found = children_.find(child);
      if (found == children_.end() || found->second.begun) continue;
      found->second.late = true;
      kill(child);
    }
    if (wake_at_ <= now()) {
      wake_at_ = never_again;
      machine_.on(time_came{});
    }
    arm();
  }

 private:
  struct live_child {
    process_id process;
    std::int64_t ready_ns = 0, ready_by = 0;
    int early_signal = 0;  // for its process, which is not known yet
    bool begun = false;    // the machine was told that it has started
    bool late = false;     // killed, because it was not ready
    caf_bridge::actor inner;
  };

  // No memory for what has to be done: nobody may be left without a supervisor.
  template <class Step>
  void or_break_down(Step step) {
    try {
      step();
    } catch (const std::exception& e) { break_down(e.what()); }
  }
  void break_down(const std::string& what) {
    detail::log(log_level::error, "supervisor '" + name_ + "' ends: " + what);
    for (const auto& [child, c] : children_) kill(child);
    if (!outer_) hub_.supervisor_ended(root_);
    leave(exit_status::threw("cloister::failure", what));
  }
  // Those who refer to each other would keep each other.
  void leave(const exit_status& how) {
    children_.clear();
    watched_.clear();
    due_.clear();
    waiting_.clear();
    outer_ = {};
    quit(caf_bridge::to_reason(how));
  }
  void begin(std::uint64_t child, std::string said) {
    auto& c = children_.at(child);
    c.begun = true;
    due_.erase({c.ready_by, child});
    machine_.on(child_started{child, c.process, std::move(said)});
  }
  void gone(std::uint64_t child, exit_status exit, std::string why) {
    const auto found = children_.extract(child);
    if (found.empty()) return;
    const auto& c = found.mapped();
    due_.erase({c.ready_by, child});
    if (c.begun) return machine_.on(child_ended{child, std::move(exit), std::move(why)});
    if (has_declined(exit)) return machine_.on(child_declined{child});
    if (why.empty()) why = c.late ? "it was not ready in time" : "it ended before it was ready: " + exit.text();
    machine_.on(child_refused{child, cloister::error(errc::not_started, why, std::move(exit))});
  }
  void pass_on(answered_call call) {
    auto child = machine_.running(call.path.front());
    if (!child) return call.answer_to->give(child.error());
    const auto found = children_.find(*child);
    if (found == children_.end())
      return call.answer_to->give(cloister::error(errc::restarting, "supervisor '" + name_ + "': that child has just ended"));
    const auto& inner = found->second.inner;
    if (!inner)
      return call.answer_to->give(cloister::error(errc::invalid, "supervisor '" + name_ + "': that child is no supervisor"));
    call.path.erase(call.path.begin());
    caf_bridge::send(inner, packed(std::move(call)));
  }

  // supervision::environment
  void start(std::uint64_t child, const child_spec& spec) override;
  void parted(const child_spec& spec, const exit_status& exit) override {
    if (spec.recipe) hub_.part_from(spec.recipe, exit);
  }
  void ask_to_end(std::uint64_t child) override { end(child, abandoned{}, SIGTERM); }
  void kill(std::uint64_t child) override { end(child, killed{}, SIGKILL); }
  void end(std::uint64_t child, supervision_event word, int signal) {
    const auto found = children_.find(child);
    if (found == children_.end()) return;  // it has ended: the machine will hear of it, or has
    auto& c = found->second;
    if (c.inner) caf_bridge::send(c.inner, packed(std::move(word)));
    else if (c.process.incarnation != 0) hub_.signal_child(c.process.incarnation, signal);
    else c.early_signal = signal;
  }
  std::int64_t now() const override { return deadline::now(); }
  void wake_at(std::int64_t when) override {
    wake_at_ = when;
    arm();
  }
  // CAF keeps a delayed message, and whom it is for, until its time: so there is one, and another only for an earlier time.
  void arm() {
    const auto next = due_.empty() ? wake_at_ : std::min(wake_at_, due_.begin()->first);
    if (next >= tick_at_) return;
    tick_at_ = next;
    caf_bridge::send_to_self(*this, std::chrono::nanoseconds(std::max<std::int64_t>(next - now(), 0)), packed(tick{}));
  }
  void answer(std::uint64_t to, supervision_answer what) override { waiting_.extract(to).mapped()->give(what); }
  void report(supervision_report what) override;
  void ready(result<void> how) override {
    if (outer_) return caf_bridge::send(outer_, packed(inner_ready{child_of_outer_, std::move(how)}));
    const exit_message word = how ? exit_message(internal::started{}) : internal::refused{how.error().code(), how.error().text()};
    static_cast<void>(send_datagram(exit_channel_.get(), encode(word), {}, deadline::passed()));
  }
  void ended(exit_status how) override {
    if (!outer_) {
      static_cast<void>(send_datagram(exit_channel_.get(), encode(exit_message{internal::ended{how}}), {}, deadline::passed()));
      exit_channel_.reset();
      hub_.supervisor_ended(root_);
    }
    leave(how);
  }

  control_plane::host& hub_;
  const std::uint64_t root_;
  const std::string name_;
  owned_fd exit_channel_;
  caf_bridge::actor outer_;
  const std::uint64_t child_of_outer_;
  std::unordered_map<std::uint64_t, live_child> children_;  // from the start that was asked for to its end
  std::map<caf_bridge::address, std::uint64_t> watched_;    // proxies and inner supervisors, by child
  std::unordered_map<std::uint64_t, std::shared_ptr<reply_channel>> waiting_;
  std::uint64_t last_call_ = 0;
  std::set<std::pair<std::int64_t, std::uint64_t>> due_;        // when which child has to be ready
  std::int64_t wake_at_ = never_again, tick_at_ = never_again;  // the machine's wish; what is under way
  bool killed_ = false;
  supervision machine_;
};

class child_ear final : public start_listener {
 public:
  child_ear(caf_bridge::actor to, std::uint64_t child) : to_(std::move(to)), child_(child) {}
  bool started(std::uint32_t incarnation, std::int32_t pid, const std::string& name) noexcept override {
    try {
      auto proxy = caf_bridge::spawn_proxy(to_);
      send(process_started{child_, {incarnation, pid, name}, proxy});
      proxy_ = std::move(proxy);
    } catch (const std::exception&) {}
    return proxy_ != nullptr;
  }
  void refused(cloister::error why) override { send(start_refused{child_, std::move(why)}); }
  void ready(std::string said) override { send(process_ready{child_, std::move(said)}); }
  void ended(const exit_status& exit, const std::string& why) override {
    if (proxy_) caf_bridge::end(proxy_, exit, why);
    else refused({errc::no_memory, "no memory for it in the node's first process"});
  }

 private:
  void send(message what) { caf_bridge::send(to_, packed(std::move(what))); }
  const caf_bridge::actor to_;
  const std::uint64_t child_;
  caf_bridge::actor proxy_;  // once it runs
};

void supervisor_actor::start(std::uint64_t child, const child_spec& spec) {
  auto& c = children_[child];
  c.ready_ns = spec.ready_ns;
  const auto self = caf_bridge::handle_of(*this);
  if (!spec.inner) return hub_.start_child(root_, spec.recipe, std::make_shared<child_ear>(self, child));
  auto what = *spec.inner;
  what.options.name = name_ + "/" + (what.options.name.empty() ? spec.id : what.options.name);
  c.process = {next_inner_number(), 0, what.options.name};
  c.inner =
      caf_bridge::spawn<supervisor_actor>(system(), std::make_shared<setup>(setup{hub_, root_, std::move(what), {}, self, child}));
  watched_[c.inner.address()] = child;
  monitor(c.inner);
  if (killed_) caf_bridge::send(c.inner, packed(supervision_event(killed{})));
}

void supervisor_actor::report(supervision_report what) {
  using kind = supervision_report::kind;
  const std::string child = what.child.id.empty() ? "a child" : "child '" + what.child.id + "'";
  const std::string title = "supervisor '" + name_ + "': " + child;
  const std::string how = what.exit.text() + (what.text.empty() ? "" : " (" + what.text + ")");
  switch (what.what) {
    case kind::started: detail::log(log_level::debug, title + " runs"); break;
    case kind::ended: detail::log(log_level::debug, title + " ended: " + how); break;
    case kind::ended_otherwise: detail::log(log_level::warning, title + " ended otherwise than it was asked to: " + how); break;
    case kind::start_failed: detail::log(log_level::warning, title + " could not be started: " + what.text); break;
    case kind::restarting:
      detail::log(log_level::info, title + " is restarted, for the " + std::to_string(what.child.restarts + 1) + ". time");
      break;
    case kind::gave_up:
      detail::log(log_level::error,
                  "supervisor '" + name_ + "' gives up: too many restarts, the last of " + child + ", which had ended: " + how);
      break;
    case kind::stopped: detail::log(log_level::debug, "supervisor '" + name_ + "' has ended"); break;
  }
  hub_.report(root_, std::move(what));
}

constexpr std::int64_t again_after_failure_ns = 10'000'000;  // there was no memory for the look

// Runs one service. Its notes are functions.
class service_actor final : public caf::event_based_actor {
 public:
  using work = std::function<void(service&)>;
  /// `next_look`: when it wants to be called again, and outlives it.
  service_actor(caf::actor_config& config, std::unique_ptr<service> what, std::int64_t& next_look)
      : caf::event_based_actor(config), service_(std::move(what)), next_look_(next_look) {}

  caf::behavior make_behavior() override {
    return {[this](const note& n) {
      if (n.content != nullptr) or_log([&] { (*std::static_pointer_cast<work>(n.content))(*service_); });
      next_look_ = deadline::now() + again_after_failure_ns;
      or_log([&] { next_look_ = service_->look(deadline::now()); });
    }};
  }

 private:
  template <class Step>
  void or_log(Step step) {
    try {
      step();
    } catch (const std::exception& e) { detail::log(log_level::error, std::string("a supervisor actor: ") + e.what()); }
  }

  const std::unique_ptr<service> service_;
  std::int64_t& next_look_;
};

}  // namespace

struct control_plane::state {
  explicit state(host& h) : hub(h), config(2), system(config) {}
  struct running_service {
    std::int64_t next_look = never_again;
    caf_bridge::actor actor;
  };

  host& hub;
  std::map<const service_entry*, running_service> services;
  caf_bridge::config config;
  caf::actor_system system;
  std::unordered_map<std::uint64_t, caf_bridge::actor> roots;
  caf_bridge::own_thread on_this_thread{system};  // the hub's

  void send(std::uint64_t root, message what) {
    if (const auto to = roots.find(root); to != roots.end()) caf_bridge::send(to->second, packed(std::move(what)));
  }
};

control_plane::control_plane(host& hub) : state_(std::make_unique<state>(hub)) {}

control_plane::~control_plane() {
  for (auto& [number, actor] : state_->roots) caf_bridge::send(actor, packed(supervision_event(killed{})));
  for (auto& [entry, running] : state_->services) caf_bridge::end(running.actor);
}

void control_plane::make(std::uint64_t root, supervisor_spec what, owned_fd exit_channel) {
  auto s = std::make_shared<setup>(setup{state_->hub, root, std::move(what), std::move(exit_channel), {}});
  state_->roots.emplace(root, caf_bridge::spawn<supervisor_actor>(state_->system, std::move(s)));
}

void control_plane::call(std::uint64_t root, std::vector<child_name> path, supervision_call what, owned_fd answer_to) {
  auto reply = std::make_shared<reply_channel>(std::move(answer_to), std::holds_alternative<await_child>(what));
  state_->send(root, answered_call{std::move(path), std::move(what), std::move(reply)});
}

void control_plane::abandon(std::uint64_t root) { state_->send(root, supervision_event(abandoned{})); }

void control_plane::tell(const service_entry& which, const std::function<service_host()>& host_of_it,
                         std::function<void(service&)> what) {
  auto& [next_look, actor] = state_->services[&which];
  if (!actor) actor = state_->on_this_thread.spawn_for<service_actor>(which.make(host_of_it()), next_look);
  state_->on_this_thread.send(actor, note{std::make_shared<service_actor::work>(std::move(what))});
}

std::int64_t control_plane::next_look() const {
  std::int64_t first = never_again;
  for (const auto& [entry, running] : state_->services) first = std::min(first, running.next_look);
  return first;
}

void control_plane::look(std::int64_t now) {
  for (auto& [entry, running] : state_->services)
    if (now >= running.next_look) state_->on_this_thread.send(running.actor, note{});
}

void control_plane::forget(std::uint64_t root) { state_->roots.erase(root); }
bool control_plane::idle() const { return state_->roots.empty(); }

}  // namespace cloister::internal
