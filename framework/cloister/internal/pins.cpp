// SPDX-License-Identifier: BSD-3-Clause
// Handles inside messages. The sender pins before it puts; the receiver redeems before it frees the message. A pin lives
// while its message can still be read, which the hub sees in the carrier itself: there is no message that could be lost.
//
// Who dies where: sender after pin, before put: its pin is never placed, and goes when all that was readable at its death is consumed.
// Sender after put, before `placed`: the same, and the message may be redeemed until then. Receiver after taking, before redeeming
// or freeing: the message goes back, the pin is still there. Receiver after redeeming: it is a holder, and leaves as one.
#include <cloister/internal/registry_record.hpp>

#include <algorithm>

namespace cloister::internal {
namespace {
constexpr std::size_t sweep_from = 64;       // outstanding pins in one carrier
constexpr unsigned positions_a_look = 4096;  // how far one pin's position moves in a sweep: its range comes from shared memory

// No correct process says so: what is thrown here ends the sender.
void check_direction(std::uint32_t direction) {
  if (direction > 1) throw failure(errc::undecodable, "a message in a third direction");
}
}  // namespace

void registry::pin(std::uint32_t by, const pin_handles& what, std::vector<owned_fd>& fds) {
  check_direction(what.direction);
  for (const auto& p : what.pins) {
    if (p.token >> 32 != by) throw failure(errc::undecodable, "a handle's token that is another process's to give");
  }
  auto* carrier = find(what.carrier);
  if (carrier == nullptr || carrier->behind != nullptr || !carrier->holders.contains(by)) return;
  std::size_t next_fd = 0;
  for (const auto& p : what.pins) {
    carried c;
    c.token = p.token;
    c.ref = p.ref;
    c.sender = by;
    c.direction = what.direction;
    if (p.ref.object == 0) {
      if (next_fd >= fds.size()) continue;  // no room for it here: the receiver will hear `gone`
      c.descriptor = std::move(fds[next_fd++]);
    } else {
      auto* named = find(p.ref.object);
      if (named == nullptr || !named->holders.contains(by) || p.ref.role > 2) continue;  // not the sender's to hand out
      ++named->pinned;
      if (p.ref.role != 0) ++named->roles[p.ref.role - 1];
    }
    carrier->pins.push_back(std::move(c));
    ++pin_count_;
  }
  if (carrier->pins.size() >= sweep_from && carrier->pins.size() >= 2 * carrier->pins_kept) sweep(*carrier);
}

void registry::place(std::uint32_t by, const place_pins& what) {
  check_direction(what.direction);
  auto* carrier = find(what.carrier);
  if (carrier == nullptr) return;
  for (auto& c : carrier->pins) {
    if (c.sender != by || std::find(what.tokens.begin(), what.tokens.end(), c.token) == what.tokens.end()) continue;
    c.placed = true;
    c.first = what.position;
    c.end = what.position + 1;
    c.direction = what.direction;
  }
}

void registry::cancel(std::uint32_t by, const cancel_pins& what) {
  auto* carrier = find(what.carrier);
  if (carrier == nullptr) return;
  for (const auto token : what.tokens) {
    const auto c = std::find_if(carrier->pins.begin(), carrier->pins.end(),
                                [&](const carried& p) { return p.token == token && p.sender == by && !p.placed; });
    if (c == carrier->pins.end()) continue;
    auto gone = std::move(*c);
    carrier->pins.erase(c);
    unpin(gone);
  }
}

result<registry::redemption> registry::redeem(std::uint32_t by, const redeem_pin& what) {
  auto* carrier = find(what.carrier);
  if (carrier == nullptr || !carrier->holders.contains(by)) return {errc::gone, "the mailbox of a handle no longer exists"};
  const auto c = std::find_if(carrier->pins.begin(), carrier->pins.end(), [&](const carried& p) { return p.token == what.token; });
  if (c == carrier->pins.end()) return {errc::gone, "a handle in a message names nothing"};
  redemption r{c->ref, c->ref.object == 0 ? c->descriptor.duplicate() : memory_of(c->ref.object)};
  if (!r.descriptor) return {errc::no_descriptors, "the node's first process has no descriptor left for a handle in a message"};
  return r;
}

void registry::hold(std::uint32_t who, std::uint64_t object) {
  auto* named = find(object);
  if (named == nullptr) return;
  if (named->holders[who].holds++ == 0) held_[who].push_back(object);
}

// The message is consumed, was never put, or its mailbox ended.
void registry::unpin(carried& c) {
  --pin_count_;
  if (c.ref.object == 0) return;
  auto* named = find(c.ref.object);
  if (named == nullptr) return;
  --named->pinned;
  if (c.ref.role != 0) unuse_role(*named, c.ref.role, nullptr);
  end_if_unused(c.ref.object);
}

// After the repair for its death: whatever it put is below the tail now, and nothing that it puts can follow.
void registry::sender_died(const record& carrier, carried& c) {
  if (c.placed) return;
  c.placed = true;
  if (carrier.queue) {
    c.first = carrier.queue->first_position();
    c.end = carrier.queue->next_position();
  } else {
    // Pipes are consumed in order: the last position answers for all. A pipe's end has one owner, whose direction is known.
    c.first = carrier.pipe->tail_position(c.direction);
    c.end = c.first + 1;
  }
}

bool registry::message_gone(const record& carrier, carried& c) {
  if (!c.placed) return false;  // the sender lives: it will say
  if (!carrier.queue) return carrier.pipe->is_broken() || carrier.pipe->consumed(c.direction, c.first);
  if ((carrier.queue->layout().shared().status.load() & detail::status_broken) != 0) return true;  // nobody reads there any more
  for (unsigned n = 0; n < positions_a_look && c.first < c.end && carrier.queue->consumed(c.first); ++n) ++c.first;
  return c.first >= c.end;
}

void registry::sweep(record& carrier) {
  if (sweeping_) return;  // what is being heard for another sweep asks for this one: left to the next look
  std::size_t gone = 0;
  for (auto& c : carrier.pins) {
    c.gone = message_gone(carrier, c);
    gone += c.gone ? 1U : 0U;
  }
  carrier.pins_kept = carrier.pins.size() - gone;
  if (gone == 0) return;
  // Whoever consumed those messages said before, on its own socket, what it keeps of their handles: hear that first.
  const auto id = carrier.id;
  sweeping_ = true;
  try {
    hub_.drain_all();
  } catch (...) {
    sweeping_ = false;
    throw;
  }
  sweeping_ = false;
  auto* again = find(id);
  if (again == nullptr) return;
  std::vector<carried> removed;
  std::erase_if(again->pins, [&](carried& c) {
    if (!c.gone) return false;
    removed.push_back(std::move(c));
    return true;
  });
  for (auto& c : removed) unpin(c);
}

}  // namespace cloister::internal
