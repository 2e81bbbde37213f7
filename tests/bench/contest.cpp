// SPDX-License-Identifier: BSD-3-Clause
// The command line and the answers of a contestant program; see contest.hpp.
#include "contest.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iostream>
#include <system_error>

namespace bench {
namespace {

void set(job& j, std::string_view key, const std::string& value) {
  if (key == "bytes") j.bytes = std::stoul(value);
  else if (key == "producers") j.producers = std::stoi(value);
  else if (key == "consumers") j.consumers = std::stoi(value);
  else if (key == "depth") j.depth = std::stoul(value);
  else if (key == "seconds") j.seconds = std::stod(value);
  else if (key == "manner") j.manner = value;
  else if (key == "pause_us") j.pause_us = std::stod(value);
  else if (key == "processors") j.processors = value;
  else if (key == "count") j.count = std::stoi(value);
  else if (key == "ballast_mib") j.ballast_mib = std::stoul(value);
  else throw std::invalid_argument("unknown argument: " + std::string(key));
}

job parse(std::span<char*> arguments) {
  job j;
  for (const std::string_view argument : arguments) {
    const auto equals = argument.find('=');
    if (equals == std::string_view::npos) throw std::invalid_argument("not key=value: " + std::string(argument));
    set(j, argument.substr(0, equals), std::string(argument.substr(equals + 1)));
  }
  return j;
}

const contestant& find(std::span<const contestant> table, std::string_view contest, std::string_view name) {
  for (const auto& c : table)
    if (c.contest == contest && c.name == name) return c;
  throw std::invalid_argument("no such contestant: " + std::string(contest) + ' ' + std::string(name));
}

}  // namespace

int contestant_main(int argc, char** argv, std::string_view version, std::span<const contestant> table, unsigned deadline_seconds) {
  const std::span<char*> arguments(argv, static_cast<std::size_t>(argc));
  if (argc == 2 && arguments[1] == std::string_view("--version")) {
    std::cout << version << std::endl;
    return 0;
  }
  if (argc == 2 && arguments[1] == std::string_view("--list")) {
    for (const auto& c : table) std::cout << c.contest << '\t' << c.name << '\n';
    return 0;
  }
  if (argc < 3) {
    std::cerr << "usage: " << (argc > 0 ? arguments[0] : "contestant") << " --version | --list | CONTEST NAME [key=value]...\n";
    return 2;
  }
  ::alarm(deadline_seconds);
  try {
    const job j = parse(arguments.subspan(3));
    if (j.processors == "one") take_processor(j, 0);  // and with it everything that is started from here
    for (const auto& f : find(table, arguments[1], arguments[2]).run(j)) std::printf("figure %s %.9g\n", f.name.c_str(), f.value);
    return 0;
  } catch (const not_applicable& e) {
    std::printf("n/a %s\n", e.what());
    return 0;
  } catch (const std::exception& e) {
    std::printf("failed %s\n", e.what());
    return 1;
  }
}

void take_processor(const job& j, int side) {
  if (j.processors == "any") return;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ::sched_getaffinity(0, sizeof(allowed), &allowed);
  auto skip = j.processors == "one" ? 0 : side % CPU_COUNT(&allowed);
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (!CPU_ISSET(i, &allowed) || skip-- > 0) continue;
    cpu_set_t mine;
    CPU_ZERO(&mine);
    CPU_SET(i, &mine);
    ::sched_setaffinity(0, sizeof(mine), &mine);
    return;
  }
}

double quantile(std::vector<double> samples, double q) {
  if (samples.empty()) return 0;
  const auto rank = static_cast<std::size_t>(q * static_cast<double>(samples.size() - 1) + 0.5);
  std::nth_element(samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(rank), samples.end());
  return samples[rank];
}

void throw_errno(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace bench
