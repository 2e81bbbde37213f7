// SPDX-License-Identifier: BSD-3-Clause
// A typed actor: an object in a process of its own, whose `on` overloads are its interface. Two tellers ask it; it handles one message at a time.
//
// Prints:
//   balance 1101
//   not enough money: 1101 cents
#include <cloister/cloister.hpp>
#include <iostream>
#include <stdexcept>

using namespace cloister;
using namespace std::chrono_literals;

struct deposit {
  long cents;
};
struct withdraw {
  long cents;
};
struct balance {};

// begin account
struct account {
  long cents = 0;
  long on(deposit d) { return cents += d.cents; }  // the reply's type is the return type
  long on(withdraw w) {
    if (w.cents > cents) throw std::runtime_error("not enough money: " + std::to_string(cents) + " cents");
    return cents -= w.cents;
  }
  long on(balance) const { return cents; }
};
// end account

void teller(actor<account> a) {
  for (int i = 0; i < 100; ++i) a.ask(deposit{5});
}

int main(int argc, char** argv) {
  node here{argc, argv};
  log_to_stderr(log_level::error);                                                   // the refused withdrawal is expected
  actor<account> a{here, actor_options{.on_error = error_policy::keep_state}, 100};  // account{100}, over there
  {
    process first{here, teller, a}, second{here, teller, a};
    a.tell(deposit{1});  // does not wait until it is handled
  }
  std::cout << "balance " << a.ask(balance{}) << '\n';
  if (auto left = a.ask(withdraw{5000}, 10s); !left) std::cout << left.error().exit()->exception_text() << '\n';
}
