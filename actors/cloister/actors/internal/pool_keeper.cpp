// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/actors/internal/pool_keeper.hpp>

#include <cloister/actors/internal/pool_worker.hpp>
#include <cloister/detail/letter.hpp>
#include <cloister/detail/membership.hpp>
#include <cloister/detail/queue_core.hpp>
#include <cloister/internal/registry_options.hpp>
#include <cloister/log.hpp>
#include <cloister/wait.hpp>

#include <algorithm>
#include <csignal>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace cloister::internal {

using namespace detail;

namespace {

// In a row, and no other worker is ready. One that was killed before it was ready may have met who kills workers at random: it counts a third.
constexpr unsigned most_failed_starts = 9, failed_start = 3, killed_start = 1;
constexpr std::size_t usual_task = 176;                // bytes of a letter; longer ones go into memory of their own
constexpr std::int64_t start_pause_ns = 20'000'000;    // after a failed start; doubled
constexpr std::int64_t look_pause_ns = 1'000'000'000;  // between looks for those who are late, once a task has had a deadline
constexpr std::int64_t unsent_pause_ns = 20'000'000;   // before a full lane is tried again

object_handle make_tasks(const std::string& name, std::uint32_t options) {
  const auto made =
      make_queue({.name = name, .max_bytes = most_task_bytes, .max_deliveries = 1}, tasks_fingerprint, usual_task, options);
  return {made.object(), source_role};
}

}  // namespace

pool_keeper::pool_keeper(const place& where, pool_options options)
    : name_(options.name),
      options_(std::move(options)),
      method_(options_.process.start.value_or(where.default_start_method())),
      depth_(pool_depth() + 1),
      member_(membership::require().serial()),
      pid_(::getpid()),
      words_(where, {.name = name_ + " words"}),
      ends_(where, {.name = name_ + " ends"}),
      bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      wanted_(static_cast<unsigned>(options_.workers)),
      board_(pool_board::create(name_)),
      functions_(function_table::create()) {
  if (!bell_) throw failure(errc::no_descriptors, "pool '" + name_ + "': no descriptor left");
  queues_[normal_queue] = make_tasks(name_, actor_mailbox | many_takers);
  queues_[urgent_queue] = make_tasks(name_ + " urgent", close_with_source);
  queues_[idle_queue] = make_tasks(name_ + " idle", close_with_source);
  lanes_.emplace(*queues_[normal_queue]);
  workers_.resize(wanted_);
  thread_ = std::thread([this] { run(); });
}

pool_keeper::~pool_keeper() {
  if (::getpid() == pid_) {
    terminate();
    thread_.join();
  } else {
    static_cast<void>(new std::thread(std::move(thread_)));  // it is not in this copy of the process
  }
}

bool pool_keeper::is_mine() const noexcept {
  const auto* now = membership::current();
  return now != nullptr && now->serial() == member_;
}

std::array<object_handle, pool_queues> pool_keeper::sinks() const {
  std::array<object_handle, pool_queues> all;
  for (unsigned i = 0; i < pool_queues; ++i) all[i] = object_handle(queues_[i].object(), sink_role);
  return all;
}

// ---- from any thread --------------------------------------------------------------------------------------------------

namespace {
void ring(const owned_fd& bell) {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(bell.get(), &one, sizeof one));
}
}  // namespace

void pool_keeper::close() {
  if (closing_.exchange(true)) return;
  ring(bell_);
}

void pool_keeper::terminate() {
  closing_.store(true);
  terminating_.store(true);
  ring(bell_);
}

result<void> pool_keeper::join(deadline until) {
  std::unique_lock lock(mutex_);
  const auto over = [this] { return over_; };
  if (until.is_never()) over_changed_.wait(lock, over);
  else if (!over_changed_.wait_for(lock, std::chrono::nanoseconds(until.remaining_ns()), over))
    return {until == deadline::passed() ? errc::would_block : errc::timed_out, "pool '" + name_ + "' join: it is not over yet"};
  return {};
}

void pool_keeper::resize(int workers) {
  wanted_.store(static_cast<unsigned>(workers));
  ring(bell_);
}

std::vector<process_id> pool_keeper::workers() const {
  std::vector<process_id> all;
  if (!is_mine()) return all;
  const std::scoped_lock guard(mutex_);
  for (const auto& w : workers_)
    if (w.started) all.push_back({w.link->incarnation(), w.link->pid(), w.link->name()});
  return all;
}

std::uint32_t pool_keeper::number_of(const void* function) {
  if (!is_mine())
    throw failure(errc::invalid, "pool '" + name_ + "': this process is a copy of the one that made the pool: use a lambda");
  const std::scoped_lock guard(mutex_);
  return functions_.add(function);
}

bool pool_keeper::mark_cancelled(std::uint64_t lane, std::uint64_t ticket) noexcept {
  if (!is_mine()) return false;
  const std::scoped_lock guard(mutex_);
  if (!board_.cancel(lane, ticket))
    log(log_level::warning, "a pool has no memory to note what is cancelled: a task will run for nobody");
  return true;
}

std::optional<error> pool_keeper::cause() const {
  if (!is_mine()) return {};
  const std::scoped_lock guard(mutex_);
  return cause_;
}

// ---- the thread -------------------------------------------------------------------------------------------------------

void pool_keeper::run() {
  ::pthread_setname_np(::pthread_self(), "cloister pool");
  try {
    while (!is_over()) look_around();
  } catch (const failure& f) {
    // This process was asked to stop, or has no descriptor left.
    broken({f.code(), "pool '" + name_ + "': " + f.error().text()});
  } catch (const std::exception& e) { broken({errc::no_memory, "pool '" + name_ + "': " + e.what()}); }
  try {
    stop_all();
    fail_what_waits();
    for (int tries = 0; !unsent_.empty() && tries < 50; ++tries) {
      send_what_waits();
      if (!unsent_.empty()) ::usleep(unsent_pause_ns / 1000);
    }
  } catch (const std::exception& e) { log(log_level::error, "pool '" + name_ + "': its end: " + e.what()); }
  // The hub tells all submitters, when nobody takes from it any more.
  orphans_.clear();
  later_.clear();
  lanes_.reset();
  for (auto& q : queues_) q = {};
  const std::scoped_lock guard(mutex_);
  over_ = true;
  over_changed_.notify_all();
}

bool pool_keeper::anything_waits() const {
  return std::any_of(queues_.begin(), queues_.end(), [](const auto& q) { return queue_size(*q) != 0; });
}

bool pool_keeper::is_over() const {
  return terminating_.load() || (closing_.load() && queues_[normal_queue]->queue().closed() && living() == 0 && !anything_waits() &&
                                 orphans_.empty() && later_.empty() && unsent_.empty());
}

unsigned pool_keeper::living() const {
  return static_cast<unsigned>(std::count_if(workers_.begin(), workers_.end(), [](const worker& w) { return w.link != nullptr; }));
}

// One round: whatever has happened is acted on, then sleeps until something happens.
void pool_keeper::look_around() {
  std::uint64_t rung = 0;
  static_cast<void>(!::read(bell_.get(), &rung, sizeof rung));
  if (terminating_.load()) return;
  for (const auto& q : queues_) {
    if (closing_.load()) queue_close(*q, false);
    else if (q->queue().closed()) return spoilt();
  }
  constexpr int words_at_once = 1000;
  for (int n = 0; n < words_at_once; ++n) {
    auto word = words_.try_get();
    if (!word) break;
    hear_word(*word);
  }
  while (auto end = ends_.try_get()) hear_end(*end);
  hear_starts();
  collect_orphans();
  settle_orphans();
  retry();
  kill_the_late();
  send_what_waits();
  start_missing();
  if (is_over()) return;

  std::vector<waitable> what{waitable(bell_), waitable(words_), waitable(ends_)};
  // A worker that is missing is started when there is work for it.
  if (living() < wanted_.load() && !closing_.load() && deadline::now() >= no_start_before_)
    for (const auto& q : queues_) what.push_back(waitable(q));
  for (const auto& w : workers_)
    if (w.link && !w.started) what.push_back(waitable(w.link->sentinel()));
  const auto until = next_time();
  auto ready = wait_ready(what, until == no_time_limit ? deadline::never() : deadline::at(until));
  if (!ready && !(ready == errc::timed_out || ready == errc::would_block)) throw failure(ready.error());
}

// When something is to be done next. Whoever begins an item that is to end before that says so.
std::int64_t pool_keeper::next_time() {
  auto next = no_time_limit;
  for (const auto& l : later_)
    if (!waits_for_room(l.what.head.lane)) next = std::min(next, l.when);
  if (!unsent_.empty()) next = std::min(next, deadline::now() + unsent_pause_ns);
  if (living() < wanted_.load() && no_start_before_ > deadline::now()) next = std::min(next, no_start_before_);
  // Whoever was stopped before it could say so.
  if (limits_ && living() != 0) next = std::min(next, deadline::now() + look_pause_ns);
  for (const auto& w : workers_) {
    if (!w.link) continue;
    w.page->looks_at.store(next, std::memory_order_seq_cst);
    if (!w.started) continue;
    const auto at = w.page->kill_at.load(std::memory_order_seq_cst);
    if (at > 0) next = std::min(next, at);
  }
  return next;
}

void pool_keeper::kill_the_late() {
  const auto now = deadline::now();
  for (auto& w : workers_) {
    if (!w.started) continue;
    auto& kill_at = w.page->kill_at;
    auto at = kill_at.load(std::memory_order_seq_cst);
    if (at == condemned) {  // by whoever writes where it should not, or it is being killed
      membership::require().signal_now(w.link->incarnation(), SIGKILL);
      continue;
    }
    if (at <= 0 || at > now || !kill_at.compare_exchange_strong(at, condemned, std::memory_order_seq_cst)) continue;
    w.killed_for = "its deadline has passed";
    membership::require().signal_now(w.link->incarnation(), SIGKILL);
  }
}

void pool_keeper::hear_word(const pool_word& word) {
  if (word.kind == pool_word::what::look) {
    limits_ = true;
    return;
  }
  // Marked first, then looked for: whoever begins it meanwhile looks for the mark.
  if (word.kind == pool_word::what::cancel) mark_cancelled(word.lane, word.ticket);
  for (auto& w : workers_) {
    if (!w.link) continue;
    // First what runs, then whose it is: if that is still running in the end, it is that letter's. Not between two items: the next one is
    // looked up.
    auto at = w.page->kill_at.load(std::memory_order_seq_cst);
    if (at <= 0 || !w.page->has(word.lane, word.ticket) ||
        !w.page->kill_at.compare_exchange_strong(at, condemned, std::memory_order_seq_cst))
      continue;
    w.cancelled_ticket = word.ticket;
    w.cancelled_lane = word.lane;
    if (w.started) membership::require().signal_now(w.link->incarnation(), SIGKILL);  // else when it is known to run
  }
}

// ---- workers ----------------------------------------------------------------------------------------------------------

void pool_keeper::start_missing() {
  const auto wanted = wanted_.load();
  {
    const std::scoped_lock guard(mutex_);
    if (workers_.size() < wanted) workers_.resize(wanted);
  }
  auto living_now = living();
  unsigned leaving = 0;  // they have taken theirs already
  for (const auto& w : workers_)
    if (w.link && w.page->left.load(std::memory_order_acquire) == why_left::surplus) ++leaving;
  const auto surplus = living_now > wanted + leaving ? living_now - leaving - wanted : 0;
  board_.set_surplus(surplus);
  for (auto told = surplus_told_; told < surplus; ++told) wake_worker(*queues_[normal_queue]);
  surplus_told_ = surplus;
  if (deadline::now() < no_start_before_) return;
  // What has ended for want of work, and what is closing, comes back when there is some.
  const bool on_demand = options_.idle_timeout.count() > 0 || closing_.load();
  try {
    for (unsigned i = 0; i < workers_.size() && living_now < wanted; ++i) {
      if (workers_[i].link) continue;
      if (on_demand && !anything_waits()) break;
      auto begun = begin_start(i);
      const std::scoped_lock guard(mutex_);
      workers_[i] = std::move(begun);
      ++living_now;
    }
  } catch (const failure& f) { not_started(f); }
}

// Nobody is waited for: a launcher may be stopped, or a worker before it reports.
void pool_keeper::hear_starts() {
  for (auto& w : workers_) {
    if (!w.link || w.started) continue;
    std::optional<failure> failed;
    try {
      if (!membership::require().end_start(w.link)) continue;
    } catch (const failure& f) { failed = f; }
    {
      const std::scoped_lock guard(mutex_);
      if (failed) w = {};
      else w.started = true;
    }
    if (failed) not_started(*failed);
    else
      membership::require().monitor(w.link->incarnation(), w.link->pid(), w.link->name(),
                                    {object_of(ends_.handle()).id(), no_role});
  }
}

pool_keeper::worker pool_keeper::begin_start(unsigned number) {
  auto options = options_.process;
  options.name = name_ + "-" + std::to_string(number + 1);
  auto page = worker_page::create(options.name);
  options.daemon = true;
  options.start = method_ == start_method::fork ? start_method::forkserver : method_;
  const auto request = make_request(method_, options);
  {
    start_handles handles(*request);
    encoder out(&handles);
    for (const auto& q : queues_) queue_to_message(out, q, source_role);
    out.value(sink<pool_word>(words_));
    for (const int fd : {page.fd(), board_.fd(), functions_.fd()}) out.value(owned_fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3)));
    out.value(worker_terms{name_, depth_, static_cast<std::uint64_t>(options_.max_tasks_per_worker.value_or(0)),
                           options_.max_memory_per_worker, options_.idle_timeout.count(), options_.initializer.code_});
    if (options_.initializer.code_ != 0) options_.initializer.write_(out);
    const auto bytes = out.bytes();
    request->block.arguments.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  request->block.entry = locate_code(reinterpret_cast<const void*>(&run_pool_worker));
  worker begun{membership::require().begin_start(*request), std::move(page)};
  begun.page.close_fd();
  return begun;
}

void pool_keeper::not_started(const failure& f) {
  if (f.code() == errc::stopping || f.code() == errc::interrupted || f.code() == errc::not_attached) throw f;
  start_failed(failed_start, {f.code(), "pool '" + name_ + "': no worker can be started: " + f.error().text()});
}

void pool_keeper::start_failed(unsigned weight, const error& why) {
  failed_starts_ += weight;
  no_start_before_ = deadline::now() + (start_pause_ns << std::min(failed_starts_ / failed_start, 10U));
  if (failed_starts_ < most_failed_starts) return;
  for (const auto& w : workers_)
    if (w.link && w.page->life.load(std::memory_order_acquire) == worker_life::ready) return;
  broken(why);
}

void pool_keeper::hear_end(const exit_notice& notice) {
  const auto found = std::find_if(workers_.begin(), workers_.end(), [&](const worker& w) {
    return w.started && w.link->incarnation() == notice.process.incarnation;
  });
  if (found == workers_.end()) return;
  const auto exit = found->link->wait(deadline::passed()).value_or(notice.exit);
  const auto was = [&] {
    const std::scoped_lock guard(mutex_);
    return std::exchange(*found, {});
  }();
  collect_orphans();
  const auto its =
      std::find_if(orphans_.begin(), orphans_.end(), [&](const orphan& o) { return was.page->has(o.head.lane, o.head.ticket); });
  if (its != orphans_.end()) {
    auto left = std::move(*its);
    orphans_.erase(its);
    settle(std::move(left), was, exit);
  }
  if (was.page->left.load(std::memory_order_acquire) == why_left::queue_broken) {
    spoilt();
  } else if (was.page->life.load(std::memory_order_acquire) == worker_life::ready) {
    failed_starts_ = 0;
  } else {
    start_failed(exit.signal() == SIGKILL ? killed_start : failed_start,
                 error(errc::not_started, "pool '" + name_ + "': its workers end before they are ready: " + exit.text(), exit));
  }
}

// ---- the end ------------------------------------------------------------------------------------------------------------

void pool_keeper::broken(const error& why) {
  {
    const std::scoped_lock guard(mutex_);
    if (!cause_ && !terminating_.load()) cause_ = why;
  }
  closing_.store(true);
  terminating_.store(true);
}

void pool_keeper::spoilt() { broken({errc::broken, "pool '" + name_ + "': something has written over its queue of tasks"}); }

// Kills those who are left, and waits until that is put right.
void pool_keeper::stop_all() {
  for (const auto& q : queues_) queue_close(*q, false);
  auto& here = membership::require();
  // Those that are about to run may come late, as nothing is left for them: they end by themselves.
  constexpr std::int64_t patience_ns = 1'000'000'000;
  const deadline until{std::chrono::nanoseconds(patience_ns)};
  for (;;) {
    try {
      hear_starts();
    } catch (const failure&) {}  // that one does not run
    std::vector<pollfd> starting;
    for (const auto& w : workers_)
      if (w.link && !w.started) starting.push_back({w.link->sentinel(), POLLIN, 0});
    if (starting.empty() || until.has_passed()) break;
    ::poll(starting.data(), starting.size(), until.remaining_ms());
  }
  for (const auto& w : workers_)
    if (w.started) here.signal_now(w.link->incarnation(), SIGKILL);
  for (auto& w : workers_) {
    if (w.started) w.link->wait_unstoppably();
    const std::scoped_lock guard(mutex_);
    w = {};
  }
}

}  // namespace cloister::internal
