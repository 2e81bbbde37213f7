// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/actors/detail/inbox.hpp>

#include <cloister/actors/detail/pool_link.hpp>
#include <cloister/actors/detail/pool_wire.hpp>
#include <cloister/actors/pool.hpp>
#include <cloister/detail/exception_words.hpp>
#include <cloister/detail/letter.hpp>
#include <cloister/detail/mailbox.hpp>
#include <cloister/detail/membership.hpp>
#include <cloister/detail/queue_core.hpp>
#include <cloister/internal/control.hpp>
#include <cloister/internal/registry_options.hpp>
#include <cloister/log.hpp>
#include <cloister/monitor.hpp>
#include <cloister/queue.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <system_error>
#include <thread>

#include <pthread.h>

namespace cloister::detail {
namespace {

thread_local bool calling_here = false;  // this is the thread of the callbacks

std::atomic<inbox*> newest{nullptr};

constexpr std::size_t letters_at_once = 64;
constexpr std::size_t usual_answer = 112;  // longer ones go into memory of their own

}  // namespace

// ---- job ------------------------------------------------------------------------------------------------------------

job::job(job_origin from, std::size_t items) : from_(std::move(from)), home_(inbox::here()), left_(items) {}
job::~job() = default;

std::string job::what() const {
  auto text = "pool '" + from_.pool->name() + "' " + from_.call;
  if (from_.options && !from_.options->name.empty()) text += " '" + from_.options->name + "'";
  return text;
}

std::mutex& job::mutex() const noexcept {
  static std::array<std::mutex, 61> some;
  return some[reinterpret_cast<std::uintptr_t>(this) / 64 % some.size()];
}

void job::report_to(std::function<void(const progress&)> report, std::size_t total) {
  if (!report || total == 0) return;
  followers_ = std::make_unique<followers>();
  followers_->report = std::move(report);
  followers_->total = total;
  followers_->began = deadline::now();
}

void job::settled(const std::shared_ptr<job>& self, std::size_t items) {
  if (items == 0) return;
  auto& j = *self;
  bool reports = false;
  {
    const std::scoped_lock guard(j.mutex());
    reports = j.followers_ && j.followers_->report;
  }
  // Before the last is counted: a callback that is to come is known by then.
  try {
    if (reports) j.home().expect_call(j.pool()->id());
  } catch (const failure& f) {
    reports = false;
    log(log_level::warning, f.error().text());
  }
  const auto left = j.left_.fetch_sub(items, std::memory_order_acq_rel) - items;
  // A report that is still to come tells of these, too: it looks after it has said that it no longer is.
  if (reports && j.followers_->posted.exchange(true, std::memory_order_acq_rel)) j.home().expect_call_no_more(j.pool()->id());
  else if (reports)
    j.home().post(j.pool()->id(), [self] {
      auto& f = *self->followers_;
      f.posted.exchange(false, std::memory_order_acq_rel);
      f.report({f.total - self->left(), f.total, std::chrono::nanoseconds(deadline::now() - f.began)});
    });
  if (left != 0) return;
  std::vector<std::function<void()>> calls;
  {
    const std::scoped_lock guard(j.mutex());
    if (j.followers_) calls.swap(j.followers_->when_done);
  }
  for (const auto& call : calls) call();
}

void job::when_done(std::function<void()> what) {
  {
    const std::scoped_lock guard(mutex());
    if (!done()) {
      if (!followers_) followers_ = std::make_unique<followers>();
      return followers_->when_done.push_back(std::move(what));
    }
  }
  what();
}

// ---- inbox ----------------------------------------------------------------------------------------------------------

inbox::inbox(object_handle lane, std::uint64_t member, inbox* before) : lane_(std::move(lane)), member_(member), before_(before) {}

inbox& inbox::here() {
  const auto member = membership::require().serial();
  auto* known = newest.load(std::memory_order_acquire);
  if (known != nullptr && known->member_ == member) return *known;
  const auto made =
      make_queue({.name = "results", .max_bytes = most_result_bytes}, lane_fingerprint, usual_answer, internal::close_with_source);
  auto fresh = std::unique_ptr<inbox>(new inbox(object_handle(made.object(), source_role), member, known));
  if (newest.compare_exchange_strong(known, fresh.get(), std::memory_order_acq_rel)) return *fresh.release();
  return here();  // another thread was faster
}

void inbox::introduce(const attachment& tasks) {
  // Nobody puts a letter there before the hub was told.
  const std::scoped_lock guard(introducing_);
  if (introduced_.contains(tasks.id())) return;
  internal::send_request(membership::require().control(), internal::introduce{tasks.id(), lane_->id()});
  introduced_.insert(tasks.id());
}

std::uint64_t inbox::expect(const std::shared_ptr<job>& owner, std::size_t base, std::uint32_t count) {
  const std::scoped_lock guard(mutex_);
  const auto ticket = ++last_ticket_;
  parts_.emplace(ticket, part{owner, base, 0, count, owner->pool()->id()});
  if (owner->first_ticket_ == 0) owner->first_ticket_ = ticket;
  owner->last_ticket_ = ticket;
  return ticket;
}

bool inbox::fail(std::uint64_t ticket, const error& why) {
  part p;
  {
    const std::scoped_lock guard(mutex_);
    const auto found = parts_.extract(ticket);
    if (found.empty()) return false;
    p = std::move(found.mapped());
  }
  for (auto i = p.next; i < p.count; ++i) fail_item(*p.owner, p.base + i, why);
  job::settled(p.owner, p.count - p.next);
  const std::scoped_lock guard(mutex_);
  changed_.notify_all();
  return true;
}

bool inbox::is_mine() const noexcept {
  const auto* now = membership::current();
  return now != nullptr && now->serial() == member_;
}

bool inbox::cancel(job& what) {
  if (!is_mine()) return false;
  look();  // what is there already is no longer open
  std::vector<std::uint64_t> open;
  {
    const std::scoped_lock guard(mutex_);
    const auto is_its = [&what](const part& p) { return p.owner.get() == &what; };
    if (what.last_ticket_ - what.first_ticket_ < parts_.size()) {
      for (auto ticket = what.first_ticket_; ticket <= what.last_ticket_; ++ticket)
        if (const auto p = parts_.find(ticket); p != parts_.end() && is_its(p->second)) open.push_back(ticket);
    } else {
      for (const auto& [ticket, p] : parts_)
        if (is_its(p)) open.push_back(ticket);
    }
  }
  const error why(errc::cancelled, what.what() + ": cancelled");
  bool any = false;
  for (const auto ticket : open) {
    what.pool()->cancel(lane(), ticket);
    any = fail(ticket, why) || any;
  }
  const std::scoped_lock guard(mutex_);
  if (any && reading_) nudge();  // it may be what that one waits for
  return any;
}

// ---- waiting and reading ----------------------------------------------------------------------------------------------

error inbox::own_worker_error(const std::string& what) {
  return {errc::deadlock, what + ": a task of a pool waits for another task of the same pool, which may be waiting for its worker"};
}

result<void> inbox::wait(const job& what, const std::function<bool()>& ready, deadline until) {
  if (working_for() == what.pool()->id() && !ready()) return own_worker_error(what.what());
  return wait(what.what(), ready, until);
}

result<void> inbox::wait(const std::string& what, const std::function<bool()>& ready, deadline until) {
  if (!is_mine())
    return ready() ? result<void>()
                   : result<void>(errc::invalid, what + ": a future of another process, or of a node that has ended");
  std::unique_lock lock(mutex_);
  for (bool looked = false;; looked = true) {
    if (ready()) return {};
    if (looked && until.has_passed()) {
      if (until == deadline::passed()) return {errc::would_block, what + ": not yet"};
      return {errc::timed_out, what + ": not in time"};
    }
    if (!reading_) {
      reading_ = true;
      lock.unlock();
      const auto read = read_some(until);
      lock.lock();
      reading_ = false;
      if (waiting_ != 0) changed_.notify_all();
      if (!read && !(read == errc::timed_out || read == errc::would_block))
        return ready() ? result<void>() : result<void>(read.error().code(), what + ": " + read.error().text());
      continue;
    }
    if (until == deadline::passed()) continue;
    ++waiting_;
    if (until.is_never()) changed_.wait(lock);
    else changed_.wait_for(lock, std::chrono::nanoseconds(until.remaining_ns()));
    --waiting_;
  }
}

void inbox::look() {
  if (is_mine() && lane_->queue().would_return(self_actor())) read_meanwhile(deadline::passed());
}

void inbox::read_meanwhile(deadline until) {
  std::unique_lock lock(mutex_);
  if (reading_) {
    changed_.wait_for(lock, std::chrono::nanoseconds(until.remaining_ns()));
    return;
  }
  reading_ = true;
  lock.unlock();
  // All that is there.
  while (read_some(until)) until = deadline::passed();
  lock.lock();
  reading_ = false;
  changed_.notify_all();
}

// REQUIRES: reading_, by this thread.
result<void> inbox::read_some(deadline until) {
  auto letters = take_many(*lane_, letters_at_once, until);
  if (!letters) return letters.error();
  for (const auto& letter : *letters) read_letter(letter);
  lane_->queue().deliver_many(*letters);
  return {};
}

void inbox::read_letter(const taken& message) {
  try {
    std::array<std::byte, sizeof(letter_head)> beginning{};
    const auto have = std::span(beginning).first(std::min(beginning.size(), message.size()));
    message.copy_to(have);
    decoder begins(have);
    const auto head = read_head(begins);
    if (head.kind == letter_kind::reply) return read_answer(head, message);
    if (head.kind != letter_kind::down) return;
    decoder in(own_copy(message));
    static_cast<void>(read_head(in));
    pool_is_down(head.key, in.value<exit_status>());
  } catch (const failure& f) {
    log(log_level::warning, std::string("a letter about tasks cannot be read: ") + f.what());
  } catch (const std::exception& e) { log(log_level::error, std::string("a letter about tasks cannot be read: ") + e.what()); }
}

// Where there is no memory for what it says, it is tried with less.
void inbox::fail_item(job& owner, std::size_t item, const error& why) noexcept {
  try {
    owner.fail(item, why);
  } catch (...) {
    try {
      owner.fail(item, error(why.code(), ""));
    } catch (...) {}  // its place is empty: who reads it gets none
  }
}

void inbox::read_item(job& owner, std::size_t item, bool value, decoder& in) {
  std::optional<error> why;
  errc code = errc::undecodable;
  std::string says;
  try {
    if (value) return owner.read(item, in);
    return fail_item(owner, item, in.value<error>());
  } catch (const failure& f) { why.emplace(f.error()); } catch (const std::bad_alloc&) {
    code = errc::no_memory;
  } catch (const std::exception& e) {  // of the type's own codec or constructor
    says = e.what();
  } catch (...) {}
  try {
    if (!why) why.emplace(code, std::move(says));
    fail_item(owner, item, {why->code(), owner.what() + ": the result of item " + std::to_string(item) + ": " + why->text()});
  } catch (const std::bad_alloc&) { fail_item(owner, item, error(errc::no_memory, "")); }
}

// Items come in order; those that came before are in it again if a worker died between sending them and saying so.
void inbox::read_answer(const letter_head& head, const taken& message) {
  const auto first = static_cast<std::uint32_t>(head.key >> 32), count = static_cast<std::uint32_t>(head.key);
  std::shared_ptr<job> owner;
  std::size_t base = 0;
  std::uint32_t from = 0, to = 0;
  {
    const std::scoped_lock guard(mutex_);
    const auto p = parts_.find(head.ticket);
    if (p == parts_.end()) return;  // nobody wants it any more
    from = p->second.next;
    to = std::min(p->second.count, first + count);
    if (to <= from) return;
    owner = p->second.owner;
    base = p->second.base;
    p->second.next = to;
    if (to == p->second.count) parts_.erase(p);
  }
  // Counted whatever happens.
  struct counting {
    std::shared_ptr<job>& owner;
    std::uint32_t items;
    ~counting() { job::settled(owner, items); }
  } at_the_end{owner, to - from};
  std::uint32_t read = from;
  // What no correct worker leaves out.
  const error missing(errc::broken, "a pool's answer has no value for it");
  for (; read < first && read < to; ++read) fail_item(*owner, base + read, missing);
  // Where it lies, if it lies together and each byte is read once; else from a copy, as who sent it may still write there.
  const auto in_place = owner->reads_once() ? message.view() : std::span<const std::byte>();
  incoming handles(*lane_);
  try {
    decoder in(in_place.empty() ? own_copy(message) : in_place, &handles);
    static_cast<void>(read_head(in));
    if (head.reply_to == answer_alone) {
      const bool value = *in.take(1, "answer") != std::byte{0};
      if (count == 1) {
        read_item(*owner, base + read, value, in);
        ++read;
      } else {
        const auto why = value ? missing : in.value<error>();
        for (; read < to; ++read) fail_item(*owner, base + read, why);
      }
    } else {
      for (auto i = first; read < to; ++i) {
        const auto frame = in.value<std::uint32_t>();
        const auto* bytes = in.take(frame >> 1, "answer");
        if (i < read) continue;
        decoder item({bytes, frame >> 1}, &handles);
        read_item(*owner, base + read, (frame & 1) != 0, item);
        ++read;
      }
    }
  } catch (const failure& f) {
    for (; read < to; ++read) fail_item(*owner, base + read, f.error());
  } catch (const std::bad_alloc&) {
    for (; read < to; ++read) fail_item(*owner, base + read, missing);
  }
  owner->pool()->learn(*owner, to - from, head.until);
}

void inbox::pool_is_down(std::uint64_t pool, const exit_status& exit) {
  std::vector<std::uint64_t> open;
  std::shared_ptr<pool_link> its;
  {
    const std::scoped_lock guard(mutex_);
    for (const auto& [ticket, p] : parts_) {
      if (p.pool != pool) continue;
      open.push_back(ticket);
      its = p.owner->pool();
    }
  }
  if (open.empty()) return;
  const auto name = "pool '" + its->name() + "': ";
  auto why = exit.known() && !exit.success() ? error(errc::peer_down, name + "the process that made it ended: " + exit.text(), exit)
                                             : error(errc::closed, name + "it has ended");
  if (auto cause = its->cause()) why = *std::move(cause);
  for (const auto ticket : open) fail(ticket, why);
}

// ---- callbacks --------------------------------------------------------------------------------------------------------

void inbox::expect_call(std::uint64_t pool) {
  const std::scoped_lock guard(calls_mutex_);
  ++calls_to_come_[pool];
  if (calls_run_) return;
  try {
    std::thread([this] { run_calls(); }).detach();
    calls_run_ = true;
  } catch (const std::system_error& e) {
    if (--calls_to_come_[pool] == 0) calls_to_come_.erase(pool);
    throw failure(errc::no_memory, std::string("a future's callback: no thread for it: ") + e.what());
  }
}

void inbox::expect_call_no_more(std::uint64_t pool) noexcept {
  const std::scoped_lock guard(calls_mutex_);
  const auto left = calls_to_come_.find(pool);
  if (left != calls_to_come_.end() && --left->second == 0) calls_to_come_.erase(left);
  calls_changed_.notify_all();
}

void inbox::post(std::uint64_t pool, std::function<void()> call) noexcept {
  try {
    const std::scoped_lock guard(calls_mutex_);
    calls_.emplace_back(pool, std::move(call));
  } catch (const std::bad_alloc&) {
    log(log_level::error, "a callback of a future is lost: no memory for it");
    expect_call_no_more(pool);
  }
  if (calls_sleep_.load(std::memory_order_seq_cst)) nudge();
}

// Whoever reads is woken by a letter that says nothing.
void inbox::nudge() {
  encoder nothing;
  write_head(nothing, letter_head{});
  static_cast<void>(put_bytes(*lane_, nothing.bytes(), deadline::passed()));
}

void inbox::run_calls() {
  // No name of the library's own threads, beside which a fork is allowed: what runs here is the program's.
  ::pthread_setname_np(::pthread_self(), "callbacks");
  calling_here = true;
  std::unique_lock lock(calls_mutex_);
  for (;;) {
    while (!calls_.empty()) {
      std::uint64_t pool = 0;
      {
        const auto next = std::move(calls_.front());
        calls_.pop_front();
        lock.unlock();
        pool = next.first;
        try {
          next.second();
        } catch (...) {
          const auto words = words_of_current_exception();
          log(log_level::warning, "a callback of a future threw " + words.type + ": " + words.text);
        }
      }  // it may have held the last future of something
      expect_call_no_more(pool);
      lock.lock();
    }
    if (calls_to_come_.empty()) break;
    lock.unlock();
    calls_sleep_.store(true, std::memory_order_seq_cst);
    const auto some = [this] {
      const std::scoped_lock guard(calls_mutex_);
      return !calls_.empty();
    };
    const auto waited = wait("callbacks", some, deadline::never());
    calls_sleep_.store(false, std::memory_order_seq_cst);
    lock.lock();
    if (!waited && calls_.empty()) break;  // this process was asked to stop
  }
  calls_run_ = false;
  calls_changed_.notify_all();
}

bool inbox::await_calls(std::uint64_t pool, deadline until) {
  if (calling_here) return true;
  std::unique_lock lock(calls_mutex_);
  const auto none = [&] { return !calls_to_come_.contains(pool) || !calls_run_; };
  if (!until.is_never()) return calls_changed_.wait_for(lock, std::chrono::nanoseconds(until.remaining_ns()), none);
  calls_changed_.wait(lock, none);
  return true;
}

}  // namespace cloister::detail
