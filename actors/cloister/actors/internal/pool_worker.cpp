// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/actors/internal/pool_worker.hpp>

#include <cloister/actors/detail/inbox.hpp>
#include <cloister/actors/detail/pool_code.hpp>
#include <cloister/actors/internal/function_table.hpp>
#include <cloister/actors/internal/pool_board.hpp>
#include <cloister/detail/exception_words.hpp>
#include <cloister/detail/lanes.hpp>
#include <cloister/detail/letter.hpp>
#include <cloister/detail/mailbox.hpp>
#include <cloister/detail/queue_core.hpp>
#include <cloister/detail/stop.hpp>
#include <cloister/fault.hpp>
#include <cloister/node.hpp>
#include <cloister/this_process.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>
#include <vector>

#include <unistd.h>

namespace cloister::internal {

using namespace detail;

namespace {

std::uint32_t depth_here = 0;

// Notes that a value has handles in it, and is not for the page.
struct handle_spotter final : handle_sink {
  bool any = false;
  std::uint64_t put_object(attachment&, unsigned) override {
    any = true;
    return 0;
  }
  std::uint64_t put_fd(int) override {
    any = true;
    return 0;
  }
};

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "?";
}

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t all = 0, resident = 0;
  statm >> all >> resident;
  return resident * page_size();
}

class pool_worker final : result_sink, function_source {
 public:
  pool_worker(std::array<object_handle, pool_queues> queues, sink<pool_word> words, worker_page page, pool_board board,
              function_table functions, worker_terms terms, node& here)
      : queues_(std::move(queues)),
        words_(std::move(words)),
        page_(std::move(page)),
        board_(std::move(board)),
        functions_(std::move(functions)),
        terms_(std::move(terms)),
        here_(here),
        lanes_(*queues_[normal_queue]) {}

  void run(worker_state state) {
    state_ = std::move(state);
    page_->life.store(worker_life::ready, std::memory_order_release);
    for (std::uint64_t tasks = 0;;) {
      if (board_.take_surplus()) return page_->left.store(why_left::surplus, std::memory_order_release);
      taken letter;
      auto* from = take(letter);
      if (from == nullptr) return;
      tasks += handle(*from, letter);
      if ((terms_.max_tasks != 0 && tasks >= terms_.max_tasks) || (terms_.max_memory != 0 && resident_bytes() > terms_.max_memory))
        return;
    }
  }

 private:
  static constexpr std::int64_t flush_after_ns = 1'000'000;
  static constexpr std::size_t letter_in_place = 16 * 1024;  // shorter ones are copied: others may want the place

  // Urgent ones first, idle ones last. Where it comes from; nullptr: this worker is to end.
  attachment* take(taken& into) {
    const auto me = self_actor();
    for (const auto queue : {urgent_queue, normal_queue, idle_queue}) {
      auto& q = *queues_[queue];
      if (q.queue().would_return(me) && q.queue().take(me, into, deadline::passed())) return &q;
    }
    auto& normal = *queues_[normal_queue];
    const auto until = terms_.idle_ns != 0 ? deadline(std::chrono::nanoseconds(terms_.idle_ns)) : deadline::never();
    auto got = normal.queue().take(me, into, until);
    if (got) return &normal;
    if (got == errc::timed_out) return nullptr;
    if (got == errc::broken) page_->left.store(why_left::queue_broken, std::memory_order_release);
    if (!(got == errc::closed)) throw failure(got.error());
    // What others have on loan may come back: closed means that nothing will.
    for (const auto queue : {urgent_queue, idle_queue})
      if (queues_[queue]->queue().take(me, into, deadline::never())) return &*queues_[queue];
    return nullptr;
  }

  // How many items it was.
  std::uint64_t handle(attachment& from, taken& letter) {
    task_head head;
    const named_code* code = nullptr;
    std::optional<error> unknown;
    try {
      std::array<std::byte, sizeof(task_head)> beginning{};
      letter.copy_to(beginning);
      head = decode<task_head>(beginning);
      if (letter.size() < sizeof beginning || !head.is_possible(letter.size()))
        throw failure(errc::undecodable, "a letter without a head");
    } catch (const failure&) { return letter.deliver(), 0; }  // nothing that a submitter has put
    if (head.code == 0) return letter.deliver(), 0;
    try {
      code = &named_code::find(head.code);
    } catch (const failure& f) { unknown = f.error(); }
    // On loan it stays where it is. There, if each byte is read once; else from a copy, as others may still write there.
    std::span<const std::byte> bytes;
    if (code != nullptr && code->reads_once() && letter.size() > letter_in_place) bytes = letter.view();
    bool no_memory = false;
    if (bytes.empty()) {
      try {
        letter_.resize(letter.size());
        letter.copy_to(letter_);
        bytes = letter_;
      } catch (const std::bad_alloc&) { no_memory = true; }
    }
    const auto lease = letter.lease().value();
    fault_point("task", 1);
    page_->lane.store(head.lane, std::memory_order_relaxed);
    page_->begun.store(head.begin + 1, std::memory_order_relaxed);  // whatever ends it from here on, it was this item
    page_->flushed.store(head.begin, std::memory_order_relaxed);
    page_->written.store(head.begin, std::memory_order_relaxed);
    head_ = head;
    arm_outside_item();
    page_->ticket.store(head.ticket, std::memory_order_seq_cst);
    fault_point("task", 2);
    in_letter_ = done_ = flushed_ = head.begin;
    used_ = 0;
    if (no_memory) throw std::bad_alloc();
    bool wanted = true;
    try {
      // Before anything runs: a task may close all descriptors.
      lane_ = lanes_.find(head.lane);
      wanted = !lane_->queue().closed();
    } catch (const failure& f) {
      if (f.code() != errc::gone) throw;
      wanted = false;
    }
    incoming handles(from);
    decoder in(bytes, &handles);
    static_cast<void>(in.value<task_head>());
    if (wanted) run_items(in, code, unknown);
    board_.forget_cancelled(head.lane, head.ticket);
    fault_point("task", 6);
    if (auto done = from.queue().ack(self_actor(), lease); !done) throw failure(done.error());
    page_->ticket.store(0, std::memory_order_release);
    arm(0);
    return head.end - head.begin;
  }

  void run_items(decoder& in, const named_code* code, const std::optional<error>& unknown) {
    last_flush_ns_ = deadline::now();
    std::unique_ptr<task_body> body;
    std::optional<error> unreadable;
    name_.clear();
    try {
      name_ = in.value<std::string>();
      if (code != nullptr) body = code->as<make_task>()(in, *this);
      else unreadable = in_task(*unknown);
    } catch (const failure& f) { unreadable = in_task(f.error()); } catch (...) {
      unreadable = in_task(thrown(task_stage::decoding));
    }
    for (std::uint32_t i = 0; i < head_.end; ++i) {
      if (head_.end == 1) {
        if (i >= head_.begin) run_item(i, body.get(), unreadable, in);
        break;
      }
      std::span<const std::byte> bytes;
      if (!unreadable) {
        try {
          const auto size = in.value<std::uint32_t>();
          bytes = {in.take(size, "task"), size};
        } catch (const failure& f) { unreadable = in_task(f.error()); }
      }
      if (i < head_.begin) continue;
      decoder item(bytes, in.handles());
      run_item(i, body.get(), unreadable, item);
    }
    flush();
  }

  void run_item(std::uint32_t i, task_body* body, const std::optional<error>& unreadable, decoder& in) {
    in_letter_ = i;
    if (unreadable) return answer(*unreadable);
    page_->begun.store(i + 1, std::memory_order_release);
    arm(time_limit());
    if (board_.is_cancelled(head_.lane, head_.ticket)) {  // who cancelled it waits no more
      end_item();
      return answer(in_task({errc::cancelled, "cancelled"}));
    }
    fault_point("task", 3);
    task_surroundings with{here_, state_, *this};
    ended_ = false;
    std::optional<error> why;
    try {
      body->run(in, with);
    } catch (...) { why = in_task(thrown(with.stage)); }
    if (!ended_) end_item();
    fault_point("task", 4);
    if (why) answer(*why);
    fault_point("task", 5);
    if (deadline::now() - last_flush_ns_ > flush_after_ns) flush();
  }

  bool is_limited() const noexcept { return head_.run_ns > 0 && head_.run_ns < no_time_limit / 2; }
  // When what begins now is to end. Without a limit another one for each item, so that whoever condemns one condemns no other.
  std::int64_t time_limit() noexcept {
    return is_limited() ? deadline::now() + head_.run_ns : no_time_limit - static_cast<std::int64_t>(++item_number_ % (1U << 30));
  }
  // From now on this process may be killed at that time; 0: not at all. If it was condemned before, it is being killed.
  void arm(std::int64_t until) {
    if (page_->kill_at.exchange(until, std::memory_order_seq_cst) == condemned)
      for (;;) ::pause();
    if (until != 0 && until < no_time_limit / 2 && until < page_->looks_at.load(std::memory_order_seq_cst))
      static_cast<void>(words_.try_put({pool_word::what::look, 0, 0, 0}));
  }

  // What is done before, between and after items has the time of an item, for who stops there.
  void arm_outside_item() { arm(is_limited() ? time_limit() : 0); }

  // The item's code has run.
  void end_item() {
    ended_ = true;
    arm_outside_item();
  }

  // Puts into the lane. While that is full, no time runs.
  template <class Put>
  auto waiting_for_room(Put put) {
    auto sent = put(deadline::passed());
    if (!(sent == errc::would_block)) return sent;
    arm(0);
    sent = put(deadline::never());
    arm_outside_item();
    return sent;
  }
  template <class Write>
  auto send(const Write& whole) {
    return send_written(*lane_, whole, [this](outgoing& letter) {
      return waiting_for_room([&letter](deadline until) { return letter.put(until); });
    });
  }

  // From inside body->run: the item's value, while it lives.
  void accept(const void* value, void (*encode)(encoder&, const void*)) override {
    end_item();
    answer(true, value, encode);
  }

  // In this order: what is flushed and still written is sent twice at most.
  void publish() {
    page_->flushed.store(flushed_, std::memory_order_release);
    fault_point("flush", 2);
    page_->written.store(std::uint64_t{used_} << 32 | done_, std::memory_order_release);
  }

  void answer(const error& why) {
    answer(false, &why, [](encoder& out, const void* e) { out.value(*static_cast<const error*>(e)); });
  }
  void answer(bool ok, const void* value, void (*encode)(encoder&, const void*)) {
    handle_spotter spotter;
    item_.clear();
    item_.handles(&spotter);
    item_.borrow_large();
    encode(item_, value);  // what has no encoding ends here
    if (spotter.any || item_.size() > worker_page::buffer_bytes / 4) return send_alone(ok, value, encode);
    if (used_ + sizeof(std::uint32_t) + item_.size() > worker_page::buffer_bytes) flush();
    const auto frame = static_cast<std::uint32_t>(item_.size() << 1 | (ok ? 1 : 0));
    auto* to = page_.buffer().data() + used_;
    std::memcpy(to, &frame, sizeof frame);
    to += sizeof frame;
    for (const auto& piece : item_.pieces()) {
      if (!piece.empty()) std::memcpy(to, piece.data(), piece.size());
      to += piece.size();
    }
    used_ += static_cast<std::uint32_t>(sizeof frame + item_.size());
    done_ = in_letter_ + 1;
    page_->written.store(std::uint64_t{used_} << 32 | done_, std::memory_order_release);
  }

  // What is written and not sent yet.
  void flush() {
    const auto now = deadline::now();
    if (done_ > flushed_) {
      encoder head;
      write_head(head, letter_head{letter_kind::reply, answer_key(flushed_, done_ - flushed_), head_.ticket, answer_framed,
                                   now - last_flush_ns_});
      const std::array<std::span<const std::byte>, 2> pieces{head.bytes(), page_.buffer().first(used_)};
      auto sent = waiting_for_room([&](deadline until) { return lane_->queue().put(self_actor(), gathered(pieces), until); });
      if (!sent && !(sent == errc::closed)) send_refusal(flushed_, done_ - flushed_, sent.error());
      fault_point("flush", 1);
    }
    flushed_ = done_;
    used_ = 0;
    publish();
    last_flush_ns_ = now;
  }

  void send_alone(bool ok, const void* value, void (*encode)(encoder&, const void*)) {
    flush();
    const auto now = deadline::now();
    const auto whole = [&](encoder& out) {
      write_head(out, letter_head{letter_kind::reply, answer_key(in_letter_, 1), head_.ticket, answer_alone, now - last_flush_ns_});
      *out.grow(1) = static_cast<std::byte>(ok);
      encode(out, value);
    };
    const auto sent = send(whole);
    if (!sent && !(sent == errc::closed)) send_refusal(in_letter_, 1, sent.error());
    flushed_ = done_ = in_letter_ + 1;
    publish();
  }

  // Their results cannot be sent: too large, no memory. If this cannot be said either, the pool's thread says that this worker is lost.
  void send_refusal(std::uint32_t first, std::uint32_t count, const error& why) {
    if (why.code() == errc::stopping || why.code() == errc::interrupted) throw failure(why);
    const auto whole = [&](encoder& out) {
      write_head(out, letter_head{letter_kind::reply, answer_key(first, count), head_.ticket, answer_alone, 0});
      *out.grow(1) = std::byte{0};
      out.value(in_task(why));
    };
    const auto sent = send(whole);
    if (!sent && !(sent == errc::closed)) throw failure(sent.error());
  }

  const void* function(std::uint32_t index) override { return functions_.find(index); }

  error in_task(const error& e) const {
    std::string text = "pool '" + terms_.pool + "' " + (name_.empty() ? "task" : "task '" + name_ + "'");
    text += " (pid " + std::to_string(::getpid()) + " on " + host_ + "): " + e.text();
    return e.exit() != nullptr ? error(e.code(), std::move(text), *e.exit()) : error(e.code(), std::move(text));
  }

  // REQUIRES: an exception is being handled.
  static error thrown(task_stage stage) {
    const char* where = stage == task_stage::decoding ? "its arguments: " : "its result: ";
    try {
      throw;
    } catch (const failure& f) {
      if (stage != task_stage::running) return {f.code(), where + f.error().text()};
    } catch (...) {}
    const auto words = words_of_current_exception();
    const auto text = words.type + ": " + words.text;
    if (stage == task_stage::running) return {errc::threw, text, exit_status::threw(words.type, words.text)};
    return {stage == task_stage::decoding ? errc::undecodable : errc::invalid, where + text};
  }

  const std::array<object_handle, pool_queues> queues_;
  const sink<pool_word> words_;
  const worker_page page_;
  const pool_board board_;
  const function_table functions_;
  const worker_terms terms_;
  node& here_;
  lanes lanes_;
  const std::string host_ = host_name();
  worker_state state_;

  // Of the letter in hand.
  std::vector<std::byte> letter_;
  task_head head_;
  std::string name_;
  std::shared_ptr<attachment> lane_;
  std::uint32_t in_letter_ = 0;                      // the item
  std::uint32_t done_ = 0, flushed_ = 0, used_ = 0;  // what the page says
  std::uint64_t item_number_ = 0;
  bool ended_ = false;
  std::int64_t last_flush_ns_ = 0;
  encoder item_;
};

}  // namespace

std::uint32_t pool_depth() noexcept { return depth_here; }

void run_pool_worker(body_context& context) {
  auto& in = context.arguments;
  std::array<object_handle, pool_queues> queues;
  for (auto& q : queues) q = queue_from_message(in, source_role, tasks_fingerprint);
  auto words = in.value<sink<pool_word>>();
  auto page = in.value<owned_fd>();
  auto board = in.value<owned_fd>();
  auto functions = in.value<owned_fd>();
  auto terms = in.value<worker_terms>();
  depth_here = terms.depth;
  inbox::work_for(queues[normal_queue]->id());
  worker_state state;
  if (terms.initializer != 0) state = named_code::find(terms.initializer).as<make_state>()(in, context.here);
  in.finish();
  pool_worker worker(std::move(queues), std::move(words), worker_page::attach(std::move(page)),
                     pool_board::attach(std::move(board)), function_table::attach(std::move(functions)), std::move(terms),
                     context.here);
  worker.run(std::move(state));
}

}  // namespace cloister::internal
