// SPDX-License-Identifier: BSD-3-Clause
// One of everything that travels, with awkward values, for the tests and the fuzzer of wire.hpp.
//
//   for_each_sample([](const auto& value) { REQUIRE(decode<...>(encode(value)) == value); });
//
// Every sample's type can be compared with ==.
#pragma once

#include <cloister/wire.hpp>

#include <array>
#include <chrono>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace samples {

using namespace std::string_literals;
using namespace std::string_view_literals;

enum class colour : std::uint8_t { red, green, blue };
enum plain_old : short { first = -3, last = 3 };
enum class answer : bool { no, yes };

struct nothing {
  friend bool operator==(const nothing&, const nothing&) = default;
};
struct point {
  int x = 0;
  int y = 0;
  friend bool operator==(const point&, const point&) = default;
};
struct padded {
  char c = 0;
  double d = 0;
  bool b = false;
  friend bool operator==(const padded&, const padded&) = default;
};
struct order {
  int id = 0;
  std::string item;
  std::vector<double> prices;
  std::optional<point> where;
  friend bool operator==(const order&, const order&) = default;
};
struct arrays {
  std::string before;
  int numbers[3] = {};
  char name[20] = {};
  std::string words[2];
  int grid[2][3] = {};
  bool after = false;
  bool operator==(const arrays& o) const {
    return before == o.before && std::ranges::equal(numbers, o.numbers) &&
           std::string_view(name, 20) == std::string_view(o.name, 20) && std::ranges::equal(words, o.words) &&
           std::ranges::equal(grid[0], o.grid[0]) && std::ranges::equal(grid[1], o.grid[1]) && after == o.after;
  }
};
struct flat_arrays {
  short s[5] = {};
  bool b[3] = {};
  std::array<colour, 2> colours{};
  bool operator==(const flat_arrays& o) const {
    return std::ranges::equal(s, o.s) && std::ranges::equal(b, o.b) && colours == o.colours;
  }
};
struct constants {
  const int number = 7;
  const std::string text;
  friend bool operator==(const constants&, const constants&) = default;
};
struct flat_constants {
  const int number = 7;
  const bool flag = true;
  friend bool operator==(const flat_constants&, const flat_constants&) = default;
};
struct tree {
  int v = 0;
  std::vector<tree> kids;
  friend bool operator==(const tree&, const tree&) = default;
};
struct chain {
  std::string v;
  std::unique_ptr<chain> next;
  bool operator==(const chain& o) const { return v == o.v && (next && o.next ? *next == *o.next : !next && !o.next); }
};
struct json {
  std::variant<std::monostate, bool, double, std::string, std::vector<json>, std::map<std::string, json>> value;
  friend bool operator==(const json&, const json&) = default;
};
struct thirty_two {
  int m1 = 0, m2 = 0, m3 = 0, m4 = 0, m5 = 0, m6 = 0, m7 = 0, m8 = 0, m9 = 0, m10 = 0, m11 = 0, m12 = 0, m13 = 0, m14 = 0, m15 = 0,
      m16 = 0;
  int m17 = 0, m18 = 0, m19 = 0, m20 = 0, m21 = 0, m22 = 0, m23 = 0, m24 = 0, m25 = 0, m26 = 0, m27 = 0, m28 = 0, m29 = 0, m30 = 0,
      m31 = 0;
  std::string m32;
  friend bool operator==(const thirty_two&, const thirty_two&) = default;
};
/// A class with private members.
class account {
 public:
  account() = default;
  account(std::string owner, long cents, bool open) : owner_(std::move(owner)), cents_(cents), open_(open) {}
  auto travel() { return std::tie(owner_, cents_, open_); }
  friend bool operator==(const account&, const account&) = default;

 private:
  std::string owner_;
  long cents_ = 0;
  bool open_ = false;
};
/// One that shows them to nobody else, and whose values all have the same length.
class reserved {
 public:
  reserved() = default;
  reserved(int a, bool b) : a_(a), b_(b) {}
  friend bool operator==(const reserved&, const reserved&) = default;

 private:
  friend struct cloister::travel_access;
  auto travel() { return std::tie(a_, b_); }
  int a_ = 0;
  bool b_ = false;
};
/// A class that somebody else wrote, without a default constructor.
class foreign {
 public:
  explicit foreign(int n) : n_(n) {}
  int n() const { return n_; }
  friend bool operator==(const foreign&, const foreign&) = default;

 private:
  int n_;
};
struct holds_foreign {
  std::string before;
  foreign one;
  foreign two[2];
  std::vector<foreign> more;
  bool operator==(const holds_foreign& o) const {
    return before == o.before && one == o.one && two[0] == o.two[0] && two[1] == o.two[1] && more == o.more;
  }
};
struct holds_foreigners {
  std::array<foreign, 2> some;
  std::optional<foreign> maybe;
  std::pair<foreign, int> pair;
  friend bool operator==(const holds_foreigners&, const holds_foreigners&) = default;
};

}  // namespace samples

template <>
struct cloister::codec<samples::foreign> {
  static constexpr std::uint64_t fingerprint = 4711;
  static void put(encoder& out, const samples::foreign& v) { out.value(v.n()); }
  static samples::foreign get(decoder& in) { return samples::foreign(in.value<int>()); }
};

namespace samples {

/// All bytes, then text of several bytes a character, then zeros at the end.
inline std::string awkward_text() {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  return all + "Grüße, 世界, 🦀" + std::string(3, '\0');
}

inline std::array<std::string, 20> twenty_strings() {
  std::array<std::string, 20> a;
  a[3] = "three";
  return a;
}

template <class T>
using limits = std::numeric_limits<T>;

template <class F>
void for_each_number(F&& f) {
  const auto extremes = [&f]<class... T>(std::type_identity<T>...) {
    ((f(limits<T>::lowest()), f(limits<T>::max()), f(T{1})), ...);
  };
  extremes(std::type_identity<char>{}, std::type_identity<signed char>{}, std::type_identity<unsigned char>{},
           std::type_identity<short>{}, std::type_identity<unsigned short>{}, std::type_identity<int>{},
           std::type_identity<unsigned>{}, std::type_identity<long>{}, std::type_identity<unsigned long>{},
           std::type_identity<long long>{}, std::type_identity<unsigned long long>{}, std::type_identity<float>{},
           std::type_identity<double>{}, std::type_identity<long double>{}, std::type_identity<wchar_t>{},
           std::type_identity<char16_t>{});
  f(true);
  f(false);
  f(-0.0);
  f(limits<double>::infinity());
  f(limits<float>::denorm_min());
  f(std::byte{255});
  f(colour::blue);
  f(first);
  f(answer::yes);
  f(std::complex<double>(1, -2));
}

template <class F>
void for_each_standard_type(F&& f) {
  f(""s);
  f("a"s);
  f(awkward_text());
  f(std::string(5, '\0'));
  f(u"Grüße"s);
  f(U"世界"s);
  f(L"wide"s);
  f(std::vector<int>{});
  f(std::vector<int>{1, -2, 3});
  f(std::vector<double>{0.5});
  f(std::vector<std::byte>(300));
  f(std::vector<bool>{});
  f(std::vector<bool>{true, false, false, true, true, false, true, true});
  f(std::vector<bool>(13, true));
  f(std::vector<std::string>{"", "x", awkward_text()});
  f(std::vector<std::vector<std::vector<int>>>{{{1}, {}}, {}, {{2, 3}}});
  f(std::vector<padded>{{'a', 1.5, true}, {}});
  f(std::vector<nothing>(5));
  f(std::deque<int>{1, 2});
  f(std::deque<std::string>{"q", ""});
  f(std::list<point>{{1, 2}, {3, 4}});
  f(std::array<int, 3>{1, 2, 3});
  f(std::array<std::string, 2>{"a", "b"});
  f(twenty_strings());
  f(std::array<std::string, 0>{});
  f(std::array<std::array<bool, 2>, 2>{{{true, false}, {false, true}}});
  f(std::pair<int, char>{1, 'x'});
  f(std::pair<const std::string, bool>{"k", true});
  f(std::tuple<>{});
  f(std::tuple<int>{5});
  f(std::tuple<int, bool, double>{1, true, 2.5});
  f(std::tuple<int, std::optional<int>, std::string>{42, {}, "hello"});
  f(std::tuple<std::tuple<std::string>>{});
  f(std::optional<int>{});
  f(std::optional<int>{3});
  f(std::optional<std::optional<std::string>>{std::optional<std::string>{}});
  f(std::variant<int, std::string>{"s"});
  f(std::variant<std::monostate, int, int>{std::in_place_index<2>, 9});
  f(std::monostate{});
  f(std::map<std::string, std::vector<int>>{{"", {}}, {"a", {1}}, {"b", {2, 3}}});
  f(std::map<int, bool>{{1, true}, {2, false}});
  f(std::multimap<int, std::string>{{1, "x"}, {1, "a"}, {2, "b"}});
  f(std::set<std::string>{"", "x"});
  f(std::set<int, std::greater<int>>{1, 2, 3});
  f(std::multiset<int>{1, 1, 2});
  f(std::unordered_map<std::string, point>{{"a", {1, 2}}, {"b", {3, 4}}});
  f(std::unordered_multimap<int, int>{{1, 2}, {1, 3}});
  f(std::unordered_set<std::string>{"a", "b", "c"});
  f(std::unordered_multiset<int>{7, 7, 8});
  f(std::chrono::nanoseconds::max());
  f(std::chrono::duration<double, std::ratio<1, 3>>(1.5));
  f(std::chrono::system_clock::time_point(std::chrono::seconds(1)));
  f(std::chrono::steady_clock::time_point::min());
  f(std::filesystem::path("/tmp/Grüße"));
  f(std::filesystem::path());
}

template <class F>
void for_each_struct(F&& f) {
  f(nothing{});
  f(point{1, -1});
  f(padded{'x', 2.5, true});
  f(order{7, "tea", {1.5, 2.5}, point{3, 4}});
  f(arrays{"b", {1, 2, 3}, "nineteen characters", {"x", ""}, {{1, 2, 3}, {4, 5, 6}}, true});
  f(flat_arrays{{1, 2, 3, 4, 5}, {true, false, true}, {colour::red, colour::blue}});
  f(constants{8, "eight"});
  f(flat_constants{8, false});
  f(std::vector<flat_constants>{});
  f(tree{1, {{2, {}}, {3, {{4, {}}}}}});
  f(json{std::map<std::string, json>{{"a", json{1.5}}, {"b", json{std::vector<json>{json{}, json{true}, json{"x"}}}}}});
  f(thirty_two{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
               17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, "32"});
  f(account("me", -5, true));
  f(std::vector<account>{{"a", 1, false}, {}});
  f(reserved(3, true));
  f(std::vector<reserved>{{1, true}, {2, false}});
  f(foreign(3));
  f(holds_foreigners{{foreign(1), foreign(2)}, foreign(3), {foreign(4), 5}});
  f(cloister::exit_status{});
  f(cloister::exit_status::exited(3));
  f(cloister::exit_status::signaled(9));
  f(cloister::exit_status::threw("std::runtime_error", "no such file"));
  f(cloister::exit_status::threw("", ""));
}

template <class F>
void for_each_sample(F&& f) {
  for_each_number(f);
  for_each_standard_type(f);
  for_each_struct(f);
}

}  // namespace samples
