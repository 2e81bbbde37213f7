// SPDX-License-Identifier: BSD-3-Clause
// One process's way to a pool: its queues, what tasks cost there, and, in the process that made it, the pool itself. Shared by all handles
// and futures of the pool in this process. Threads: any. Blocks: submit, while the queue is full.
#pragma once

#include <cloister/actors/detail/inbox.hpp>
#include <cloister/actors/detail/pool_wire.hpp>
#include <cloister/detail/attachment.hpp>
#include <cloister/detail/mailbox.hpp>
#include <cloister/queue.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace cloister::detail {

/// The pool, where it was made.
class pool_owner {
 public:
  virtual ~pool_owner() = default;
  /// The number of a plain function for the workers. Throws `failure{no_memory}`.
  virtual std::uint32_t number_of(const void* function) = 0;
  /// Why the pool has ended, if it was not asked to.
  virtual std::optional<error> cause() const = 0;
  virtual unsigned size() const = 0;
  /// Whoever has not begun that letter will not. False in a copy of the process: it was not marked.
  virtual bool mark_cancelled(std::uint64_t lane, std::uint64_t ticket) noexcept = 0;
};

/// A letter that says nothing, into a pool's normal queue: workers sleep there, and whoever takes it looks around.
void wake_worker(attachment& normal);

class pool_link {
 public:
  pool_link(std::array<object_handle, pool_queues> queues, sink<pool_word> words, unsigned workers,
            std::shared_ptr<pool_owner> owner)
      : queues_(std::move(queues)), words_(std::move(words)), workers_(workers), owner_(std::move(owner)) {}

  /// Names it, in all processes.
  std::uint64_t id() const noexcept { return queues_[normal_queue]->id(); }
  const std::string& name() const noexcept { return queues_[normal_queue]->name(); }
  /// How many workers it has, or had when this handle was sent.
  unsigned workers() const { return owner_ ? owner_->size() : workers_; }
  const std::array<object_handle, pool_queues>& queues() const noexcept { return queues_; }
  const sink<pool_word>& words() const noexcept { return words_; }
  /// Why it has ended, as far as this process knows.
  std::optional<error> cause() const { return owner_ ? owner_->cause() : std::nullopt; }
  /// Throws `failure{invalid}` where the pool was not made.
  std::uint32_t number_of(const void* function) const;

  /// Puts a letter for `count` items of a job from `base` on: `write` encodes what follows the head. What cannot be put has failed.
  void submit(const std::shared_ptr<job>& of, std::size_t base, std::uint32_t count, unsigned queue, task_head head,
              const std::function<void(encoder&)>& write);
  void cancel(std::uint64_t lane, std::uint64_t ticket) const noexcept;

  /// So many items of a job took so long.
  void learn(const job& of, std::uint32_t items, std::int64_t ns);
  /// What an item of that code costs, in nanoseconds, if it is known.
  std::optional<double> cost(std::uint64_t code) const;

 private:
  error put_error(const job& of, const error& e) const;

  const std::array<object_handle, pool_queues> queues_;
  const sink<pool_word> words_;
  const unsigned workers_;
  const std::shared_ptr<pool_owner> owner_;
  std::atomic<bool> limits_{false};  // the pool knows that tasks have deadlines
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, double> costs_;  // by code; guarded by mutex_
};

}  // namespace cloister::detail
