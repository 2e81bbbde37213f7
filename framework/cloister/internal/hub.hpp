// SPDX-License-Identifier: BSD-3-Clause
// The hub: the node's one thread that sees every death. It registers objects and processes, has the launcher start what was asked for,
// passes descriptors, and when a process is dead (readable pidfd: a proof, never a time-out) repairs what it used and tells who waits.
//
// Owner: the node, in the first process. It never waits for a process: it reads without blocking and writes single answers into
// fresh sockets. It runs no user code. Order at a death: status, the dead one's socket to the end, repair of all mailboxes for all the
// dead at once, what stands behind the small objects that they had, then the exit channels; so whoever sees the end finds everything put right.
#pragma once

#include <cloister/fd.hpp>
#include <cloister/internal/control.hpp>
#include <cloister/internal/control_plane.hpp>
#include <cloister/internal/launcher.hpp>
#include <cloister/internal/registry.hpp>

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace cloister {
struct dead_letter;
}

namespace cloister::internal {

/// What an epoll event of the hub is about: the incarnation in the low half of its data, this above.
enum class event_source : std::uint64_t { control, pidfd, launcher, wake };
constexpr std::uint64_t event_key(event_source s, std::uint32_t incarnation = 0) {
  return static_cast<std::uint64_t>(s) << 32 | incarnation;
}

/// After a proven death: how long the launcher may take to tell the status, before the hub looks itself; what it cannot see is unknown.
inline constexpr std::int64_t status_patience_ns = 1'000'000'000;
/// In a shutdown: how long the launcher may take to give back what it was to start, or to end.
inline constexpr std::int64_t launcher_patience_ns = 1'000'000'000;

class hub final : private control_plane::host, private registry::host {
 public:
  /// `launcher`: its socket to the hub (may be empty: the first start executes one), its context for executing it again.
  hub(owned_fd launcher, pid_t launcher_pid, launcher_context context, owned_fd first_process);
  /// If its thread still runs: ends all processes, and waits for them.
  ~hub();
  hub(const hub&) = delete;
  hub& operator=(const hub&) = delete;

  /// From a signal handler of the first process: the node is stopping. Async-signal-safe.
  void interrupt() noexcept;
  /// Waits until every process has ended, after shut_down was requested on the first process's control socket.
  void join();

 private:
  struct monitor {
    std::uint64_t queue = 0;
    std::uint64_t letter = 0;  // if not 0, as a letter for that monitor
    std::string name;
    std::int32_t pid = 0;
  };
  /// Who hears of a start and of the end: an exit channel, or a supervisor actor under that root.
  struct starter_ear {
    owned_fd channel;
    std::uint64_t root = 0;
    std::shared_ptr<start_listener> listener;
  };
  struct member {
    detail::process_identity identity;
    std::string name;
    bool daemon = false;
    bool asked_to_end = false;  // its abnormal exit is no news
    bool forked = false;        // forked by its parent, not by the launcher
    bool said_hello = false;
    pid_t pid = 0;
    int early_signal = 0;  // to be sent as soon as it can be
    owned_fd pidfd, control;
    bool pidfd_readable = false;
    bool unwatched = false;       // there was no descriptor for it: killed, and asked for by its number until it is gone
    std::int64_t dead_since = 0;  // when the pidfd became readable; the status may take a moment longer
    std::optional<int> wait_status;
    std::optional<last_words> words;
    std::int64_t shutdown_ns = 0;
    std::int64_t kill_at = 0;  // escalation of a SIGTERM; 0: none
    std::int64_t progress_ns = 0,
                 progress_by = 0;  // how often it promised to show progress, and until when it is next due; 0: never
    std::string killed_for;        // by the hub
    bool says_ready = false;       // its start is over when it says so
    bool ready = false;
    std::string said;  // with it, while its supervisor has not heard of its start
    process_limits limits;
    starter_ear ear;
    std::vector<owned_fd> watchers;  // exit channels of others than its starter
    std::vector<monitor> monitors;
    std::vector<std::uint32_t> links;  // incarnations, each of which has this one
    std::vector<std::shared_ptr<detail::cell_block>> cells;
  };
  struct pending_start {
    std::uint32_t incarnation = 0;
    launch_method method = launch_method::fork;
    std::vector<std::byte> bytes;  // launch_header and block
    std::vector<owned_fd> fds;
    unsigned tries = 0;
  };
  struct unknown_pin {
    std::uint32_t by = 0;
    std::variant<redeem_pin, get_lane> what;
    owned_fd to;
  };
  struct waiting_notice {
    std::uint64_t queue = 0;
    std::vector<std::byte> bytes;
  };

  void run();
  void round();
  std::int64_t next_timer(std::int64_t now) const;
  void on_timer(std::int64_t now);
  void read_requests(member& from, bool to_the_end = false);
  void drain_all() override;  // whatever was sent before this call has been acted on after it
  void act(member& from, request& what, datagram& d);
  bool try_redeem(std::uint32_t by, const std::variant<redeem_pin, get_lane>& what, owned_fd& to, bool last_word);
  void answer_unknown_pins();
  void control_ended(member& m);
  past_process past_of(std::uint32_t incarnation) const;

  // hub_processes.cpp
  result<void> may_start(std::uint32_t holder, const detail::start_block& block, std::size_t descriptors,
                         const std::string& title) const;
  void start(member& by, start_process& what, datagram& d);
  void launch(member& by, std::uint32_t holder, detail::start_block block, std::vector<owned_fd> fds, starter_ear ear);
  bool say(const starter_ear& ear, const exit_message& word);
  void prepare_fork(member& by, fork_process& what, datagram& d);
  std::uint32_t next_incarnation() noexcept;
  member& add_member(const member& by, const detail::start_block& block);
  bool no_more_starts(const member& by) const noexcept;
  void pump_launches();
  bool ensure_launcher();
  void fail_launches(errc code, const std::string& text);
  void read_reports();
  void launcher_ended();
  void launched(member& m, pid_t pid, owned_fd pidfd, bool reaped = false);
  void runs(member& m, pid_t pid);  // the same, of a process that has said so itself
  void start_failed(member& m, errc code, const std::string& text);
  static void has_progressed(member& m);
  static int send_signal(const owned_fd& pidfd, int signal) noexcept;
  void signal(member& m, int signal, std::int64_t grace_ns);
  void ask_to_end(member& m);
  void begin_shutdown(bool now);

  // hub_deaths.cpp
  void take_status(pid_t pid, int status);
  void kill_for(member& m, const std::string& why);
  static std::string reason_of(const member& m, const exit_status& exit);  // what the node did to it, or its limits; often nothing
  void note_pidfd(member& m);
  void reap_here(member& m);
  void look_at_unwatched(member& m);
  void bury_the_dead();
  exit_status status_of(const member& m) const;
  void finish(const dead_process& d);
  void announce(member& m, const exit_status& exit);
  void add_monitor(member& m, monitor to);
  void link(member& from, const link_processes& what);
  void end_linked(member& m, const exit_status& exit);
  static void tell_end(const owned_fd& channel, const exit_status& exit);
  void notify(const monitor& to, std::uint32_t incarnation, const exit_status& exit);

  // hub_supervisors.cpp
  struct recipe;
  struct subscriber {
    std::uint64_t queue = 0;
    std::uint64_t missed = 0;
  };
  struct declarations {                                          // for one start or call
    std::vector<std::pair<std::uint32_t, child_spec>> children;  // each with the number of what it is to be within; 0: this
    std::vector<unsigned> depths;                                // of the supervisors among them
    std::optional<cloister::error> wrong;                        // the first wrong one
  };
  struct supervised {         // a supervisor that is not within another, as the hub knows it
    std::uint32_t owner = 0;  // incarnation of its process
    supervisor_options options;
    std::map<std::uint64_t, declarations> declared;  // by the number of the start or call
    std::vector<subscriber> subscribers;
    owned_fd exit_channel;  // until it runs
    bool runs = false;
  };
  control_plane& plane();
  supervised* supervisor_of(const member& from, std::uint64_t number);
  void make(member& from, make_supervisor& what, owned_fd exit_channel);
  result<child_spec> spec_from(member& from, supervised& s, child_declaration& child, std::vector<owned_fd> fds, bool truncated);
  static result<std::vector<child_spec>> take_declared(supervised& s, std::uint64_t call);
  void subscribe(member& from, subscribe_reports& what);
  void subscribe(std::vector<subscriber>& all, std::uint64_t queue);
  void start_from(const recipe& r, std::uint64_t root, const std::shared_ptr<start_listener>& ear);
  void declare(member& from, declare_child& what, datagram& d);
  void begin(member& from, begin_supervisor& what);
  void call(member& from, call_supervisor& what, datagram& d);
  void abandon_supervisors(std::uint32_t owner);  // 0: of everybody
  void start_child(std::uint64_t root, std::shared_ptr<const void> recipe, std::shared_ptr<start_listener> ear) override;
  void report(std::uint64_t root, supervision_report what) override;
  void part_from(std::shared_ptr<const void> recipe, const exit_status& exit) override;
  void signal_child(std::uint32_t incarnation, int signal) override;
  void supervisor_ended(std::uint64_t root) override;
  /// Has the hub's thread do something. Any thread.
  void post(std::function<void(hub&)> what);
  void wake() const noexcept;
  void do_posted();
  void drop_posted();

  // hub_actors.cpp
  member* actor_of(const member& from, std::uint64_t mailbox);
  void find_it(const member& from, const find_actor& what, const owned_fd& to);
  void stop_it(const member& from, const stop_actor& what);
  void monitor_it(const member& from, const monitor_actor& what);
  void bury(const member& from, bury_letter& what);
  void publish(const dead_letter& letter);
  void publish(std::vector<subscriber>& to, const std::function<std::vector<std::byte>(std::uint64_t missed)>& write);
  void tell_dead_letters();

  // hub_services.cpp
  static service_user user_of(const member& m);
  void tell_service(const service_entry& which, std::function<void(service&)> what);
  void create_small_object(const member& from, const create_small& what);
  static answer lend(member& from, const lend_cells& what, owned_fd block);
  void watch_service(const member& from, const subscribe_service& what);
  void call_small(member& from, const small_call& what, datagram& d);
  void small_removed(const service_entry& behind, std::uint64_t object) override;
  void small_left(const service_entry& behind, lost_object object, std::uint32_t who, bool died) override;
  void release_actor(std::uint16_t actor);
  void tell_services_of_death(const dead_process& d);

  // hub_strays.cpp
  std::uint32_t origin_of(pid_t pid) const noexcept;  // the incarnation in this node; 0: none
  void stray(pid_t pid);
  void end_strays_of(std::uint32_t incarnation);
  void look_at_adopted(bool all = false);

  void log_line(const member& m, const std::string& what) const;
  std::uint16_t free_actor();
  void watch(int fd, std::uint64_t key);
  /// Closes it, and takes it out of the epoll set: it stays there while a process that the first one forked has a copy.
  void unwatch(owned_fd& fd) noexcept;

  // constant after construction
  const launcher_context context_;
  const owned_fd epoll_, wake_;
  // What the first process has itself, where it was started by a process of another node; so does whatever the program forked.
  const std::uint32_t own_tag_;
  // the hub's thread only
  owned_fd launcher_;
  pid_t launcher_pid_ = 0;
  std::map<std::uint32_t, std::unique_ptr<member>> members_;  // by incarnation; 1 is the first process
  std::unordered_map<pid_t, std::uint32_t> by_pid_;
  std::unordered_map<pid_t, std::uint32_t> strays_;  // pid -> incarnation it came from
  std::unordered_map<pid_t, int> early_status_;      // of processes whose launch was not reported yet
  std::deque<past_process> past_;                    // the last thousand ends, for those who ask late
  std::deque<pending_start> to_launch_;
  std::map<std::uint32_t, pending_start> launching_;
  std::vector<std::uint16_t> free_actors_;
  std::uint32_t last_incarnation_ = 1;
  std::uint16_t last_actor_ = 1;
  std::deque<waiting_notice> notices_;
  std::vector<unknown_pin> unknown_pins_;  // redemptions to be tried again after everybody was heard
  living_actors living_;
  std::unordered_map<std::uint32_t, std::map<const service_entry*, std::vector<lost_object>>>
      left_by_dead_;  // small objects that the dead had, until their services are told
  registry objects_;
  std::map<std::uint64_t, supervised> supervisors_;
  std::vector<subscriber> dead_letters_;
  std::map<const service_entry*, std::vector<subscriber>> watchers_;
  std::unique_ptr<control_plane> plane_;  // once there is a supervisor
  bool adopts_ = false;                   // the first process may have children that the launcher does not reap
  bool adopted_left_ = false;             // and has some that are no members
  bool shutting_down_ = false;            // the first process starts nothing more
  bool ending_all_ = false;               // nor does anybody else: all are asked to end
  bool leaving_ = false;                  // the first process waits for the hub's end
  std::int64_t next_look_ = 0;
  std::int64_t launcher_kill_at_ = 0;  // 0: it owes nothing
  // any thread
  std::mutex posted_mutex_;
  std::vector<std::function<void(hub&)>> posted_;  // guarded by posted_mutex_
  std::atomic<bool> interrupted_{false};
  std::atomic<bool> abandoned_{false};  // by a node that could not be made after all
  std::thread thread_;
};

}  // namespace cloister::internal
