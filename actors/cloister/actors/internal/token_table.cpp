// SPDX-License-Identifier: BSD-3-Clause
// Why settling is right: a change is applied before the word changes again, so an entry that was read while the word was still `w`, and
// does not have w's number, does not have the change. Then it is a CAS from exactly that entry. Somebody else may be faster, and that may be one who
// applies a `hold` of long ago: so it begins anew. No change is given a number that its entry has already (numbers wrap).
#include <cloister/actors/internal/token_table.hpp>

#include <algorithm>

namespace cloister::internal {

token_word token_table::settled() const noexcept {
  for (;;) {
    const token_word w{in_.word.load(std::memory_order_seq_cst)};
    if (settle(w)) return w;
  }
}

// True if the change is applied to entry n. False: look again.
// `change_of(entry)`: what it is to be, but for the number.
template <class Change>
bool token_table::apply(token_word w, unsigned n, Change change_of) const noexcept {
  auto e = entry(n);
  if (e.has_applied(w)) return true;
  const token_entry next = change_of(e);
  if (!is_still(w)) return false;
  const auto applied = token_entry::make(next.actor(), next.count(), next.extra(), w.number());
  return in_.entry[n].compare_exchange_strong(e.raw, applied.raw, std::memory_order_seq_cst);
}

bool token_table::settle(token_word w) const noexcept {
  const unsigned n = std::min(w.entry(), semaphore_body::entries - 1);  // forged
  const auto none = [](token_entry) { return token_entry(); };
  switch (w.op()) {
    case token_op::take:
      return apply(w, n, [](token_entry e) { return token_entry::make(e.actor(), e.count() + 1, e.extra(), 0); });
    case token_op::give:
      return apply(w, n, [](token_entry e) { return token_entry::make(e.actor(), e.count() - (e.extra() ? 0 : 1), false, 0); });
    case token_op::hold: return apply(w, n, [](token_entry e) { return token_entry::make(e.actor(), e.count(), true, 0); });
    case token_op::undo: return apply(w, n, [](token_entry e) { return token_entry::make(e.actor(), e.count(), false, 0); });
    case token_op::bring_back: return apply(w, n, none);
    // The entry keeps its tokens until entry 0 has them; it is read after entry 0.
    case token_op::leave:
      return apply(w, 0,
                   [&](token_entry e) { return token_entry::make(e.actor(), e.count() + entry(n).tokens(), e.extra(), 0); }) &&
             apply(w, n, none);
    default: return true;
  }
}

bool token_table::change(token_word w, unsigned value, token_op op, unsigned n, std::uint64_t flags) const noexcept {
  auto number = w.number() + 1;
  const auto taken = [&] {
    return op != token_op::grow && (((number ^ entry(n).number()) & token_entry::number_mask) == 0 ||
                                    (op == token_op::leave && ((number ^ entry(0).number()) & token_entry::number_mask) == 0));
  };
  while (taken()) ++number;
  const auto next = token_word::make(value, flags, op, n, number);
  return in_.word.compare_exchange_strong(w.raw, next.raw, std::memory_order_seq_cst);
}

unsigned token_table::find(std::uint16_t actor) const noexcept {
  for (unsigned n = 1; n < semaphore_body::entries; ++n)
    if (entry(n).actor() == actor) return n;
  return 0;
}

unsigned token_table::claim(std::uint16_t actor) const noexcept {
  for (unsigned n = 1; n < semaphore_body::entries; ++n) {
    auto e = entry(n);
    if (e.actor() != 0) continue;
    if (in_.entry[n].compare_exchange_strong(e.raw, token_entry::make(actor, 0, false, e.number()).raw, std::memory_order_seq_cst))
      return n;
  }
  return 0;
}

void token_table::clear(unsigned n, bool tokens_stay) const noexcept {
  for (;;) {
    const auto w = settled();
    const auto flags = w.raw & token_word::flags;
    const auto free = std::min(w.value() + entry(n).tokens(), token_word::most);
    if (tokens_stay ? change(w, w.value(), token_op::leave, n, flags) : change(w, free, token_op::bring_back, n, flags)) break;
  }
  settled();
}

std::optional<unsigned> token_table::somebody_with_tokens() const noexcept {
  if (entry(0).tokens() > 0) return 0;
  unsigned most = 0, whose = 0;
  for (unsigned n = 1; n < semaphore_body::entries; ++n) {
    const auto count = entry(n).tokens();
    if (count <= most) continue;
    most = count;
    whose = n;
  }
  if (most == 0) return {};
  return whose;
}

}  // namespace cloister::internal
