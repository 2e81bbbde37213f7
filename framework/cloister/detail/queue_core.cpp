// SPDX-License-Identifier: BSD-3-Clause
// Making queues, queues in messages, and what a process has taken: delivered, on loan, or unfinished.
#include <cloister/detail/queue_core.hpp>

#include <cloister/detail/membership.hpp>
#include <cloister/internal/registry_options.hpp>
#include <cloister/queue.hpp>

#include <algorithm>
#include <deque>
#include <unordered_map>

namespace cloister::detail {
namespace {

// Messages got from joinable queues and not yet marked done, by queue. Private to the process, like Python's count.
struct unfinished_messages {
  std::mutex mutex;
  std::unordered_map<std::uint64_t, std::deque<held_message>> held;  // guarded by mutex
};
unfinished_messages& unfinished() {
  static unfinished_messages all;
  return all;
}

}  // namespace

object_handle make_queue(const queue_options& options, std::uint64_t fingerprint, std::size_t message_size,
                         std::uint32_t hub_options) {
  auto& here = membership::require();
  slots_options o;
  o.id = here.next_object_id();
  const auto name =
      options.name.empty() ? "queue-" + std::to_string(o.id >> 32) + "." + std::to_string(o.id & 0xffffffff) : options.name;
  o.name = name;
  o.fingerprint = fingerprint;
  o.message_size = message_size;
  o.max_items = options.max_items;
  o.max_bytes = options.max_bytes;
  o.max_deliveries = options.max_deliveries;
  if (options.close_with_last_sink) hub_options |= internal::close_with_last_sink;
  return {here.create(slots::create(o).value(), hub_options), no_role};
}

attachment& object_of(const object_handle& handle) {
  if (!handle) throw failure(errc::invalid, "this handle names no object: it was default constructed, moved from, or already sent");
  return *handle;
}

object_handle queue_from_message(decoder& in, unsigned role, std::uint64_t fingerprint) {
  const auto number = in.value<std::uint64_t>();
  const auto object = in.value<std::uint64_t>();
  auto found = in.need_handles("queue").take_object(number, object, role, fingerprint);
  if (found->kind() != object_kind::queue || found->fingerprint() != fingerprint)
    throw failure(errc::wrong_type, "'" + found->name() + "': a handle for another message type, or another kind of object");
  return {std::move(found), role};
}

void queue_to_message(encoder& out, const object_handle& handle, unsigned role) {
  auto& object = object_of(handle);
  out.value(out.need_handles("queue").put_object(object, role));
  out.value(object.id());
}

result<void> put_many_bytes(attachment& q, std::span<const std::byte> messages, std::size_t each, deadline until,
                            std::size_t& done) {
  const auto me = self_actor();
  if (me == 0) return not_attached_error(q, "put_many");
  std::array<std::span<const std::byte>, 64> batch;
  const std::size_t all = messages.size() / each;
  while (done < all) {
    const std::size_t n = std::min(batch.size(), all - done);
    for (std::size_t i = 0; i < n; ++i) batch[i] = messages.subspan((done + i) * each, each);
    auto put = q.queue().put_many(me, std::span(batch).first(n), until);
    if (!put) return put.error();
    done += *put;  // fewer than there are: the next attempt says why
  }
  return {};
}

void queue_close(attachment& q, bool now) {
  const auto me = self_actor();
  if (me == 0) throw failure(not_attached_error(q, "close"));
  q.queue().close(me, now ? close_mode::now : close_mode::drain);
}

bool queue_closed(const attachment& q) { return q.queue().closed(); }
std::size_t queue_size(attachment& q) { return q.queue().size(); }
bool queue_full(attachment& q) { return q.queue().full(); }

std::optional<std::size_t> queue_capacity(const attachment& q) {
  const auto n = q.queue().capacity();
  return n == 0 ? std::nullopt : std::optional<std::size_t>(n);
}

result<void> queue_join(attachment& q, deadline until) { return q.queue().wait_idle(until); }

result<std::vector<taken>> take_many(attachment& q, std::size_t most, deadline until) {
  const auto me = self_actor();
  if (me == 0) return not_attached_error(q, "get_many");
  return q.queue().take_many(me, most, until);
}

result<void> taken_message::take(const char* operation, deadline until) {
  const auto me = self_actor();
  if (me == 0) return not_attached_error(queue_, operation);
  return queue_.queue().take(me, taken_, until, operation);
}

result<void> taken_message::take_dead() {
  const auto me = self_actor();
  if (me == 0) return not_attached_error(queue_, "try_take_dead_letter");
  auto got = queue_.queue().take_dead(me, deadline::passed());
  if (!got) return got.error();
  taken_ = *std::move(got);
  dead_ = true;
  return {};
}

std::span<const std::byte> own_copy(const taken& message) {
  const auto copy = scratch_bytes(message.size());
  message.copy_to(copy);
  return copy;
}

result<held_message> held_message::hold(taken_message&& message) {
  held_message held;
  if (message.dead_) {
    held.token_.redelivered = message.taken_.redeliveries();
    held.dead_letter_ = std::make_unique<taken>(std::move(message.taken_));
  } else {
    auto token = message.taken_.lease();
    if (!token) return token.error();
    held.token_ = *token;
  }
  held.queue_ = message.queue_.shared_from_this();
  return held;
}

held_message& held_message::operator=(held_message&& other) noexcept {
  if (this != &other) {
    give_back();
    queue_ = std::move(other.queue_);
    token_ = other.token_;
    dead_letter_ = std::move(other.dead_letter_);
  }
  return *this;
}

void held_message::ack() {
  if (!queue_) return;
  const auto q = std::exchange(queue_, nullptr);
  if (dead_letter_) return dead_letter_->deliver();
  const auto me = self_actor();
  if (me == 0) throw failure(not_attached_error(*q, "ack"));
  q->queue().ack(me, token_).value();
}

void held_message::give_back() noexcept {
  if (!queue_) return;
  const auto q = std::exchange(queue_, nullptr);
  if (dead_letter_) {
    dead_letter_.reset();
  } else if (const auto me = self_actor(); me != 0) {
    try {
      static_cast<void>(q->queue().give_back(me, token_));
    } catch (const std::bad_alloc&) {}  // for the text of an error that nobody reads
  }
}

void remember_unfinished(attachment& q, held_message message) {
  auto& all = unfinished();
  const std::scoped_lock guard(all.mutex);
  all.held[q.id()].push_back(std::move(message));
}

void ack_oldest(attachment& q) {
  auto& all = unfinished();
  std::optional<held_message> oldest;
  {
    const std::scoped_lock guard(all.mutex);
    const auto found = all.held.find(q.id());
    if (found == all.held.end())
      throw failure(errc::invalid, "queue '" + q.name() + "' task_done: this process has no message of it that is not done");
    oldest.emplace(std::move(found->second.front()));
    found->second.pop_front();
    if (found->second.empty()) all.held.erase(found);
  }
  oldest->ack();
}

void forget_unfinished() noexcept {
  // Emptied before this process is anybody again: nothing is given back.
  unfinished().held.clear();
}

}  // namespace cloister::detail
