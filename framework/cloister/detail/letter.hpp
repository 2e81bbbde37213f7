// SPDX-License-Identifier: BSD-3-Clause
// What lies in an actor's mailbox, and in the lane in which a thread hears of what it asked: a queue of letters. A letter is this head,
// then what its kind says, encoded.
//
// A lane belongs to one thread, which is introduced to a mailbox (to the hub) before it asks there for the first time. Who dies where, an
// asker waiting for the reply to the letter that it put at position p:
//   the actor, before it has taken p out   the hub's repair puts the letter back; its successor, if it has one, handles it
//   the actor, after that                  the hub tells every lane that was introduced: all before position q is over, and p < q
//   the actor, with no successor           the same, with all positions there are; the mailbox is closed
//   the asker                              its lane is closed: the reply finds no reader
// A lane that is introduced only when all that has happened hears of it then.
#pragma once

#include <cloister/wire.hpp>

#include <cstdint>

namespace cloister::detail {

enum class letter_kind : std::uint64_t {
  tell = 1,  ///< a message
  ask,       ///< a message, whose reply is wanted
  reply,     ///< the handler's value
  refusal,   ///< an `error` instead
  down,      ///< exit_status: of whatever was put into mailbox `key` before position `ticket`, nothing will be answered any more
  ended      ///< an exit_notice, for monitor number `ticket`
};

struct letter_head {
  letter_kind kind = letter_kind::tell;
  std::uint64_t key = 0;  ///< which message; the mailbox that is down
  // Not of a tell:
  std::uint64_t ticket = 0;    ///< the asker's number for what it asked
  std::uint64_t reply_to = 0;  ///< its lane
  std::int64_t until = 0;      ///< when it does not wait any longer, on CLOCK_MONOTONIC
};

inline void write_head(encoder& out, const letter_head& head) {
  if (head.kind != letter_kind::tell) return out.value(head);
  out.value(head.kind);
  out.value(head.key);
}
/// Reads each byte once, so that it may lie in shared memory.
inline letter_head read_head(decoder& in) {
  letter_head head{in.value<letter_kind>(), in.value<std::uint64_t>()};
  if (head.kind == letter_kind::tell) return head;
  head.ticket = in.value<std::uint64_t>();
  head.reply_to = in.value<std::uint64_t>();
  head.until = in.value<std::int64_t>();
  return head;
}

inline constexpr std::uint64_t lane_fingerprint = 0x6c'61'6e'65;

}  // namespace cloister::detail
