// SPDX-License-Identifier: BSD-3-Clause
// Bytes that no encoder wrote: each is errc::undecodable with a text that says why, or another value; never a crash, never an
// allocation that the message does not pay for. Meant to run under sanitizers too.
#include "harness.hpp"
#include "wire_samples.hpp"

#include <cstring>
#include <new>
#include <random>
#include <span>

using namespace cloister;
using namespace samples;

namespace {

template <class T>
std::string why_not(const std::vector<std::byte>& bytes) {
  try {
    static_cast<void>(decode<T>(bytes));  // not try_decode: a result<T> for each type costs the compiler more than the decoder does
    return "decoded";
  } catch (const failure& f) { return f.code() == errc::undecodable ? f.what() : "another error: " + std::string(f.what()); }
}

std::size_t largest_allocation = 0;

/// An allocator that has no more than 16 MB, nor more than 1000 bytes for ints.
template <class T>
struct poor {
  using value_type = T;
  poor() = default;
  template <class U>
  poor(const poor<U>&) {}  // NOLINT(google-explicit-constructor)
  T* allocate(std::size_t n) {
    largest_allocation = std::max(largest_allocation, n * sizeof(T));
    if (n * sizeof(T) > (std::is_same_v<T, int> ? 1000 : 1 << 24)) throw std::bad_alloc();
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) { std::allocator<T>().deallocate(p, n); }
  friend bool operator==(poor, poor) { return true; }
};

std::vector<std::byte> bytes_of(std::initializer_list<int> list) {
  std::vector<std::byte> bytes;
  for (int i : list) bytes.push_back(static_cast<std::byte>(i));
  return bytes;
}

/// Decoded or undecodable; and what was decoded is a value like any other: it can be encoded and comes back.
template <class T>
bool survives(std::span<const std::byte> bytes) {
  std::vector<std::byte> clean;
  try {
    clean = encode(decode<T>(bytes));
  } catch (const failure& f) { return f.code() == errc::undecodable; }
  return encode(decode<T>(clean)).size() == clean.size();
}

/// A sample as bytes, and how its type reads bytes.
struct encoded {
  std::string type;
  std::vector<std::byte> bytes;
  std::string (*why_not)(const std::vector<std::byte>&);
  bool (*survives)(std::span<const std::byte>);
};

const std::vector<encoded>& encoded_samples() {
  static const std::vector<encoded> all = [] {
    std::vector<encoded> made;
    for_each_sample([&made]<class T>(const T& v) {
      made.push_back({detail::readable(detail::type_name<T>), encode(v), &why_not<T>, &survives<T>});
    });
    return made;
  }();
  return all;
}

}  // namespace

TEST_CASE("each truncation of a message is undecodable") {
  for (const auto& sample : encoded_samples()) {
    for (std::size_t n = 0; n < sample.bytes.size(); ++n) {
      // On the heap, exactly so long: the address sanitizer sees any read behind the end.
      const std::vector<std::byte> less(sample.bytes.begin(), sample.bytes.begin() + static_cast<std::ptrdiff_t>(n));
      const auto why = sample.why_not(less);
      if (!why.starts_with("decode of '")) FAIL(sample.type << ", " << n << " of " << sample.bytes.size() << " bytes: " << why);
    }
  }
}

TEST_CASE("bytes behind the end of a message are undecodable") {
  for (const auto& sample : encoded_samples()) {
    auto more = sample.bytes;
    more.emplace_back();
    REQUIRE(sample.why_not(more) == "decode of '" + sample.type + "': 1 byte behind its end");
  }
}

TEST_CASE("a flipped bit makes a message undecodable or another value") {
  for (const auto& sample : encoded_samples()) {
    auto bytes = sample.bytes;
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
      if (!sample.survives(bytes)) FAIL(sample.type << ", bit " << bit);
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    }
  }
}

TEST_CASE("any byte at any place makes a message undecodable or another value", "[deadline:120]") {
  std::mt19937 random(2);
  for (const auto& sample : encoded_samples()) {
    for (int round = 0; round < 400 / harness::slowdown; ++round) {
      auto damaged = sample.bytes;
      for (unsigned n = 1 + random() % 4; n != 0; --n)
        damaged[random() % damaged.size()] = static_cast<std::byte>(random() % 4 == 0 ? 0xff : random());
      if (!sample.survives(damaged)) FAIL(sample.type << ", round " << round);
    }
  }
}

TEST_CASE("random bytes are undecodable or a value", "[deadline:120]") {
  std::mt19937 random(3);
  for (const auto& sample : encoded_samples()) {
    for (int round = 0; round < 400 / harness::slowdown; ++round) {
      std::vector<std::byte> noise(random() % 64);
      for (auto& b : noise) b = static_cast<std::byte>(random() % 3 == 0 ? random() : random() % 3);
      if (!sample.survives(noise)) FAIL(sample.type << ", round " << round);
    }
  }
}

TEST_CASE("a count that needs more than is left is refused before anything is allocated") {
  const auto lying = [](std::uint32_t count, std::size_t behind) {
    std::vector<std::byte> bytes(4 + behind);
    std::memcpy(bytes.data(), &count, 4);
    return bytes;
  };
  CHECK(why_not<std::vector<int>>(lying(4'000'000'000, 12)) ==
        "decode of 'std::vector<int>': count 4000000000 needs more than the 12 bytes left");
  CHECK(why_not<std::string>(lying(13, 12)) == "decode of 'std::string': count 13 needs more than the 12 bytes left");
  CHECK(why_not<std::vector<nothing>>(lying(4'000'000'000, 12)) != "decoded");
  CHECK(why_not<std::vector<std::tuple<>>>(lying(4'000'000'000, 12)) != "decoded");
  CHECK(why_not<std::vector<std::array<std::string, 0>>>(lying(4'000'000'000, 12)) != "decoded");
  CHECK(why_not<std::vector<std::optional<int>>>(lying(4'000'000'000, 12)) != "decoded");
  CHECK(why_not<std::list<std::string>>(lying(4, 12)) != "decoded");
  CHECK(why_not<std::deque<std::unique_ptr<int>>>(lying(13, 12)) != "decoded");
  CHECK(why_not<std::vector<bool>>(lying(97, 12)) == "decode of 'std::vector<bool>': count 97 needs more than the 12 bytes left");
  CHECK(why_not<std::vector<bool>>(lying(96, 12)) == "decoded");
  CHECK(why_not<std::map<int, std::string>>(lying(2, 12)) != "decoded");
  CHECK(why_not<std::unordered_set<std::string>>(lying(4'000'000'000, 12)) != "decoded");
  CHECK(why_not<std::filesystem::path>(lying(4'000'000'000, 12)) != "decoded");
  CHECK(why_not<std::u32string>(lying(4, 12)) != "decoded");
  CHECK(why_not<tree>(lying(0, 0)) != "decoded");
}

TEST_CASE("a count in the long form is refused where the short one would do, or when it lies") {
  auto bytes = bytes_of({255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0, 'x'});
  CHECK(why_not<std::string>(bytes) == "decode of 'std::string': count 1 in the long form");
  for (std::size_t i = 4; i < 12; ++i) bytes[i] = std::byte{255};
  CHECK(why_not<std::string>(bytes) == "decode of 'std::string': count 18446744073709551615 needs more than the 1 byte left");
  CHECK(why_not<std::vector<double>>(bytes) != "decoded");
  CHECK(why_not<std::vector<bool>>(bytes) != "decoded");
  CHECK(why_not<std::map<double, double>>(bytes) != "decoded");
}

TEST_CASE("a bool is 0 or 1, wherever it is") {
  CHECK(why_not<bool>(bytes_of({2})) == "decode of 'bool': a bool is neither 0 nor 1");
  CHECK(why_not<answer>(bytes_of({255})) != "decoded");
  CHECK(why_not<reserved>(bytes_of({1, 0, 0, 0, 2})) != "decoded");
  CHECK(why_not<std::tuple<char, bool>>(bytes_of({9, 2})) != "decoded");
  CHECK(why_not<std::pair<bool, bool>>(bytes_of({1, 3})) != "decoded");
  CHECK(why_not<std::map<char, bool>>(bytes_of({1, 0, 0, 0, 'x', 2})) != "decoded");
  CHECK(why_not<std::optional<bool>>(bytes_of({1, 2})) == "decode of 'std::optional<bool>': 'bool': a bool is neither 0 nor 1");
  std::vector<std::byte> bytes(flat_size<padded>);
  bytes[16] = std::byte{1};
  CHECK(why_not<padded>(bytes) == "decoded");
  bytes[16] = std::byte{128};
  CHECK(why_not<padded>(bytes) != "decoded");
  auto many = encode(std::vector<padded>(3));
  many[8 + 2 * sizeof(padded) + 16] = std::byte{2};
  CHECK(why_not<std::vector<padded>>(many) != "decoded");
  auto nested = encode(std::array<std::array<bool, 2>, 2>{});
  nested[3] = std::byte{7};
  CHECK((why_not<std::array<std::array<bool, 2>, 2>>(nested)) != "decoded");
  auto inside = encode(flat_arrays{});
  inside[12] = std::byte{7};
  CHECK(why_not<flat_arrays>(inside) != "decoded");
}

TEST_CASE("every other choice is checked") {
  CHECK(why_not<std::optional<int>>(bytes_of({2, 0, 0, 0, 0})) != "decoded");
  CHECK(why_not<std::unique_ptr<int>>(bytes_of({2, 0, 0, 0, 0})) != "decoded");
  CHECK(why_not<std::variant<int, char>>(bytes_of({2, 0})) == "decode of 'std::variant<int, char>': alternative 2 of 2");
  CHECK(why_not<std::set<char>>(bytes_of({2, 0, 0, 0, 'a', 'a'})) == "decode of 'std::set<char>': holds a key twice");
  CHECK(why_not<std::unordered_map<char, char>>(bytes_of({2, 0, 0, 0, 'a', 1, 'a', 2})) != "decoded");
  CHECK(why_not<std::multiset<char>>(bytes_of({2, 0, 0, 0, 'a', 'a'})) == "decoded");
  CHECK(why_not<std::set<char>>(bytes_of({2, 0, 0, 0, 'b', 'a'})) == "decoded");  // in the wrong order, but a set
  CHECK(why_not<std::vector<bool>>(bytes_of({3, 0, 0, 0, 8})) == "decode of 'std::vector<bool>': bits are set behind its end");
  CHECK(why_not<exit_status>(bytes_of({4})) == "decode of 'cloister::exit_status': no such way to end");
}

TEST_CASE("a text names the message's type and the one that is wrong") {
  auto bytes = encode(order{1, "tea", {1.5}, {}});
  bytes[4] = std::byte{200};
  CHECK(why_not<order>(bytes) == "decode of 'samples::order': 'std::string': count 200 needs more than the 17 bytes left");
  CHECK(why_not<point>(bytes_of({1})) == "decode of 'samples::point': needs 8 bytes, 1 left");
}

TEST_CASE("nesting beyond the limit is undecodable") {
  const auto bomb = [](std::size_t levels) {
    encoder out;
    for (std::size_t i = 1; i < levels; ++i) {
      out.value(1);
      out.count(1);
    }
    out.value(1);
    out.count(0);
    return std::vector<std::byte>(out.bytes().begin(), out.bytes().end());
  };
  CHECK(why_not<tree>(bomb(max_depth)) == "decoded");
  CHECK(why_not<tree>(bomb(max_depth + 1)) ==
        "decode of 'samples::tree': 'std::vector<samples::tree>': nested deeper than 128 levels");
  CHECK(why_not<tree>(bomb(1'000'000)) != "decoded");
  CHECK(why_not<json>(std::vector<std::byte>(10'000'000, std::byte{4})) != "decoded");

  encoder out;
  for (int i = 0; i < 1'000'000; ++i) {
    out.value(""s);
    out.value(true);
  }
  CHECK(why_not<chain>({out.bytes().begin(), out.bytes().end()}) != "decoded");
}

TEST_CASE("a value for which there is no memory is no_memory") {
  const auto bytes = encode(std::vector<int>(1000));
  using poor_vector = std::vector<int, poor<int>>;
  auto r = try_decode<poor_vector>(bytes);
  CHECK(r == errc::no_memory);
  CHECK_THAT(r.error().text(), Catch::Matchers::Contains("no memory"));
  CHECK(try_decode<poor_vector>(encode(std::vector<int>(10))).has_value());
}

TEST_CASE("memory is taken as elements come, not as a count says") {
  // 60 000 strings of at least four bytes each do fit; the second one is wrong.
  std::vector<std::byte> bytes(4 + 60'000 * 4, std::byte{0});
  const std::uint32_t count = 60'000;
  std::memcpy(bytes.data(), &count, 4);
  std::memset(bytes.data() + 8, 0xfe, 4);
  using element = std::pair<std::string, std::array<std::string, 100>>;
  largest_allocation = 0;
  CHECK(why_not<std::vector<element, poor<element>>>(bytes) != "decoded");
  CHECK(largest_allocation > 0);
  CHECK(largest_allocation <= 16 * bytes.size() + 16 * sizeof(element));
}
