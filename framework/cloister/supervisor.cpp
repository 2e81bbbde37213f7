// SPDX-License-Identifier: BSD-3-Clause
// The supervisor object: declarations and calls on the control socket; its life, as that of a process, on an exit channel.
#include <cloister/supervisor.hpp>

#include <cloister/detail/child_link.hpp>
#include <cloister/detail/mailbox.hpp>
#include <cloister/detail/membership.hpp>
#include <cloister/internal/control.hpp>

#include <span>

namespace cloister {

using detail::membership;
using namespace internal;

struct supervisor::state {
  std::uint64_t root = 0;
  std::vector<child_name> path;                    // from the root to this one
  start_method method = start_method::forkserver;  // of children that say none
  std::shared_ptr<detail::child_link> link;

  supervision_value call(call_supervisor what) const {
    what.supervisor = root;
    what.path = path;
    return ask_root(std::move(what));
  }
  /// A call to the supervisor that this one is within, about this one.
  supervision_value call_outer(call_supervisor::call what) const {
    call_supervisor call{.supervisor = root, .path = path, .what = what, .who = path.back()};
    call.path.pop_back();
    return ask_root(std::move(call));
  }
  supervision_value ask_root(call_supervisor what) const {
    datagram reply;
    auto got = ask(membership::require().control(), std::move(what), {}, reply);
    if (auto* value = std::get_if<supervision_value>(&got)) return std::move(*value);
    throw failure(errc::broken, "supervisor '" + link->name() + "': its answer makes no sense");
  }
  /// Its end, when it is not restarted any more, will be heard on the new link.
  void await(const std::string& name) {
    auto [mine, theirs] = socket_pair("supervisor '" + name + "': ");
    link = std::make_shared<detail::child_link>(std::move(mine), name, true, 0);
    call_supervisor call{.supervisor = root, .path = path, .what = call_supervisor::call::await, .who = path.back()};
    call.path.pop_back();
    const int channel = theirs.get();
    send_request(membership::require().control(), call, {&channel, 1});
  }
  /// What the rules say about, without what processes run.
  static std::vector<child_spec> specs_of(const std::vector<child_recipe>& children);
  /// A call, for which these and what is within them are declared.
  supervision_value call_with(std::span<const child_recipe> children, call_supervisor what) const;
  /// Tells the hub of `children`, for the start or call of that number, and has `then` ask for that. If it cannot, the hub forgets them.
  template <class Then>
  auto declare(std::span<const child_recipe> children, std::uint64_t number, Then then) const;
  /// One, within the `within`th supervisor that was declared; `declared` counts these.
  void declare(const child_recipe& what, std::uint64_t number, std::uint32_t within, std::uint32_t& declared) const;
};

child_recipe::child_recipe(child_options options) : options_(std::move(options)) {
  auto process = options_.process;
  if (process.name.empty()) process.name = options_.id;
  process.daemon = true;  // its supervisor ends it, whoever its starter is
  process.shutdown = options_.shutdown.value_or(std::chrono::seconds(5));
  if (process.start == start_method::fork)
    throw failure(errc::invalid, "child '" + options_.id + "': what is started again is not forked: forkserver or spawn");
  request_ = detail::make_request(start_method::forkserver, process);
  request_->block.says_ready = options_.ready_within.count() > 0;
  request_->block.progress_ns = options_.progress_within.count();
}
child_recipe::child_recipe(child_options options, supervisor_options inner, std::vector<child_recipe> children)
    : options_(std::move(options)), inner_(std::move(inner)), children_(std::move(children)) {}
child_recipe::child_recipe(child_recipe&&) noexcept = default;
child_recipe& child_recipe::operator=(child_recipe&&) noexcept = default;
child_recipe::~child_recipe() = default;

child_recipe supervised(child_options options, supervisor_options inner, std::vector<child_recipe> children) {
  return {std::move(options), std::move(inner), std::move(children)};
}

namespace {

child_terms terms_of(const child_options& o, bool is_supervisor) {
  const auto shutdown = o.shutdown.value_or(is_supervisor ? std::chrono::nanoseconds::max() : std::chrono::seconds(5));
  return {o.id, o.restart, o.significant, shutdown.count(), o.delay, o.ready_within.count(), o.progress_within.count()};
}

}  // namespace

std::vector<child_spec> supervisor::state::specs_of(const std::vector<child_recipe>& children) {
  std::vector<child_spec> specs;
  for (const auto& c : children) {
    auto& spec = specs.emplace_back(child_spec{terms_of(c.options_, !c.request_), nullptr, nullptr});
    if (!c.request_) spec.inner = std::make_shared<const supervisor_spec>(supervisor_spec{c.inner_, specs_of(c.children_)});
  }
  return specs;
}

template <class Then>
auto supervisor::state::declare(std::span<const child_recipe> children, std::uint64_t number, Then then) const {
  std::uint32_t declared = 0;
  try {
    for (const auto& c : children) declare(c, number, 0, declared);
    return then();
  } catch (...) {
    if (!children.empty()) send_request(membership::require().control(), begin_supervisor{root, number, true});
    throw;
  }
}

supervision_value supervisor::state::call_with(std::span<const child_recipe> children, call_supervisor what) const {
  what.declared = membership::require().next_token();
  return declare(children, what.declared, [&] { return call(std::move(what)); });
}

void supervisor::state::declare(const child_recipe& what, std::uint64_t number, std::uint32_t within,
                                std::uint32_t& declared) const {
  const auto& control = membership::require().control();
  declare_child d{root, number, within, {terms_of(what.options_, !what.request_), what.inner_}};
  if (!what.request_) {
    send_request(control, d);
    const auto mine = ++declared;
    for (const auto& child : what.children_) declare(child, number, mine, declared);
    return;
  }
  auto& block = d.child.what.emplace<detail::start_block>(what.request_->block);
  if (!what.options_.process.start) block.method = static_cast<std::uint8_t>(method);
  const auto arguments = detail::move_to_memfd(block);
  std::vector<int> fds;
  if (arguments) fds.push_back(arguments.get());
  for (const auto& fd : what.request_->fds) fds.push_back(fd.get());
  send_request(control, d, fds);
}

supervisor::supervisor(const place& where, supervisor_options options, std::vector<child_recipe> children)
    : state_(std::make_unique<state>()) {
  auto& here = membership::require();
  state_->root = here.next_object_id();
  if (where.default_start_method() == start_method::spawn) state_->method = start_method::spawn;
  auto [mine, theirs] = socket_pair("supervisor '" + options.name + "' start: ");
  state_->link = std::make_shared<detail::child_link>(std::move(mine), options.name, true, 0);
  const int exit_channel = theirs.get();
  send_request(here.control(), make_supervisor{state_->root, std::move(options)}, {&exit_channel, 1});
  theirs.reset();
  const auto number = here.next_token();
  state_->declare(children, number, [&] { send_request(here.control(), begin_supervisor{state_->root, number}); });
  state_->link->await_start();
}

supervisor::supervisor(const supervisor& within, child_options as_child, supervisor_options options,
                       std::vector<child_recipe> children)
    : state_(std::make_unique<state>()) {
  const auto made = within.start_child(supervised(std::move(as_child), std::move(options), std::move(children)));
  *state_ = within.here();
  if (made.id.empty()) state_->path.emplace_back(made.process.value().incarnation);
  else state_->path.emplace_back(made.id);
  state_->await(made.process.value().name);
}

supervisor supervisor::find(const supervisor& within, const std::string& id) {
  const auto child = within.which_child(id);
  if (!child.supervisor) throw failure(errc::invalid, "supervisor '" + within.name() + "': child '" + id + "' is no supervisor");
  auto found = std::make_unique<state>(within.here());
  found->path.emplace_back(id);
  found->await(within.name() + "/" + id);
  return supervisor(std::move(found));
}

supervisor::supervisor(std::unique_ptr<state> made) : state_(std::move(made)) {}
supervisor::supervisor(supervisor&& other) noexcept = default;

supervisor& supervisor::operator=(supervisor&& other) noexcept {
  if (this != &other) {
    const supervisor old(std::move(*this));
    state_ = std::move(other.state_);
  }
  return *this;
}

supervisor::~supervisor() {
  if (!state_ || !state_->path.empty()) return;
  try {
    // Nobody waits for the answer, but for the end: also if this process was asked to stop, for its children may end slowly.
    const auto [unused, answer_to] = socket_pair("supervisor stop: ");
    const int channel = answer_to.get();
    send_request(membership::require().control(), call_supervisor{.supervisor = state_->root, .what = call_supervisor::call::stop},
                 {&channel, 1});
    state_->link->wait_unstoppably();
  } catch (const failure&) {}  // this process is no member any more, or can make no descriptor: its children end with it
}

supervisor::state& supervisor::here() const {
  if (!state_) throw failure(errc::invalid, "this supervisor was moved from");
  return *state_;
}

result<void> supervisor::check(const supervisor_options& options, const std::vector<child_recipe>& children) {
  return supervision::check(options, state::specs_of(children));
}

child_info supervisor::start_child(child_recipe what) const {
  return std::get<child_info>(here().call_with({&what, 1}, {.what = call_supervisor::call::add}));
}

child_info supervisor::start_child() const { return std::get<child_info>(here().call({.what = call_supervisor::call::add})); }

void supervisor::terminate_child(const std::string& id) const {
  here().call({.what = call_supervisor::call::terminate, .who = id});
}

void supervisor::terminate_child(const process_id& who) const {
  here().call({.what = call_supervisor::call::terminate, .who = who.incarnation});
}

child_info supervisor::restart_child(const std::string& id) const {
  return std::get<child_info>(here().call({.what = call_supervisor::call::restart, .who = id}));
}

void supervisor::delete_child(const std::string& id) const { here().call({.what = call_supervisor::call::remove, .who = id}); }

std::vector<child_info> supervisor::which_children() const {
  return std::get<std::vector<child_info>>(here().call({.what = call_supervisor::call::list}));
}

child_info supervisor::which_child(const std::string& id) const {
  return std::get<child_info>(here().call({.what = call_supervisor::call::find, .who = id}));
}

child_info supervisor::which_child(const process_id& who) const {
  return std::get<child_info>(here().call({.what = call_supervisor::call::find, .who = who.incarnation}));
}

child_counts supervisor::count_children() const {
  return std::get<child_counts>(here().call({.what = call_supervisor::call::count}));
}

void supervisor::change(supervisor_options options, std::vector<child_recipe> children) const {
  here().call_with(children, {.what = call_supervisor::call::change, .options = std::move(options)});
}

void supervisor::subscribe(const queue<supervision_report>& to) const {
  send_request(membership::require().control(),
               subscribe_reports{here().root, {detail::object_of(to.handle()).id(), detail::no_role}});
}

void supervisor::stop() const {
  if (here().path.empty()) here().call({.what = call_supervisor::call::stop});
  else here().call_outer(call_supervisor::call::terminate);
}

exit_status supervisor::join() const { return join(deadline::never()).value(); }
result<exit_status> supervisor::join(deadline until) const { return here().link->wait(until); }
bool supervisor::is_alive() const { return state_ && !state_->link->poll(); }
const std::string& supervisor::name() const { return here().link->name(); }

}  // namespace cloister
