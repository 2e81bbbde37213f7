// SPDX-License-Identifier: BSD-3-Clause
// Workers of a pool: processes of their own to which calls of functions are handed out, and which are replaced when they die.
//
//   pool p{here, {.workers = 4}};
//   std::vector<int> r = p.map(square, std::vector{0, 1, 2, 3});                    // in order
//   for (int x : p.imap_unordered(square, numbers)) std::cout << x << '\n';         // as they come; pulls `numbers` as it needs them
//   future<int> f = p.apply_async(square, 10);
//   auto sums = p.with({.name = "checksum", .deadline = 10s, .tries = 3}).map(checksum, files);
//   p.close();  p.join();                                                           // no more; wait for what there is
//
// What runs: a function, a captureless lambda or an aggregate with operator(), with arguments that travel. Its first parameter may be a
// `node&`, and the next one a `State&`: what `.initializer` returned in this worker. What a call has besides the items is the same for all:
// `map(scale, numbers, 2.5)` calls scale(number, 2.5).
// pool: an owner, move-only, of one thread. Its base pool_handle is a handle: copies travel (a child submits to its parent's pool), and any
// thread may use them. Blocks: what waits for results; a submission, while the pool's memory for tasks is full.
// When a worker dies: the item that it was running is run again elsewhere if `.tries` says so, else it fails with `worker_lost`; all its
// other items go on with another worker. Nobody else notices. When the process that made the pool dies, all of the pool goes with it, and
// whoever waits gets `peer_down`. ~pool stops it: what has not finished is cancelled (first close() and join() to wait for it).
#pragma once

#include <cloister/actors/detail/pool_code.hpp>
#include <cloister/actors/detail/pool_link.hpp>
#include <cloister/actors/future.hpp>
#include <cloister/actors/progress.hpp>
#include <cloister/deadline.hpp>
#include <cloister/error.hpp>
#include <cloister/node.hpp>
#include <cloister/place.hpp>
#include <cloister/process.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

namespace cloister {

namespace internal {
class pool_keeper;
}
namespace detail {
/// A range as a stream keeps it: an lvalue by reference, anything else itself. (Clang 14 does not compile std::views::all.)
template <class Items>
class kept_items {
 public:
  explicit kept_items(Items&& items) : items_(std::forward<Items>(items)) {}
  auto begin() { return std::ranges::begin(items_); }
  auto end() { return std::ranges::end(items_); }

 private:
  Items items_;  // T& or T
};
}  // namespace detail

/// How deep pools may be made in workers of pools.
inline constexpr unsigned most_nested_pools = 8;

enum class task_priority : std::uint8_t {
  urgent,  ///< before all others that wait
  normal,
  idle,  ///< when nothing else waits
};

/// What one call has otherwise than usual: `p.with({...}).map(...)`. A value.
struct task_options {
  std::string name = {};  ///< for errors and reports
  std::chrono::nanoseconds deadline{
      0};              ///< how long one item may run; then its worker is killed and replaced, and it fails with `timed_out`. 0: as
                       ///< long as it likes
  unsigned tries = 1;  ///< more than 1: it may be repeated; in so many workers may it end in vain
  std::chrono::milliseconds backoff{0};  ///< before it is tried again; doubled each time
  task_priority priority = task_priority::normal;
  std::size_t chunk = 0;  ///< items handed to a worker at once. 0: by what they cost, about 1 ms (map, starmap); 1 (imap)
  std::size_t window =
      0;  ///< imap: how many items may be pulled from the input before their results are taken. 0: 1024 for each worker
  std::function<void(const progress&)> on_progress =
      {};  ///< called by the thread that waits; for map_async, by that of the callbacks
};

/// Runs once in each worker, before its first task: a function as for a task, and its arguments. What it returns is the worker's state.
class pool_initializer {
 public:
  pool_initializer() = default;
  template <class F, class... Args>
    requires(!std::same_as<std::remove_cvref_t<F>, pool_initializer>)
  pool_initializer(F function, Args... args);  // NOLINT(google-explicit-constructor)

 private:
  friend class internal::pool_keeper;
  std::uint64_t code_ = 0;  // 0: none
  std::function<void(encoder&)> write_;
};

/// How a pool is made: a value, read once.
struct pool_options {
  std::string name = {};                              ///< for messages; "pool" if empty
  int workers = static_cast<int>(node::cpu_count());  ///< at least 1, at most 1024
  pool_initializer initializer = {};             ///< what it throws, three times in a row, ends the pool: whoever waits gets it
  std::optional<int> max_tasks_per_worker = {};  ///< at least 1: then a worker ends, and another one takes its place
  std::size_t max_memory_per_worker = 0;  ///< resident bytes after a task, from which on a worker is replaced likewise. 0: none
  std::chrono::nanoseconds idle_timeout{
      0};                        ///< a worker without work for so long ends; it comes back when there is some. 0: it stays
  task_options tasks = {};       ///< of calls without `with`
  process_options process = {};  ///< of workers: limits, output, ...; `deferred` and `daemon` do not count, `fork` is as
                                 ///< `forkserver`; the name is the pool's with a number
};

template <class R>
class task_stream;

class pool_handle {
 public:
  /// None: every operation is `failure{invalid}`.
  pool_handle() = default;
  explicit operator bool() const noexcept { return link_ != nullptr; }
  const std::string& name() const { return link().name(); }

  /// The same pool; what is called there has these options.
  pool_handle with(task_options options) const { return {link_, std::make_shared<const task_options>(std::move(options))}; }

  /// Calls f(args...) in a worker, and waits. Throws its failure.
  template <class F, class... Args>
  auto apply(F f, const Args&... args) const {
    refuse_in_own_worker("apply");
    auto it = apply_async(std::move(f), args...);
    if (auto waited = it.wait(deadline::never()); !waited) {
      it.cancel();
      throw failure(waited.error());
    }
    return std::move(it).get();
  }
  template <class F, class... Args>
  auto apply_async(F f, const Args&... args) const;

  /// Calls f(item, fixed...) for each item: the values in order, or nothing if it returns none. If some fail, the failure of the first of
  /// them, when all are done.
  template <class F, std::ranges::input_range Items, class... Fixed>
  auto map(F f, Items&& items, const Fixed&... fixed) const {
    return run_map<false>("map", std::move(f), items, fixed...);
  }
  template <class F, std::ranges::input_range Items, class... Fixed>
  auto map_async(F f, Items&& items, const Fixed&... fixed) const {
    return start_map<false>("map_async", std::move(f), items, fixed...);
  }
  /// The same with items that are tuples or pairs: f(parts of the item..., fixed...).
  template <class F, std::ranges::input_range Items, class... Fixed>
  auto starmap(F f, Items&& items, const Fixed&... fixed) const {
    return run_map<true>("starmap", std::move(f), items, fixed...);
  }
  template <class F, std::ranges::input_range Items, class... Fixed>
  auto starmap_async(F f, Items&& items, const Fixed&... fixed) const {
    return start_map<true>("starmap_async", std::move(f), items, fixed...);
  }

  /// Calls f(item, fixed...) for each item, pulled as the results are taken: an input range of values, in order, or as they come. An lvalue
  /// range must live as long. What pulling throws comes after the results of what was pulled before.
  template <class F, std::ranges::input_range Items, class... Fixed>
  auto imap(F f, Items&& items, const Fixed&... fixed) const {
    return stream(true, "imap", std::move(f), detail::kept_items<Items>(std::forward<Items>(items)), fixed...);
  }
  template <class F, std::ranges::input_range Items, class... Fixed>
  auto imap_unordered(F f, Items&& items, const Fixed&... fixed) const {
    return stream(false, "imap_unordered", std::move(f), detail::kept_items<Items>(std::forward<Items>(items)), fixed...);
  }

 protected:
  pool_handle(std::shared_ptr<detail::pool_link> link, std::shared_ptr<const task_options> options)
      : link_(std::move(link)), options_(std::move(options)) {}
  detail::pool_link& link() const;
  std::shared_ptr<detail::pool_link> link_;
  std::shared_ptr<const task_options> options_ = std::make_shared<const task_options>();

 private:
  friend struct codec<pool_handle>;
  void refuse_in_own_worker(const char* call) const;
  detail::job_origin origin(const char* call, std::uint64_t code) const;
  detail::task_head head(std::uint64_t code) const;
  unsigned queue() const noexcept { return static_cast<unsigned>(options_->priority); }
  std::size_t chunk_for(std::uint64_t code, std::size_t items) const;
  template <class Shape, class F, class... Fixed>
  std::function<void(encoder&)> writer_of_function(const F& f, const Fixed&... fixed) const;
  template <bool Star, class F, class Items, class... Fixed>
  auto run_map(const char* call, F f, Items& items, const Fixed&... fixed) const;
  template <bool Star, class F, class Items, class... Fixed>
  auto start_map(const char* call, F f, Items& items, const Fixed&... fixed) const;
  template <bool Star, class F, class Items, class... Fixed>
  auto submit_map(const char* call, bool probe, bool reports, F f, const Items& items, const Fixed&... fixed) const;
  template <class F, class Items, class... Fixed>
  auto stream(bool ordered, const char* call, F f, Items items, const Fixed&... fixed) const;
};

class [[nodiscard]] pool : public pool_handle {
 public:
  /// None; everything but assignment and destruction is `failure{invalid}`.
  pool() = default;
  /// Starts the workers; does not wait for them. Throws `failure`: invalid (no worker, a limit below 1, nested too deep), no_memory,
  /// no_descriptors, not_attached.
  [[nodiscard]] explicit pool(const place& where, pool_options options = {});
  pool(pool&& other) noexcept;
  pool& operator=(pool&& other) noexcept;
  ~pool();

  /// Nothing more goes in. Idempotent.
  void close() const;
  /// Stops at once: workers are killed, what is not finished is cancelled. Returns when that is so. Idempotent, also from a callback.
  void terminate() const;
  /// Waits until all that was submitted is done, all workers have ended and all callbacks have run. Throws `failure{invalid}` before close()
  /// or terminate().
  void join() const { join(deadline::never()).value(); }
  result<void> join(deadline until) const;
  /// So many workers from now on; those that are too many end after their task. Throws `failure`: invalid, closed.
  void resize(int workers) const;
  /// How many workers it is to have.
  unsigned size() const;
  /// Those that it has now.
  std::vector<process_id> workers() const;

 private:
  internal::pool_keeper& keeper() const;
  void finish() noexcept;
  std::shared_ptr<internal::pool_keeper> keeper_;
};

}  // namespace cloister

#include <cloister/actors/detail/pool-inl.hpp>
