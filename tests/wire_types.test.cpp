// SPDX-License-Identifier: BSD-3-Clause
// What wire.hpp knows about types: which travel, which are flat, how many members a struct has, and the fingerprints.
#include "harness.hpp"
#include "wire_samples.hpp"

#include <any>
#include <atomic>
#include <bitset>
#include <functional>
#include <mutex>
#include <queue>
#include <span>
#include <thread>

using namespace cloister;
using namespace samples;

namespace {

struct with_pointer {
  int n;
  const char* text;
};
struct deep_pointer {
  std::map<int, std::vector<std::optional<with_pointer>>> m;
};
struct with_reference {
  int& r;
};
struct with_volatile {
  volatile int v;
};
union either {
  int i;
  float f;
};
struct with_union {
  either e;
};
enum loose { a_value };
struct derived : point {
  int z = 0;
};
struct derived_empty : nothing {
  int z = 0;
};
struct derived_account : account {
  int more = 0;
};
struct names : std::vector<std::string> {
  int extra = 0;
};
template <class T>
class my_vector : public std::vector<T> {
 public:
  my_vector() {}
  int extra = 0;
};
struct secret {
  int shown;

 private:
  [[maybe_unused]] int hidden;
};
struct shape {
  virtual ~shape() = default;
  virtual double area() const = 0;
};
struct round_shape final : shape {
  double area() const override { return 3; }
};
struct thirty_three {
  char m[33][1];
};
struct too_many {
  int a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, a22, a23, a24, a25, a26, a27,
      a28, a29, a30;
  int b1, b2, b3;
};
struct unready {
  explicit unready(int) {}
  auto travel() { return std::tie(n); }
  int n = 0;
};
/// travel() that is about something else does not count.
struct tourist {
  int travel() { return 1; }
  std::string name;
};
struct deleter {
  void operator()(int* p) const { delete p; }
};

struct no_default {
  explicit no_default(int);
  no_default(int, int);
};
template <class T>
struct one {
  T m1;
};
template <class T>
struct four {
  int m1;
  T m2;
  T m3;
  int m4;
};
template <class T>
constexpr bool counted = detail::fields_v<one<T>> == 1 && detail::fields_v<four<T>> == 4;

}  // namespace

TEST_CASE("members are counted, whatever they are") {
  STATIC_REQUIRE(detail::fields_v<nothing> == 0);
  STATIC_REQUIRE(detail::fields_v<thirty_two> == 32);
  STATIC_REQUIRE(detail::fields_v<too_many> == 33);
  STATIC_REQUIRE(detail::fields_v<arrays> == 6);
  STATIC_REQUIRE(detail::fields_v<thirty_three> == 1);
  STATIC_REQUIRE(detail::fields_v<holds_foreign> == 4);
  STATIC_REQUIRE((counted<int> && counted<bool> && counted<colour> && counted<const char*> && counted<point> && counted<tree> &&
                  counted<nothing>));
  STATIC_REQUIRE(
      (counted<std::string> && counted<std::vector<std::string>> && counted<std::vector<bool>> && counted<std::array<int, 3>>));
  STATIC_REQUIRE((counted<std::optional<std::optional<int>>> && counted<std::variant<int, std::string, std::vector<std::string>>>));
  STATIC_REQUIRE((counted<std::any> && counted<std::function<void()>> && counted<std::tuple<>> && counted<std::tuple<std::any>>));
  STATIC_REQUIRE(
      (counted<std::unique_ptr<tree>> && counted<std::map<int, int>> && counted<std::filesystem::path> && counted<json>));
  STATIC_REQUIRE((counted<no_default> && counted<foreign> && counted<const int> && counted<owned_fd> && counted<std::string_view>));
  STATIC_REQUIRE((counted<int[1]> && counted<int[7]> && counted<char[200]> && counted<std::string[2]> && counted<int[2][3]> &&
                  counted<point[3]>));
  STATIC_REQUIRE((counted<no_default[3]> && counted<std::unique_ptr<int>[2]>));
}

TEST_CASE("what cannot travel is known without an error") {
  STATIC_REQUIRE(!travels<int*>);
  STATIC_REQUIRE(!travels<const char*>);
  STATIC_REQUIRE(!travels<std::nullptr_t>);
  STATIC_REQUIRE(!travels<int&>);
  STATIC_REQUIRE(!travels<void>);
  STATIC_REQUIRE(!travels<volatile int>);
  STATIC_REQUIRE(!travels<int[3]>);
  STATIC_REQUIRE(!travels<void (*)()>);
  STATIC_REQUIRE(!travels<void()>);
  STATIC_REQUIRE(!travels<int point::*>);
  STATIC_REQUIRE(!travels<either>);
  STATIC_REQUIRE(!travels<loose>);
  STATIC_REQUIRE(!travels<with_pointer>);
  STATIC_REQUIRE(!travels<deep_pointer>);
  STATIC_REQUIRE(!travels<with_reference>);
  STATIC_REQUIRE(!travels<with_volatile>);
  STATIC_REQUIRE(!travels<with_union>);
  STATIC_REQUIRE(!travels<derived>);
  STATIC_REQUIRE(!travels<derived_empty>);
  STATIC_REQUIRE(!travels<derived_account>);
  STATIC_REQUIRE(!travels<names>);
  STATIC_REQUIRE(!travels<my_vector<int>>);
  STATIC_REQUIRE(!travels<secret>);
  STATIC_REQUIRE(!travels<shape>);
  STATIC_REQUIRE(!travels<std::unique_ptr<shape>>);
  STATIC_REQUIRE(!travels<round_shape>);
  STATIC_REQUIRE(!travels<too_many>);
  STATIC_REQUIRE(!travels<unready>);
  STATIC_REQUIRE(!travels<holds_foreign>);
  STATIC_REQUIRE(!travels<std::shared_ptr<int>>);
  STATIC_REQUIRE(!travels<std::weak_ptr<int>>);
  STATIC_REQUIRE(!travels<std::unique_ptr<int[]>>);
  STATIC_REQUIRE(!travels<std::unique_ptr<int, deleter>>);
  STATIC_REQUIRE(!travels<std::string_view>);
  STATIC_REQUIRE(!travels<std::span<int>>);
  STATIC_REQUIRE(!travels<std::vector<std::string_view>>);
  STATIC_REQUIRE(!travels<std::tuple<int&>>);
  STATIC_REQUIRE(!travels<std::any>);
  STATIC_REQUIRE(!travels<std::function<void()>>);
  STATIC_REQUIRE(!travels<std::atomic<int>>);
  STATIC_REQUIRE(!travels<std::mutex>);
  STATIC_REQUIRE(!travels<std::queue<int>>);
  STATIC_REQUIRE(!travels<std::thread>);
  STATIC_REQUIRE(!travels<std::tm>);  // has a pointer
  int n = 0;
  const auto closure = [n] { return n; };
  const auto by_reference = [&n] { return n; };
  const auto with_nothing = [] {};
  STATIC_REQUIRE(!travels<decltype(closure)>);
  STATIC_REQUIRE(!travels<decltype(by_reference)>);
  STATIC_REQUIRE(travels<decltype(with_nothing)>);
  STATIC_REQUIRE(!travels<one<decltype(closure)>>);
  STATIC_REQUIRE(travels<one<decltype(with_nothing)>>);
}

TEST_CASE("what travels does") {
  for_each_sample([](const auto& v) { STATIC_REQUIRE(travels<std::remove_cvref_t<decltype(v)>>); });
  STATIC_REQUIRE(travels<chain>);
  STATIC_REQUIRE(travels<tourist>);
  STATIC_REQUIRE(travels<const int>);
  STATIC_REQUIRE(travels<owned_fd>);
  STATIC_REQUIRE(travels<cloister::error>);
  STATIC_REQUIRE(travels<std::timespec>);
}

TEST_CASE("flat types are told from others") {
  STATIC_REQUIRE((is_flat<int> && flat_size<int> == 4));
  STATIC_REQUIRE((is_flat<point> && flat_size<point> == 8));
  STATIC_REQUIRE((is_flat<padded> && flat_size<padded> == sizeof(padded)));
  STATIC_REQUIRE((is_flat<std::pair<char, int>> && flat_size<std::pair<char, int>> == 8));
  STATIC_REQUIRE((!is_flat<std::tuple<int, int>> && !is_flat<reserved>));  // their encoding has one length, but is not their memory
  STATIC_REQUIRE((is_flat<std::array<padded, 3>> && flat_size<std::array<padded, 3>> == 3 * sizeof(padded)));
  STATIC_REQUIRE((is_flat<flat_arrays> && is_flat<flat_constants>));
  STATIC_REQUIRE((is_flat<nothing> && flat_size<nothing> == 1));
  STATIC_REQUIRE((is_flat<std::tuple<>> && flat_size<std::tuple<>> == 1));
  STATIC_REQUIRE((is_flat<std::chrono::system_clock::time_point> && is_flat<std::complex<float>> && is_flat<std::byte>));
  STATIC_REQUIRE((!is_flat<std::string> && !is_flat<std::vector<int>> && !is_flat<std::optional<int>> && !is_flat<order> &&
                  !is_flat<constants>));
  STATIC_REQUIRE(
      (!is_flat<with_pointer> && !is_flat<const char*> && !is_flat<owned_fd> && !is_flat<foreign> && !is_flat<one<foreign>>));
  STATIC_REQUIRE(flat_size<std::string> == 0);
}

TEST_CASE("a flat type's encoding is its size") {
  for_each_sample([](const auto& v) {
    if constexpr (is_flat<std::remove_cvref_t<decltype(v)>>)
      REQUIRE(encode(v).size() == flat_size<std::remove_cvref_t<decltype(v)>>);
  });
}

// Also compares the compilers: each must find the numbers written here. Another number is another format: see docs/formats.md.
TEST_CASE("fingerprints are the numbers they have always been") {
  CHECK(fingerprint<int>() == 0xcb27e18e6ca80821);
  CHECK(fingerprint<order>() == 0x07b5aa72e7edea09);
  CHECK(fingerprint<tree>() == 0xf7d1c338993def6f);
  CHECK(fingerprint<json>() == 0xba816ece748e43ea);
  CHECK(fingerprint<std::map<std::string, arrays>>() == 0x8303676a319abd06);
  CHECK(fingerprint<account>() == 0x408142ae1709cb0b);
}

TEST_CASE("fingerprints differ where the bytes differ") {
  std::vector<std::uint64_t> all{fingerprint<int>(),
                                 fingerprint<unsigned>(),
                                 fingerprint<long>(),
                                 fingerprint<float>(),
                                 fingerprint<char>(),
                                 fingerprint<bool>(),
                                 fingerprint<colour>(),
                                 fingerprint<std::string>(),
                                 fingerprint<std::u16string>(),
                                 fingerprint<point>(),
                                 fingerprint<one<point>>(),
                                 fingerprint<std::pair<int, int>>(),
                                 fingerprint<std::tuple<int, int>>(),
                                 fingerprint<std::tuple<int>>(),
                                 fingerprint<std::array<int, 2>>(),
                                 fingerprint<std::array<int, 3>>(),
                                 fingerprint<std::vector<int>>(),
                                 fingerprint<std::vector<bool>>(),
                                 fingerprint<std::vector<std::vector<int>>>(),
                                 fingerprint<std::set<int>>(),
                                 fingerprint<std::multiset<int>>(),
                                 fingerprint<std::map<int, int>>(),
                                 fingerprint<std::optional<int>>(),
                                 fingerprint<std::unique_ptr<int>>(),
                                 fingerprint<std::variant<int>>(),
                                 fingerprint<std::variant<int, int>>(),
                                 fingerprint<tree>(),
                                 fingerprint<std::chrono::seconds>(),
                                 fingerprint<std::chrono::nanoseconds>(),
                                 fingerprint<std::chrono::system_clock::time_point>(),
                                 fingerprint<std::chrono::steady_clock::time_point>(),
                                 fingerprint<std::filesystem::path>(),
                                 fingerprint<std::complex<double>>(),
                                 fingerprint<nothing>(),
                                 fingerprint<foreign>(),
                                 fingerprint<account>(),
                                 fingerprint<exit_status>(),
                                 fingerprint<cloister::error>(),
                                 fingerprint<owned_fd>(),
                                 fingerprint<order>()};
  std::ranges::sort(all);
  REQUIRE(std::ranges::adjacent_find(all) == all.end());
}

TEST_CASE("a fingerprint is about shape: names do not count, recursion does") {
  struct other_point {
    int up = 0;
    int down = 0;
  };
  struct other_tree {
    int number = 0;
    std::vector<other_tree> children;
  };
  struct unlike_tree {
    int number = 0;
    std::vector<std::vector<unlike_tree>> children;
  };
  STATIC_REQUIRE(fingerprint<point>() == fingerprint<other_point>());
  STATIC_REQUIRE(fingerprint<tree>() == fingerprint<other_tree>());
  STATIC_REQUIRE(fingerprint<tree>() != fingerprint<unlike_tree>());
  STATIC_REQUIRE(fingerprint<const int>() == fingerprint<int>());
}
