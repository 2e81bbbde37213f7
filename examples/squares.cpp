// SPDX-License-Identifier: BSD-3-Clause
// Two workers share a queue of jobs; one of them is killed on the way, and nothing is lost.
// A job whose worker died between its answer and its acknowledgement is done twice: the map does not mind.
//
// Prints:
//   1000 squares, the last is 1000000
// begin program
#include <cloister/cloister.hpp>
#include <iostream>
#include <map>

using namespace cloister;
struct answer {
  int n, square;
};

void worker(source<int> jobs, sink<answer> answers) {
  for (auto& job : jobs.leases()) answers.put({*job, *job * *job});  // the end of the body acknowledges
}

int main(int argc, char** argv) {
  node here{argc, argv};  // first line of main
  queue<int> jobs{here};
  queue<answer> answers{here};
  process a{here, worker, jobs, answers}, b{here, worker, jobs, answers};
  for (int n = 1; n <= 1000; ++n) jobs.put(n);
  a.kill();     // what it had not acknowledged goes to b
  jobs.join();  // until every job is acknowledged
  jobs.close();
  answers.close();
  std::map<int, int> squares;
  for (auto& [n, square] : answers) squares[n] = square;
  std::cout << squares.size() << " squares, the last is " << squares.rbegin()->second << '\n';
}
// end program
