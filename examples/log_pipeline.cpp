// SPDX-License-Identifier: BSD-3-Clause
// A supervised pipeline over a real text file: one process reads lines, two measure them, main adds up. All are killed again and again, and the
// sums are exact: a line that was on loan comes back, and one that is answered twice counts once. The queues close by themselves, each when
// all that put into it have ended for good. Usage: log_pipeline FILE
//
// Prints, matching:
//   [0-9]+ lines, [0-9]+ of them empty, [0-9]+ characters; [0-9]+ processes were killed
//   the same as read by one process
#include <cloister/cloister.hpp>
#include <csignal>
#include <fstream>
#include <iostream>
#include <map>

using namespace cloister;

struct line {
  std::uint64_t number;
  std::string text;
};
struct measured {
  std::uint64_t number, characters;
};
struct sums {
  std::uint64_t lines = 0, empty = 0, characters = 0;
  void add(std::uint64_t n) { ++lines, empty += n == 0, characters += n; }
  friend bool operator==(const sums&, const sums&) = default;
};

void read_lines(sink<line> out, std::string file) {  // killed, it begins anew
  std::ifstream in(file);
  std::string text;
  for (std::uint64_t number = 1; std::getline(in, text); ++number) out.put({number, text});
}

void measure(source<line> in, sink<measured> out) {
  for (auto& l : in.leases()) out.put({l->number, l->text.size()});
}

int main(int argc, char** argv) {
  node here{argc, argv};
  if (argc < 2) return std::cerr << "usage: log_pipeline FILE\n", 2;
  const std::string file = argv[1];
  log_to_stderr(log_level::off);  // the kills are expected

  queue<line> lines{here, {.max_items = 10, .close_with_last_sink = true}};
  queue<measured> results{here, {.max_items = 10, .close_with_last_sink = true}};
  supervisor s{here,
               {.intensity = 1000},
               supervised({.id = "read", .restart = transient}, read_lines, lines, file),
               supervised({.id = "measure 1", .restart = transient}, measure, lines, results),
               supervised({.id = "measure 2", .restart = transient}, measure, lines, results)};

  std::map<std::uint64_t, std::uint64_t> answers;
  unsigned killed = 0;
  for (const auto& [number, characters] : results) {
    answers[number] = characters;
    if (number % 25 != 0 || killed == 12) continue;
    const auto victim = s.which_children()[killed % 3];
    if (victim.process && ::kill(victim.process->pid, SIGKILL) == 0) ++killed;
  }
  sums total, alone;
  for (const auto& [number, characters] : answers) total.add(characters);
  std::cout << total.lines << " lines, " << total.empty << " of them empty, " << total.characters << " characters; " << killed
            << " processes were killed\n";
  std::ifstream in(file);
  for (std::string text; std::getline(in, text);) alone.add(text.size());
  std::cout << (total == alone ? "the same as read by one process\n" : "NOT what one process reads\n");
}
