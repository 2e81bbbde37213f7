// SPDX-License-Identifier: BSD-3-Clause
// The benchmark: runs this library, its peers and the machine's limits in turn, prints a table and writes a CSV file.
//
//   scripts/bench [--quick] [--unpinned] [--repeat N] [--only ROW]... [--csv FILE] [--list]
//
// Each contestant is a program beside this one (contest.hpp), run again for every row and run: A B C, A B C, A B C.
// A program that is not there is reported as not installed. Nothing else should run on the machine meanwhile.
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <map>
#include <string>

#include "programs.hpp"
#include "report.hpp"
#include "rows.hpp"

namespace {

struct options : bench::options {
  bool list = false;
  int repeat = 0;  // 0: 1 if quick, 5 otherwise
  std::vector<std::string> only;
  std::string csv;
};

[[noreturn]] void usage(int status) {
  (status == 0 ? std::cout : std::cerr)
      << "usage: scripts/bench [--quick] [--unpinned] [--repeat N] [--only ROW]... [--csv FILE] [--list]\n"
         "  --quick     short and small: shows that everything runs, the figures mean little\n"
         "  --unpinned  the kernel places the processes of the one to one rows, too\n"
         "  --repeat N  runs of each contestant; the median, the least and the most are shown (5)\n"
         "  --only ROW  only rows whose name contains ROW; may be given several times\n"
         "  --csv FILE  writes the table to FILE, too\n"
         "  --list      prints the rows' names\n";
  std::exit(status);
}

options parse(int argc, char** argv) {
  options o;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 >= argc) usage(2);
      return argv[++i];
    };
    if (argument == "--quick") o.quick = true;
    else if (argument == "--unpinned") o.unpinned = true;
    else if (argument == "--list") o.list = true;
    else if (argument == "--repeat") o.repeat = std::atoi(value().c_str());
    else if (argument == "--only") o.only.push_back(value());
    else if (argument == "--csv") o.csv = value();
    else usage(argument == "--help" ? 0 : 2);
  }
  if (o.repeat < 1) o.repeat = o.quick ? 1 : 5;
  return o;
}

bool wanted(const options& o, const std::string& id) {
  if (o.only.empty()) return true;
  for (const auto& part : o.only)
    if (id.find(part) != std::string::npos) return true;
  return false;
}

std::string processor() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string text; std::getline(in, text);)
    if (text.starts_with("model name")) return text.substr(text.find(':') + 2);
  return "unknown processor";
}

/// Machine, date and versions; returns which programs are there.
std::map<std::string_view, bool> introduce(std::ostream& out, const options& o) {
  utsname system{};
  ::uname(&system);
  char date[32];
  const auto now = std::time(nullptr);
  std::strftime(date, sizeof(date), "%Y-%m-%d", std::localtime(&now));
  double load[1] = {};
  ::getloadavg(load, 1);
  out << date << ", " << processor() << ", " << ::sysconf(_SC_NPROCESSORS_ONLN) << " processors, Linux " << system.release
      << ", compiled by "
#if defined(__clang__)
      << "clang " << __clang_version__
#else
      << "g++ " << __VERSION__
#endif
      << ", " << (o.quick ? "quick, " : "") << (o.unpinned ? "unpinned, " : "") << o.repeat << (o.repeat == 1 ? " run" : " runs")
      << ", load " << load[0] << '\n';
#ifndef __OPTIMIZE__
  out << "Built without optimisation: the figures are no measure of anything.\n";
#endif
  out.flush();
  std::map<std::string_view, bool> there;
  for (const auto program : bench::all_programs()) {
    auto command = bench::command_of(program);
    command.emplace_back("--version");
    const auto version = bench::first_line(command);
    there[program] = !version.empty();
    out << "  " << program << ": " << (version.empty() ? "not installed" : version) << '\n';
  }
  return there;
}

bench::answer run_once(const bench::row& r, const bench::entrant& who) {
  auto command = bench::command_of(who.program);
  command.emplace_back(r.contest);
  command.emplace_back(who.name);
  command.insert(command.end(), r.arguments.begin(), r.arguments.end());
  return bench::ask(command, 120);
}

std::vector<bench::line> run(const bench::row& r, int repeat, const std::map<std::string_view, bool>& there) {
  std::vector<bench::series> all;
  for (const auto& who : r.entrants) all.push_back({&who, {}});
  for (int i = 0; i < repeat; ++i) {
    for (auto& s : all) {
      const auto present = there.at(s.entrant->program);
      s.answers.push_back(present ? run_once(r, *s.entrant) : bench::answer{bench::answer::kind::absent, {}, {}});
    }
  }
  return bench::judge(r, all);
}

}  // namespace

int main(int argc, char** argv) {
  const auto o = parse(argc, argv);
  const auto rows = bench::all_rows(o);
  if (o.list) {
    for (const auto& r : rows) std::cout << r.id << '\n';
    return 0;
  }
  bench::take_charge();
  const auto there = introduce(std::cout, o);
  std::cout << '\n';
  bench::print_heading(std::cout);
  std::cout.flush();
  std::vector<bench::line> lines;
  for (const auto& r : rows) {
    if (!wanted(o, r.id)) continue;
    const auto mine = run(r, o.repeat, there);
    bench::print(std::cout, mine);
    lines.insert(lines.end(), mine.begin(), mine.end());
  }
  if (lines.empty()) {
    std::cerr << "no such row; --list prints them\n";
    return 2;
  }
  bench::print_summary(std::cout, lines);
  if (!o.csv.empty()) {
    std::ofstream csv(o.csv);
    bench::write_csv(csv, lines);
    if (!csv.flush()) {
      std::cerr << "cannot write " << o.csv << '\n';
      return 1;
    }
  }
  for (const auto& l : lines)
    if (l.status == "failed") return 1;
  return 0;
}
