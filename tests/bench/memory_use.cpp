// SPDX-License-Identifier: BSD-3-Clause
// Reading /proc/PID/smaps_rollup.
#include "memory_use.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "contest.hpp"

namespace bench {
namespace {

double sum_of(pid_t pid, std::initializer_list<std::string_view> keys) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/smaps_rollup");
  std::string first_line;
  if (!std::getline(in, first_line)) throw std::runtime_error("cannot read smaps_rollup of process " + std::to_string(pid));
  double kib = 0;
  for (std::string key; in >> key;) {
    double value = 0;
    in >> value;
    in.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) kib += value;
  }
  return kib;
}

}  // namespace

double private_kib(pid_t pid) { return sum_of(pid, {"Private_Clean:", "Private_Dirty:"}); }

double anonymous_kib(pid_t pid) { return sum_of(pid, {"Anonymous:"}); }

double memfd_kib() {
  std::map<ino_t, double> files;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // the directory's own descriptor
    if (!std::filesystem::read_symlink(entry.path(), gone).string().starts_with("/memfd:")) continue;
    struct stat file {};
    if (::stat(entry.path().c_str(), &file) == 0) files[file.st_ino] = static_cast<double>(file.st_blocks) / 2;
  }
  return std::accumulate(files.begin(), files.end(), 0.0, [](double sum, const auto& f) { return sum + f.second; });
}

double typical_private_kib(std::span<const pid_t> pids) {
  std::vector<double> samples;
  const auto step = std::max<std::size_t>(1, pids.size() / 20);
  for (std::size_t i = step / 2; i < pids.size(); i += step) samples.push_back(private_kib(pids[i]));
  return quantile(std::move(samples), 0.5);
}

}  // namespace bench
