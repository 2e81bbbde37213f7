// SPDX-License-Identifier: BSD-3-Clause
// The rules: starts, ends, restarts; with the names of OTP's supervisor.erl (Apache-2.0), whose behaviour they follow; the code is our own.
// What a supervisor can be asked is in supervision_calls.cpp.
#include <cloister/internal/supervision.hpp>

#include <algorithm>
#include <csignal>
#include <iterator>
#include <limits>
#include <utility>

namespace cloister {

bool ended_normally(const exit_status& exit) {
  return exit.success() || exit.signal() == SIGTERM || exit.exception_type() == "cloister::orderly_end";
}

}  // namespace cloister

namespace cloister::internal {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

std::int64_t after(std::int64_t now, std::int64_t ns) { return ns >= never - now ? never : now + ns; }

std::int64_t nanoseconds_of(double ns) { return ns >= static_cast<double>(never) ? never : static_cast<std::int64_t>(ns); }

}  // namespace

supervision::supervision(environment& world, supervisor_options options, std::vector<child_spec> all)
    : world_(world), options_(std::move(options)) {
  if (simple()) {
    template_ = std::move(all.front());
    template_.id.clear();
    return;
  }
  for (auto& spec : all) keep(std::move(spec));
}

void supervision::begin() {
  random_.seed(static_cast<std::minstd_rand::result_type>(world_.now()));
  inbox_.begin([&] {
    running_.emplace(run());
    running_->begin();
  });
  if (running_->done()) running_->result();
}

void supervision::on(supervision_event event) {
  if (const auto* call = std::get_if<called>(&event)) {
    if (auto value = answer_question(call->what)) return world_.answer(call->answer_to, *std::move(value));
  }
  if (std::holds_alternative<abandoned>(event)) abandoned_ = true;
  if (const auto* call = std::get_if<called>(&event); call != nullptr && std::holds_alternative<stop_supervisor>(call->what))
    stopped_ = true;
  if (starting_ != nullptr && is_end_of(event, *starting_)) end_start();
  if (std::holds_alternative<killed>(event)) {
    abandoned_ = killed_ = true;
    for (auto& c : children_)
      if (c.state != child_state::stopped && c.state != child_state::restarting) world_.kill(c.number);
  }
  if (const auto* call = std::get_if<called>(&event))
    if (const auto* await = std::get_if<await_child>(&call->what)) return wait_for(call->answer_to, await->who);
  inbox_.put(std::move(event));
  if (running_ && running_->done()) running_->result();  // throws what ended it
}

task<> supervision::run() {
  const auto any = [](const supervision_event&) { return true; };
  for (auto next = children_.begin(); next != children_.end();) {
    auto& c = *next++;
    auto runs = co_await start(c);
    if (!runs || is_over()) {
      const std::string why = runs ? "it was ended meanwhile" : runs.error().text();
      if (!runs) report(supervision_report::kind::start_failed, c, {}, why);
      const std::string text = "supervisor '" + options_.name + "' start: child '" + c.spec.id + "': " + why;
      co_await end_all();
      world_.ready(cloister::error(errc::not_started, text));
      world_.ended(exit_status::threw("cloister::failure", text));
      co_return;
    }
    if (!*runs && c.spec.restart == temporary) forget(c);
  }
  world_.ready({});
  std::string why = "stopped";
  std::vector<std::uint64_t> stoppers;
  for (;;) {
    auto event = co_await inbox_.take(any);
    if (const auto* call = std::get_if<called>(&event); call != nullptr && std::holds_alternative<stop_supervisor>(call->what)) {
      stoppers.push_back(call->answer_to);
      break;
    }
    const auto next = co_await handle(std::move(event));
    if (next == step::end) {
      why = stopped_ ? "stopped" : "ended by itself";
      break;
    }
  }
  co_await end_all();
  for (auto& event : inbox_.drain()) {
    if (const auto* call = std::get_if<called>(&event)) {
      if (std::holds_alternative<stop_supervisor>(call->what)) stoppers.push_back(call->answer_to);
      else world_.answer(call->answer_to, cloister::error(errc::gone, "supervisor '" + options_.name + "': it has ended"));
    }
  }
  for (const auto to : stoppers) world_.answer(to, supervision_value());
  template_ = {};  // whoever keeps this a moment longer keeps nothing of the children
  const auto exit = killed_ ? exit_status::signaled(SIGKILL) : exit_status::threw("cloister::orderly_end", why);
  world_.report({supervision_report::kind::stopped, options_.name, {}, exit});
  world_.ended(exit);
}

// ------------------------------------------------------------------------------------------------------------- events

task<supervision::step> supervision::handle(supervision_event event) {
  if (auto* call = std::get_if<called>(&event)) co_return co_await handle_call(std::move(*call));
  if (const auto* gone = std::get_if<child_ended>(&event)) {
    auto* c = by_number(gone->child);
    if (c == nullptr || c->state != child_state::running) co_return step::go_on;
    co_return co_await child_gone(*c, *gone);
  }
  if (const auto* retry = std::get_if<retry_child>(&event)) {
    auto* c = by_number(retry->child);
    if (c == nullptr || c->state != child_state::restarting) co_return step::go_on;
    co_return co_await restart(*c);
  }
  if (std::holds_alternative<abandoned>(event) || std::holds_alternative<killed>(event)) co_return step::end;
  if (std::holds_alternative<time_came>(event)) {
    const auto now = world_.now();
    std::vector<std::uint64_t> due;
    std::erase_if(retries_, [&](const auto& r) {
      if (r.first <= now) due.push_back(r.second);
      return r.first <= now;
    });
    for (const auto number : due) {
      auto* c = by_number(number);
      if (c == nullptr || c->state != child_state::restarting) continue;
      if (co_await attempt(*c) == step::end) co_return step::end;
    }
    schedule();
  }
  co_return step::go_on;
}

// ------------------------------------------------------------------------------------------------------ ends, restarts

task<supervision::step> supervision::child_gone(child& c, child_ended gone) {
  const auto& exit = c.last_exit = std::move(gone.exit);
  report(supervision_report::kind::ended, c, exit, std::move(gone.why));
  c.state = child_state::stopped;
  c.process.reset();
  if (c.spec.restart == permanent || (c.spec.restart == transient && !ended_normally(exit))) co_return co_await restart(c);
  const bool last = ends_with(c);
  drop_or_stop(c);
  co_return last ? step::end : step::go_on;
}

bool supervision::ends_with(const child& c) const {
  if (!c.spec.significant || options_.auto_shutdown == no_auto_shutdown) return false;
  return options_.auto_shutdown == any_significant || std::none_of(children_.begin(), children_.end(), [&](const child& other) {
           return &other != &c && other.spec.significant && other.state != child_state::stopped;
         });
}

bool supervision::too_many_restarts() {
  const auto now = world_.now();
  restarts_.push_back(now);
  while (restarts_.front() < now - options_.period.count()) restarts_.pop_front();
  return restarts_.size() > options_.intensity;
}

task<supervision::step> supervision::restart(child& c) {
  if (is_over()) co_return step::end;
  if (too_many_restarts()) {
    c.state = child_state::stopped;
    report(supervision_report::kind::gave_up, c, c.last_exit);
    co_return step::end;
  }
  const auto& delay = c.spec.delay;
  if (delay.first.count() == 0) co_return co_await attempt(c);
  const bool fresh = c.delay == 0 || world_.now() - c.started_at > delay.most.count();
  c.delay = fresh ? delay.first.count() : std::min(delay.most.count(), nanoseconds_of(static_cast<double>(c.delay) * delay.factor));
  std::uniform_real_distribution<double> varied(1 - delay.jitter, 1 + delay.jitter);
  c.state = child_state::restarting;
  retries_.emplace_back(after(world_.now(), nanoseconds_of(static_cast<double>(c.delay) * varied(random_))), c.number);
  schedule();
  co_return step::go_on;
}

task<supervision::step> supervision::attempt(child& c) {
  report(supervision_report::kind::restarting, c);
  if (options_.strategy == one_for_all || options_.strategy == rest_for_one) co_return co_await restart_group(c);
  auto runs = co_await start(c);
  if (!runs) try_again(c, runs.error());
  else if (!*runs && simple()) forget(c);
  co_return step::go_on;
}

task<supervision::step> supervision::restart_group(child& failed) {
  const auto is_first = [&](const child& c) { return options_.strategy == one_for_all ? &c == &children_.front() : &c == &failed; };
  failed.state = child_state::stopped;
  children::iterator at = children_.end();
  for (bool first = false; !first;) {
    child& c = *--at;
    first = is_first(c);
    co_await end(c);
    if (c.spec.restart == temporary) {
      ++at;
      forget(c);
    } else {
      c.comes_back = true;
    }
  }
  while (at != children_.end() && !is_over()) {
    child& c = *at++;
    auto runs = co_await start(c);
    if (!runs) {
      try_again(c, runs.error());
      break;
    }
  }
  co_return step::go_on;
}

void supervision::try_again(child& c, const cloister::error& why) {
  report(supervision_report::kind::start_failed, c, {}, why.text());
  c.state = child_state::restarting;
  inbox_.put(retry_child{c.number});
}

task<result<bool>> supervision::start(child& c) {
  const auto number = ++last_number_;
  by_number_.erase(std::exchange(c.number, number));
  by_number_[number] = &c;
  c.state = child_state::starting;
  world_.start(number, c.spec);
  c.comes_back = false;
  starting_ = &c;
  kill_start_at_ = never;
  // It may be wanted no more since before it was its turn.
  if (is_over() || inbox_.holds([&](const supervision_event& e) { return is_end_of(e, c); })) end_start();
  auto event = co_await await_start(number);
  starting_ = nullptr;
  if (auto* refused = std::get_if<child_refused>(&event)) {
    c.state = child_state::stopped;
    co_return std::move(refused->why);
  }
  if (std::holds_alternative<child_declined>(event)) {
    c.last_exit = exit_status::threw("cloister::declined", "");
    report(supervision_report::kind::ended, c, c.last_exit);
    c.state = child_state::stopped;
    co_return false;
  }
  c.state = child_state::running;
  c.process = std::move(std::get<child_started>(event).process);
  c.said = std::move(std::get<child_started>(event).said);
  if (std::exchange(c.has_run, true)) ++c.restarts;
  if (simple()) {
    by_incarnation_.erase(std::exchange(c.named_by, c.process->incarnation));
    by_incarnation_[c.named_by] = &c;
  }
  c.started_at = world_.now();
  if (c.spec.restart == temporary) {  // it is never started again
    c.spec.recipe.reset();
    if (c.spec.inner) c.spec.inner = std::make_shared<const supervisor_spec>();
  }
  report(supervision_report::kind::started, c);
  co_return true;
}

task<supervision_event> supervision::await_start(std::uint64_t number) {
  for (;;) {
    auto event = co_await inbox_.take([this, number](const supervision_event& e) {
      if (const auto* s = std::get_if<child_started>(&e)) return s->child == number;
      if (const auto* r = std::get_if<child_refused>(&e)) return r->child == number;
      if (const auto* d = std::get_if<child_declined>(&e)) return d->child == number;
      return kill_start_at_ != never && std::holds_alternative<time_came>(e);
    });
    if (!std::holds_alternative<time_came>(event)) {
      if (kill_start_at_ != never) schedule();
      co_return event;
    }
    if (world_.now() >= kill_start_at_) {
      kill_start_at_ = never;
      world_.kill(number);
      schedule();
    } else {
      world_.wake_at(kill_start_at_);
    }
  }
}

// What is wanted no more need not have started before it ends.
bool supervision::is_end_of(const supervision_event& event, const child& c) const {
  if (std::holds_alternative<abandoned>(event)) return true;
  const auto* call = std::get_if<called>(&event);
  if (call == nullptr) return false;
  if (std::holds_alternative<stop_supervisor>(call->what)) return true;
  const auto* end_it = std::get_if<terminate_child>(&call->what);
  if (end_it == nullptr) return false;
  const auto* id = std::get_if<std::string>(&end_it->who);
  return id != nullptr ? !simple() && *id == c.spec.id : simple() && std::get<std::uint32_t>(end_it->who) == c.named_by;
}

void supervision::end_start() {
  if (kill_start_at_ != never) return;
  if (starting_->spec.shutdown_ns < 0) return world_.kill(starting_->number);
  world_.ask_to_end(starting_->number);
  kill_start_at_ = after(world_.now(), starting_->spec.shutdown_ns);
  if (kill_start_at_ != never) world_.wake_at(kill_start_at_);
}

// --------------------------------------------------------------------------------------------------------- ending them

task<std::optional<child_ended>> supervision::await_end(std::int64_t until) {
  std::optional<child_ended> ended;
  for (;;) {
    world_.wake_at(until);
    auto event = co_await inbox_.take([&](const supervision_event& e) {
      if (std::holds_alternative<time_came>(e)) return true;
      const auto* gone = std::get_if<child_ended>(&e);
      const auto* c = gone != nullptr ? by_number(gone->child) : nullptr;
      return c != nullptr && c->state == child_state::ending;
    });
    if (auto* gone = std::get_if<child_ended>(&event)) {
      ended = std::move(*gone);
      break;
    }
    if (world_.now() >= until) break;  // else it was for a restart, which has to wait
  }
  schedule();
  co_return ended;
}

task<> supervision::end(child& c) {
  c.comes_back = false;
  std::erase_if(retries_, [&](const auto& r) { return r.second == c.number; });
  if (c.state != child_state::running) {
    c.state = child_state::stopped;
    co_return;
  }
  const std::vector<child*> alone{&c};
  co_await end_together(alone);
}

// Asks all of them at once; they have the same time, which begins now.
task<> supervision::end_together(const std::vector<child*>& all) {
  const auto begun = world_.now();
  bool killing = false;
  std::int64_t until = begun;
  for (auto* c : all) {
    c->state = child_state::ending;
    if (c->spec.shutdown_ns < 0 || killed_) {
      world_.kill(c->number);
    } else {
      world_.ask_to_end(c->number);
      until = std::max(until, after(begun, c->spec.shutdown_ns));
    }
  }
  for (std::size_t left = all.size(); left > 0;) {
    const auto ended = co_await await_end(killing ? never : until);
    if (!ended) {
      killing = true;
      for (auto* c : all)
        if (c->state == child_state::ending) world_.kill(c->number);
      continue;
    }
    child& c = *by_number(ended->child);
    c.last_exit = ended->exit;
    const bool expected =
        c.spec.shutdown_ns < 0 || killed_ ? ended->exit.signal() == SIGKILL : ended_normally(ended->exit) || abandoned_;
    report(expected ? supervision_report::kind::ended : supervision_report::kind::ended_otherwise, c, ended->exit, ended->why);
    c.state = child_state::stopped;
    c.process.reset();
    --left;
  }
}

task<> supervision::end_all() {
  retries_.clear();
  if (simple()) {
    std::vector<child*> all;
    for (auto& c : children_)
      if (c.state == child_state::running) all.push_back(&c);
    co_await end_together(all);
  } else {
    for (auto c = children_.rbegin(); c != children_.rend(); ++c) co_await end(*c);
  }
  while (!children_.empty()) forget(children_.back());
}

// ---------------------------------------------------------------------------------------------------------- small things

void supervision::has_ended(child& c) {
  world_.parted(c.spec, c.last_exit);
  const auto waiting = awaited_.extract(&c);
  if (waiting.empty()) return;
  for (const auto to : waiting.mapped()) world_.answer(to, supervision_value(c.last_exit));
}

supervision::child* supervision::by_number(std::uint64_t number) {
  const auto found = by_number_.find(number);
  return found == by_number_.end() ? nullptr : found->second;
}

supervision::child& supervision::keep(child_spec spec) {
  child& c = children_.emplace_back();
  c.self = std::prev(children_.end());
  c.spec = std::move(spec);
  if (!simple()) by_id_[c.spec.id] = &c;
  return c;
}

void supervision::forget(child& c) {
  has_ended(c);
  by_number_.erase(c.number);
  by_incarnation_.erase(c.named_by);
  if (!simple()) by_id_.erase(c.spec.id);
  children_.erase(c.self);
}

void supervision::drop_or_stop(child& c) {
  if (simple() || c.spec.restart == temporary) return forget(c);
  has_ended(c);
}

child_info supervision::info(const child& c) const {
  return {c.spec.id,
          c.state,
          c.process,
          c.spec.restart,
          c.spec.significant,
          c.spec.inner != nullptr,
          std::chrono::nanoseconds(c.spec.shutdown_ns),
          c.restarts,
          c.process ? c.said : std::string()};
}

void supervision::report(supervision_report::kind what, const child& c, const exit_status& exit, std::string text) {
  world_.report({what, options_.name, info(c), exit, std::move(text)});
}

void supervision::schedule() {
  auto next = never;
  for (const auto& [when, number] : retries_) next = std::min(next, when);
  world_.wake_at(next);
}

}  // namespace cloister::internal
