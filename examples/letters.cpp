// SPDX-License-Identifier: BSD-3-Clause
// Two writers put letters on a shared queue with random pauses; a reader takes them until there are no more.
// The queue closes by itself when its last sink is gone, so that the reader's loop ends.
//
// Prints, in any order:
//   put A
//   put B
//   put C
//   put X
//   put Y
//   put Z
//   got A
//   got B
//   got C
//   got X
//   got Y
//   got Z
//   Done!
#include <cloister/cloister.hpp>

#include <chrono>
#include <iostream>
#include <random>
#include <string>

using namespace cloister;

void write_letters(std::string letters, sink<char> out) {
  std::random_device random;
  for (char letter : letters) {
    std::cout << std::string("put ") + letter + '\n' << std::flush;
    out.put(letter);
    this_process::sleep_for(std::chrono::milliseconds(random() % 20));
  }
}

void read_letters(source<char> in) {
  for (char letter : in) std::cout << std::string("got ") + letter + '\n' << std::flush;
  std::cout << "Done!\n";
}

int main(int argc, char** argv) {
  node here{argc, argv};
  queue<char> letters{here, {.close_with_last_sink = true}};
  process a{here, write_letters, "ABC", letters}, b{here, write_letters, "XYZ", letters};
  process reader{here, read_letters, letters};
}
