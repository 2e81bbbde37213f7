// SPDX-License-Identifier: BSD-3-Clause
// This process's place in its node: objects, handles in messages, requests. Forking itself is in membership_fork.cpp.
#include <cloister/detail/membership.hpp>

#include <cloister/detail/child_link.hpp>
#include <cloister/detail/fork_gate.hpp>
#include <cloister/detail/ring.hpp>
#include <cloister/detail/slots.hpp>
#include <cloister/detail/stop.hpp>
#include <cloister/internal/child.hpp>
#include <cloister/internal/control.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cloister::detail {

using namespace internal;

namespace {

membership* here = nullptr;  // set while this process belongs to a node; by its main thread

std::vector<int> numbers(std::span<const owned_fd> fds) {
  std::vector<int> n;
  for (const auto& fd : fds) n.push_back(fd.get());
  return n;
}

// What no process can make up: all memory without a name lies in one filesystem of the kernel's.
std::uint64_t file_number(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) throw failure(errc::broken, "shared memory: it cannot be looked at");
  return info.st_ino;
}

// A request where nothing can be thrown: a hub that cannot be reached is gone, and so is this process in a moment.
void send_quietly(const owned_fd& control, const request& what) noexcept {
  try {
    static_cast<void>(send_datagram(control.get(), encode(what), {}));
  } catch (...) {}
}

}  // namespace

membership* membership::current() noexcept { return self_actor() != 0 ? here : nullptr; }

bool membership::forked_by_user() noexcept { return here != nullptr && self_actor() == 0; }

membership& membership::require() {
  auto* m = current();
  if (m == nullptr)
    throw failure(errc::not_attached, forked_by_user() ? "this process was forked by the program itself and belongs to no node"
                                                       : "this process has no node: make one first, in the first line of main");
  return *m;
}

membership::membership(process_identity id, start_block self, owned_fd control, owned_fd life)
    : id_(id), self_(std::move(self)), control_(std::move(control)), life_(std::move(life)) {
  if (identity == nullptr) {
    void* page = ::mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || ::madvise(page, page_size(), MADV_WIPEONFORK) != 0)
      throw failure(errc::no_memory, "node: no memory for this process's identity");
    identity = static_cast<identity_page*>(page);
    ::pthread_atfork(
        [] {
          if (!holds_fork_gate) before_user_fork();
        },
        [] {
          if (!holds_fork_gate) end_user_fork();
        },
        [] {
          if (!holds_fork_gate) end_user_fork();
          after_user_fork();
        });
  }
  here = this;
  enter(id);
}

membership::~membership() {
  enter({});
  here = nullptr;
  std::vector<std::shared_ptr<attachment>> left;  // let go of without the mutex
  const std::scoped_lock guard(mutex_);
  for (const auto& [id, object] : attached_) {
    auto& last = left.emplace_back(object.lock());
    if (last) last->gone_ = true;
  }
}

void membership::enter(process_identity id) noexcept {
  static std::atomic<std::uint64_t> last_serial{0};
  serial_ = ++last_serial;
  id_ = id;
  identity->incarnation = id.incarnation;
  identity->actor = id.actor;
}

// No fork by another thread copies the hub's in the middle of its work, or a mutex that a third has locked. The gate comes last: who has one
// of the mutexes may wait for the hub.
void membership::before_user_fork() noexcept {
  if (here != nullptr) {
    here->arenas_mutex_.lock();
    here->mutex_.lock();
  }
  fork_gate.acquire();
}

void membership::end_user_fork() noexcept {
  fork_gate.release();
  if (here != nullptr) {
    here->mutex_.unlock();
    here->arenas_mutex_.unlock();
  }
}

// In the child of any fork: it must not keep the node's descriptors open. Its identity was wiped by the kernel. What a started process
// forks ends with the first process, as it does itself; what the first process forks is the program's own business.
void membership::after_user_fork() noexcept {
  if (here == nullptr) return;
  ::close(here->control_.release());
  if (here->id_.parent != 0) {
    if (auto armed = arm_life_pipe(here->life_.get())) here->life_ = std::move(armed);
  }
  if (here->on_fork_ >= 0) ::close(std::exchange(here->on_fork_, -1));
}

// Objects.

std::uint64_t membership::next_object_id() noexcept { return static_cast<std::uint64_t>(id_.incarnation) << 32 | ++last_object_; }
std::uint64_t membership::next_token() noexcept { return static_cast<std::uint64_t>(id_.incarnation) << 32 | ++token_; }

std::shared_ptr<attachment> membership::create(std::unique_ptr<slots> queue, std::uint32_t options) {
  datagram reply;
  ask(control_, create_object{queue->header().id, options}, {queue->fd()}, reply);
  return adopt(std::move(queue), nullptr);
}

std::shared_ptr<attachment> membership::create(std::unique_ptr<ring> pipe) {
  datagram reply;
  ask(control_, create_object{pipe->header().id, 0}, {pipe->fd()}, reply);
  return adopt(nullptr, std::move(pipe));
}

std::shared_ptr<attachment> membership::adopt(std::unique_ptr<slots> queue, std::unique_ptr<ring> pipe) {
  const auto& header = queue ? queue->header() : pipe->header();
  auto made = std::make_shared<attachment>(header.id);
  made->fingerprints_ = header.fingerprints;
  made->name_ = std::string(header.name_view());
  if (queue) {
    queue->set_ringers(made->ringer(0), made->ringer(1));
    made->queue_ = std::move(queue);
  } else {
    for (const unsigned direction : {0U, 1U})
      pipe->set_ringers(direction, made->ringer(2 * direction), made->ringer(2 * direction + 1));
    made->pipe_ = std::move(pipe);
  }
  return adopt(std::move(made));
}

std::shared_ptr<attachment> membership::adopt(std::shared_ptr<arena> home, unsigned place, std::uint64_t object) {
  auto& head = home->head(place);
  auto made = std::make_shared<attachment>(object);
  made->name_ = std::string(head.name_view());
  made->small_ = &head;
  made->home_ = std::move(home);
  return adopt(std::move(made));
}

std::shared_ptr<attachment> membership::adopt(std::shared_ptr<attachment> made) {
  std::unique_lock guard(mutex_);
  auto& known = attached_[made->id()];
  if (auto already = known.lock()) {
    guard.unlock();  // another thread was faster; `made` lets its hold go
    return already;
  }
  known = made;
  return made;
}

std::shared_ptr<attachment> membership::create_small(std::string_view service, std::size_t body, arena::wish w,
                                                     void (*fill)(std::byte* body, const arena::wish& w)) {
  w.object = next_object_id();
  const auto name =
      w.name.empty() ? std::to_string(w.object >> 32) + "." + std::to_string(w.object & 0xffffffff) : std::string(w.name);
  w.name = name;
  const std::scoped_lock guard(arenas_mutex_);
  auto& own = body == arena::small_body ? small_ : large_;
  if (!own.all.empty()) {
    // Not all of them each time: there may be hundreds.
    for (const auto& home : {own.all.back(), own.all[own.next++ % own.all.size()]})
      if (const auto place = home->allocate(w, fill).value()) return announce(service, home, *place, w.object);
  }
  auto home = arena::create(next_object_id(), body).value();
  datagram reply;
  ask(control_, create_object{home->id(), 0}, {home->fd()}, reply);
  own.all.push_back(home);
  arenas_[file_number(home->fd())] = home;
  const auto place = home->allocate(w, fill).value();
  return announce(service, home, place.value(), w.object);
}

// What is in the arena itself is not read again: others may write there.
std::shared_ptr<attachment> membership::announce(std::string_view service, const std::shared_ptr<arena>& home, unsigned place,
                                                 std::uint64_t object) {
  try {
    send_request(control_, internal::create_small{object, home->id(), place, std::string(service)});
  } catch (...) {
    home->release(place);
    throw;
  }
  return adopt(home, place, object);
}

std::shared_ptr<arena> membership::arena_from(memory mapped, std::uint64_t file) {
  const std::scoped_lock guard(arenas_mutex_);
  auto& known = arenas_[file];
  auto home = known.lock();
  if (!home) {
    std::erase_if(arenas_, [&](const auto& a) { return a.first != file && a.second.expired(); });
    home = arena::attach(std::move(mapped)).value();
    arenas_[file] = home;
  }
  return home;
}

cell_pool::held membership::take_cell(deadline until) {
  return cells_->take(
      [&](const cell_block& block, std::uint32_t number) {
        datagram reply;
        ask(control_, lend_cells{number}, {block.fd()}, reply, until);
      },
      until);
}

void membership::tell(std::uint64_t object, std::uint32_t what, const waiting* answer_to, std::uint64_t a, deadline until) {
  small_call call{object, what, 0, 0, a};
  if (answer_to != nullptr) {
    call.cell = answer_to->cell() + 1;
    call.ticket = answer_to->ticket();
  }
  send_request(control_, call, {}, "", until);
}

std::shared_ptr<attachment> membership::find(std::uint64_t object) {
  const std::scoped_lock guard(mutex_);
  const auto found = attached_.find(object);
  return found == attached_.end() ? nullptr : found->second.lock();
}

std::shared_ptr<attachment> membership::attach(std::uint64_t object, owned_fd fd) {
  if (auto known = find(object)) {
    end_use({object, no_role});  // the hub counted one hold more than there are attachments
    return known;
  }
  std::unique_ptr<slots> queue;
  std::unique_ptr<ring> pipe;
  try {
    auto mapped = memory::attach(std::move(fd), "a handle").value();
    const auto checked = [&](const object_header& header) {
      if (header.id != object) throw failure(errc::wrong_type, "a handle names another object than the memory that came with it");
    };
    if (auto as_arena = object_header::read(mapped, object_kind::arena); as_arena) {
      const auto file = file_number(mapped.fd());
      auto home = arena_from(std::move(mapped), file);
      const auto place = home->find(object);
      if (!place) throw failure(errc::wrong_type, "a handle names an object that is not in the memory that came with it");
      return adopt(std::move(home), *place, object);
    }
    if (auto as_queue = object_header::read(mapped, object_kind::queue); as_queue) {
      checked(*as_queue);
      queue = slots::attach(std::move(mapped), as_queue->fingerprints[0]).value();
    } else {
      checked(object_header::read(mapped, object_kind::pipe).value());
      pipe = ring::attach(std::move(mapped)).value();
    }
  } catch (...) {
    end_use({object, no_role});  // the hub counted a hold that there will be no attachment for
    throw;
  }
  return adopt(std::move(queue), std::move(pipe));
}

void membership::begin_use(object_ref ref) noexcept { send_quietly(control_, add_role{ref}); }

void membership::end_use(object_ref ref) noexcept {
  if (ref.role == no_role) {
    const std::scoped_lock guard(mutex_);
    const auto found = attached_.find(ref.object);
    if (found != attached_.end() && found->second.expired()) attached_.erase(found);
  }
  send_quietly(control_, drop_role{ref});
}

// Handles in messages.

void membership::pin(std::uint64_t carrier, unsigned direction, std::span<const std::pair<std::uint64_t, object_ref>> pins,
                     std::span<const int> fds) {
  pin_handles what{carrier, direction, {}};
  for (const auto& [token, ref] : pins) what.pins.push_back({token, ref});
  send_request(control_, std::move(what), fds);
}

void membership::placed(std::uint64_t carrier, unsigned direction, std::span<const std::uint64_t> tokens,
                        std::uint64_t position) noexcept {
  try {
    send_request(control_, place_pins{carrier, direction, {tokens.begin(), tokens.end()}, position});
  } catch (...) {}  // the pins then stay for as long as this process lives
}

void membership::cancel(std::uint64_t carrier, std::span<const std::uint64_t> tokens) noexcept {
  try {
    send_request(control_, cancel_pins{carrier, {tokens.begin(), tokens.end()}});
  } catch (...) {}
}

membership::redeemed_handle membership::redeem(std::uint64_t carrier, std::uint64_t token) {
  datagram reply;
  const auto got = ask(control_, redeem_pin{carrier, token}, {}, reply);
  const auto* handle = std::get_if<redeemed>(&got);
  if (handle != nullptr && !reply.fds.empty()) return {handle->ref, std::move(reply.fds[0])};
  if (handle != nullptr && handle->ref.object != 0) end_use({handle->ref.object, no_role});  // the hub counted a hold
  throw failure(errc::no_descriptors, "this process has no descriptor left for a handle");
}

owned_fd membership::bell(std::uint64_t object, unsigned which) {
  datagram reply;
  ask(control_, get_bell{object, which}, {}, reply);
  if (reply.fds.empty()) throw failure(errc::no_descriptors, "wait: this process has no descriptor left");
  return std::move(reply.fds[0]);
}

// Processes.

owned_fd move_to_memfd(start_block& block) {
  if (block.arguments.size() <= max_inline_arguments) return {};
  auto arguments = make_file("cloister arguments", std::as_bytes(std::span(block.arguments)));
  if (!arguments)
    throw failure(arguments.error().code(),
                  "process '" + block.name + "' start: " +
                      (arguments == errc::no_memory ? "no memory for its arguments" : "this process has no descriptor left"));
  block.arguments.clear();
  block.has_arguments_fd = true;
  return *std::move(arguments);
}

std::shared_ptr<child_link> membership::start(const start_request& what) {
  auto link = begin_start(what);
  link->await_start();
  remember(link);
  return link;
}

std::shared_ptr<child_link> membership::begin_start(const start_request& what) {
  auto block = what.block;
  const owned_fd arguments = move_to_memfd(block);
  const std::string title = "process '" + block.name + "' start: ";
  auto [mine, theirs] = socket_pair(title);
  std::vector<int> fds{theirs.get()};
  if (arguments) fds.push_back(arguments.get());
  for (const int fd : numbers(what.fds)) fds.push_back(fd);
  if (fds.size() + block.objects.size() > max_descriptors)
    throw failure(errc::invalid, "process '" + block.name + "' start: more than " + std::to_string(max_descriptors - 2) +
                                     " handles and descriptors among its arguments");
  auto link = std::make_shared<child_link>(std::move(mine), block.name, block.daemon, block.shutdown_ns);
  send_request(control_, start_process{std::move(block)}, fds, title);
  return link;
}

bool membership::end_start(const std::shared_ptr<child_link>& link) {
  if (!link->has_started()) return false;
  remember(link);
  return true;
}

void membership::remember(const std::shared_ptr<child_link>& link) {
  const std::scoped_lock guard(mutex_);
  std::erase_if(children_, [](const auto& c) { return c.expired(); });
  children_.push_back(link);
}

void membership::signal(std::uint32_t incarnation, int signal, std::int64_t grace_ns) noexcept {
  send_quietly(control_, signal_process{incarnation, signal, grace_ns});
}

void membership::signal_now(std::uint32_t incarnation, int signal) noexcept {
  try {
    datagram reply;
    ask(control_, signal_process{incarnation, signal, 0}, {}, reply);
  } catch (...) { this->signal(incarnation, signal, 0); }
}

owned_fd membership::watch(std::uint32_t incarnation) {
  auto [mine, theirs] = socket_pair("watching a process: ");
  datagram reply;
  ask(control_, watch_process{incarnation}, {theirs.get()}, reply);
  return std::move(mine);
}

std::shared_ptr<child_link> membership::parent() {
  const std::scoped_lock guard(mutex_);
  if (!parent_) {
    auto link = std::make_shared<child_link>(watch(id_.parent), self_.parent_name, false, 0);
    link->assume(id_.parent, id_.parent_pid);
    parent_ = std::move(link);
  }
  return parent_;
}

void membership::keep(std::shared_ptr<child_link> link) {
  const std::scoped_lock guard(mutex_);
  forget_ended();
  kept_.push_back(std::move(link));
}

void membership::forget_ended() {
  // One call for all: there may be thousands.
  std::vector<pollfd> ends;
  for (const auto& k : kept_) ends.push_back({k->sentinel(), POLLIN, 0});
  if (::poll(ends.data(), ends.size(), 0) <= 0) return;
  std::size_t at = 0;
  std::erase_if(kept_, [&](const auto&) { return ends[at++].revents != 0; });
}

void membership::monitor(std::uint32_t incarnation, std::int32_t pid, const std::string& name, object_ref queue) {
  send_request(control_, monitor_process{incarnation, pid, name, queue});
}

void membership::report_exception(const exception_words& what) noexcept {
  constexpr std::size_t longest = 16 * 1024;
  try {
    send_quietly(control_, last_words{what.type.substr(0, longest), what.text.substr(0, longest), what.no_memory});
  } catch (...) {}
}

void membership::shut_down(bool now) noexcept { send_quietly(control_, internal::shut_down{now}); }

void membership::synchronise() {
  datagram reply;
  ask(control_, internal::synchronise{}, {}, reply);
}

std::vector<std::shared_ptr<child_link>> membership::children() {
  std::vector<std::shared_ptr<child_link>> alive;
  const std::scoped_lock guard(mutex_);
  forget_ended();
  std::erase_if(children_, [&](const auto& weak) {
    auto c = weak.lock();
    if (!c || c->poll()) return true;
    alive.push_back(std::move(c));
    return false;
  });
  return alive;
}

void membership::end_children() noexcept {
  try {
    const auto all = children();
    for (const auto& c : all) {
      if (c->daemon() || stop_requested()) signal(c->incarnation(), SIGTERM, std::max<std::int64_t>(c->shutdown_ns(), 1));
    }
    for (const auto& c : all) {
      while (!c->wait(deadline::never())) {  // asked to stop meanwhile: then so are they
        signal(c->incarnation(), SIGTERM, std::max<std::int64_t>(c->shutdown_ns(), 1));
        c->wait_unstoppably();
        break;
      }
    }
  } catch (...) {  // what is left ends with this process
  }
}

std::uint64_t start_handles::put_object(attachment& object, unsigned role) {
  request_.handles.emplace_back(object.shared_from_this(), role);
  request_.block.objects.push_back({object.id(), role});
  return request_.block.objects.size() - 1;
}

std::uint64_t start_handles::put_fd(int fd) {
  owned_fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) throw failure(errc::no_descriptors, "process start: a descriptor among the arguments cannot be duplicated");
  request_.fds.push_back(std::move(copy));
  return request_.block.descriptors++;
}

}  // namespace cloister::detail
