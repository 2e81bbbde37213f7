// SPDX-License-Identifier: BSD-3-Clause
// What makes an OS process a member of a node: its identity, its control socket to the hub, the objects attached here, and the
// processes it started. There is at most one per process; `node` (first process) or the child's start-up owns it.
//
// The identity lies in a page that the kernel wipes in every fork (MADV_WIPEONFORK), so that a process forked by user code is
// nobody: every operation on a mailbox loads the actor id from there, and 0 is the error `not_attached`.
//
// Threads: any. Blocks: requests that want an answer, until the hub gives it, or a second after this process was asked to stop; if the hub
// is gone, so is this process (life pipe).
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/attachment.hpp>
#include <cloister/detail/exception_words.hpp>
#include <cloister/detail/handover.hpp>
#include <cloister/detail/start_block.hpp>
#include <cloister/detail/wait_cell.hpp>
#include <cloister/error.hpp>
#include <cloister/fd.hpp>
#include <cloister/wire.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <sys/types.h>

namespace cloister::detail {

class child_link;

struct identity_page {
  std::uint16_t actor = 0;
  std::uint32_t incarnation = 0;
};
inline identity_page* identity = nullptr;  // set once, before any thread can look

/// This process's name in owner words; 0 if it belongs to no node or was forked behind the library's back.
inline std::uint16_t self_actor() noexcept { return identity != nullptr ? identity->actor : 0; }

/// Everything that goes along with a start request: the block, and what its handles need. Keeps the handles alive.
struct start_request {
  start_block block;
  std::vector<object_handle> handles;
  std::vector<owned_fd> fds;  // redirections first, then those among the arguments
};

class membership {
 public:
  membership(process_identity id, start_block self, owned_fd control, owned_fd life);
  ~membership();
  membership(const membership&) = delete;
  membership& operator=(const membership&) = delete;

  /// This process's membership. `require` throws `failure{not_attached}` where there is none, or in a process forked by user code.
  static membership* current() noexcept;
  static membership& require();
  /// True in a process that user code forked from a member.
  static bool forked_by_user() noexcept;

  const process_identity& id() const noexcept { return id_; }
  /// Of this process, in this node; another one after a fork, and in a later node.
  std::uint64_t serial() const noexcept { return serial_; }
  const start_block& self() const noexcept { return self_; }

  // Objects.

  /// Registers an object just made (with a number from next_object_id) with the hub. `options`: see registry_options.hpp.
  std::shared_ptr<attachment> create(std::unique_ptr<slots> queue, std::uint32_t options);
  std::shared_ptr<attachment> create(std::unique_ptr<ring> pipe);
  /// A small object, in an arena of this process, with room for `body`; `service` names the supervisor actor behind it
  /// (internal/service.hpp). `w.object` is set here. Blocks only while the socket to the hub is full.
  std::shared_ptr<attachment> create_small(std::string_view service, std::size_t body, arena::wish w,
                                           void (*fill)(std::byte* body, const arena::wish& w));
  std::uint64_t next_object_id() noexcept;
  /// The attachment of an object that is held here already, or nullptr.
  std::shared_ptr<attachment> find(std::uint64_t object);
  /// Attaches what the hub (or a start) handed over together with its descriptor. Throws `failure`.
  std::shared_ptr<attachment> attach(std::uint64_t object, owned_fd memory);

  // Handles in messages (docs/architecture.md: pinned before the put, redeemed before the message is freed).

  std::uint64_t next_token() noexcept;
  void pin(std::uint64_t carrier, unsigned direction, std::span<const std::pair<std::uint64_t, object_ref>> pins,
           std::span<const int> fds);
  void placed(std::uint64_t carrier, unsigned direction, std::span<const std::uint64_t> tokens, std::uint64_t position) noexcept;
  void cancel(std::uint64_t carrier, std::span<const std::uint64_t> tokens) noexcept;
  /// What a token names: an object's reference or a descriptor; `descriptor` is the object's memory or the sent file.
  struct redeemed_handle {
    object_ref ref;
    owned_fd descriptor;
  };
  redeemed_handle redeem(std::uint64_t carrier, std::uint64_t token);
  owned_fd bell(std::uint64_t object, unsigned which);

  // Small objects' supervisor actors.

  /// A cell for one wait of this thread. Blocks, now and then, until the hub knows it. Throws `failure`.
  cell_pool::held take_cell(deadline until);
  cell_pool& cells() noexcept { return *cells_; }
  /// Tells the actor behind an object: `what` and `a` are between it and the kind of object; with a cell, if it is to answer there.
  /// Blocks only while the socket to the hub is full. Throws `failure`.
  void tell(std::uint64_t object, std::uint32_t what, const waiting* answer_to, std::uint64_t a = 0,
            deadline until = deadline::never());

  /// A role's first use here, or its last; role 0: the attachment is gone.
  void begin_use(object_ref ref) noexcept;
  void end_use(object_ref ref) noexcept;

  // Processes.

  /// The request is as it was: a start that failed can be tried again.
  std::shared_ptr<child_link> start(const start_request& request);
  /// The same in two steps, neither of which waits for it: sends the request; says whether it runs. Meanwhile the link's sentinel becomes
  /// readable. Who gives up before is not told; what starts after all ends with this process.
  std::shared_ptr<child_link> begin_start(const start_request& request);
  bool end_start(const std::shared_ptr<child_link>& link);
  /// Forks this very process; `body` runs in the child, which ends with it. Never returns there.
  /// `release` destroys this process's copy of the body; what it lets go of is the child's. `forced`: whatever threads there are.
  std::shared_ptr<child_link> fork(const start_request& request, const std::function<void(const start_request&)>& body,
                                   const std::function<void()>& release, bool forced);
  /// A descriptor that no forked process may keep: the first process's end of the life pipe.
  void close_on_fork(int fd) noexcept { on_fork_ = fd; }
  void signal(std::uint32_t incarnation, int signal, std::int64_t grace_ns) noexcept;
  /// The same, and it has been sent when this returns, unless this process has no descriptor or memory left, or is asked to stop.
  void signal_now(std::uint32_t incarnation, int signal) noexcept;
  /// The socket to the hub, for requests that have no function here (internal/control.hpp).
  const owned_fd& control() const noexcept { return control_; }
  /// The process that started this one; asked for once. REQUIRES: id().parent != 0.
  std::shared_ptr<child_link> parent();
  /// Keeps it as long as this process, or until it has ended: nobody else does.
  void keep(std::shared_ptr<child_link> link);
  void monitor(std::uint32_t incarnation, std::int32_t pid, const std::string& name, object_ref queue);
  void report_exception(const exception_words& what) noexcept;
  void shut_down(bool now) noexcept;
  /// Returns when the hub has acted on everything this process sent before: for tests.
  void synchronise();
  /// The children started here that have not been joined, oldest first.
  std::vector<std::shared_ptr<child_link>> children();
  /// At the end of this process: joins children that are no daemons, ends those that are.
  void end_children() noexcept;

 private:
  std::shared_ptr<attachment> adopt(std::unique_ptr<slots> queue, std::unique_ptr<ring> pipe);
  std::shared_ptr<attachment> adopt(std::shared_ptr<arena> home, unsigned place, std::uint64_t object);
  std::shared_ptr<attachment> adopt(std::shared_ptr<attachment> made);
  std::shared_ptr<attachment> announce(std::string_view service, const std::shared_ptr<arena>& home, unsigned place,
                                       std::uint64_t object);
  std::shared_ptr<arena> arena_from(memory mapped, std::uint64_t file);
  void remember(const std::shared_ptr<child_link>& link);
  void forget_ended();                        // of those kept. REQUIRES: mutex_
  owned_fd watch(std::uint32_t incarnation);  // an exit channel for a process that somebody else started
  [[noreturn]] void run_fork(process_identity id, const start_request& what, owned_fd control, owned_fd go,
                             const std::function<void(const start_request&)>& body);
  void enter(process_identity id) noexcept;
  static void before_user_fork() noexcept;
  static void end_user_fork() noexcept;  // in both
  static void after_user_fork() noexcept;

  process_identity id_;
  std::uint64_t serial_ = 0;
  start_block self_;
  owned_fd control_;
  owned_fd life_;
  int on_fork_ = -1;
  static inline std::atomic<std::uint32_t> last_object_{0};  // in all nodes that this process has had: handles may outlive one
  std::atomic<std::uint32_t> token_{0};

  std::unique_ptr<cell_pool> cells_ = std::make_unique<cell_pool>();
  std::mutex arenas_mutex_;
  struct own_arenas {
    std::vector<std::shared_ptr<arena>> all;
    std::size_t next = 0;  // which of the older ones is looked at next for a place that is free again
  };
  own_arenas small_, large_;  // guarded by arenas_mutex_
  // All that are mapped here, by the file's number, which is the kernel's word; guarded by arenas_mutex_.
  std::unordered_map<std::uint64_t, std::weak_ptr<arena>> arenas_;

  std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::weak_ptr<attachment>> attached_;  // guarded by mutex_
  std::vector<std::weak_ptr<child_link>> children_;                        // guarded by mutex_
  std::vector<std::shared_ptr<child_link>> kept_;                          // guarded by mutex_
  std::shared_ptr<child_link> parent_;                                     // guarded by mutex_
};

/// Large arguments go along in a memfd: empty if they are small. Throws `failure`.
owned_fd move_to_memfd(start_block& block);

/// The sink of handles for a start request, and the source in the child; both number handles in order.
class start_handles final : public handle_sink {
 public:
  explicit start_handles(start_request& request) : request_(request) {}
  std::uint64_t put_object(attachment& object, unsigned role) override;
  std::uint64_t put_fd(int fd) override;

 private:
  start_request& request_;
};

}  // namespace cloister::detail
