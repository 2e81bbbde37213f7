// SPDX-License-Identifier: BSD-3-Clause
// The event count's own code under every interleaving: no wake-up is lost between two notifiers, two waiters and a death.
#include "explore.hpp"
#include "harness.hpp"

namespace {

using event = cloister::detail::basic_event_count<explore::platform>;

// Waiters take one token each, notifiers put them: what a queue is to an event count.
struct tokens {
  explore::platform::atom<std::uint32_t> there{0};
  event available;
  unsigned put = 0, taken = 0;  // for the invariant

  void give() {
    there.fetch_add(1);
    ++put;
    available.notify_one();
  }
  bool try_take() {
    auto n = there.load();
    while (n != 0)
      if (there.compare_exchange_strong(n, n - 1)) return ++taken, true;
    return false;
  }
  void take() {
    available.wait([&] { return try_take(); }, cloister::deadline::never());
  }
};

struct setting {
  unsigned notifiers, waiters, tokens_each, preemptions, kills;
};

explore::result explore_tokens(setting s) {
  return explore::run({.preemptions = s.preemptions, .kills = s.kills}, [s](explore::world& w) {
    auto t = std::make_shared<tokens>();
    for (unsigned i = 0; i < s.waiters; ++i)
      w.process(
          [t] {
            t->take();
            explore::step();
            // A consumer that sees more passes the wake on.
            if (t->there.load() != 0) t->available.notify_one();
          },
          s.kills > 0 && i == 0 ? explore::mortal : explore::immortal);
    for (unsigned i = 0; i < s.notifiers; ++i)
      w.process(
          [t, s] {
            for (unsigned k = 0; k < s.tokens_each; ++k) t->give();
          },
          s.kills > 0 && i == 0 ? explore::mortal : explore::immortal);
    w.after_death([t] { t->available.notify_all(); });
    // Nobody sleeps while a token lies there.
    w.at_end([t](explore::ending e) { return e.all_ended || t->there.peek() == 0; });
  });
}

}  // namespace

TEST_CASE("no interleaving of notifiers and waiters loses a wake-up", "[deadline:240]") {
  const auto s = GENERATE(setting{1, 1, 1, 6, 0}, setting{1, 2, 2, 3, 0}, setting{2, 1, 1, 3, 0}, setting{2, 2, 2, 2, 0},
                          setting{3, 2, 1, 1, 0});
  const auto r = explore_tokens(s);
  INFO(s.notifiers << " notifiers, " << s.waiters << " waiters: " << r.executions << " executions, " << r.trace);
  CHECK(r.ok);
  CHECK(r.complete);
}

TEST_CASE("a death at any step of waiting or notifying loses no wake-up once it is repaired", "[deadline:240]") {
  const auto s = GENERATE(setting{1, 1, 1, 3, 1}, setting{1, 2, 2, 2, 1}, setting{2, 2, 1, 1, 1});
  const auto r = explore_tokens(s);
  INFO(s.notifiers << " notifiers, " << s.waiters << " waiters: " << r.executions << " executions, " << r.trace);
  CHECK(r.ok);
  CHECK(r.complete);
}
