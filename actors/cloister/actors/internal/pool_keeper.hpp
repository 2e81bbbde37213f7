// SPDX-License-Identifier: BSD-3-Clause
// The pool where it was made: its queues and board, and a thread, the only one that starts workers, hears of their ends and answers for the
// letters that they leave behind.
//
// A letter that a worker has is on loan from a queue with max_deliveries 1, so a dead worker's letter is a dead letter, which this thread
// alone takes. What becomes of it is read from the dead worker's page (pool_board.hpp):
//   not begun (no page names it)            it goes back as it is
//   results written and not sent            sent from here
//   an item that was running                run again (after its back-off, if it may be repeated), or failed: worker_lost, or timed_out if its
//                                           time was over; or dropped, if it was cancelled
//   items after it                          the letter goes back, beginning with the first of them: handles in it stay as they are
// Who dies where: a worker, anywhere: that. This process: the hub ends the workers, closes the queues, and tells every submitter. A
// submitter: workers pass over its letters. A worker that is stopped keeps its letter until its time is over, it continues or is killed.
// An end is heard of as an exit notice, which comes after the hub has put right everything the worker held.
#pragma once

#include <cloister/actors/detail/pool_link.hpp>
#include <cloister/actors/internal/function_table.hpp>
#include <cloister/actors/internal/pool_board.hpp>
#include <cloister/actors/pool.hpp>
#include <cloister/detail/child_link.hpp>
#include <cloister/detail/lanes.hpp>
#include <cloister/monitor.hpp>

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace cloister::internal {

class pool_keeper final : public detail::pool_owner {
 public:
  pool_keeper(const place& where, pool_options options);
  ~pool_keeper() override;

  std::array<detail::object_handle, detail::pool_queues> sinks() const;
  const queue<detail::pool_word>& words() const noexcept { return words_; }

  // From any thread.
  void close();
  void terminate();
  result<void> join(deadline until);
  void resize(int workers);
  bool is_mine() const noexcept;
  bool closing() const noexcept { return closing_.load(std::memory_order_relaxed); }
  std::vector<process_id> workers() const;
  unsigned size() const override { return wanted_.load(std::memory_order_relaxed); }
  std::uint32_t number_of(const void* function) override;
  bool mark_cancelled(std::uint64_t lane, std::uint64_t ticket) noexcept override;
  std::optional<error> cause() const override;

 private:
  struct worker {
    std::shared_ptr<detail::child_link> link;  // null: nobody
    worker_page page{};
    bool started = false;                                    // it runs, and is monitored
    const char* killed_for = nullptr;                        // what is said of the item that it was running
    std::uint64_t cancelled_lane = 0, cancelled_ticket = 0;  // the letter for whose sake it was killed
  };
  // A dead letter, taken.
  struct orphan {
    detail::attachment* queue;
    detail::taken letter;
    detail::task_head head;
    std::string name;
  };
  struct later {
    std::int64_t when;
    orphan what;
  };

  void run();
  void look_around();
  void start_missing();
  void hear_starts();
  worker begin_start(unsigned number);
  void not_started(const failure& f);
  void start_failed(unsigned weight, const error& why);
  void hear_word(const detail::pool_word& word);
  void hear_end(const exit_notice& notice);
  void collect_orphans();
  void settle_orphans();
  void settle(orphan o, const worker& was, const exit_status& exit);
  void give_back(orphan o);
  void retry();
  void kill_the_late();
  std::int64_t next_time();
  bool anything_waits() const;
  bool is_over() const;
  void stop_all();
  void fail_what_waits();
  void fail_orphan(orphan& o, const error& why);
  void broken(const error& why);
  void spoilt();
  void answer(const detail::task_head& head, std::uint32_t first, std::uint32_t count, bool framed,
              std::span<const std::byte> body);
  void answer_error(const detail::task_head& head, std::uint32_t first, std::uint32_t count, const error& why);
  void send_what_waits();
  bool waits_for_room(std::uint64_t lane) const;
  unsigned living() const;
  std::string task_text(const orphan& o) const;

  // Constant after construction.
  const std::string name_;
  const pool_options options_;
  const start_method method_;
  const std::uint32_t depth_;
  const std::uint64_t member_;  // whose it is: a copy of this process has no thread, and may not write into shared memory
  const pid_t pid_;
  std::array<detail::object_handle, detail::pool_queues> queues_;  // until the thread ends: sources
  const queue<detail::pool_word> words_;
  const queue<exit_notice> ends_;
  const owned_fd bell_;  // an eventfd: something below has changed

  std::atomic<unsigned> wanted_;
  std::atomic<bool> closing_{false}, terminating_{false};

  // The thread's own.
  pool_board board_;  // marks are set under mutex_
  std::optional<detail::lanes> lanes_;
  bool limits_ = false;  // tasks have deadlines
  unsigned failed_starts_ = 0;
  unsigned surplus_told_ = 0;  // how many were woken to end
  std::int64_t no_start_before_ = 0;
  std::deque<orphan> orphans_;
  std::vector<later> later_;  // given back at that time, when nothing is unsent for its lane: results arrive in order
  struct unsent {
    std::uint64_t lane;
    std::vector<std::byte> letter;
  };
  std::deque<unsent> unsent_;  // lanes that had no room

  mutable std::mutex mutex_;
  std::condition_variable over_changed_;
  std::vector<worker> workers_;  // by number; changed by the thread alone; guarded by mutex_
  std::optional<error> cause_;   // guarded by mutex_
  bool over_ = false;            // guarded by mutex_
  function_table functions_;     // added to under mutex_

  std::thread thread_;
};

}  // namespace cloister::internal
