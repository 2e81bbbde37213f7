// SPDX-License-Identifier: BSD-3-Clause
// Counts words in files with a pool of isolated workers, one per processor; on the way some of the workers are killed (--kill N), and the
// result is exact nevertheless. Longer than other examples: it is a whole program.
//
// Why it is exact. A worker may die at any moment. The batch that it was counting is run again by another one, as `.tries` says; if the first
// result was already on its way, the second one is dropped. So each batch gives one result. Only as many workers as are killed here can die
// of no fault of their batch: one that ends in vain more often than that ends the program.
//
// Prints, matching:
//    *[0-9]+ [a-z]+
//    *[0-9]+ [a-z]+
//    *[0-9]+ [a-z]+
//   [0-9]+ words in [0-9]+ files \([0-9.]+ MB\), counted by [0-9]+ workers in [0-9.]+ s; 5 killed
//   verified: one process alone counts the same \([0-9.]+ s\)
#include <cloister/actors/actors.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <getopt.h>
#include <unistd.h>

using namespace cloister;
namespace fs = std::filesystem;

struct settings {
  unsigned workers = cpu_count(), kills = 0, top = 20;
  bool verify = false, help = false;
  std::vector<fs::path> where;
};

// ---- counting, known to workers and to --verify

using counts = std::unordered_map<std::string, std::uint64_t>;

/// A word is a run of ASCII letters, in lower case.
void count_file(const fs::path& file, counts& to) {
  std::ifstream in(file, std::ios::binary);
  std::string text(64 << 10, '\0'), word;
  while (in.read(text.data(), static_cast<std::streamsize>(text.size())), in.gcount() > 0) {
    for (const char c : std::string_view(text.data(), static_cast<std::size_t>(in.gcount()))) {
      const char lower = static_cast<char>(c | 0x20);
      if (lower >= 'a' && lower <= 'z') {
        word += lower;
      } else if (!word.empty()) {
        ++to[word];
        word.clear();
      }
    }
  }
  if (!word.empty()) ++to[word];
  if (!in.eof()) throw std::runtime_error("cannot read " + file.string());
}

// ---- the task

using batch = std::vector<fs::path>;

counts count_batch(const batch& files) {
  counts words;
  for (const auto& file : files) count_file(file, words);
  return words;
}

// ---- what there is to count

struct work {
  std::vector<batch> batches;
  std::uint64_t files = 0, bytes = 0;
};

/// Small files come together in batches: some sixteen for each worker, but none above 1 MiB unless it is one file.
work find_work(const settings& chosen) {
  std::vector<std::pair<fs::path, std::uint64_t>> found;
  work all;
  const auto take = [&](const fs::directory_entry& entry) {
    if (!entry.is_regular_file()) return;
    if (::access(entry.path().c_str(), R_OK) != 0) return std::perror(("wordcount: left out: " + entry.path().string()).c_str());
    found.emplace_back(entry.path(), entry.file_size());
    all.bytes += found.back().second;
  };
  for (const auto& path : chosen.where) {
    const fs::directory_entry top(path);
    if (!top.exists()) throw std::runtime_error(path.string() + ": no such file or directory");
    if (!top.is_directory()) {
      take(top);
      continue;
    }
    for (const auto& entry : fs::recursive_directory_iterator(path, fs::directory_options::skip_permission_denied))
      if (!entry.is_symlink()) take(entry);  // what it points to is counted where it is
  }
  all.files = found.size();
  const auto enough = std::min<std::uint64_t>(all.bytes / (chosen.workers * 16) + 1, 1 << 20);
  std::uint64_t filled = enough;
  for (auto& [path, bytes] : found) {
    if (filled >= enough) {
      all.batches.emplace_back();
      filled = 0;
    }
    all.batches.back().push_back(std::move(path));
    filled += bytes;
  }
  return all;
}

// ---- counting all of it

counts count(const node& here, const settings& chosen, const std::vector<batch>& batches) {
  const pool p{here, {.name = "wordcount", .workers = static_cast<int>(chosen.workers)}};
  auto counted = p.with({.name = "count", .tries = chosen.kills + 3, .on_progress = progress_bar{"batches"}})
                     .imap_unordered(count_batch, batches);
  std::minstd_rand random(std::random_device{}());
  std::set<std::uint32_t> killed;
  const auto kill_one = [&] {
    auto crew = p.workers();
    std::erase_if(crew, [&](const process_id& worker) { return killed.contains(worker.incarnation); });
    if (crew.empty()) return p.apply([] {});  // waits for one that takes their place
    const auto& victim = crew[random() % crew.size()];
    ::kill(victim.pid, SIGKILL);
    killed.insert(victim.incarnation);
  };
  counts all;
  for (std::size_t done = 0; done < batches.size(); ++done) {
    while (killed.size() < chosen.kills && done >= batches.size() * (killed.size() + 1) / (chosen.kills + 1)) kill_one();
    const auto words = counted.next();
    for (const auto& [word, times] : words->value()) all[word] += times;
  }
  return all;
}

// ---- the program

constexpr const char* usage =
    "usage: wordcount [--workers N] [--kill N] [--top N] [--verify] [FILE OR DIRECTORY...]\n"
    "Counts the words of files with N isolated processes (one per processor) and prints the N (20) most frequent ones.\n"
    "  --kill N    kills N workers on the way; the result is the same\n"
    "  --verify    counts again in one process and compares\n"
    "Without files: /usr/include and /usr/share/common-licenses.\n";

settings read_arguments(int argc, char** argv) {
  const option names[] = {{"workers", 1, nullptr, 'w'}, {"kill", 1, nullptr, 'k'}, {"top", 1, nullptr, 't'},
                          {"verify", 0, nullptr, 'v'},  {"help", 0, nullptr, 'h'}, {}};
  const auto number = [](unsigned long least) {
    char* end = optarg;
    const auto value = std::strtoul(optarg, &end, 10);
    if (end == optarg || *end != '\0' || value < least || value > 10'000)
      throw std::runtime_error(std::string(optarg) + " is not a number from " + std::to_string(least) + " to 10000");
    return static_cast<unsigned>(value);
  };
  settings chosen;
  for (int which; (which = ::getopt_long(argc, argv, "", names, nullptr)) != -1;) {
    switch (which) {
      case 'w': chosen.workers = number(1); break;
      case 'k': chosen.kills = number(0); break;
      case 't': chosen.top = number(0); break;
      case 'v': chosen.verify = true; break;
      case 'h': chosen.help = true; break;
      default: throw std::runtime_error("--help shows what there is");
    }
  }
  chosen.where.assign(argv + optind, argv + argc);
  if (chosen.where.empty()) chosen.where = {"/usr/include", "/usr/share/common-licenses"};
  return chosen;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int main(int argc, char** argv) try {
  node here{argc, argv};
  const auto chosen = read_arguments(argc, argv);
  if (chosen.help) return std::cout << usage, 0;
  const auto todo = find_work(chosen);
  auto start = std::chrono::steady_clock::now();
  const auto words = count(here, chosen, todo.batches);
  const auto needed = seconds_since(start);

  std::vector<std::pair<std::uint64_t, std::string>> order;
  std::uint64_t total = 0;
  for (const auto& [word, times] : words) {
    order.emplace_back(times, word);
    total += times;
  }
  std::sort(order.rbegin(), order.rend());
  order.resize(std::min<std::size_t>(order.size(), chosen.top));
  std::cout << std::fixed << std::setprecision(2);
  for (const auto& [times, word] : order) std::cout << std::setw(10) << times << ' ' << word << '\n';
  std::cout << total << " words in " << todo.files << " files (" << static_cast<double>(todo.bytes) / 1e6 << " MB), counted by "
            << chosen.workers << " workers in " << needed << " s; " << chosen.kills << " killed" << std::endl;

  if (chosen.verify) {
    start = std::chrono::steady_clock::now();
    counts alone;
    for (const auto& one : todo.batches)
      for (const auto& file : one) count_file(file, alone);
    if (alone != words) {
      std::cerr << "wordcount: NOT verified: one process alone counts something else (or the files have changed meanwhile)\n";
      return 1;
    }
    std::cout << "verified: one process alone counts the same (" << seconds_since(start) << " s)\n";
  }
} catch (const std::exception& e) {
  std::cerr << "wordcount: " << e.what() << '\n';
  return 1;
}
