// SPDX-License-Identifier: BSD-3-Clause
// The part of a queue that does not know the message type.
//
// taken_message: taken from the queue and neither delivered nor given back; its destructor gives back. held_message: the same after it
// became a lease, so that the queue's ring does not wait for it. Both belong to one thread of the process that took them.
#pragma once

#include <cloister/detail/mailbox.hpp>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cloister {
struct queue_options;
}

namespace cloister::detail {

/// `hub_options`: more of what the hub does with it (internal/registry_options.hpp). Throws `failure`.
object_handle make_queue(const queue_options& options, std::uint64_t fingerprint, std::size_t message_size,
                         std::uint32_t hub_options = 0);
/// The attachment behind a handle. Throws `failure{invalid}` if there is none.
attachment& object_of(const object_handle& handle);
/// The attachment that a handle in a message names, for a codec: of that kind and message type, else `failure{wrong_type}`.
object_handle queue_from_message(decoder& in, unsigned role, std::uint64_t fingerprint);
void queue_to_message(encoder& out, const object_handle& handle, unsigned role);

/// Raises `done` by the number of messages that were put: all, unless there is an error.
result<void> put_many_bytes(attachment& q, std::span<const std::byte> messages, std::size_t each, deadline until,
                            std::size_t& done);
void queue_close(attachment& q, bool now);
bool queue_closed(const attachment& q);
std::size_t queue_size(attachment& q);
bool queue_full(attachment& q);
std::optional<std::size_t> queue_capacity(const attachment& q);
result<void> queue_join(attachment& q, deadline until);

/// Waits for the first, then takes what else is there, up to `most`.
result<std::vector<taken>> take_many(attachment& q, std::size_t most, deadline until);

class held_message;

class taken_message {
 public:
  /// `q` is held by the handle that the caller uses.
  explicit taken_message(attachment& q) noexcept : queue_(q) {}
  /// `operation` is for the error's text. REQUIRES: nothing was taken.
  result<void> take(const char* operation, deadline until);
  result<void> take_dead();

  /// Decodes it and makes it the caller's.
  template <class T>
  result<T> deliver();
  /// Decodes it and keeps it on loan.
  template <class T>
  result<std::pair<held_message, T>> lease();

 private:
  friend class held_message;
  attachment& queue_;
  taken taken_;        // gives back when destroyed
  bool dead_ = false;  // a dead letter: stays as it is until delivered
};

/// A message on loan: the lease of a queue's, or a dead letter. Its destructor gives it back.
class held_message {
 public:
  static result<held_message> hold(taken_message&& message);
  held_message(held_message&& other) noexcept = default;
  held_message& operator=(held_message&& other) noexcept;
  ~held_message() { give_back(); }

  unsigned deliveries() const noexcept { return token_.redelivered; }
  void ack();
  void give_back() noexcept;

 private:
  held_message() = default;
  std::shared_ptr<attachment> queue_;  // null once it is done with
  lease_token token_;
  std::unique_ptr<taken> dead_letter_;  // instead of a lease
};

/// joinable_queue: leases held by this process until task_done, oldest first.
void remember_unfinished(attachment& q, held_message message);
void ack_oldest(attachment& q);
/// In a forked process: those leases are its parent's.
void forget_unfinished() noexcept;

// ---------------------------------------------------------------------------------------------------------------------

/// A copy in this process's own memory, until the next call of the thread: what is shared may change while it is read.
std::span<const std::byte> own_copy(const taken& message);

/// Its value; the message stays taken. If it has none, it is given back, or gone if nobody will ever be able to read it.
template <class T>
result<T> decoded(attachment& q, taken& message, bool consume = true) {
  try {
    if constexpr (read_once<T>)
      if (const auto in_place = message.view(); !in_place.empty()) return decode<T>(in_place);
    return decode_message<T>(q, own_copy(message));
  } catch (const failure& f) {
    if (!consume || give_back_after(f.code())) message.give_back();
    else message.deliver();
    return f.error();
  }
}

template <class T>
result<T> taken_message::deliver() {
  auto value = decoded<T>(queue_, taken_);
  if (value) taken_.deliver();
  return value;
}

/// The values of as many as can be decoded, delivered; the others are given back. An error if that is so of the first.
template <class T>
result<std::vector<T>> deliver_many(attachment& q, std::vector<taken> messages) {
  std::vector<T> values;
  try {
    values.reserve(messages.size());
  } catch (const std::bad_alloc&) { return {errc::no_memory, "no memory"}; }
  for (auto& message : messages) {
    auto value = decoded<T>(q, message, values.empty());
    if (!value && values.empty()) return value.error();
    if (!value) break;
    values.push_back(*std::move(value));
  }
  q.queue().deliver_many(std::span(messages).first(values.size()));
  return values;
}

template <class T>
result<std::pair<held_message, T>> taken_message::lease() {
  auto value = decoded<T>(queue_, taken_);
  if (!value) return value.error();
  auto held = held_message::hold(std::move(*this));
  if (!held) return held.error();
  return std::pair<held_message, T>(*std::move(held), *std::move(value));
}

}  // namespace cloister::detail
