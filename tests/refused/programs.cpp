// SPDX-License-Identifier: BSD-3-Clause
// Programs that must not compile, one for each CASE; with CLOISTER_RIGHT, what the writer should have written.
#include <cloister/actors/barrier.hpp>
#include <cloister/cloister.hpp>

#include <memory>
#include <string>

using namespace cloister;

void take_text(std::string) {}
void nothing_to_do() {}
void take_pointer(const char*) {}
void take_reference(int&) {}
struct with_pointer {
  int* p;
};

struct question {
  int n;
};
struct note {
  std::string text;
};
struct borrower {
#ifdef CLOISTER_RIGHT
  reply<int> on(question q) { co_return q.n; }
  reply<int> on(self& me, note n) {
    const note again{n.text};
    co_return (co_await me.ask(me.handle(*this), again)).value();
  }
#elif CASE == 14
  reply<int> on(question q) { co_return q.n; }
  reply<int> on(self& me, note n) { co_return (co_await me.ask(me.handle(*this), note{n.text})).value(); }
#else
  reply<int> on(const question& q) { co_return q.n; }
#endif
};

void program(node& here) {
  queue<int> q{here};
  [[maybe_unused]] const source<int> in = q;
  [[maybe_unused]] const sink<int> out = q;
  [[maybe_unused]] int n = 3;
#ifdef CLOISTER_RIGHT
  process a{here, [](int m) { static_cast<void>(m); }, n};
  process b{here, take_text, "bob"};
  out.put(in.get());
  auto [receiver, sender] = one_way<int>(here);
  sender.send(receiver.recv());
  process c = process::fork(here, [n] { static_cast<void>(n); });
  actor<borrower>{here}.ask(question{1});
#elif CASE == 1
  process a{here, [n] { static_cast<void>(n); }};
#elif CASE == 2
  process a{here, take_pointer, "bob"};
#elif CASE == 3
  process a{here, take_reference, n};
#elif CASE == 4
  process a{here, take_text};
#elif CASE == 5
  in.put(1);
#elif CASE == 6
  out.get();
#elif CASE == 7
  auto [receiver, sender] = one_way<int>(here);
  receiver.send(1);
#elif CASE == 8
  queue<with_pointer> wrong{here};
#elif CASE == 9
  process a{here, [](auto m) { static_cast<void>(m); }, &n};
#elif CASE == 10
  auto [mine, theirs] = pipe<int>(here);
  auto copy = mine;
#elif CASE == 11
  auto [receiver, sender] = one_way<int>(here);
  sender.recv();
#elif CASE == 14
  actor<borrower>{here}.tell(note{"x"});
#elif CASE == 12
  actor<borrower>{here}.ask(question{1});
#elif CASE == 13
  actor<borrower>{here}.ask(n);
#elif CASE == 15
  barrier b{here, 2, nothing_to_do};
#endif
}
