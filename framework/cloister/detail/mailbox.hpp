// SPDX-License-Identifier: BSD-3-Clause
// Between typed mailboxes and bytes: a message on its way out, with the handles it carries, and one on its way in.
//
// Outgoing: encode into private memory (handles are given tokens), pin the handles with the hub, put, tell where. Incoming: the message
// has been taken and not yet freed; a handle in it is redeemed from the hub unless its object is held here already; then it is freed.
// Threads: each object one. Blocks: a redemption waits for the hub, which waits for nobody.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/attachment.hpp>
#include <cloister/detail/membership.hpp>
#include <cloister/detail/ring.hpp>
#include <cloister/detail/slots.hpp>
#include <cloister/error.hpp>
#include <cloister/wire.hpp>

#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace cloister::detail {

/// The error of an operation by a process that belongs to no node.
error not_attached_error(const attachment& object, const char* operation);

/// One message being encoded, for one mailbox. The encoder's memory is used again by the next message of this thread.
class outgoing final : public handle_sink {
 public:
  explicit outgoing(attachment& carrier);
  ~outgoing();
  outgoing(const outgoing&) = delete;
  outgoing& operator=(const outgoing&) = delete;

  encoder& out() noexcept { return *out_; }
  result<void> put(deadline until);
  /// The same; its position.
  result<std::uint64_t> put_at(deadline until);
  result<void> send(unsigned direction, deadline until);

  std::uint64_t put_object(attachment& object, unsigned role) override;
  std::uint64_t put_fd(int fd) override;

 private:
  template <class Put>
  result<std::uint64_t> commit(const char* operation, unsigned direction, Put put);

  attachment& carrier_;
  const bool borrowed_;
  std::unique_ptr<encoder> own_;  // unless borrowed
  encoder* out_;
  std::vector<std::pair<std::uint64_t, object_ref>> pins_;
  std::vector<int> fds_;  // not owned: the value being encoded has them
};

/// Has `write(encoder&)` encode a message, and `send(outgoing&)` send it. What fails on the way (no descriptors, no memory, stopping) is a
/// result, too.
template <class Write, class Send>
auto send_written(attachment& carrier, Write write, Send send) -> decltype(send(std::declval<outgoing&>())) {
  try {
    outgoing message(carrier);
    write(message.out());
    return send(message);
  } catch (const failure& f) { return f.error(); } catch (const std::bad_alloc&) {
    return error(errc::no_memory, "no memory");
  }
}
template <class T, class Send>
result<void> send_encoded(attachment& carrier, const T& value, Send send) {
  return send_written(
      carrier, [&](encoder& out) { out.value(value); }, send);
}

/// The handles of one message that has been taken.
class incoming final : public handle_source {
 public:
  explicit incoming(attachment& carrier) : carrier_(carrier) {}
  std::shared_ptr<attachment> take_object(std::uint64_t token, std::uint64_t object, unsigned role,
                                          std::uint64_t fingerprint) override;
  owned_fd take_fd(std::uint64_t token) override;

 private:
  attachment& carrier_;
};

/// `size` bytes of this thread's own, for a message that is to be decoded; until the next call.
std::span<std::byte> scratch_bytes(std::size_t size);

/// Flat messages: straight from the caller's memory.
result<void> put_bytes(attachment& queue, std::span<const std::byte> message, deadline until);
result<void> send_bytes(attachment& pipe, unsigned direction, std::span<const std::byte> message, deadline until);

/// Whether a message whose delivery failed so is given back (no descriptors, no memory, stopping: the receiver may try again), or is
/// consumed although it could not be read (undecodable, gone, wrong type).
bool give_back_after(errc code) noexcept;

/// Decodes a T from a message's bytes. Throws `failure`.
template <class T>
T decode_message(attachment& carrier, std::span<const std::byte> bytes) {
  if constexpr (is_flat<T>) {
    return decode<T>(bytes);
  } else {
    incoming handles(carrier);
    decoder in(bytes, &handles);
    T value = in.value<T>();
    in.finish();
    return value;
  }
}

}  // namespace cloister::detail
