// SPDX-License-Identifier: BSD-3-Clause
// What this process hears of the tasks that it has given to pools: one lane (detail/letter.hpp) for all of them, read by whichever thread
// waits for a result.
//
// job: what somebody waits for, the results of one call. inbox: who has which ticket, and whose turn it is to read. One thread reads at a
// time, for all; the others sleep until it has read something. Callbacks run one after the other on a thread of their own, which reads as
// well while there are any to come.
// Who dies where: a worker that holds a task: the pool's thread answers for it. The pool's owner: the hub ends all its workers, and puts
// `down` into each lane: what is open fails. This process: its lane is closed, and workers pass over what it wanted.
// After a fork this process has another inbox: a future of its parent's never gets anything here.
// Threads: any. Blocks: wait.
#pragma once

#include <cloister/actors/progress.hpp>
#include <cloister/deadline.hpp>
#include <cloister/detail/attachment.hpp>
#include <cloister/detail/slots.hpp>
#include <cloister/error.hpp>
#include <cloister/wire.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace cloister {
struct task_options;
}

namespace cloister::detail {

class pool_link;
class inbox;

/// What a job is of.
struct job_origin {
  std::shared_ptr<pool_link> pool;
  const char* call = nullptr;                     // "map"
  std::shared_ptr<const task_options> options{};  // may be none
  std::uint64_t code = 0;
};

/// Small, as there may be a million of them.
class job {
 public:
  /// `items`: how many results it waits for.
  job(job_origin from, std::size_t items);
  virtual ~job();
  job(const job&) = delete;
  job& operator=(const job&) = delete;

  /// All results are in, and nothing changes any more.
  bool done() const noexcept { return left_.load(std::memory_order_acquire) == 0; }
  std::size_t left() const noexcept { return left_.load(std::memory_order_acquire); }
  const std::shared_ptr<pool_link>& pool() const noexcept { return from_.pool; }
  /// That of the process which submitted it.
  inbox& home() const noexcept { return home_; }
  /// "pool 'x' map": for errors' texts.
  std::string what() const;
  std::uint64_t code() const noexcept { return from_.code; }

  /// That `read` may be given bytes in shared memory.
  virtual bool reads_once() const noexcept = 0;
  /// One result; each item once. `in`: its value. Throws `failure` if it cannot be decoded: then `fail` comes.
  virtual void read(std::size_t item, decoder& in) = 0;
  virtual void fail(std::size_t item, const error& why) = 0;
  /// So many more are submitted. May throw: then they have failed.
  virtual void submitted(std::size_t) {}
  /// So many more of `self` are in.
  static void settled(const std::shared_ptr<job>& self, std::size_t items);
  /// From now on `report` is called on the thread of the callbacks when more are in. Before anything is submitted.
  void report_to(std::function<void(const progress&)> report, std::size_t total);
  /// `what` is called once it is done, at once if it is, by whichever thread: short, throws nothing, calls nobody.
  void when_done(std::function<void()> what);

 protected:
  /// Of this job's results, and of some others'.
  std::mutex& mutex() const noexcept;

 private:
  friend class inbox;
  struct followers {
    std::vector<std::function<void()>> when_done;  // guarded by mutex()
    std::function<void(const progress&)> report;
    std::size_t total = 0;
    std::int64_t began = 0;
    std::atomic<bool> posted{false};
  };
  const job_origin from_;
  inbox& home_;
  std::atomic<std::size_t> left_;
  std::unique_ptr<followers> followers_;              // made under mutex()
  std::uint64_t first_ticket_ = 0, last_ticket_ = 0;  // guarded by the inbox's mutex: its tickets are among these
};

class inbox {
 public:
  /// This process's. Throws `failure`: not_attached, no_memory, no_descriptors.
  static inbox& here();

  /// Introduces this lane to a pool's queue, once.
  void introduce(const attachment& tasks);
  std::uint64_t lane() const noexcept { return lane_->id(); }
  /// A ticket for items [base, base + count) of a job. What comes for it goes there.
  std::uint64_t expect(const std::shared_ptr<job>& owner, std::size_t base, std::uint32_t count);
  /// Nothing will come for that ticket: what has not come has failed. False if all has come.
  bool fail(std::uint64_t ticket, const error& why);
  /// What has not come is cancelled, here and where it runs or waits. False if nothing was left.
  bool cancel(job& what);

  /// Until `ready()`, which is called with nothing of a job's locked. Errors: timed_out, would_block, stopping, interrupted, deadlock (this
  /// is a worker of that pool), invalid (a forked process). `what`: begins the text.
  result<void> wait(const job& what, const std::function<bool()>& ready, deadline until);
  /// The same for several jobs.
  result<void> wait(const std::string& what, const std::function<bool()>& ready, deadline until);
  /// Reads what is there, if nobody else does: for who cannot put, as workers may wait for room here.
  void read_meanwhile(deadline until);
  /// Reads what is there, if there is something; nothing in a copy of its process.
  void look();

  /// One callback more is to come for that pool; post it when it can run.
  void expect_call(std::uint64_t pool);
  void expect_call_no_more(std::uint64_t pool) noexcept;
  void post(std::uint64_t pool, std::function<void()> call) noexcept;
  /// Until no callback of that pool's is to come; at once on the thread of the callbacks. False: there is, at that time.
  bool await_calls(std::uint64_t pool, deadline until);

  /// The pool whose worker this process is; 0: it is none.
  static std::uint64_t working_for() noexcept { return working_for_; }
  /// `what` waits in a worker of its own pool.
  static error own_worker_error(const std::string& what);
  static void work_for(std::uint64_t pool) noexcept { working_for_ = pool; }

 private:
  inbox(object_handle lane, std::uint64_t member, inbox* before);
  struct part {
    std::shared_ptr<job> owner;
    std::size_t base = 0;
    std::uint32_t next = 0, count = 0;
    std::uint64_t pool = 0;
  };
  result<void> read_some(deadline until);
  void read_letter(const taken& message);
  void read_answer(const struct letter_head& head, const taken& message);
  void pool_is_down(std::uint64_t pool, const exit_status& exit);
  static void fail_item(job& owner, std::size_t item, const error& why) noexcept;
  static void read_item(job& owner, std::size_t item, bool value, decoder& in);
  bool is_mine() const noexcept;
  void nudge();
  void run_calls();

  const object_handle lane_;
  const std::uint64_t member_;  // whose it is
  // Of earlier nodes, or the parent's: never destroyed, and found from here by who looks for leaks.
  [[maybe_unused]] inbox* const before_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool reading_ = false;                           // guarded by mutex_
  unsigned waiting_ = 0;                           // guarded by mutex_
  std::uint64_t last_ticket_ = 0;                  // guarded by mutex_
  std::unordered_map<std::uint64_t, part> parts_;  // guarded by mutex_

  std::mutex introducing_;
  std::unordered_set<std::uint64_t> introduced_;  // guarded by introducing_

  std::mutex calls_mutex_;
  std::condition_variable calls_changed_;
  std::deque<std::pair<std::uint64_t, std::function<void()>>> calls_;  // guarded by calls_mutex_
  std::unordered_map<std::uint64_t, std::size_t> calls_to_come_;       // by pool; guarded by calls_mutex_
  bool calls_run_ = false;                                             // the thread is there; guarded by calls_mutex_
  std::atomic<bool> calls_sleep_{false};                               // it waits for letters

  static inline std::uint64_t working_for_ = 0;
};

}  // namespace cloister::detail
