// SPDX-License-Identifier: BSD-3-Clause
// The hub's loop: sockets, timers, requests. What it does about them is in the other hub_*.cpp, about objects in registry*.cpp.
#include <cloister/internal/hub.hpp>

#include <cloister/deadline.hpp>
#include <cloister/detail/fork_gate.hpp>
#include <cloister/internal/child.hpp>
#include <cloister/log.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cloister::internal {
namespace {

constexpr std::int64_t look_interval_ns = 250'000'000;
constexpr std::int64_t unwatched_interval_ns = 20'000'000;

struct signals_blocked {
  signals_blocked() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
  }
  ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;
  sigset_t before;
};

}  // namespace

hub::hub(owned_fd launcher, pid_t launcher_pid, launcher_context context, owned_fd first_process)
    : context_(context),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      own_tag_(tag_of(::getpid())),
      launcher_(std::move(launcher)),
      launcher_pid_(launcher_pid),
      objects_(*this) {
  if (!epoll_ || !wake_) throw failure(errc::no_descriptors, "node: no descriptor left for the hub");
  auto first = std::make_unique<member>();
  first->identity = {1, 1, 0, 0};
  first->name = "main";
  first->said_hello = true;
  first->pid = ::getpid();
  first->control = std::move(first_process);
  static_cast<void>(::fcntl(first->control.get(), F_SETFL, O_NONBLOCK));
  watch(first->control.get(), event_key(event_source::control, 1));
  watch(wake_.get(), event_key(event_source::wake));
  if (launcher_) {
    static_cast<void>(::fcntl(launcher_.get(), F_SETFL, O_NONBLOCK));
    watch(launcher_.get(), event_key(event_source::launcher));
  }
  members_.emplace(1, std::move(first));
  living_.set(1);

  // Signals are the business of the program's own threads.
  const signals_blocked during_its_start;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& e) { throw failure(errc::not_started, std::string("node: the hub's thread: ") + e.what()); }
  ::pthread_setname_np(thread_.native_handle(), "cloister hub");  // here, not in it: process::fork right after must see the name
}

hub::~hub() {
  if (!thread_.joinable()) return;
  abandoned_.store(true);
  interrupt();
  join();
}

void hub::join() {
  if (thread_.joinable()) thread_.join();
}

void hub::interrupt() noexcept {
  interrupted_.store(true);
  wake();
}

void hub::wake() const noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
}

void hub::watch(int fd, std::uint64_t what) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = what;
  static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event));
}

void hub::unwatch(owned_fd& fd) noexcept {
  if (fd) static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd.get(), nullptr));
  fd.reset();
}

void hub::run() {
  while (!leaving_ || members_.size() != 1 || (plane_ && !plane_->idle())) {
    try {
      round();
    } catch (const std::exception& e) {
      // No memory for it. What was asked is lost (whoever waits reads end-of-file), what the kernel tells is told again.
      detail::log(log_level::error, std::string("the hub: ") + e.what());
    }
  }
  launcher_.reset();
  if (launcher_pid_ > 0) {
    ::kill(launcher_pid_, SIGCONT);  // should somebody have stopped it: it has to end
    const owned_fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, launcher_pid_, 0)));
    pollfd ended{pidfd.get(), POLLIN, 0};
    if (::poll(&ended, pidfd ? 1 : 0, launcher_patience_ns / 1'000'000) == 0) ::kill(launcher_pid_, SIGKILL);
    ::waitpid(launcher_pid_, nullptr, 0);
  }
  look_at_adopted(true);
  supervisors_.clear();
  drop_posted();  // may know actors
  plane_.reset();
  drop_posted();  // what the last actors, and what was dropped, let go of
}

void hub::round() {
  std::array<epoll_event, 64> events{};
  const auto now = deadline::now();
  const auto timer = unknown_pins_.empty() ? next_timer(now) : now;
  const int timeout = timer < 0 ? -1 : static_cast<int>(std::clamp<std::int64_t>((timer - now + 999'999) / 1'000'000, 0, 60'000));
  const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
  const detail::fork_gate_holder at_work;
  for (int i = 0; i < n; ++i) {
    const auto what = events[static_cast<std::size_t>(i)].data.u64;
    const auto found = members_.find(static_cast<std::uint32_t>(what));
    switch (static_cast<event_source>(what >> 32)) {
      case event_source::control:
        if (found != members_.end()) read_requests(*found->second);
        break;
      case event_source::pidfd:
        if (found != members_.end()) note_pidfd(*found->second);
        break;
      case event_source::launcher: read_reports(); break;
      case event_source::wake: {
        std::uint64_t count = 0;
        static_cast<void>(!::read(wake_.get(), &count, sizeof count));
        if (interrupted_.exchange(false)) begin_shutdown(true);
        do_posted();
        if (abandoned_.load()) leaving_ = true;
        break;
      }
    }
  }
  answer_unknown_pins();
  on_timer(deadline::now());
  bury_the_dead();
  tell_dead_letters();
  pump_launches();
}

std::int64_t hub::next_timer(std::int64_t now) const {
  std::int64_t next = -1;
  const auto at = [&](std::int64_t when) { next = next < 0 ? when : std::min(next, when); };
  // A process that was stopped may have swallowed a wake-up: somebody else must look. One process alone cannot. And pins go by looking.
  if ((objects_.wants_look() && (members_.size() > 1 || objects_.pins() > 0)) || !notices_.empty() || adopted_left_)
    at(next_look_ > 0 ? next_look_ : now + look_interval_ns);
  for (const auto& [incarnation, m] : members_) {
    if (m->kill_at > 0) at(m->kill_at);
    if (m->progress_by > 0) at(m->progress_by);
    if (m->pidfd_readable) at(m->dead_since + status_patience_ns);
    else if (m->unwatched) at(now + unwatched_interval_ns);
  }
  if (launcher_kill_at_ > 0) at(launcher_kill_at_);
  if (plane_ && plane_->next_look() != never_again) at(plane_->next_look());
  return next;
}

void hub::on_timer(std::int64_t now) {
  if (now >= next_look_) {
    next_look_ = now + look_interval_ns;
    objects_.look();
    if (adopted_left_) look_at_adopted();
    std::erase_if(notices_, [this](const waiting_notice& n) { return objects_.delivered(n.queue, n.bytes); });
  }
  if (plane_ && now >= plane_->next_look()) plane_->look(now);
  for (auto& [incarnation, m] : members_) {
    if (m->kill_at > 0 && now >= m->kill_at) {
      m->kill_at = 0;
      kill_for(*m, "did not end in time");
    }
    if (m->progress_by > 0 && now >= m->progress_by)
      kill_for(*m, "showed no progress for " + std::to_string(m->progress_ns / 1'000'000) + " ms");
  }
  if (launcher_kill_at_ > 0 && now >= launcher_kill_at_) {
    launcher_kill_at_ = 0;
    if (!launching_.empty()) ::kill(launcher_pid_, SIGKILL);  // our child, not reaped yet
  }
}

void hub::read_requests(member& from, bool to_the_end) {
  datagram d;
  // A wild process must not keep the hub: the rest waits for the next round. The socket's buffer holds fewer than 512 datagrams (see
  // socket_pair), so that many include everything that was sent before this call.
  for (int n = 0; from.control && n < (to_the_end ? 512 : 64); ++n) {
    const auto status = receive_datagram(from.control.get(), d);
    if (status == receive_status::empty) return;
    if (status == receive_status::ended) {
      control_ended(from);
      return;
    }
    try {
      auto what = decode<request>(d.bytes);
      if (!from.said_hello && !std::holds_alternative<hello>(what)) throw failure(errc::undecodable, "a request before hello");
      act(from, what, d);
    } catch (const failure& f) {
      if (d.truncated) continue;  // no descriptor left here: whoever waits for an answer reads end-of-file, and says so
      // What is not a request was not written by this library: the sender is out of its mind.
      kill_for(from, std::string("sent what is no request: ") + f.what());
      if (from.identity.incarnation != 1)
        unwatch(from.control);  // where its launch is not reported yet, `launched` kills it for that
      return;
    }
  }
}

void hub::drain_all() {
  for (auto& [incarnation, m] : members_) read_requests(*m, true);
}

void hub::control_ended(member& m) {
  unwatch(m.control);
  if (m.identity.incarnation == 1 || !m.pidfd || m.pidfd_readable) return;
  // End-of-file without an exit is suspicion, not proof (it may have exec'd, or closed the descriptor): make sure, then wait for the proof.
  static_cast<void>(::syscall(SYS_pidfd_send_signal, m.pidfd.get(), SIGKILL, nullptr, 0));
}

namespace {

// False if nobody waits for it any more.
bool answer_with(owned_fd& socket, const answer& what, int fd = -1) {
  const auto bytes = encode(what);
  return send_datagram(socket.get(), bytes, fd >= 0 ? std::span<const int>(&fd, 1) : std::span<const int>{}, deadline::passed());
}

// Nobody has the other end any more.
bool left_alone(const owned_fd& channel) {
  pollfd other{channel.get(), 0, 0};
  return ::poll(&other, 1, 0) > 0 && (other.revents & POLLHUP) != 0;
}

owned_fd& need(datagram& d, std::size_t index) {
  if (index >= d.fds.size())
    throw failure(errc::no_descriptors,
                  d.truncated ? "the node's first process has no descriptor left" : "a request without its descriptor");
  return d.fds[index];
}

}  // namespace

bool hub::try_redeem(std::uint32_t by, const std::variant<redeem_pin, get_lane>& what, owned_fd& to, bool last_word) {
  const auto* pin = std::get_if<redeem_pin>(&what);
  auto got = pin != nullptr ? objects_.redeem(by, *pin) : objects_.lane(by, std::get<get_lane>(what));
  if (got == errc::gone && !last_word) return false;
  if (!got) answer_with(to, refused{got.error().code(), got.error().text()});
  else if (answer_with(to, redeemed{got->ref}, got->descriptor.get()) && got->ref.object != 0) objects_.hold(by, got->ref.object);
  return true;
}

// A pin was sent before its message was put, so if a token is not known yet, its pin waits in its sender's socket, or was never sent.
// One pass a round, so that nobody who asks again and again keeps the hub here.
void hub::answer_unknown_pins() {
  if (unknown_pins_.empty()) return;
  auto asked = std::exchange(unknown_pins_, {});
  drain_all();
  for (auto& a : asked) try_redeem(a.by, a.what, a.to, true);
}

void hub::act(member& from, request& what, datagram& d) {
  const auto by = from.identity.incarnation;
  struct visitor {
    hub& h;
    member& from;
    datagram& d;
    std::uint32_t by;

    void operator()(create_object& r) {
      auto& to = need(d, 0);
      const auto made = h.objects_.create(by, r.object, r.options, std::move(need(d, 1)));
      if (made) answer_with(to, done{});
      else answer_with(to, refused{made.error().code(), made.error().text()});
    }
    void operator()(add_role& r) { h.objects_.use(by, r.ref); }
    void operator()(drop_role& r) { h.objects_.drop(by, r.ref); }
    void operator()(start_process& r) { h.start(from, r, d); }
    void operator()(fork_process& r) { h.prepare_fork(from, r, d); }
    void operator()(fork_handover& r) {
      const auto child = h.members_.find(r.incarnation);
      if (child == h.members_.end() || child->second->identity.parent != by) return;
      for (const auto& ref : r.objects) h.objects_.give(by, r.incarnation, ref);
    }
    void operator()(hello&) {
      if (from.said_hello) return;
      from.said_hello = true;
      from.pid = d.pid;
      h.strays_.erase(d.pid);
      if (from.forked) h.runs(from, d.pid);
    }
    void operator()(signal_process& r) {
      const auto to = h.members_.find(r.incarnation);
      if (to != h.members_.end() && (by == 1 || to->second->identity.parent == by || r.incarnation == by)) {
        to->second->asked_to_end = true;
        h.signal(*to->second, r.signal, r.grace_ns);
      }
      if (!d.fds.empty()) answer_with(d.fds[0], done{});
    }
    void operator()(watch_process& r) {
      auto& channel = need(d, 1);
      answer_with(need(d, 0), done{});
      const auto to = h.members_.find(r.incarnation);
      if (to != h.members_.end()) {
        auto& watchers = to->second->watchers;
        std::erase_if(watchers, left_alone);
        watchers.push_back(std::move(channel));
      } else
        static_cast<void>(
            send_datagram(channel.get(), encode(exit_message{ended{h.past_of(r.incarnation).exit}}), {}, deadline::passed()));
    }
    void operator()(monitor_process& r) {
      if (!h.objects_.holds(by, r.queue.object)) return;
      const auto to = h.members_.find(r.incarnation);
      if (to != h.members_.end()) h.add_monitor(*to->second, {r.queue.object, r.letter, r.name, r.pid});
      else h.notify({r.queue.object, r.letter, r.name, r.pid}, r.incarnation, h.past_of(r.incarnation).exit);
    }
    void operator()(end_monitor& r) {
      if (!h.objects_.holds(by, r.queue.object)) return;
      for (auto& [incarnation, m] : h.members_)
        if (r.letter != 0 || incarnation == r.incarnation)
          std::erase_if(m->monitors, [&](const monitor& to) { return to.queue == r.queue.object && to.letter == r.letter; });
    }
    void operator()(link_processes& r) {
      h.link(from, r);
      answer_with(need(d, 0), done{});
    }
    void operator()(pin_handles& r) { h.objects_.pin(by, r, d.fds); }
    void operator()(place_pins& r) { h.objects_.place(by, r); }
    void operator()(cancel_pins& r) { h.objects_.cancel(by, r); }
    void operator()(redeem_pin& r) {
      if (!h.try_redeem(by, r, need(d, 0), false)) h.unknown_pins_.push_back({by, r, std::move(d.fds[0])});
    }
    void operator()(get_bell& r) {
      auto& to = need(d, 0);
      auto got = h.objects_.bell(by, r);
      if (got) answer_with(to, done{}, got->get());
      else answer_with(to, refused{got.error().code(), got.error().text()});
    }
    void operator()(last_words& r) { from.words = std::move(r); }
    void operator()(shut_down& r) {
      if (by != 1) return;
      h.leaving_ = true;
      h.begin_shutdown(r.now);
    }
    void operator()(synchronise&) { answer_with(need(d, 0), done{}); }
    void operator()(say_ready& r) {
      if (std::exchange(from.ready, true)) return;
      if (from.ear.listener && !from.pidfd) from.said = std::move(r.said);  // the launcher's report is on its way
      else if (from.ear.listener) from.ear.listener->ready(std::move(r.said));
      else static_cast<void>(h.say(from.ear, started{by, from.pid}));
      h.has_progressed(from);
    }
    void operator()(introduce& r) { h.objects_.introduce(by, r); }
    void operator()(get_lane& r) {
      if (!h.try_redeem(by, r, need(d, 0), false)) h.unknown_pins_.push_back({by, r, std::move(d.fds[0])});
    }
    void operator()(find_actor& r) { h.find_it(from, r, need(d, 0)); }
    void operator()(stop_actor& r) { h.stop_it(from, r); }
    void operator()(monitor_actor& r) { h.monitor_it(from, r); }
    void operator()(bury_letter& r) { h.bury(from, r); }
    void operator()(subscribe_dead_letters& r) {
      if (!h.objects_.holds(by, r.queue.object)) return;
      h.subscribe(h.dead_letters_, r.queue.object);
    }
    void operator()(show_progress&) { h.has_progressed(from); }
    void operator()(subscribe_reports& r) { h.subscribe(from, r); }
    void operator()(create_small& r) { h.create_small_object(from, r); }
    void operator()(lend_cells& r) { answer_with(need(d, 0), h.lend(from, r, std::move(need(d, 1)))); }
    void operator()(small_call& r) { h.call_small(from, r, d); }
    void operator()(subscribe_service& r) {
      h.watch_service(from, r);
      answer_with(need(d, 0), done{});
    }
    void operator()(make_supervisor& r) { h.make(from, r, std::move(need(d, 0))); }
    void operator()(declare_child& r) { h.declare(from, r, d); }
    void operator()(begin_supervisor& r) { h.begin(from, r); }
    void operator()(call_supervisor& r) { h.call(from, r, d); }
  };
  std::visit(visitor{*this, from, d, by}, what);
}

past_process hub::past_of(std::uint32_t incarnation) const {
  const auto found = std::find_if(past_.begin(), past_.end(), [&](const auto& p) { return p.who.incarnation == incarnation; });
  return found == past_.end() ? past_process{{incarnation, 0, ""}, {}} : *found;
}

}  // namespace cloister::internal
