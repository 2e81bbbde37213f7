// SPDX-License-Identifier: BSD-3-Clause
// A semaphore's tokens: how many are free, and how many each process has, so that a death neither loses nor doubles one.
//
// Two words change when a token changes hands: the number of free ones, and the holder's. The first names the change; whoever comes next
// applies it to the second before making a change of its own. So a process may die between the two. Only a process that gives back what it has
// just taken, or takes again what it has just given back, need not apply the change before: `hold` and `undo` say what is so from now on, whatever of those
// before was applied. Model: tests/models/semaphore.cpp.
//
// Threads and processes: any; nothing here blocks. Which process changes which entry: its own (`take`, `give`), anybody one with tokens in it
// (`give`, on behalf of the holder), the supervisor actor entry 0 and those of the dead.
#pragma once

#include <cloister/actors/internal/sync_words.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

namespace cloister::internal {

enum class token_op : unsigned {
  none,
  take,        // the entry has one more
  give,        // one less
  grow,        // no entry: there is one token more
  bring_back,  // what the entry had is free, and the entry too
  leave,       // what the entry had is in entry 0, and the entry is free
  hold,        // the entry has one extra: after `undo`, or if it had none
  undo,        // it has none: after `hold`
};

/// value:16 | W | H | P | op:3 | entry:8 | number:34. `number` is that of the change.
struct token_word {
  std::uint64_t raw = 0;

  static constexpr unsigned most = (1U << 16) - 1;
  static constexpr std::uint64_t waiters = std::uint64_t{1} << 16;  // these three as in lock_word
  static constexpr std::uint64_t handing = std::uint64_t{1} << 17;
  static constexpr std::uint64_t poked = std::uint64_t{1} << 18;
  static constexpr std::uint64_t flags = waiters | handing | poked;
  static constexpr std::uint64_t number_mask = (std::uint64_t{1} << 34) - 1;

  static constexpr token_word make(unsigned value, std::uint64_t marks, token_op op, unsigned entry, std::uint64_t number) {
    return {(value & most) | marks | static_cast<std::uint64_t>(op) << 19 | static_cast<std::uint64_t>(entry) << 22 |
            (number & number_mask) << 30};
  }
  constexpr unsigned value() const { return static_cast<unsigned>(raw & most); }
  constexpr bool has(std::uint64_t flag) const { return (raw & flag) != 0; }
  constexpr token_op op() const { return static_cast<token_op>(raw >> 19 & 7); }
  constexpr unsigned entry() const { return static_cast<unsigned>(raw >> 22 & 255); }
  constexpr std::uint64_t number() const { return raw >> 30; }
  constexpr token_word with(std::uint64_t flag, bool on) const { return {on ? raw | flag : raw & ~flag}; }
};

/// actor:16 | count:16 | extra:1 | number:31, the low bits of that of the last change that was applied here.
struct token_entry {
  std::uint64_t raw = 0;

  static constexpr std::uint64_t number_mask = (std::uint64_t{1} << 31) - 1;
  static constexpr token_entry make(std::uint16_t actor, unsigned count, bool extra, std::uint64_t number) {
    return {actor | static_cast<std::uint64_t>(count & token_word::most) << 16 | static_cast<std::uint64_t>(extra) << 32 |
            (number & number_mask) << 33};
  }
  constexpr std::uint16_t actor() const { return static_cast<std::uint16_t>(raw); }
  constexpr unsigned count() const { return static_cast<unsigned>(raw >> 16 & token_word::most); }
  constexpr bool extra() const { return (raw >> 32 & 1) != 0; }
  constexpr unsigned tokens() const { return count() + (extra() ? 1 : 0); }
  constexpr std::uint64_t number() const { return raw >> 33; }
  constexpr bool has_applied(token_word w) const { return number() == (w.number() & number_mask); }
};

struct semaphore_body {
  static constexpr unsigned entries = (detail::arena::large_body - 64) / 8;
  std::atomic<std::uint64_t> word;
  std::array<std::uint64_t, 7> unused;
  std::array<std::atomic<std::uint64_t>, entries> entry;
};
static_assert(sizeof(semaphore_body) <= detail::arena::large_body && semaphore_body::entries <= 256);

class token_table {
 public:
  explicit token_table(semaphore_body& in) noexcept : in_(in) {}

  token_word word() const noexcept { return {in_.word.load(std::memory_order_seq_cst)}; }
  /// The word, after its change was applied.
  token_word settled() const noexcept;
  token_entry entry(unsigned n) const noexcept { return {in_.entry[n].load(std::memory_order_seq_cst)}; }
  /// From `w`, which was settled: one change, with those flags. False: the word is another one now.
  bool take(token_word w, unsigned entry, std::uint64_t flags) const noexcept {
    return change(w, w.value() - 1, token_op::take, entry, flags);
  }
  bool give(token_word w, unsigned entry, std::uint64_t flags) const noexcept {
    return change(w, w.value() + 1, token_op::give, entry, flags);
  }
  bool grow(token_word w, std::uint64_t flags) const noexcept { return change(w, w.value() + 1, token_op::grow, 0, flags); }
  /// As `take`, by the process whose entry it is.
  bool take_own(token_word w, unsigned n, std::uint64_t flags) const noexcept {
    return entry(n).extra() ? take(w, n, flags) : take_again(w, n, flags);
  }
  /// As these, by the process whose entry it is. `w` need not be settled: its change was an `undo`, or a `hold`, of that entry.
  bool take_again(token_word w, unsigned entry, std::uint64_t flags) const noexcept {
    return change(w, w.value() - 1, token_op::hold, entry, flags);
  }
  bool give_again(token_word w, unsigned entry, std::uint64_t flags) const noexcept {
    return change(w, w.value() + 1, token_op::undo, entry, flags);
  }
  /// Only the flags; `w` need not be settled.
  bool mark(token_word w, std::uint64_t flags) const noexcept {
    return in_.word.compare_exchange_strong(w.raw, (w.raw & ~token_word::flags) | flags, std::memory_order_seq_cst);
  }

  /// The entry of that process; 0 if it has none.
  unsigned find(std::uint16_t actor) const noexcept;
  /// A new one for that process. 0 if all are taken.
  unsigned claim(std::uint16_t actor) const noexcept;
  /// Takes all tokens out of an entry, and the entry back: they are free, or stay taken. By the process itself when it needs it no more, or when
  /// that is dead. By a change of the word, also if there are no tokens: the actor may be about to take one for it.
  void clear(unsigned entry, bool tokens_stay) const noexcept;
  /// Whose tokens a process gives back that has none: entry 0's, else those of whoever has most. Nothing if nobody has any.
  std::optional<unsigned> somebody_with_tokens() const noexcept;
  /// It is still the word, so what was read since it was settled belongs together.
  bool is_still(token_word w) const noexcept { return in_.word.load(std::memory_order_seq_cst) == w.raw; }

 private:
  bool change(token_word w, unsigned value, token_op op, unsigned entry, std::uint64_t flags) const noexcept;
  bool settle(token_word w) const noexcept;
  template <class Change>
  bool apply(token_word w, unsigned n, Change change_of) const noexcept;

  semaphore_body& in_;
};

}  // namespace cloister::internal
