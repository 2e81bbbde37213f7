// SPDX-License-Identifier: BSD-3-Clause
// A handle inside a message: each request says where its answer goes. The server knows none of its clients.
//
// Prints, in any order:
//   anna: twice 21 is 42
//   bert: twice 4 is 8
#include <cloister/cloister.hpp>

#include <iostream>
#include <string>

using namespace cloister;

// begin server
struct question {
  int n;
  sink<int> reply;
};
void server(source<question> in) {
  for (auto& q : in) q.reply.put(2 * q.n);
}
// end server

void client(node& here, sink<question> ask, int n) {
  queue<int> mine{here};
  ask.put({n, mine});
  const int twice = mine.get();
  std::cout << this_process::name() + ": twice " + std::to_string(n) + " is " + std::to_string(twice) + '\n' << std::flush;
}

int main(int argc, char** argv) {
  node here{argc, argv};
  queue<question> questions{here};
  process s{here, server, questions};
  { process anna{here, {.name = "anna"}, client, questions, 21}, bert{here, {.name = "bert"}, client, questions, 4}; }
  questions.close();
}
