// SPDX-License-Identifier: BSD-3-Clause
// An actor that asks others does not wait for them: its handler is a coroutine, and other messages are handled meanwhile. The accounts live under a
// supervisor, which starts a killed one again.
//
// Prints:
//   alice 70, bob 30
//   the account died on the way: killed by SIGKILL
//   alice 100, bob 30
#include <cloister/cloister.hpp>
#include <csignal>
#include <iostream>

using namespace cloister;
using namespace std::chrono_literals;

struct add {
  long cents;
};
struct die_of {
  int signal;
};
struct account {
  long cents = 0;
  long on(add a) { return cents += a.cents; }
  void on(die_of d) const { std::raise(d.signal); }
};

struct transfer {
  actor<account> from, to;
  long cents;
};
// begin bank
struct bank {
  reply<long> on(self& me, transfer t) {
    (co_await me.ask(t.from, add{-t.cents})).value();
    co_return (co_await me.ask(t.to, add{t.cents})).value();
  }
};
// end bank

int main(int argc, char** argv) {
  node here{argc, argv};
  log_to_stderr(log_level::error);  // the kill is expected
  supervisor s{here};
  actor<account> alice{s, {.id = "alice"}, 100}, bob{s, {.id = "bob"}};
  actor<bank> b{s, {.id = "bank"}};

  const long bobs = b.ask(transfer{alice, bob, 30});
  std::cout << "alice " << alice.ask(add{0}) << ", bob " << bobs << '\n';
  if (auto r = alice.ask(die_of{SIGKILL}, 10s); r == errc::peer_down)
    std::cout << "the account died on the way: " << r.error().exit()->text() << '\n';
  std::cout << "alice " << alice.ask(add{0}) << ", bob " << bob.ask(add{0})
            << '\n';  // alice is new: state is what it was made with
}
