// SPDX-License-Identifier: BSD-3-Clause
// The rules, in the order and with the names of OTP's supervisor.erl (Apache-2.0), whose behaviour they follow; the code is our own.
#include <cloister/internal/supervision.hpp>

#include <algorithm>
#include <csignal>
#include <iterator>
#include <limits>
#include <set>
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

result<void> check_child(const supervisor_options& options, const child_spec& c) {
  const bool simple = options.strategy == simple_one_for_one;
  const auto wrong = [&](const std::string& what) -> result<void> {
    return {errc::invalid, "supervisor '" + options.name + "': child '" + c.id + "': " + what};
  };
  if (c.id.empty() && !simple) return wrong("its id is empty");
  if (c.restart > temporary) return wrong("its restart type is none of the three");
  if (c.shutdown_ns < 0 && c.shutdown_ns != brutal_kill.count()) return wrong("its shutdown is negative, and not brutal_kill");
  if (c.delay.first.count() < 0 || c.delay.most < c.delay.first) return wrong("its back-off's times are out of order");
  if (!(c.delay.factor >= 1)) return wrong("its back-off's factor is less than 1");
  if (!(c.delay.jitter >= 0 && c.delay.jitter <= 1)) return wrong("its back-off's jitter is not between 0 and 1");
  if (c.ready_ns < 0) return wrong("its ready_within is negative");
  if (c.progress_ns < 0) return wrong("its progress_within is negative");
  if (c.inner && (c.ready_ns > 0 || c.progress_ns > 0)) return wrong("a supervisor has no ready_within and no progress_within");
  if (c.significant && c.restart == permanent) return wrong("a permanent child cannot be significant");
  if (c.significant && options.auto_shutdown == no_auto_shutdown)
    return wrong("it is significant, and its supervisor has no auto_shutdown");
  if (c.inner) return supervision::check(c.inner->options, c.inner->children);
  return {};
}

}  // namespace

result<void> supervision::check(const supervisor_options& o, const std::vector<child_spec>& all) {
  const auto wrong = [&](const std::string& what) -> result<void> { return {errc::invalid, "supervisor '" + o.name + "': " + what}; };
  if (o.strategy > simple_one_for_one) return wrong("its strategy is none of the four");
  if (o.auto_shutdown > all_significant) return wrong("its auto_shutdown is none of the three");
  if (o.period.count() <= 0) return wrong("its period is not more than 0");
  if (o.strategy == simple_one_for_one && o.auto_shutdown != no_auto_shutdown) return wrong("simple_one_for_one has no auto_shutdown");
  if (o.strategy == simple_one_for_one && all.size() != 1) return wrong("simple_one_for_one needs exactly one specification");
  std::set<std::string> ids;
  for (const auto& c : all) {
    if (auto good = check_child(o, c); !good) return good;
    if (!ids.insert(c.id).second) return wrong("two children have the id '" + c.id + "'");
  }
  return {};
}

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
  inbox_.begin([&] {
    running_.emplace(run());
    running_->begin();
  });
  if (running_->done()) running_->result();
}

void supervision::on(supervision_event event) {
  if (const auto* call = std::get_if<called>(&event)) {
    if (auto answer = answer_question(call->what)) return world_.answer(call->answer_to, *std::move(answer));
  }
  if (std::holds_alternative<abandoned>(event)) abandoned_ = true;
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
    if (!runs || abandoned_) {
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
      why = "ended by itself";
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

task<supervision::step> supervision::handle_call(called call) {
  const auto refuse = [&](errc code, const std::string& text) {
    world_.answer(call.answer_to, cloister::error(code, "supervisor '" + options_.name + "': " + text));
  };
  if (auto* what = std::get_if<add_child>(&call.what)) {
    auto added = co_await add(std::move(*what));
    world_.answer(call.answer_to, std::move(added));
    co_return step::go_on;
  }
  if (auto* what = std::get_if<change_specs>(&call.what)) {
    world_.answer(call.answer_to, change(std::move(*what)));
    co_return step::go_on;
  }
  const auto* end_it = std::get_if<terminate_child>(&call.what);
  const auto* again = std::get_if<restart_child>(&call.what);
  const auto* remove = std::get_if<delete_child>(&call.what);
  const auto& who = end_it != nullptr ? end_it->who : again != nullptr ? again->who : remove->who;
  if (simple() && (end_it == nullptr || std::holds_alternative<std::string>(who))) {
    refuse(errc::unsupported, "simple_one_for_one: its children have no ids, and end with their processes");
    co_return step::go_on;
  }
  auto found = find(who);
  if (!found) {
    // Under simple_one_for_one a child that has ended is forgotten: ending it again is no mistake.
    if (simple() && !end_it->lives) world_.answer(call.answer_to, supervision_value());
    else world_.answer(call.answer_to, found.error());
    co_return step::go_on;
  }
  child& c = **found;
  if (end_it != nullptr) {
    co_await end(c);
    drop_or_stop(c);
    world_.answer(call.answer_to, supervision_value());
  } else if (c.state == child_state::running) {
    refuse(errc::running, "child '" + c.spec.id + "' is running");
  } else if (c.state == child_state::restarting) {
    refuse(errc::restarting, "child '" + c.spec.id + "' is being restarted");
  } else if (remove != nullptr) {
    forget(c);
    world_.answer(call.answer_to, supervision_value());
  } else if (auto runs = co_await start(c); runs) {
    world_.answer(call.answer_to, supervision_value(info(c)));
  } else {
    world_.answer(call.answer_to, runs.error());
  }
  co_return step::go_on;
}

task<result<supervision_value>> supervision::add(add_child what) {
  if (simple()) {
    auto spec = template_;
    if (what.spec.recipe) spec.recipe = std::move(what.spec.recipe);
    what.spec = std::move(spec);
  } else {
    if (auto good = check_child(options_, what.spec); !good) co_return good.error();
    if (const auto found = find(what.spec.id)) {
      const bool stopped = (*found)->state == child_state::stopped;
      co_return cloister::error(stopped ? errc::already_present : errc::already_started,
                                "supervisor '" + options_.name + "': there is a child '" + what.spec.id + "' already" + (stopped ? ", which is not running" : ""));
    }
  }
  child& c = keep(std::move(what.spec));
  auto runs = co_await start(c);
  if (!runs) {
    forget(c);
    co_return runs.error();
  }
  const auto said = info(c);
  if (!*runs && (simple() || c.spec.restart == temporary)) forget(c);
  co_return supervision_value(said);
}

result<supervision_value> supervision::change(change_specs what) {
  what.options.name = options_.name;
  if ((what.options.strategy == simple_one_for_one) != simple())
    return {errc::invalid, "supervisor '" + options_.name + "': it cannot become simple_one_for_one, nor cease to be"};
  if (auto good = check(what.options, what.children); !good) return good.error();
  options_ = std::move(what.options);
  if (simple()) {
    const auto old = std::exchange(template_, std::move(what.children.front()));
    template_.id.clear();
    for (auto& c : children_) {
      if (c.spec.restart == temporary) continue;  // what it was started from is forgotten
      const bool own = c.spec.recipe != old.recipe;
      auto recipe = std::exchange(c.spec, template_).recipe;
      if (own) c.spec.recipe = std::move(recipe);
    }
    return supervision_value();
  }
  // The order is the new one; what is not named stays behind it.
  children others = std::move(children_);
  children_.clear();
  for (auto& spec : what.children) {
    const auto old = by_id_.find(spec.id);
    if (old == by_id_.end()) {
      keep(std::move(spec));
    } else {
      children_.splice(children_.end(), others, old->second->self);
      old->second->spec = std::move(spec);
    }
  }
  children_.splice(children_.end(), others);
  return supervision_value();
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
  if (restarts_.size() <= options_.intensity) return false;
  return true;
}

task<supervision::step> supervision::restart(child& c) {
  if (abandoned_) co_return step::end;
  if (too_many_restarts()) {
    c.state = child_state::stopped;
    report(supervision_report::kind::gave_up, c, c.last_exit);
    co_return step::end;
  }
  const auto& delay = c.spec.delay;
  if (delay.first.count() == 0) co_return co_await attempt(c);
  const bool fresh = c.delay == 0 || world_.now() - c.started_at > delay.most.count();
  c.delay = fresh ? delay.first.count()
                  : static_cast<std::int64_t>(std::min(static_cast<double>(delay.most.count()), static_cast<double>(c.delay) * delay.factor));
  std::uniform_real_distribution<double> varied(1 - delay.jitter, 1 + delay.jitter);
  c.state = child_state::restarting;
  retries_.emplace_back(after(world_.now(), static_cast<std::int64_t>(static_cast<double>(c.delay) * varied(random_))), c.number);
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
    }
  }
  while (at != children_.end() && !abandoned_) {
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
  auto event = co_await inbox_.take([number](const supervision_event& e) {
    if (const auto* s = std::get_if<child_started>(&e)) return s->child == number;
    if (const auto* r = std::get_if<child_refused>(&e)) return r->child == number;
    const auto* d = std::get_if<child_declined>(&e);
    return d != nullptr && d->child == number;
  });
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
    const bool expected = c.spec.shutdown_ns < 0 || killed_
                              ? ended->exit.signal() == SIGKILL
                              : ended_normally(ended->exit) || abandoned_;
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

std::optional<supervision_answer> supervision::answer_question(const supervision_call& call) {
  if (std::holds_alternative<list_children>(call)) {
    std::vector<child_info> all;
    for (auto c = children_.rbegin(); c != children_.rend(); ++c) all.push_back(info(*c));
    return supervision_value(std::move(all));
  }
  if (std::holds_alternative<count_children>(call)) {
    child_counts n;
    for (const auto& c : children_) {
      ++n.specs;
      ++(c.spec.inner ? n.supervisors : n.workers);
      n.active += c.process.has_value() ? 1 : 0;
    }
    if (simple()) n.specs = 1;
    return supervision_value(n);
  }
  if (const auto* which = std::get_if<find_child>(&call)) {
    if (simple() && std::holds_alternative<std::string>(which->who))
      return cloister::error(errc::unsupported, "supervisor '" + options_.name + "': simple_one_for_one: its children have no ids");
    auto found = find(which->who);
    if (!found) return found.error();
    return supervision_value(info(**found));
  }
  return std::nullopt;
}

result<supervision::child*> supervision::find(const child_name& who) {
  const auto* id = std::get_if<std::string>(&who);
  if (id != nullptr) {
    if (const auto found = by_id_.find(*id); found != by_id_.end()) return found->second;
  } else if (const auto found = by_incarnation_.find(std::get<std::uint32_t>(who)); found != by_incarnation_.end()) {
    return found->second;
  }
  return cloister::error(errc::not_found, "supervisor '" + options_.name + "': there is no child " +
                                              (id != nullptr ? "'" + *id + "'" : "of process " + std::to_string(std::get<std::uint32_t>(who))));
}

result<std::uint64_t> supervision::running(const child_name& who) {
  auto found = find(who);
  if (!found) return found.error();
  if ((*found)->state == child_state::running) return (*found)->number;
  return {(*found)->state == child_state::stopped ? errc::not_started : errc::restarting,
          "supervisor '" + options_.name + "': child '" + (*found)->spec.id + "' is not running"};
}

void supervision::wait_for(std::uint64_t answer_to, const child_name& who) {
  auto found = find(who);
  if (!found) return world_.answer(answer_to, found.error());
  if ((*found)->state == child_state::stopped) return world_.answer(answer_to, supervision_value((*found)->last_exit));
  awaited_[*found].push_back(answer_to);
}

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
  return {c.spec.id, c.state, c.process, c.spec.restart, c.spec.significant, c.spec.inner != nullptr, std::chrono::nanoseconds(c.spec.shutdown_ns),
          c.restarts, c.process ? c.said : std::string()};
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
