// SPDX-License-Identifier: BSD-3-Clause
// The hub's part in supervision: it keeps what children are made from, starts them for supervisor actors, and tells of their ends.
#include <cloister/internal/hub.hpp>
#include <cloister/log.hpp>

#include <algorithm>
#include <csignal>
#include <utility>

namespace cloister::internal {

// What a child is started from, again and again. It holds the child's objects as a process does, in the child's roles, so that a pipe's
// end stays open between a process and its successor. Shared by the supervisor's specification and starts under way; the last to let go
// of it, on whatever thread, has the hub let go of its objects.
struct hub::recipe {
  hub& owner;
  const std::uint32_t holder;  // an incarnation of its own
  detail::start_block block;
  std::vector<owned_fd> fds;  // the block's own descriptors

  explicit recipe(hub& h) : owner(h), holder(h.next_incarnation()) {}
  recipe(const recipe&) = delete;
  recipe& operator=(const recipe&) = delete;
  ~recipe() {
    try {
      owner.post([who = holder](hub& h) { h.objects_.leave(who); });
    } catch (const std::exception&) {}  // no memory: they are held on
  }
};

void hub::post(std::function<void(hub&)> what) {
  {
    const std::scoped_lock guard(posted_mutex_);
    posted_.push_back(std::move(what));
  }
  wake();
}

void hub::do_posted() {
  std::vector<std::function<void(hub&)>> now;
  {
    const std::scoped_lock guard(posted_mutex_);
    now.swap(posted_);
  }
  for (auto& what : now) {
    try {
      what(*this);
    } catch (const std::exception& e) { detail::log(log_level::error, std::string("the hub: ") + e.what()); }
  }
}

// What is let go of here may post in its turn.
void hub::drop_posted() {
  for (bool some = true; some;) {
    std::vector<std::function<void(hub&)>> now;
    const std::scoped_lock guard(posted_mutex_);
    now.swap(posted_);
    some = !now.empty();
  }
}

control_plane& hub::plane() {
  if (!plane_) plane_ = std::make_unique<control_plane>(static_cast<control_plane::host&>(*this));
  return *plane_;
}

hub::supervised* hub::supervisor_of(const member& from, std::uint64_t number) {
  const auto found = supervisors_.find(number);
  return found == supervisors_.end() || found->second.owner != from.identity.incarnation ? nullptr : &found->second;
}

void hub::make(member& from, make_supervisor& what, owned_fd exit_channel) {
  if (what.supervisor >> 32 != from.identity.incarnation || supervisors_.contains(what.supervisor))
    throw failure(errc::undecodable, "a supervisor's number that is not its maker's to give");
  if (what.options.name.empty())
    what.options.name = "supervisor-" + std::to_string(what.supervisor >> 32) + "." + std::to_string(what.supervisor & 0xffffffff);
  supervised s;
  s.owner = from.identity.incarnation;
  s.options = std::move(what.options);
  s.exit_channel = std::move(exit_channel);
  supervisors_.emplace(what.supervisor, std::move(s));
}

result<child_spec> hub::spec_from(member& from, supervised& s, child_declaration& child, std::vector<owned_fd> fds,
                                  bool truncated) {
  child_spec spec{std::move(child.terms), nullptr, nullptr};
  if (auto* options = std::get_if<supervisor_options>(&child.what)) {
    spec.inner = std::make_shared<const supervisor_spec>(supervisor_spec{std::move(*options), {}});
    return spec;
  }
  auto& block = std::get<detail::start_block>(child.what);
  const std::string title = "supervisor '" + s.options.name + "': child '" + spec.id + "': ";
  if (truncated) return {errc::no_descriptors, title + "the node's first process has no descriptor left"};
  if (auto good = may_start(from.identity.incarnation, block, fds.size(), title); !good) return good.error();
  auto made = std::make_shared<recipe>(*this);
  for (const auto& ref : block.objects) {
    objects_.hold(made->holder, ref.object);
    objects_.use(made->holder, ref);
  }
  made->block = std::move(block);
  made->fds = std::move(fds);
  spec.recipe = std::move(made);
  return spec;
}

void hub::declare(member& from, declare_child& what, datagram& d) {
  constexpr unsigned most_depth = 64;  // what walks through a tree calls itself
  auto* s = supervisor_of(from, what.supervisor);
  if (s == nullptr) return;
  auto& all = s->declared[what.call];
  if (all.wrong) return;
  auto spec = spec_from(from, *s, what.child, std::move(d.fds), d.truncated);
  if (spec && what.within > all.depths.size())
    spec = cloister::error(errc::invalid, "supervisor '" + s->options.name + "': a child of what was not declared");
  if (spec && spec->inner) {
    all.depths.push_back(what.within == 0 ? 1 : all.depths[what.within - 1] + 1);
    if (all.depths.back() > most_depth)
      spec = cloister::error(errc::invalid, "supervisor '" + s->options.name + "': more than " + std::to_string(most_depth) +
                                                " supervisors within one another");
  }
  if (spec) all.children.emplace_back(what.within, *std::move(spec));
  else all.wrong = spec.error();
}

// What was declared, as the tree that it is, and no more: what is within something was declared after it.
result<std::vector<child_spec>> hub::take_declared(supervised& s, std::uint64_t call) {
  auto declared = s.declared.extract(call);
  if (declared.empty()) return std::vector<child_spec>();
  auto& [children, depths, wrong] = declared.mapped();
  if (wrong) return *wrong;
  auto number = depths.size();
  std::vector<std::vector<child_spec>> within(number + 1);
  for (auto d = children.rbegin(); d != children.rend(); ++d) {
    auto& [where, spec] = *d;
    if (spec.inner) {
      auto& own = within[number--];
      std::reverse(own.begin(), own.end());
      spec.inner = std::make_shared<const supervisor_spec>(supervisor_spec{spec.inner->options, std::move(own)});
    }
    within[where].push_back(std::move(spec));
  }
  std::reverse(within[0].begin(), within[0].end());
  return std::move(within[0]);
}

void hub::begin(member& from, begin_supervisor& what) {
  auto* s = supervisor_of(from, what.supervisor);
  if (s == nullptr) return;
  if (what.forget) {
    s->declared.erase(what.call);
    if (!s->runs) supervisors_.erase(what.supervisor);
    return;
  }
  if (s->runs) return;
  auto children = take_declared(*s, what.call);
  auto good = children ? supervision::check(s->options, *children) : result<void>(children.error());
  if (good && shutting_down_)
    good = cloister::error(errc::interrupted, "supervisor '" + s->options.name + "' start: the node is shutting down");
  if (good) {
    try {
      plane().make(what.supervisor, {s->options, *std::move(children)}, std::move(s->exit_channel));
      s->runs = true;
      return;
    } catch (const std::exception& e) {
      good = cloister::error(errc::not_started, "supervisor '" + s->options.name + "' start: " + e.what());
    }
  }
  static_cast<void>(send_datagram(s->exit_channel.get(), encode(exit_message{refused{good.error().code(), good.error().text()}}),
                                  {}, deadline::passed()));
  supervisors_.erase(what.supervisor);
}

void hub::call(member& from, call_supervisor& what, datagram& d) {
  using call = call_supervisor::call;
  if (d.fds.empty()) return;
  owned_fd answer_to = std::move(d.fds.front());
  const auto refuse = [&](const cloister::error& e) {
    static_cast<void>(send_datagram(answer_to.get(), encode(answer{refused{e.code(), e.text()}}), {}, deadline::passed()));
  };
  auto* s = supervisor_of(from, what.supervisor);
  if (s == nullptr) return refuse({errc::gone, "supervisor: it has ended"});
  supervision_call asked = list_children{};
  switch (what.what) {
    case call::add:
    case call::change: {
      auto declared = take_declared(*s, what.declared);
      if (!declared) return refuse(declared.error());
      if (what.what == call::change) {
        asked = change_specs{what.options.value_or(s->options), *std::move(declared)};
        break;
      }
      if (declared->size() > 1) return refuse({errc::invalid, "supervisor '" + s->options.name + "': one child at a time"});
      add_child add;
      if (!declared->empty()) add.spec = std::move(declared->front());
      asked = std::move(add);
      break;
    }
    case call::terminate: {
      const auto* process = std::get_if<std::uint32_t>(&what.who);
      const bool lives = process != nullptr && members_.contains(*process);
      asked = terminate_child{std::move(what.who), lives};
      break;
    }
    case call::restart: asked = restart_child{std::move(what.who)}; break;
    case call::remove: asked = delete_child{std::move(what.who)}; break;
    case call::list: break;
    case call::find: asked = find_child{std::move(what.who)}; break;
    case call::count: asked = count_children{}; break;
    case call::stop: asked = stop_supervisor{}; break;
    case call::await: asked = await_child{std::move(what.who)}; break;
    default: throw failure(errc::undecodable, "a supervisor's call that there is not");
  }
  plane().call(what.supervisor, std::move(what.path), std::move(asked), std::move(answer_to));
}

void hub::subscribe(member& from, subscribe_reports& what) {
  auto* s = supervisor_of(from, what.supervisor);
  if (s == nullptr || !objects_.holds(from.identity.incarnation, what.queue.object)) return;
  subscribe(s->subscribers, what.queue.object);
}

void hub::abandon_supervisors(std::uint32_t owner) {
  for (auto s = supervisors_.begin(); s != supervisors_.end();) {
    if (owner != 0 && s->second.owner != owner) {
      ++s;
      continue;
    }
    if (s->second.runs) plane().abandon(s->first);
    s = supervisors_.erase(s);
  }
}

// What actors ask, on their threads.

void hub::start_child(std::uint64_t root, std::shared_ptr<const void> what, std::shared_ptr<start_listener> ear) {
  post([root, what = std::move(what), ear = std::move(ear)](hub& h) {
    try {
      h.start_from(*static_cast<const recipe*>(what.get()), root, ear);
    } catch (const std::exception& e) { ear->refused({errc::no_memory, e.what()}); }
  });
}

void hub::start_from(const recipe& r, std::uint64_t root, const std::shared_ptr<start_listener>& ear) {
  const auto s = supervisors_.find(root);
  if (s == supervisors_.end() || shutting_down_)
    return ear->refused({errc::interrupted, "the node is shutting down, or nobody wants it any more"});
  std::vector<owned_fd> fds;
  for (const auto& fd : r.fds) {
    fds.push_back(fd.duplicate());
    if (!fds.back()) return ear->refused({errc::no_descriptors, "the node's first process has no descriptor left"});
  }
  const auto owner = members_.find(s->second.owner);
  if (owner == members_.end()) return ear->refused({errc::gone, "its supervisor's owner has ended"});
  for (const auto& ref : r.block.objects) objects_.resume(r.holder, ref);
  launch(*owner->second, r.holder, r.block, std::move(fds), {{}, root, ear});
}

void hub::part_from(std::shared_ptr<const void> what, const exit_status& exit) {
  post([what = std::move(what), exit](hub& h) {
    const auto& r = *static_cast<const recipe*>(what.get());
    for (const auto& ref : r.block.objects) h.objects_.part(r.holder, ref, exit);
  });
}

void hub::signal_child(std::uint32_t incarnation, int signal) {
  post([incarnation, signal](hub& h) {
    const auto to = h.members_.find(incarnation);
    if (to == h.members_.end()) return;
    to->second->asked_to_end = true;
    h.signal(*to->second, signal, 0);
  });
}

void hub::report(std::uint64_t root, supervision_report what) {
  post([root, what = std::move(what)](hub& h) mutable {
    const auto s = h.supervisors_.find(root);
    if (s == h.supervisors_.end()) return;
    h.publish(s->second.subscribers, [&](std::uint64_t missed) {
      what.missed = missed;
      return encode(what);
    });
  });
}

// Whoever is there already is not told twice; those whose queue is gone go.
void hub::subscribe(std::vector<subscriber>& all, std::uint64_t queue) {
  std::erase_if(all, [&](const subscriber& s) { return s.queue == queue || !objects_.exists(s.queue); });
  all.push_back({queue});
}

// Whoever has closed its queue, or has none any more, is forgotten.
void hub::publish(std::vector<subscriber>& to, const std::function<std::vector<std::byte>(std::uint64_t missed)>& write) {
  std::erase_if(to, [&](subscriber& s) {
    const auto done = objects_.deliver(s.queue, write(s.missed));
    s.missed = done ? 0 : s.missed + 1;
    return done == errc::gone || done == errc::closed;
  });
}

void hub::supervisor_ended(std::uint64_t root) {
  post([root](hub& h) {
    h.supervisors_.erase(root);
    if (h.plane_) h.plane_->forget(root);
  });
}

}  // namespace cloister::internal
