// SPDX-License-Identifier: BSD-3-Clause
// Values become bytes and the same values again: one of everything, the exact bytes of some, and what encoder and decoder promise.
#include "harness.hpp"
#include "wire_samples.hpp"

#include <cmath>
#include <cstring>
#include <random>
#include <span>

using namespace cloister;
using namespace samples;

namespace {

template <class T>
T again(const T& v) {
  return decode<T>(encode(v));
}

/// A random document, at most `depth` deep.
json random_json(std::mt19937& random, int depth) {
  switch (random() % (depth > 0 ? 6 : 4)) {
    case 0: return {};
    case 1: return {random() % 2 == 0};
    case 2: return {std::ldexp(static_cast<double>(random()) - 2e9, static_cast<int>(random() % 100) - 50)};
    case 3: return {std::string(random() % 40, static_cast<char>(random()))};
    case 4: {
      std::vector<json> list(random() % 5);
      for (auto& j : list) j = random_json(random, depth - 1);
      return {std::move(list)};
    }
    default: {
      std::map<std::string, json> map;
      for (unsigned n = random() % 5; n != 0; --n)
        map[std::string(random() % 5, static_cast<char>(random()))] = random_json(random, depth - 1);
      return {std::move(map)};
    }
  }
}

std::vector<std::byte> bytes_of(std::initializer_list<int> list) {
  std::vector<std::byte> bytes;
  for (int i : list) bytes.push_back(static_cast<std::byte>(i));
  return bytes;
}

}  // namespace

TEST_CASE("every kind of value comes back as it was") {
  for_each_sample([](const auto& v) {
    INFO(detail::readable(detail::type_name<std::remove_cvref_t<decltype(v)>>));
    REQUIRE((again(v) == v));
  });
}

TEST_CASE("a value that cannot be copied comes back as it was") {
  chain v{"a", std::make_unique<chain>(chain{"b", std::make_unique<chain>(chain{"c", nullptr})})};
  REQUIRE((again(v) == v));
  const std::vector<std::unique_ptr<int>> some = [] {
    std::vector<std::unique_ptr<int>> made(2);
    made[1] = std::make_unique<int>(5);
    return made;
  }();
  const auto others = again(some);
  REQUIRE((others.size() == 2 && others[0] == nullptr && *others[1] == 5));
  std::map<std::string, std::unique_ptr<chain>> named;
  named.emplace("x", std::make_unique<chain>(chain{"y", nullptr}));
  REQUIRE(again(named).at("x")->v == "y");
}

TEST_CASE("a NaN keeps its bits") {
  const double nan = std::nan("12345");
  const double other = again(nan);
  REQUIRE(std::memcmp(&nan, &other, sizeof nan) == 0);
  REQUIRE(std::signbit(again(-0.0)));
}

TEST_CASE("every string of up to two bytes comes back as it was") {
  for (int length = 0; length <= 2; ++length) {
    std::string s(static_cast<std::size_t>(length), '\0');
    for (int n = 0; n < 1 << (8 * length); ++n) {
      for (int i = 0; i < length; ++i) s[static_cast<std::size_t>(i)] = static_cast<char>(n >> (8 * i));
      if (again(s) != s) FAIL("a string of length " << length << ": " << n);
    }
  }
}

TEST_CASE("random strings come back as they were, trailing zeros and broken multi-byte text too") {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string s(random() % 300, '\0');
    for (char& c : s) c = random() % 3 == 0 ? '\0' : static_cast<char>(random());
    const std::vector<std::string> many(random() % 4, s);
    if (again(s) != s || again(many) != many) FAIL("at round " << i);
  }
}

TEST_CASE("random documents come back as they were, and equal ones have equal bytes") {
  std::mt19937 random(4);
  for (int i = 0; i < 1000; ++i) {
    const json v = random_json(random, 6);
    const auto bytes = encode(v);
    const json other = decode<json>(bytes);
    if (!(other == v) || encode(other) != bytes) FAIL("at round " << i);
  }
}

TEST_CASE("random containers of numbers come back as they were") {
  std::mt19937 random(5);
  for (int i = 0; i < 500; ++i) {
    std::vector<double> numbers(random() % 100);
    for (auto& n : numbers) n = static_cast<double>(random()) / 7;
    std::vector<bool> bits(random() % 100);
    for (std::size_t b = 0; b < bits.size(); ++b) bits[b] = random() % 2 == 0;
    std::unordered_map<std::uint64_t, std::set<short>> map;
    for (unsigned n = random() % 20; n != 0; --n) map[random()].insert(static_cast<short>(random()));
    const std::tuple all(static_cast<char>(random()), numbers, bits, map, std::list<int>(numbers.begin(), numbers.end()));
    if (again(all) != all) FAIL("at round " << i);
  }
}

TEST_CASE("a function object without state arrives") {
  const auto twice = [](int x) { return 2 * x; };
  REQUIRE(again(twice)(21) == 42);
  REQUIRE(again(std::greater<int>{})(2, 1));
}

TEST_CASE("views are written as what owns their elements reads") {
  const int numbers[] = {1, 2, 3};
  const std::string words[] = {"a", "b"};
  REQUIRE(decode<std::string>(encode("a\0b"sv)) == "a\0b"s);
  REQUIRE(decode<std::vector<int>>(encode(std::span<const int>(numbers))) == std::vector<int>{1, 2, 3});
  REQUIRE(decode<std::vector<std::string>>(encode(std::span<const std::string>(words))) == std::vector<std::string>{"a", "b"});
  REQUIRE(decode<std::array<int, 3>>(encode(std::span<const int, 3>(numbers))) == std::array{1, 2, 3});
  REQUIRE(fingerprint<std::span<int>>() == fingerprint<std::vector<int>>());
  REQUIRE(fingerprint<std::string_view>() == fingerprint<std::string>());
}

TEST_CASE("sequences have one encoding, and so have maps with the same content") {
  REQUIRE(decode<std::deque<double>>(encode(std::vector<double>{1, 2})) == std::deque<double>{1, 2});
  REQUIRE(decode<std::vector<double>>(encode(std::list<double>{1, 2})) == std::vector<double>{1, 2});
  REQUIRE(decode<std::unordered_map<int, char>>(encode(std::map<int, char>{{1, 'a'}})) == std::unordered_map<int, char>{{1, 'a'}});
  REQUIRE(decode<std::map<int, char, std::greater<int>>>(encode(std::map<int, char>{{1, 'a'}, {2, 'b'}})).begin()->first == 2);
}

// docs/formats.md, "Messages"
TEST_CASE("the bytes are those of the format's description") {
  REQUIRE(encode(0x01020304) == bytes_of({4, 3, 2, 1}));
  REQUIRE(encode(true) == bytes_of({1}));
  REQUIRE(encode("hi"s) == bytes_of({2, 0, 0, 0, 'h', 'i'}));
  REQUIRE(encode(std::vector<short>{1, 2}) == bytes_of({2, 0, 0, 0, 1, 0, 2, 0}));
  REQUIRE(encode(std::tuple<char, std::vector<short>>{'c', {1}}) == bytes_of({'c', 1, 0, 0, 0, 0, 1, 0}));
  REQUIRE(encode(std::vector<bool>{true, false, true, false, false, false, false, false, true}) == bytes_of({9, 0, 0, 0, 5, 1}));
  REQUIRE(encode(std::optional<char>{}) == bytes_of({0}));
  REQUIRE(encode(std::optional<char>{'x'}) == bytes_of({1, 'x'}));
  REQUIRE(encode(std::variant<int, char>{'x'}) == bytes_of({1, 'x'}));
  REQUIRE(encode(std::make_unique<char>('x')) == bytes_of({1, 'x'}));
  REQUIRE(encode(std::map<char, bool>{{'a', true}, {'b', false}}) == bytes_of({2, 0, 0, 0, 'a', 1, 'b', 0}));
  REQUIRE(encode(std::tuple<char, int>{'c', 1}) == bytes_of({'c', 1, 0, 0, 0}));
  REQUIRE(encode(point{1, 2}) == bytes_of({1, 0, 0, 0, 2, 0, 0, 0}));
  REQUIRE(encode(nothing{}) == bytes_of({0}));
  REQUIRE(encode(std::chrono::milliseconds(258)) == bytes_of({2, 1, 0, 0, 0, 0, 0, 0}));
  REQUIRE(encode(std::filesystem::path("/x")) == bytes_of({2, 0, 0, 0, '/', 'x'}));
  REQUIRE(encode(reserved(1, true)) == bytes_of({1, 0, 0, 0, 1}));
  REQUIRE(encode(order{1, "t", {}, {}}) == bytes_of({1, 0, 0, 0, 1, 0, 0, 0, 't', 0, 0, 0, 0, 0}));
}

TEST_CASE("the elements of a sequence lie aligned in the message") {
  const auto bytes = encode(std::tuple<char, std::vector<double>>{'c', {1.5}});
  REQUIRE(bytes.size() == 16);
  const double one_and_half = 1.5;
  REQUIRE(std::memcmp(bytes.data() + 8, &one_and_half, sizeof one_and_half) == 0);
}

TEST_CASE("a message decodes wherever its first byte lies") {
  const std::vector<double> v{1, 2, 3};
  const auto bytes = encode(v);
  std::vector<std::byte> elsewhere(bytes.size() + 16);
  for (std::size_t shift = 0; shift < 16; ++shift) {
    std::memcpy(elsewhere.data() + shift, bytes.data(), bytes.size());
    REQUIRE(decode<std::vector<double>>(std::span(elsewhere).subspan(shift, bytes.size())) == v);
  }
}

TEST_CASE("a count of 2^32 - 1 or more takes twelve bytes") {
  for (const std::size_t n : {std::size_t{0xfffffffe}, std::size_t{0xffffffff}, std::size_t{1} << 40}) {
    encoder out;
    out.count(n);
    REQUIRE(out.size() == (n < 0xffffffff ? 4 : 12));
    out.value(true);
    decoder in(out.bytes());
    REQUIRE(in.count(1, "things", n) == n);  // n of them in the one byte that is left
  }
}

TEST_CASE("an encoder is used again, small and large") {
  encoder out;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{251}, std::size_t{252}, std::size_t{253}, std::size_t{100'000}, std::size_t{10}}) {
    out.clear();
    const std::string s(size, 'x');
    out.value(s);
    REQUIRE(decode<std::string>(out.bytes()) == s);
  }
  out.clear(0);
  REQUIRE(out.size() == 0);
  out.value(1);
  out.value("two"s);
  decoder in(out.bytes());
  REQUIRE(in.value<int>() == 1);
  REQUIRE(in.value<std::string>() == "two");
  REQUIRE_NOTHROW(in.finish());
}

namespace {
struct fails_to_copy {
  fails_to_copy() = default;
  fails_to_copy(const fails_to_copy&) { throw 1; }
  fails_to_copy& operator=(const fails_to_copy&) = default;
  auto travel() { return std::tie(v); }
  std::string v = "x";
};
using either = std::variant<std::string, fails_to_copy>;

either valueless() {
  either v("x"s);
  try {
    v = either(std::in_place_type<fails_to_copy>);
  } catch (int) {}
  REQUIRE(v.valueless_by_exception());
  return v;
}
}  // namespace

TEST_CASE("an encode that fails adds nothing") {
  const std::pair<std::string, either> both("before", valueless());
  encoder out;
  out.value(1);
  try {
    out.value(both);
    FAIL("encoded a variant without value");
  } catch (const failure& f) {
    REQUIRE(f.code() == errc::invalid);
    REQUIRE(std::string(f.what()).find("the variant holds no value") != std::string::npos);
  }
  REQUIRE(out.size() == sizeof(int));
  out.value("after"s);
  REQUIRE(out.size() == sizeof(int) + 9);
}

TEST_CASE("a value nested too deep is refused when it is encoded") {
  const auto nested = [](unsigned levels) {
    tree t;
    for (unsigned i = 1; i < levels; ++i) {
      tree above;
      above.kids.push_back(std::move(t));
      t = std::move(above);
    }
    return t;
  };
  REQUIRE((again(nested(max_depth)) == nested(max_depth)));
  encoder out;
  REQUIRE_THROWS_AS(out.value(nested(max_depth + 1)), failure);
  REQUIRE(out.size() == 0);
  REQUIRE_NOTHROW(out.value(nested(max_depth)));  // the level count was restored too
}

TEST_CASE("a flat value's memory is its encoding") {
  for_each_sample([](const auto& v) {
    if constexpr (is_flat<std::remove_cvref_t<decltype(v)>>) {
      const auto memory = std::as_bytes(std::span(&v, 1));
      REQUIRE((decode<std::remove_cvref_t<decltype(v)>>(memory) == v));
    }
  });
}

namespace wire_test {
struct spelled {
  int number;
};
}  // namespace wire_test

template <>
struct cloister::codec<wire_test::spelled> {
  static constexpr std::uint64_t fingerprint = 77;
  static void put(encoder& out, const wire_test::spelled& v) { out.value(std::string(9000, static_cast<char>('a' + v.number))); }
  static wire_test::spelled get(decoder& in) { return {in.value<std::string>()[0] - 'a'}; }
};

TEST_CASE("large parts of a message may stay where they are, unless a codec made them") {
  struct parcel {
    int id;
    std::string text;
    wire_test::spelled made;
    std::vector<double> values;
    std::string end;
  };
  const parcel sent{7, std::string(5000, 't'), {3}, std::vector<double>(1000, 1.5), "end"};
  encoder out;
  out.borrow_large();
  out.value(sent);
  std::vector<std::byte> together;
  std::size_t borrowed = 0;
  for (const auto piece : out.pieces()) {
    together.insert(together.end(), piece.begin(), piece.end());
    if (piece.data() == reinterpret_cast<const std::byte*>(sent.text.data()) ||
        piece.data() == reinterpret_cast<const std::byte*>(sent.values.data()))
      ++borrowed;
  }
  REQUIRE(borrowed == 2);
  REQUIRE(together.size() == out.size());
  REQUIRE(together == encode(sent));
  REQUIRE(decode<parcel>(together).made.number == 3);

  // A value that fails half-way leaves nothing behind.
  const std::pair<std::string, either> broken(std::string(5000, 'x'), valueless());
  REQUIRE_THROWS_AS(out.value(broken), failure);
  REQUIRE(out.size() == together.size());
  out.clear();
  out.value(sent);
  REQUIRE(out.pieces().size() == 1);  // borrowing ends with the message
}

TEST_CASE("what is decoded where a hostile writer may change it has nothing that is looked at twice") {
  using detail::read_once;
  struct named {
    int id;
    std::string name;
    std::vector<double> values;
  };
  STATIC_REQUIRE(read_once<int>);
  STATIC_REQUIRE(read_once<std::string>);
  STATIC_REQUIRE(read_once<std::vector<std::byte>>);
  STATIC_REQUIRE(read_once<named>);
  STATIC_REQUIRE_FALSE(read_once<padded>);  // its bool is checked, then copied
  STATIC_REQUIRE_FALSE(read_once<std::vector<bool>>);
  STATIC_REQUIRE_FALSE(read_once<std::vector<padded>>);
  STATIC_REQUIRE_FALSE(read_once<std::vector<std::string>>);
  STATIC_REQUIRE_FALSE(read_once<owned_fd>);
}
