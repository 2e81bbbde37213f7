// SPDX-License-Identifier: BSD-3-Clause
// What a supervisor can be asked to do, and asked about; and whether what it is made from makes sense. The answers are those of OTP.
#include <cloister/internal/supervision.hpp>

#include <set>
#include <utility>

namespace cloister::internal {
namespace {

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
  const auto wrong = [&](const std::string& what) -> result<void> {
    return {errc::invalid, "supervisor '" + o.name + "': " + what};
  };
  if (o.strategy > simple_one_for_one) return wrong("its strategy is none of the four");
  if (o.auto_shutdown > all_significant) return wrong("its auto_shutdown is none of the three");
  if (o.period.count() <= 0) return wrong("its period is not more than 0");
  if (o.strategy == simple_one_for_one && o.auto_shutdown != no_auto_shutdown)
    return wrong("simple_one_for_one has no auto_shutdown");
  if (o.strategy == simple_one_for_one && all.size() != 1) return wrong("simple_one_for_one needs exactly one specification");
  std::set<std::string> ids;
  for (const auto& c : all) {
    if (auto good = check_child(o, c); !good) return good;
    if (!ids.insert(c.id).second) return wrong("two children have the id '" + c.id + "'");
  }
  return {};
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
                                "supervisor '" + options_.name + "': there is a child '" + what.spec.id + "' already" +
                                    (stopped ? ", which is not running" : ""));
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
  return cloister::error(errc::not_found,
                         "supervisor '" + options_.name + "': there is no child " +
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
  if ((*found)->state == child_state::stopped && !(*found)->comes_back) return world_.answer(answer_to, supervision_value((*found)->last_exit));
  awaited_[*found].push_back(answer_to);
}

}  // namespace cloister::internal
