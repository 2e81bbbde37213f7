// SPDX-License-Identifier: BSD-3-Clause
// Messages on their way out: the thread's encoder, pins and their order around the put. Redeeming the handles of one that came in.
#include <cloister/detail/mailbox.hpp>

#include <bit>
#include <memory>
#include <new>
#include <string>

namespace cloister::detail {
namespace {

// One encoder a thread, lent to the message that is being encoded; a message encoded while another is gets its own.
thread_local encoder scratch;
thread_local bool scratch_lent = false;
constexpr std::size_t scratch_kept = 1U << 20;

}  // namespace

std::span<std::byte> scratch_bytes(std::size_t size) {
  thread_local std::unique_ptr<std::byte[]> memory;
  thread_local std::size_t capacity = 0;
  if (capacity < size || (capacity > scratch_kept && size <= scratch_kept)) {
    const std::size_t wanted = size <= scratch_kept ? std::bit_ceil(size) : size;
    capacity = 0;
    memory.reset();
    memory.reset(new (std::nothrow) std::byte[wanted]);
    if (!memory) throw failure(errc::no_memory, "no memory for a message of " + std::to_string(size) + " bytes");
    capacity = wanted;
  }
  return {memory.get(), size};
}

error not_attached_error(const attachment& object, const char* operation) {
  return {errc::not_attached, "'" + object.name() + "' " + operation +
                                  ": this process belongs to no node (it was forked by the program itself, or its node has ended)"};
}

outgoing::outgoing(attachment& carrier) : carrier_(carrier), borrowed_(!scratch_lent) {
  if (borrowed_) scratch_lent = true;
  else own_ = std::make_unique<encoder>();
  out_ = borrowed_ ? &scratch : own_.get();
  out_->borrow_large();
  out_->handles(this);
}

outgoing::~outgoing() {
  if (!borrowed_) return;
  out_->handles(nullptr);
  out_->clear(scratch_kept);
  scratch_lent = false;
}

std::uint64_t outgoing::put_object(attachment& object, unsigned role) {
  const auto token = membership::require().next_token();
  pins_.emplace_back(token, object_ref{object.id(), role});
  return token;
}

std::uint64_t outgoing::put_fd(int fd) {
  const auto token = membership::require().next_token();
  pins_.emplace_back(token, object_ref{});
  fds_.push_back(fd);
  return token;
}

template <class Put>
result<std::uint64_t> outgoing::commit(const char* operation, unsigned direction, Put put) {
  const auto me = self_actor();
  if (me == 0) return not_attached_error(carrier_, operation);
  if (pins_.empty()) return put(me);
  auto& here = membership::require();
  std::vector<std::uint64_t> tokens;
  for (const auto& [token, ref] : pins_) tokens.push_back(token);
  here.pin(carrier_.id(), direction, pins_, fds_);
  auto done = put(me);
  if (!done) {
    here.cancel(carrier_.id(), tokens);
    return done.error();
  }
  here.placed(carrier_.id(), direction, tokens, *done);
  return done;
}

result<void> outgoing::put(deadline until) {
  auto done = put_at(until);
  if (!done) return done.error();
  return {};
}

result<std::uint64_t> outgoing::put_at(deadline until) {
  return commit("put", 0, [&](std::uint16_t me) { return carrier_.queue().put(me, gathered(out_->pieces()), until); });
}

result<void> outgoing::send(unsigned direction, deadline until) {
  auto done =
      commit("send", direction, [&](std::uint16_t) { return carrier_.pipe().put(direction, gathered(out_->pieces()), until); });
  if (!done) return done.error();
  return {};
}

std::shared_ptr<attachment> incoming::take_object(std::uint64_t token, std::uint64_t object, unsigned, std::uint64_t) {
  auto& here = membership::require();
  if (auto known = here.find(object)) return known;
  auto got = here.redeem(carrier_.id(), token);
  if (got.ref.object != object)
    throw failure(errc::undecodable, "'" + carrier_.name() + "': a handle in a message does not name what its token stands for");
  return here.attach(object, std::move(got.descriptor));
}

owned_fd incoming::take_fd(std::uint64_t token) {
  auto got = membership::require().redeem(carrier_.id(), token);
  if (got.ref.object != 0) throw failure(errc::undecodable, "'" + carrier_.name() + "': a descriptor in a message is none");
  return std::move(got.descriptor);
}

result<void> put_bytes(attachment& queue, std::span<const std::byte> message, deadline until) {
  const auto me = self_actor();
  if (me == 0) return not_attached_error(queue, "put");
  auto done = queue.queue().put(me, message, until);
  if (!done) return done.error();
  return {};
}

result<void> send_bytes(attachment& pipe, unsigned direction, std::span<const std::byte> message, deadline until) {
  if (self_actor() == 0) return not_attached_error(pipe, "send");
  auto done = pipe.pipe().put(direction, message, until);
  if (!done) return done.error();
  return {};
}

bool give_back_after(errc code) noexcept {
  return code == errc::no_descriptors || code == errc::no_memory || code == errc::stopping || code == errc::interrupted ||
         code == errc::not_attached;
}

}  // namespace cloister::detail
