// SPDX-License-Identifier: BSD-3-Clause
// The hub's part in supervision: it keeps what children are made from, starts them for supervisor actors, and tells of their ends.
#include <cloister/internal/hub.hpp>

#include <csignal>
#include <utility>

#include <fcntl.h>
#include <sys/eventfd.h>

namespace cloister::internal {

// What a child is started from, again and again. Shared by the supervisor's specification and starts under way; the last to let go of it, on
// whatever thread, has the hub let go of its objects.
struct hub::recipe {
  hub& owner;
  std::uint32_t holder = 0;
  detail::start_block block;
  std::vector<owned_fd> fds;  // the block's own descriptors

  recipe(hub& h, std::uint32_t who) : owner(h), holder(who) {}
  recipe(const recipe&) = delete;
  recipe& operator=(const recipe&) = delete;
  ~recipe() {
    std::vector<std::uint64_t> held;
    for (const auto& ref : block.objects) held.push_back(ref.object);
    owner.post([held = std::move(held), who = holder](hub& h) {
      for (const auto object : held) h.objects_.drop(who, {object, detail::no_role});
    });
  }
};

void hub::post(std::function<void(hub&)> what) {
  {
    const std::scoped_lock guard(posted_mutex_);
    posted_.push_back(std::move(what));
  }
  const std::uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
}

void hub::do_posted() {
  std::vector<std::function<void(hub&)>> now;
  {
    const std::scoped_lock guard(posted_mutex_);
    now.swap(posted_);
  }
  for (auto& what : now) what(*this);
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
  if (what.options.name.empty()) what.options.name = "supervisor-" + std::to_string(what.supervisor >> 32) + "." + std::to_string(what.supervisor & 0xffffffff);
  supervised s;
  s.owner = from.identity.incarnation;
  s.holder = next_incarnation();
  s.options = std::move(what.options);
  s.exit_channel = std::move(exit_channel);
  supervisors_.emplace(what.supervisor, std::move(s));
}

result<child_spec> hub::spec_from(member& from, supervised& s, child_declaration& child, std::vector<owned_fd> fds, bool truncated) {
  const std::string title = "supervisor '" + s.options.name + "': child '" + child.id + "': ";
  if (truncated) return {errc::no_descriptors, title + "the node's first process has no descriptor left"};
  if (auto good = may_start(from.identity.incarnation, child.block, fds.size(), title); !good) return good.error();
  auto made = std::make_shared<recipe>(*this, s.holder);
  for (const auto& ref : child.block.objects) objects_.hold(s.holder, ref.object);
  made->block = std::move(child.block);
  made->fds = std::move(fds);
  child_spec spec;
  spec.id = std::move(child.id);
  spec.restart = child.restart;
  spec.significant = child.significant;
  spec.shutdown_ns = child.shutdown_ns;
  spec.delay = child.delay;
  spec.recipe = std::move(made);
  return spec;
}

void hub::declare(member& from, declare_child& what, datagram& d) {
  auto* s = supervisor_of(from, what.supervisor);
  if (s == nullptr) return;
  auto spec = spec_from(from, *s, what.child, std::move(d.fds), d.truncated);
  if (spec) s->declared.push_back(*std::move(spec));
  else if (!s->wrong) s->wrong = spec.error();
}

void hub::begin(member& from, begin_supervisor& what) {
  auto* s = supervisor_of(from, what.supervisor);
  if (s == nullptr || s->runs) return;
  auto children = std::exchange(s->declared, {});
  result<void> good = s->wrong ? result<void>(*s->wrong) : supervision::check(s->options, children);
  if (good && shutting_down_) good = cloister::error(errc::interrupted, "supervisor '" + s->options.name + "' start: the node is shutting down");
  if (good) {
    s->runs = true;
    return plane().make(what.supervisor, s->options, std::move(children), std::move(s->exit_channel));
  }
  static_cast<void>(send_datagram(s->exit_channel.get(), encode(exit_message{refused{good.error().code(), good.error().text()}}), {}, false));
  supervisors_.erase(what.supervisor);
}

void hub::call(member& from, call_supervisor& what, datagram& d) {
  using call = call_supervisor::call;
  if (d.fds.empty()) return;
  owned_fd answer_to = std::move(d.fds.front());
  d.fds.erase(d.fds.begin());
  const auto refuse = [&](const cloister::error& e) {
    static_cast<void>(send_datagram(answer_to.get(), encode(answer{refused{e.code(), e.text()}}), {}, false));
  };
  auto* s = supervisor_of(from, what.supervisor);
  if (s == nullptr) return refuse({errc::gone, "supervisor: it has ended"});
  supervision_call asked = list_children{};
  switch (what.what) {
    case call::add: {
      add_child add;
      if (what.child) {
        auto spec = spec_from(from, *s, *what.child, std::move(d.fds), d.truncated);
        if (!spec) return refuse(spec.error());
        add.spec = *std::move(spec);
      }
      asked = std::move(add);
      break;
    }
    case call::terminate: asked = terminate_child{std::move(what.who)}; break;
    case call::restart: asked = restart_child{std::move(what.who)}; break;
    case call::remove: asked = delete_child{std::move(what.who)}; break;
    case call::list: break;
    case call::find: asked = find_child{std::move(what.who)}; break;
    case call::count: asked = count_children{}; break;
    case call::change: {
      const auto wrong = std::exchange(s->wrong, std::nullopt);
      change_specs change{what.options.value_or(s->options), std::exchange(s->declared, {})};
      if (wrong) return refuse(*wrong);
      asked = std::move(change);
      break;
    }
    case call::stop: asked = stop_supervisor{}; break;
    default: throw failure(errc::undecodable, "a supervisor's call that there is not");
  }
  const auto* process = std::get_if<std::uint32_t>(&what.who);
  plane().call(what.supervisor, std::move(asked), std::move(answer_to), process != nullptr && members_.contains(*process));
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

void hub::start_child(std::uint64_t supervisor, std::uint64_t child, std::shared_ptr<const void> what) {
  post([supervisor, child, what = std::move(what)](hub& h) {
    const auto& r = *static_cast<const recipe*>(what.get());
    const auto s = h.supervisors_.find(supervisor);
    const auto refuse = [&](cloister::error e) { h.plane().refused(supervisor, {child, std::move(e)}); };
    if (s == h.supervisors_.end() || h.shutting_down_) return refuse({errc::interrupted, "the node is shutting down, or nobody wants it any more"});
    std::vector<owned_fd> fds;
    for (const auto& fd : r.fds) {
      fds.push_back(fd.duplicate());
      if (!fds.back()) return refuse({errc::no_descriptors, "the node's first process has no descriptor left"});
    }
    const auto owner = h.members_.find(s->second.owner);
    if (owner == h.members_.end()) return refuse({errc::gone, "its supervisor's owner has ended"});
    h.launch(*owner->second, s->second.holder, r.block, std::move(fds), {{}, supervisor, child});
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

void hub::supervisor_ended(std::uint64_t supervisor) {
  post([supervisor](hub& h) {
    h.supervisors_.erase(supervisor);
    if (h.plane_) h.plane_->forget(supervisor);
  });
}

}  // namespace cloister::internal
