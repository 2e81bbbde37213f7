// SPDX-License-Identifier: BSD-3-Clause
// A message on lease outlives whoever took it: the first worker dies with one in its hands, and it goes to the second.
//
// Prints:
//   first: parcel 1
//   first: parcel 2
//   first was killed by SIGKILL
//   second: parcel 2, delivered before
//   second: parcel 3
#include <cloister/cloister.hpp>

#include <csignal>
#include <iostream>
#include <string>

using namespace cloister;

void worker(source<std::string> in) {
  for (auto& parcel : in.leases()) {
    std::cout << this_process::name() << ": " << *parcel << (parcel.redelivered() ? ", delivered before" : "") << std::endl;
    if (this_process::name() == "first" && *parcel == "parcel 2") std::raise(SIGKILL);  // before the end of the body
  }
}

int main(int argc, char** argv) {
  node here{argc, argv};
  queue<std::string> parcels{here};
  for (const char* text : {"parcel 1", "parcel 2", "parcel 3"}) parcels.put(text);
  process first{here, {.name = "first"}, worker, parcels};
  std::cout << "first was " << first.join().text() << std::endl;  // from here on all it held is back
  process second{here, {.name = "second"}, worker, parcels};
  parcels.join();
  parcels.close();
}
