// SPDX-License-Identifier: BSD-3-Clause
// Making pipes, ends in messages, and the message that arrives.
#include <cloister/pipe.hpp>

#include <cloister/detail/stop.hpp>

namespace cloister::detail {

std::pair<object_handle, object_handle> make_pipe(const pipe_options& options, std::uint64_t from_a, std::uint64_t from_b) {
  auto& here = membership::require();
  ring::options o;
  o.id = here.next_object_id();
  o.name = options.name.empty() ? "pipe-" + std::to_string(o.id >> 32) + "." + std::to_string(o.id & 0xffffffff) : options.name;
  o.fingerprints = {from_a, from_b};
  o.max_bytes = options.max_bytes;
  auto made = here.create(ring::create(o).value());
  return {object_handle(made, end_a), object_handle(made, end_b)};
}

object_handle pipe_end_from_message(decoder& in, unsigned role, std::uint64_t sent_by_it, std::uint64_t sent_to_it) {
  const auto number = in.value<std::uint64_t>();
  const auto object = in.value<std::uint64_t>();
  if (role != end_a && role != end_b) throw failure(errc::undecodable, "a pipe's end in a message is neither of the two");
  auto found = in.need_handles("pipe_end").take_object(number, object, role, sent_by_it);
  const unsigned out = role - end_a;
  if (found->kind() != object_kind::pipe || found->fingerprint(out) != sent_by_it || found->fingerprint(1 - out) != sent_to_it)
    throw failure(errc::wrong_type, "'" + found->name() + "': a pipe's end for other message types, or another kind of object");
  return {std::move(found), role};
}

void pipe_end_to_message(encoder& out, const object_handle& handle) {
  auto& object = object_of(handle);
  out.value(out.need_handles("pipe_end").put_object(object, handle.role()));
  out.value(object.id());
}

result<void> pipe_poll(attachment& pipe, unsigned direction, deadline until) {
  if (self_actor() == 0) return not_attached_error(pipe, "poll");
  auto ready = pipe.pipe().poll(direction, until);
  if (!ready) return ready.error();
  if (*ready) return {};
  const auto code = until == deadline::passed() ? errc::would_block : errc::timed_out;
  return error(code, "pipe '" + pipe.name() + "' poll: nothing has arrived");
}

result<arriving_message> arriving_message::look(attachment& pipe, unsigned direction, deadline until) {
  if (self_actor() == 0) return not_attached_error(pipe, "recv");
  // A process that was asked to stop takes no new work.
  if (const auto why = stop_reason()) return {*why, "pipe '" + pipe.name() + "' recv: this process was asked to stop"};
  auto found = pipe.pipe().peek(direction, until);
  if (!found) return found.error();
  return arriving_message(pipe, direction, *found);
}

// What is shared may change while it is read.
std::span<const std::byte> arriving_message::bytes() {
  const auto copy = scratch_bytes(message_.size());
  message_.copy_to(copy.data());
  return copy;
}

}  // namespace cloister::detail
