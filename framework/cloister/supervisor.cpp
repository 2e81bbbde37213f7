// SPDX-License-Identifier: BSD-3-Clause
// The supervisor object: declarations and calls on the control socket; its life, as that of a process, on an exit channel.
#include <cloister/supervisor.hpp>

#include <cloister/detail/child_link.hpp>
#include <cloister/detail/membership.hpp>
#include <cloister/internal/control.hpp>

namespace cloister {

using detail::membership;
using namespace internal;

struct supervisor::state {
  std::uint64_t number = 0;
  std::shared_ptr<detail::child_link> link;

  supervision_value call(call_supervisor what, std::vector<int> fds = {}) const {
    what.supervisor = number;
    datagram reply;
    auto got = ask(membership::require().control(), std::move(what), std::move(fds), reply);
    if (auto* value = std::get_if<supervision_value>(&got)) return std::move(*value);
    throw failure(errc::broken, "supervisor '" + link->name() + "': its answer makes no sense");
  }
};

child_recipe::child_recipe(child_options options) : options_(std::move(options)) {
  auto process = options_.process;
  if (process.name.empty()) process.name = options_.id;
  process.daemon = true;  // its supervisor ends it, whoever its starter is
  process.shutdown = options_.shutdown;
  request_ = detail::make_request(start_method::forkserver, process);
}
child_recipe::child_recipe(child_recipe&&) noexcept = default;
child_recipe& child_recipe::operator=(child_recipe&&) noexcept = default;
child_recipe::~child_recipe() = default;

namespace {

// What goes along with a declaration, until it was sent.
struct declared {
  child_declaration child;
  owned_fd arguments;
  std::vector<int> fds;
};

declared declaration_of(const child_options& o, const detail::start_request& request) {
  declared d;
  d.child = {o.id, o.restart, o.significant, o.shutdown.count(), o.delay, request.block};
  d.arguments = detail::move_to_memfd(d.child.block);
  if (d.arguments) d.fds.push_back(d.arguments.get());
  for (const auto& fd : request.fds) d.fds.push_back(fd.get());
  return d;
}

}  // namespace

supervisor::supervisor(const place&, supervisor_options options, std::vector<child_recipe> children) : state_(std::make_unique<state>()) {
  auto& here = membership::require();
  state_->number = here.next_object_id();
  auto [mine, theirs] = socket_pair("supervisor '" + options.name + "' start: ");
  state_->link = std::make_shared<detail::child_link>(std::move(mine), options.name, true, 0);
  const int exit_channel = theirs.get();
  send_request(here.control(), make_supervisor{state_->number, options}, {&exit_channel, 1});
  theirs.reset();
  for (const auto& c : children) {
    auto d = declaration_of(c.options_, *c.request_);
    send_request(here.control(), declare_child{state_->number, std::move(d.child)}, d.fds);
  }
  send_request(here.control(), begin_supervisor{state_->number});
  state_->link->await_start();
}

supervisor::supervisor(supervisor&& other) noexcept = default;

supervisor& supervisor::operator=(supervisor&& other) noexcept {
  if (this != &other) {
    const supervisor old(std::move(*this));
    state_ = std::move(other.state_);
  }
  return *this;
}

supervisor::~supervisor() {
  if (!state_) return;
  try {
    stop();
  } catch (const failure&) {}  // it has ended, or this process is being ended
}

child_info supervisor::add(child_recipe what) const {
  auto d = declaration_of(what.options_, *what.request_);
  call_supervisor call{.what = call_supervisor::call::add};
  call.child = std::move(d.child);
  return std::get<child_info>(state_->call(std::move(call), d.fds));
}

child_info supervisor::start_child() const { return std::get<child_info>(state_->call({.what = call_supervisor::call::add})); }

void supervisor::terminate_child(const std::string& id) const { state_->call({.what = call_supervisor::call::terminate, .who = id}); }

void supervisor::terminate_child(const process_id& who) const {
  state_->call({.what = call_supervisor::call::terminate, .who = who.incarnation});
}

child_info supervisor::restart_child(const std::string& id) const {
  return std::get<child_info>(state_->call({.what = call_supervisor::call::restart, .who = id}));
}

void supervisor::delete_child(const std::string& id) const { state_->call({.what = call_supervisor::call::remove, .who = id}); }

std::vector<child_info> supervisor::which_children() const {
  return std::get<std::vector<child_info>>(state_->call({.what = call_supervisor::call::list}));
}

child_info supervisor::which_child(const std::string& id) const {
  return std::get<child_info>(state_->call({.what = call_supervisor::call::find, .who = id}));
}

child_counts supervisor::count_children() const {
  return std::get<child_counts>(state_->call({.what = call_supervisor::call::count}));
}

void supervisor::change(supervisor_options options, std::vector<child_recipe> children) const {
  for (const auto& c : children) {
    auto d = declaration_of(c.options_, *c.request_);
    send_request(membership::require().control(), declare_child{state_->number, std::move(d.child)}, d.fds);
  }
  call_supervisor call{.what = call_supervisor::call::change};
  call.options = std::move(options);
  state_->call(std::move(call));
}

void supervisor::stop() const { state_->call({.what = call_supervisor::call::stop}); }

exit_status supervisor::join() const { return join(deadline::never()).value(); }
result<exit_status> supervisor::join(deadline until) const { return state_->link->wait(until); }
bool supervisor::is_alive() const { return state_ && !state_->link->poll(); }
const std::string& supervisor::name() const { return state_->link->name(); }

}  // namespace cloister
