// SPDX-License-Identifier: BSD-3-Clause
// The Mandelbrot set as a PNG file: mandelbrot FILE. Workers compute tiles, which come as they are done; those in the set cost most.
// Whole numbers instead of floating point, so that every machine draws the same picture.
//
// Prints:
//   77 tiles, 1280 x 800 pixels, checksum ee8fd03d
#include <cloister/actors/actors.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iostream>
#include <vector>

#include <png.h>

using namespace cloister;

constexpr int width = 1280, height = 800, tile_side = 120;
using pixel = std::array<std::uint8_t, 3>;

struct tile {
  int x, y, columns, rows;
  std::vector<pixel> pixels;
};

pixel colour_of(std::int64_t re, std::int64_t im) {  // in units of 2^-28
  constexpr int unit = 28, most = 1000;
  std::int64_t x = 0, y = 0;
  for (int n = 0; n < most; ++n) {
    const auto xx = x * x >> unit, yy = y * y >> unit;
    if (xx + yy > std::int64_t{4} << unit)
      return {static_cast<std::uint8_t>(255 * n / (n + 8)), static_cast<std::uint8_t>(255 * n / (n + 30)),
              static_cast<std::uint8_t>(255 * n / (n + 2))};
    y = (2 * x * y >> unit) + im;
    x = xx - yy + re;
  }
  return {0, 0, 0};
}

tile draw(tile t) {
  constexpr std::int64_t step = (std::int64_t{3} << 28) / width;  // the picture is 3 wide
  for (int y = t.y; y < t.y + t.rows; ++y)
    for (int x = t.x; x < t.x + t.columns; ++x) t.pixels.push_back(colour_of((x - 3 * width / 4) * step, (y - height / 2) * step));
  return t;
}

int main(int argc, char** argv) {
  node here{argc, argv};
  if (argc != 2) return std::cerr << "usage: mandelbrot FILE.png\n", 2;
  std::vector<tile> todo;
  for (int y = 0; y < height; y += tile_side)
    for (int x = 0; x < width; x += tile_side)
      todo.push_back({x, y, std::min(tile_side, width - x), std::min(tile_side, height - y), {}});

  std::vector<pixel> picture(width * height);
  const pool p{here};
  for (const auto& done : p.with({.name = "draw", .tries = 3}).imap_unordered(draw, todo))
    for (int row = 0; row < done.rows; ++row)
      std::copy_n(done.pixels.begin() + row * done.columns, done.columns, picture.begin() + (done.y + row) * width + done.x);

  png_image file{};
  file.version = PNG_IMAGE_VERSION;
  file.width = width;
  file.height = height;
  file.format = PNG_FORMAT_RGB;
  if (png_image_write_to_file(&file, argv[1], 0, picture.data(), 0, nullptr) == 0)
    return std::cerr << argv[1] << ": " << file.message << '\n', 1;

  std::uint32_t sum = 0x811c9dc5;  // FNV-1a
  for (const auto& colour : picture)
    for (const auto part : colour) sum = (sum ^ part) * 0x01000193;
  std::cout << todo.size() << " tiles, " << width << " x " << height << " pixels, checksum " << std::hex << sum << '\n';
}
