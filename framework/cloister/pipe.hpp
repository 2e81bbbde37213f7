// SPDX-License-Identifier: BSD-3-Clause
// A typed mailbox between two processes: two directions, messages in order, and each end knows when the other's owner is gone.
//
//   auto [mine, theirs] = pipe<request, reply>(here);            // mine sends requests, theirs sends replies
//   process p{here, [](pipe_end<reply, request> peer) { while (auto r = peer.recv(5s)) peer.send(answer(*r)); }, std::move(theirs)};
//   mine.send({1});  auto r = mine.recv();
//   auto [in, out] = one_way<int>(here);                         // in.recv(), out.send(7); the other calls do not exist
//
// A `pipe_end` is an owner: move-only, travels as an argument or in a message, belongs to one process at a time; one thread may send and
// one receive. When the owner of the other end is killed or fails: what it had sent is received, then `peer_down` with its exit status;
// when it closed or ended normally: then `closed`. Whoever is left never waits for the dead. Half a message does not exist.
// Blocks: send, while the other side is `max_bytes` behind; recv and poll, while there is nothing. Errors as for queues.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/mailbox.hpp>
#include <cloister/error.hpp>
#include <cloister/place.hpp>
#include <cloister/wire.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace cloister {

struct pipe_options {
  std::string name = {};                           ///< for messages; "pipe-N" if empty
  std::size_t max_bytes = std::size_t{256} << 20;  ///< unread bytes in one direction; memory is taken only when needed
};

namespace detail {

std::pair<object_handle, object_handle> make_pipe(const pipe_options& options, std::uint64_t from_a, std::uint64_t from_b);
object_handle pipe_end_from_message(decoder& in, unsigned role, std::uint64_t sent_by_it, std::uint64_t sent_to_it);
void pipe_end_to_message(encoder& out, const object_handle& handle);
attachment& object_of(const object_handle& handle);
result<void> pipe_poll(attachment& pipe, unsigned direction, deadline until);

/// The next message, looked at and not yet consumed.
class arriving_message {
 public:
  static result<arriving_message> look(attachment& pipe, unsigned direction, deadline until);
  std::size_t size() const noexcept { return message_.size(); }
  /// In this process's own memory.
  std::span<const std::byte> bytes();
  /// Where it lies, which is shared; nothing if it lies in two pieces.
  std::span<const std::byte> in_place() const noexcept {
    return message_.second.empty() ? message_.first : std::span<const std::byte>();
  }
  void consume() noexcept { pipe_->pipe().pop(direction_); }
  /// Decodes and consumes it.
  template <class T>
  result<T> deliver();

 private:
  arriving_message(attachment& pipe, unsigned direction, ring_message message)
      : pipe_(&pipe), direction_(direction), message_(message) {}
  attachment* pipe_;
  unsigned direction_;
  ring_message message_;
};

/// A direction that there is.
template <class Message>
concept exists = !std::is_void_v<Message>;

template <class T>
constexpr std::uint64_t direction_fingerprint() {
  if constexpr (std::is_void_v<T>) return 0;
  else return fingerprint<T>();
}

}  // namespace detail

/// One end: sends `Send`, receives `Recv`; void where that direction does not exist.
template <class Send, class Recv = Send>
class [[nodiscard]] pipe_end {
  using sent = std::conditional_t<detail::exists<Send>, Send, std::monostate>;
  using received = std::conditional_t<detail::exists<Recv>, Recv, std::monostate>;

 public:
  /// None: every operation is `failure{invalid}`.
  pipe_end() = default;
  pipe_end(pipe_end&&) noexcept = default;
  pipe_end& operator=(pipe_end&&) noexcept = default;

  void send(const sent& value) const requires detail::exists<Send> { send(value, deadline::never()).value(); }
  result<void> send(const sent& value, deadline until) const requires detail::exists<Send>;
  result<void> try_send(const sent& value) const requires detail::exists<Send> { return send(value, deadline::passed()); }
  /// For values that are owners: consumed if the send succeeds.
  void send(sent&& value) const requires detail::exists<Send> { send(std::move(value), deadline::never()).value(); }
  result<void> send(sent&& value, deadline until) const requires detail::exists<Send>;
  result<void> try_send(sent&& value) const requires detail::exists<Send> { return send(std::move(value), deadline::passed()); }

  received recv() const requires detail::exists<Recv> { return recv(deadline::never()).value(); }
  result<received> recv(deadline until) const requires detail::exists<Recv>;
  result<received> try_recv() const requires detail::exists<Recv> { return recv(deadline::passed()); }
  /// True if recv would not wait: for a message, or for the end.
  bool poll() const requires detail::exists<Recv>;
  /// Waits until that is so; timed_out if it is not by then, would_block if that has passed already.
  result<void> poll(deadline until) const requires detail::exists<Recv> { return detail::pipe_poll(object(), in(), until); }

  /// For ends that carry bytes: sends a part of the caller's memory, receives into it. A buffer that is too small is `too_large`, and the
  /// message stays for the next call.
  void send_bytes(std::span<const std::byte> value) const requires std::same_as<Send, std::vector<std::byte>>;
  result<std::size_t> recv_into(std::span<std::byte> buffer,
                                deadline until) const requires std::same_as<Recv, std::vector<std::byte>>;
  std::size_t recv_into(std::span<std::byte> buffer) const requires std::same_as<Recv, std::vector<std::byte>> {
    return recv_into(buffer, deadline::never()).value();
  }

  /// Gives the end up: the other side drains, then hears `closed`. So does the destructor.
  void close() { handle_ = detail::object_handle(); }
  explicit operator bool() const noexcept { return static_cast<bool>(handle_); }
  const std::string& name() const { return object().name(); }
  /// For the library's own use.
  const detail::object_handle& handle() const noexcept { return handle_; }

 private:
  template <class>
  friend struct codec;
  template <class A, class B>
  friend std::pair<pipe_end<A, B>, pipe_end<B, A>> pipe(const place&, pipe_options);
  template <class T>
  friend std::pair<pipe_end<void, T>, pipe_end<T, void>> one_way(const place&, pipe_options);
  explicit pipe_end(detail::object_handle handle) : handle_(std::move(handle)) {}
  detail::attachment& object() const { return detail::object_of(handle_); }
  unsigned out() const { return handle_.role() - detail::end_a; }
  unsigned in() const { return 1 - out(); }

  detail::object_handle handle_;
};

/// Makes a pipe: the first end sends A and receives B, the second the reverse. Throws `failure`: no_memory, no_descriptors, not_attached.
template <class A, class B = A>
[[nodiscard]] std::pair<pipe_end<A, B>, pipe_end<B, A>> pipe(const place&, pipe_options options = {}) {
  auto [a, b] = detail::make_pipe(options, fingerprint<A>(), fingerprint<B>());
  return {pipe_end<A, B>(std::move(a)), pipe_end<B, A>(std::move(b))};
}

/// One direction only: {receiving end, sending end}.
template <class T>
[[nodiscard]] std::pair<pipe_end<void, T>, pipe_end<T, void>> one_way(const place&, pipe_options options = {}) {
  auto [a, b] = detail::make_pipe(options, fingerprint<T>(), 0);
  return {pipe_end<void, T>(std::move(b)), pipe_end<T, void>(std::move(a))};
}

// ---------------------------------------------------------------------------------------------------------------------

template <class T>
result<T> detail::arriving_message::deliver() {
  try {
    std::span<const std::byte> shared;
    if constexpr (read_once<T>) shared = in_place();
    T value = shared.empty() ? decode_message<T>(*pipe_, bytes()) : decode<T>(shared);
    consume();
    return value;
  } catch (const failure& f) {
    if (!give_back_after(f.code())) consume();  // nobody will ever be able to read it
    return f.error();
  }
}

template <class Send, class Recv>
result<void> pipe_end<Send, Recv>::send(const sent& value, deadline until) const requires detail::exists<Send> {
  if constexpr (is_flat<sent> && flat_size<sent> == sizeof(sent)) {
    return detail::send_bytes(object(), out(), std::as_bytes(std::span<const sent, 1>(&value, 1)), until);
  } else {
    return detail::send_encoded(object(), value, [&](detail::outgoing& message) { return message.send(out(), until); });
  }
}

template <class Send, class Recv>
result<void> pipe_end<Send, Recv>::send(sent&& value, deadline until) const requires detail::exists<Send> {
  auto done = send(std::as_const(value), until);
  if (done) static_cast<void>(sent(std::move(value)));
  return done;
}

template <class Send, class Recv>
bool pipe_end<Send, Recv>::poll() const requires detail::exists<Recv> {
  auto ready = poll(deadline::passed());
  if (!(ready == errc::would_block)) ready.value();
  return ready.has_value();
}

template <class Send, class Recv>
auto pipe_end<Send, Recv>::recv(deadline until) const -> result<received>
  requires detail::exists<Recv> {
    auto message = detail::arriving_message::look(object(), in(), until);
    if (!message) return message.error();
    return message->template deliver<received>();
  }

template <class Send, class Recv>
void pipe_end<Send, Recv>::send_bytes(std::span<const std::byte> value) const requires std::same_as<Send, std::vector<std::byte>> {
  detail::outgoing message(object());
  message.out().count(value.size());
  message.out().raw(value.data(), value.size());
  message.send(out(), deadline::never()).value();
}

template <class Send, class Recv>
result<std::size_t> pipe_end<Send, Recv>::recv_into(std::span<std::byte> buffer,
                                                    deadline until) const requires std::same_as<Recv, std::vector<std::byte>> {
  auto message = detail::arriving_message::look(object(), in(), until);
  if (!message) return message.error();
  try {
    decoder bytes(message->bytes());
    const auto size = bytes.count(1, "std::vector<std::byte>");
    const auto* const from = bytes.take(size, "std::vector<std::byte>");
    bytes.finish();
    if (size > buffer.size())
      return {errc::too_large, "pipe '" + name() + "' recv_into: the message has " + std::to_string(size) + " bytes, the buffer " +
                                   std::to_string(buffer.size())};
    std::copy_n(from, size, buffer.data());
    message->consume();
    return size;
  } catch (const failure& f) {
    if (!detail::give_back_after(f.code())) message->consume();
    return f.error();
  }
}

template <class Send, class Recv>
struct codec<pipe_end<Send, Recv>> {
  using element = std::pair<std::conditional_t<detail::exists<Send>, Send, std::monostate>,
                            std::conditional_t<detail::exists<Recv>, Recv, std::monostate>>;
  static constexpr std::uint64_t fingerprint =
      0x70'69'70'65'00ULL + (std::is_void_v<Send> ? 1 : 0) + (std::is_void_v<Recv> ? 2 : 0);
  static void put(encoder& out, const pipe_end<Send, Recv>& end) {
    out.value(
        static_cast<std::uint8_t>(detail::object_of(end.handle()).kind() == detail::object_kind::pipe ? end.handle().role() : 0));
    detail::pipe_end_to_message(out, end.handle());
  }
  static pipe_end<Send, Recv> get(decoder& in) {
    const unsigned role = in.value<std::uint8_t>();
    return pipe_end<Send, Recv>(
        detail::pipe_end_from_message(in, role, detail::direction_fingerprint<Send>(), detail::direction_fingerprint<Recv>()));
  }
};

}  // namespace cloister
