// SPDX-License-Identifier: BSD-3-Clause
// The CRC-32 of every file of a directory tree: checksums DIRECTORY. Each file is a task. A worker that dies is replaced and its file tried
// once more, one that takes too long is killed; what cannot be read is reported on stderr, and the others go on.
//
// Prints:
//   363a3020  hello.txt
//   cbf43926  more/digits.txt
//   2 files, 15 bytes, 1 not read
#include <cloister/actors/actors.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <system_error>
#include <vector>

using namespace cloister;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

struct sum {
  std::uint32_t crc = 0xffffffff;
  std::uint64_t bytes = 0;
};

constexpr auto crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    auto c = i;
    for (int bit = 0; bit < 8; ++bit) c = c >> 1 ^ ((c & 1) != 0 ? 0xedb88320 : 0);
    table[i] = c;
  }
  return table;
}();

sum checksum(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::array<char, 64 << 10> part;
  sum s;
  while (in.read(part.data(), part.size()), in.gcount() > 0) {
    for (auto c = part.begin(); c != part.begin() + in.gcount(); ++c)
      s.crc = s.crc >> 8 ^ crc_table[(s.crc ^ static_cast<unsigned char>(*c)) & 0xff];
    s.bytes += static_cast<std::uint64_t>(in.gcount());
  }
  if (!in.eof()) throw std::system_error(errno, std::generic_category(), "cannot read it");
  s.crc = ~s.crc;
  return s;
}

int main(int argc, char** argv) try {
  node here{argc, argv};
  if (argc != 2) return std::cerr << "usage: checksums DIRECTORY\n", 2;
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(argv[1], fs::directory_options::skip_permission_denied))
    if (!entry.is_directory()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());

  const pool p{here, {.name = "checksums"}};
  auto sums = p.with({.deadline = 1min, .tries = 2, .on_progress = progress_bar{"checksums"}}).imap(checksum, files);
  std::uint64_t bytes = 0, failed = 0;
  for (const auto& file : files) {  // results come in the order of the files
    const auto s = *sums.next();
    if (s) {
      std::printf("%08x  %s\n", s->crc, file.lexically_relative(argv[1]).c_str());
      bytes += s->bytes;
    } else {
      std::fprintf(stderr, "%s: %s\n", file.c_str(), s.error().text().c_str());
      ++failed;
    }
  }
  std::printf("%zu files, %ju bytes, %ju not read\n", files.size() - failed, std::uintmax_t{bytes}, std::uintmax_t{failed});
} catch (const std::exception& e) {
  std::cerr << "checksums: " << e.what() << '\n';
  return 1;
}
