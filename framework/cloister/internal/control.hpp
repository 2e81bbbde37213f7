// SPDX-License-Identifier: BSD-3-Clause
// The control protocol: what processes, hub and launcher say to each other, one message a datagram (AF_UNIX, SEQPACKET).
//
//   process -> hub       `request`, wire-encoded, descriptors beside it; sent on the control socket, in program order
//   hub -> process       never on the control socket. A request that wants an answer carries one end of a fresh socketpair
//                        as its first descriptor; the answer comes there, and end-of-file means that the hub is gone
//   hub <-> launcher     `launch_header` + start block down, `launcher_report` up
//
// Whatever arrives was written by another process: decoded with all bounds checked, numbers looked up, never trusted.
#pragma once

#include <cloister/detail/start_block.hpp>
#include <cloister/error.hpp>
#include <cloister/fd.hpp>
#include <cloister/internal/datagram.hpp>
#include <cloister/internal/supervision.hpp>
#include <cloister/wire.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace cloister::internal {

using detail::object_ref;

/// Larger arguments of a process travel in a memfd.
inline constexpr std::size_t max_inline_arguments = 16 * 1024;

// Requests. `answer` says that descriptor 0 is the end of a socketpair on which the hub answers.

/// A new object: descriptor 1 is its memfd, formatted by the sender, who holds it from now on. Answer = done.
struct create_object {
  std::uint64_t object = 0;
  std::uint32_t options = 0;
};
/// A small object in an arena, which is an object itself, of the sender's. `service` names the supervisor actor that is to stand behind it.
struct create_small {
  std::uint64_t object = 0;
  std::uint64_t arena = 0;
  std::uint32_t place = 0;
  std::string service;
};
/// Descriptor 1: the sender's next block of cells (detail/wait_cell.hpp), in order; or the last one again, whose lending it took for failed.
/// Answer = done.
struct lend_cells {
  std::uint32_t number = 0;
};
/// For the actor behind a small object. `cell`: 0, or one more than that of a waiter in WAITING(ticket), which the actor answers there.
/// With descriptor 0: it answers there, at once.
struct small_call {
  std::uint64_t object = 0;
  std::uint32_t what = 0;
  std::uint32_t cell = 0, ticket = 0;
  std::uint64_t a = 0;
};
/// What that service reports is put into that queue. Answer = done.
struct subscribe_service {
  std::string service;
  object_ref queue;
};
/// One more, or one less, hold on an object (role 0), or use of it in a role.
struct add_role {
  object_ref ref;
};
struct drop_role {
  object_ref ref;
};
/// A new process: descriptor 0 is its exit channel (see below), then the block's own descriptors.
struct start_process {
  detail::start_block block;
};
/// Room for a process that the sender forks itself: answer = fork_grant + its control socket. Descriptor 1 is its exit channel.
struct fork_process {
  detail::start_block block;
};
/// What a forked process gets in its own right of what its parent holds.
struct fork_handover {
  std::uint32_t incarnation = 0;
  std::vector<object_ref> objects;
};
/// The first message of every started process, sent before anything else runs in it.
struct hello {};
/// A signal for a process that the sender started (or any, from the first process). SIGTERM is escalated after `grace_ns`, if positive.
/// With descriptor 0: answer = done, when it has been sent.
struct signal_process {
  std::uint32_t incarnation = 0;
  int signal = 0;
  std::int64_t grace_ns = 0;
};
/// Descriptor 1 becomes one more exit channel of that process. Answer = done.
struct watch_process {
  std::uint32_t incarnation = 0;
};
/// An exit_notice is put into that queue when the process ends.
struct monitor_process {
  std::uint32_t incarnation = 0;
  std::int32_t pid = 0;
  std::string name;
  object_ref queue;
  std::uint64_t letter = 0;  // if not 0, as a letter for that monitor
};
/// No more notices into that queue: for `letter` of whatever process, or if it is 0 for that process.
struct end_monitor {
  std::uint32_t incarnation = 0;
  object_ref queue;
  std::uint64_t letter = 0;
};
/// When one of the two, the sender being one, ends other than normally, the other is killed; or no longer. Answer = done.
struct link_processes {
  std::uint32_t incarnation = 0;
  std::int32_t pid = 0;
  std::string name;
  bool linked = true;
};
/// Handles about to be put into a message of `carrier`: descriptors beside it belong, in order, to the pins with object 0.
struct pin {
  std::uint64_t token = 0;
  object_ref ref;
};
struct pin_handles {
  std::uint64_t carrier = 0;
  std::uint32_t direction = 0;
  std::vector<pin> pins;
};
/// The message with those pins was committed there.
struct place_pins {
  std::uint64_t carrier = 0;
  std::uint32_t direction = 0;
  std::vector<std::uint64_t> tokens;
  std::uint64_t position = 0;
};
/// It was not.
struct cancel_pins {
  std::uint64_t carrier = 0;
  std::vector<std::uint64_t> tokens;
};
/// Answer = redeemed (+ descriptor). The sender has taken the message that carries the token and not yet freed it.
struct redeem_pin {
  std::uint64_t carrier = 0;
  std::uint64_t token = 0;
};
/// Answer = done + the bell's descriptor: an eventfd of the hub's.
struct get_bell {
  std::uint64_t object = 0;
  std::uint32_t which = 0;
};
/// The exception that ended the sender's body.
struct last_words {
  std::string type;
  std::string text;
  bool no_memory = false;
};
/// The first process leaves: end daemons, wait for the others, then stop. `now`: end all.
struct shut_down {
  bool now = false;
};
/// Answer = done, once everything sent before has been acted on.
struct synchronise {};

/// The sender's start is over.
struct say_ready {
  std::string said;
};
/// The sender does not hang.
struct show_progress {};
/// A child of a supervisor: a process (descriptors beside it: the block's own), or a supervisor.
struct child_declaration {
  child_terms terms;
  std::variant<detail::start_block, supervisor_options> what;
};
/// A supervisor of the sender's, numbered like its objects: first this, with descriptor 0 for its exit channel; then its children, in
/// order; then its start. Errors are told at the start.
struct make_supervisor {
  std::uint64_t supervisor = 0;
  supervisor_options options;
};
/// `within`: 0, or one of the supervisors that were declared for the same call: the n-th of them.
struct declare_child {
  std::uint64_t supervisor = 0;
  std::uint64_t call = 0;  // which start or call, by a number of the sender's
  std::uint32_t within = 0;
  child_declaration child;
};
struct begin_supervisor {
  std::uint64_t supervisor = 0;
  std::uint64_t call = 0;
  bool forget = false;  // instead: whatever was declared, for its start or a call, is not going to be asked for
};
/// Descriptor 0: where its supervisor answers, with supervision_value. `path` leads from that supervisor to the one within it that is
/// meant. What is to be added or changed was declared before. `await`: descriptor 0 is an exit channel, and hears the end after which
/// that child is not restarted.
struct call_supervisor {
  enum class call : std::uint8_t { add, terminate, restart, remove, list, find, count, change, stop, await };
  std::uint64_t supervisor = 0;
  std::vector<child_name> path = {};
  call what = call::list;
  child_name who = {};
  std::optional<supervisor_options> options = {};  // change
  std::uint64_t declared = 0;                      // add, change: the number under which that was
};
/// The sender is going to ask in `mailbox`, an actor's, and hears the replies in `lane`, which it holds.
struct introduce {
  std::uint64_t mailbox = 0;
  std::uint64_t lane = 0;
};
/// Answer = redeemed + descriptor: a lane that was introduced to the mailbox whose actor the sender is.
struct get_lane {
  std::uint64_t mailbox = 0;
  std::uint64_t lane = 0;
};
/// Answer = actor_state.
struct find_actor {
  std::uint64_t mailbox = 0;
};
struct stop_actor {
  std::uint64_t mailbox = 0;
};
/// An exit_notice is put into that queue when the actor's process of now ends; if `letter` is not 0 as a letter, for that monitor.
struct monitor_actor {
  std::uint64_t mailbox = 0;
  object_ref queue;
  std::uint64_t letter = 0;
};
/// Something that the sender, an actor, could not do anything with.
struct bury_letter {
  std::uint64_t mailbox = 0;
  std::string why;
};
struct subscribe_dead_letters {
  object_ref queue;
};
/// Whatever happens under it is put into that queue.
struct subscribe_reports {
  std::uint64_t supervisor = 0;
  object_ref queue;
};

using request =
    std::variant<create_object, add_role, drop_role, start_process, fork_process, fork_handover, hello, signal_process,
                 watch_process, monitor_process, end_monitor, link_processes, pin_handles, place_pins, cancel_pins, redeem_pin,
                 get_bell, last_words, shut_down, synchronise, make_supervisor, declare_child, begin_supervisor, call_supervisor,
                 subscribe_reports, say_ready, show_progress, introduce, get_lane, find_actor, stop_actor, monitor_actor,
                 bury_letter, subscribe_dead_letters, create_small, lend_cells, small_call, subscribe_service>;

// Answers.
struct done {};
/// The answer is longer than a datagram: it is the content of descriptor 0.
struct beside {};
struct refused {
  errc code = errc::invalid;
  std::string text;
};
struct fork_grant {
  std::uint32_t incarnation = 0;
  std::uint16_t actor = 0;
};
struct redeemed {
  object_ref ref;
};
struct actor_state {
  std::optional<process_id> process;  // that it has now
  exit_status exit;                   // of the last one that it had
};
/// Who left a small object in the state that it is in, and how.
struct last_trouble {
  process_id who;
  exit_status exit;
  std::string what = {};  // if it was something else
};
using answer = std::variant<done, beside, refused, fork_grant, redeemed, supervision_value, actor_state, last_trouble>;

// What comes on an exit channel: first `started` or `refused`, then `ended`; then end-of-file. A watcher's channel has `ended` only.
struct started {
  std::uint32_t incarnation = 0;
  std::int32_t pid = 0;
};
struct ended {
  exit_status exit;
};
using exit_message = std::variant<started, refused, ended>;

// Hub <-> launcher. Fixed layout: the launcher neither allocates nor decodes.
enum class launch_method : std::uint32_t { fork, exec };
struct launch_header {
  std::uint32_t incarnation;
  launch_method method;
};
enum class report_kind : std::uint32_t { launched, failed, ended, stray };
struct launcher_report {
  report_kind kind;
  std::uint32_t incarnation;  // launched, failed
  std::int32_t pid;
  std::int32_t value;  // failed: errno; ended: wait status
};

/// Sends a request to the hub, waiting for room until then. Throws `failure`, whose text `what` begins: too_large, no_descriptors, no_memory,
/// not_attached, timed_out, stopping.
void send_request(const owned_fd& control, const request& message, std::span<const int> fds = {}, const std::string& what = "",
                  deadline until = deadline::never());
/// Sends an answer of any size; does not block. False if nobody waits for it, or there is no memory for it.
bool send_answer(const owned_fd& to, const answer& what);
/// Sends a request that wants an answer, and waits for it; `reply` has the descriptors that came with it. The first process's hub always
/// answers; if it is gone this process goes too. Throws `failure`, also for `refused`; `timed_out`: it may or may not be acted on.
answer ask(const owned_fd& control, const request& message, std::vector<int> fds, datagram& reply,
           deadline until = deadline::never());

}  // namespace cloister::internal
