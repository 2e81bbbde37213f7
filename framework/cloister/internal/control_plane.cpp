// SPDX-License-Identifier: BSD-3-Clause
// Supervisor actors around `supervision`: its environment is CAF for the ends of processes and for time, and the hub for their starts.
#include <cloister/internal/control_plane.hpp>

#include <cloister/deadline.hpp>
#include <cloister/internal/caf_bridge.hpp>
#include <cloister/internal/control.hpp>
#include <cloister/log.hpp>

#include <csignal>
#include <limits>
#include <map>
#include <unordered_map>

namespace cloister::internal {
namespace {

using caf_bridge::note;

// What a supervisor actor is sent.
struct proxied_start {
  child_started what;
  caf_bridge::actor proxy;
};
struct answered_call {
  supervision_call what;
  owned_fd answer_to;
  bool lives = false;
};
struct tick {
  std::uint64_t serial = 0;
};
using message = std::variant<supervision_event, proxied_start, answered_call, tick>;

note packed(message what) { return {std::make_shared<message>(std::move(what))}; }

struct setup {
  control_plane::host& hub;
  std::uint64_t number;
  supervisor_options options;
  std::vector<child_spec> children;
  owned_fd exit_channel;
};

void tell(const owned_fd& channel, const exit_message& what) {
  static_cast<void>(send_datagram(channel.get(), encode(what), {}, false));
}

class supervisor_actor final : public caf::event_based_actor, private supervision::environment {
 public:
  supervisor_actor(caf::actor_config& config, const std::shared_ptr<setup>& s)
      : caf::event_based_actor(config),
        hub_(s->hub),
        number_(s->number),
        name_(s->options.name),
        exit_channel_(std::move(s->exit_channel)),
        machine_(*this, std::move(s->options), std::move(s->children)) {
    set_down_handler([this](caf::down_msg& down) {
      const auto proxy = children_of_.find(down.source);
      if (proxy == children_of_.end()) return;
      const auto child = proxy->second;
      children_of_.erase(proxy);
      processes_.erase(child);
      machine_.on(child_ended{child, caf_bridge::to_exit(down.reason)});
    });
  }

  caf::behavior make_behavior() override {
    machine_.begin();
    return {[this](const note& n) { std::visit(*this, std::move(*std::static_pointer_cast<message>(n.content))); }};
  }

  void operator()(supervision_event&& event) { machine_.on(std::move(event)); }
  void operator()(proxied_start&& start) {
    processes_[start.what.child] = start.what.process.incarnation;
    children_of_[start.proxy.address()] = start.what.child;
    monitor(start.proxy);
    machine_.on(std::move(start.what));
  }
  void operator()(answered_call&& call) {
    const auto to = ++last_call_;
    waiting_.emplace(to, std::move(call.answer_to));
    named_lives_ = call.lives;
    machine_.on(called{to, std::move(call.what)});
  }
  void operator()(tick&& t) {
    if (t.serial == last_tick_) machine_.on(time_came{});
  }

 private:
  void start(std::uint64_t child, const child_spec& spec) override { hub_.start_child(number_, child, spec.recipe); }
  void ask_to_end(std::uint64_t child) override { signal(child, SIGTERM); }
  void kill(std::uint64_t child) override { signal(child, SIGKILL); }
  void signal(std::uint64_t child, int signal) {
    if (const auto process = processes_.find(child); process != processes_.end()) hub_.signal_child(process->second, signal);
  }
  bool lives(std::uint32_t) const override { return named_lives_; }
  std::int64_t now() const override { return deadline::now(); }
  void wake_at(std::int64_t when) override {
    const auto serial = ++last_tick_;
    if (when == std::numeric_limits<std::int64_t>::max()) return;
    caf_bridge::send_to_self(*this, std::chrono::nanoseconds(std::max<std::int64_t>(when - now(), 0)), packed(tick{serial}));
  }
  void answer(std::uint64_t to, supervision_answer what) override {
    const auto waiting = waiting_.extract(to);
    const internal::answer said = what ? internal::answer(*std::move(what)) : internal::refused{what.error().code(), what.error().text()};
    static_cast<void>(send_datagram(waiting.mapped().get(), encode(said), {}, false));
  }
  void report(supervision_report what) override;
  void ready(result<void> how) override {
    if (how) tell(exit_channel_, internal::started{});
    else tell(exit_channel_, internal::refused{how.error().code(), how.error().text()});
  }
  void ended(exit_status how) override {
    tell(exit_channel_, internal::ended{how});
    exit_channel_.reset();
    hub_.supervisor_ended(number_);
    quit(caf_bridge::to_reason(how));
  }

  control_plane::host& hub_;
  const std::uint64_t number_;
  const std::string name_;
  owned_fd exit_channel_;
  std::map<caf::actor_addr, std::uint64_t> children_of_;         // proxy -> child
  std::unordered_map<std::uint64_t, std::uint32_t> processes_;   // child -> incarnation
  std::unordered_map<std::uint64_t, owned_fd> waiting_;          // call -> where its answer goes
  std::uint64_t last_call_ = 0, last_tick_ = 0;
  bool named_lives_ = false;
  supervision machine_;
};

void supervisor_actor::report(supervision_report what) {
  using kind = supervision_report::kind;
  const std::string child = what.child.id.empty() ? "a child" : "child '" + what.child.id + "'";
  const std::string title = "supervisor '" + name_ + "': " + child;
  switch (what.what) {
    case kind::started: return detail::log(log_level::debug, title + " runs");
    case kind::ended: return detail::log(log_level::debug, title + " ended: " + what.exit.text());
    case kind::ended_otherwise: return detail::log(log_level::warning, title + " ended otherwise than it was asked to: " + what.exit.text());
    case kind::start_failed: return detail::log(log_level::warning, title + " could not be started: " + what.text);
    case kind::restarting: return detail::log(log_level::info, title + " is restarted, for the " + std::to_string(what.restarts) + ". time");
    case kind::gave_up: return detail::log(log_level::error, "supervisor '" + name_ + "' gives up: too many restarts, the last of " + child);
    case kind::stopped: return;
  }
}

}  // namespace

struct control_plane::state {
  explicit state(host& h) : hub(h), config(2), system(config) {}
  host& hub;
  caf_bridge::config config;
  caf::actor_system system;
  std::unordered_map<std::uint64_t, caf_bridge::actor> supervisors;
  std::unordered_map<std::uint32_t, caf_bridge::actor> proxies;

  void send(std::uint64_t supervisor, message what) {
    if (const auto to = supervisors.find(supervisor); to != supervisors.end()) caf_bridge::send(to->second, packed(std::move(what)));
  }
};

control_plane::control_plane(host& hub) : state_(std::make_unique<state>(hub)) {}

control_plane::~control_plane() {
  for (auto& [number, actor] : state_->supervisors) caf_bridge::send(actor, packed(supervision_event(abandoned{})));
  for (auto& [incarnation, proxy] : state_->proxies) caf_bridge::end(proxy, {});
}

void control_plane::make(std::uint64_t supervisor, supervisor_options options, std::vector<child_spec> children, owned_fd exit_channel) {
  auto s = std::make_shared<setup>(setup{state_->hub, supervisor, std::move(options), std::move(children), std::move(exit_channel)});
  state_->supervisors.emplace(supervisor, state_->system.spawn<supervisor_actor>(s));
}

void control_plane::call(std::uint64_t supervisor, supervision_call what, owned_fd answer_to, bool lives) {
  state_->send(supervisor, answered_call{std::move(what), std::move(answer_to), lives});
}

void control_plane::abandon(std::uint64_t supervisor) { state_->send(supervisor, supervision_event(abandoned{})); }

void control_plane::started(std::uint64_t supervisor, child_started what) {
  auto proxy = caf_bridge::spawn_proxy(state_->system);
  state_->proxies.emplace(what.process.incarnation, proxy);
  state_->send(supervisor, proxied_start{std::move(what), std::move(proxy)});
}

void control_plane::refused(std::uint64_t supervisor, child_refused what) { state_->send(supervisor, supervision_event(std::move(what))); }

void control_plane::ended(std::uint32_t incarnation, const exit_status& exit) {
  if (const auto proxy = state_->proxies.extract(incarnation)) caf_bridge::end(proxy.mapped(), exit);
}

void control_plane::forget(std::uint64_t supervisor) { state_->supervisors.erase(supervisor); }

}  // namespace cloister::internal
