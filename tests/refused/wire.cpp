// SPDX-License-Identifier: BSD-3-Clause
// Types that cannot travel, one for each number CASE. The compiler must say why, and name the type: wire.cmake.
#include <cloister/wire.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <string>
#include <utility>
#include <variant>

struct with_pointer {
  int n;
  const char* text;
};
struct deep {
  int n;
  std::vector<std::optional<with_pointer>> inside;
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
enum loose { a_value };
struct base {
  int a;
};
struct derived : base {
  int b;
};
class account {
 public:
  explicit account(long cents) : cents_(cents) {}
  long cents() const { return cents_; }

 private:
  long cents_;
};
struct shape {
  virtual ~shape() = default;
  virtual double area() const = 0;
};
struct square final : shape {
  double area() const override { return 1; }
};
struct says {
  int n = 0;
  auto travel() { return std::tie(n); }
};
struct forgets : says {
  int more = 0;
};
struct unready {
  explicit unready(int) {}
  int n = 0;
  auto travel() { return std::tie(n); }
};
struct thirty_three {
  int m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25, m26, m27,
      m28, m29;
  int m30, m31, m32, m33;
};
struct stuck {
  stuck(const stuck&) = delete;
  auto travel() { return std::tie(n); }
  int n = 0;
};
struct no_default {
  explicit no_default(int) {}
};
template <>
struct cloister::codec<no_default> {
  static constexpr std::uint64_t fingerprint = 1;
  static void put(encoder& out, const no_default&) { out.value(1); }
  static no_default get(decoder& in) { return no_default(in.value<int>()); }
};
struct with_array {
  no_default a[2];
};
struct deleter {
  void operator()(int* p) const { delete p; }
};
struct with_bits {
  unsigned a : 3;
};
struct with_anonymous_union {
  union {
    int i;
    float f;
  };
};

int captured = 1;
[[maybe_unused]] auto closure = [captured = captured] { return captured; };

#if CASE == 0
using message = std::string;
#elif CASE == 1
using message = deep;
#elif CASE == 2
using message = void (*)(int);
#elif CASE == 3
using message = std::pair<int, int base::*>;
#elif CASE == 4
using message = std::tuple<int&>;
#elif CASE == 5
using message = with_volatile;
#elif CASE == 6
using message = std::vector<either>;
#elif CASE == 7
using message = loose;
#elif CASE == 8
using message = decltype(closure);
#elif CASE == 9
using message = square;
#elif CASE == 10
using message = derived;
#elif CASE == 11
using message = with_reference;
#elif CASE == 12
using message = thirty_three;
#elif CASE == 13
using message = with_array;
#elif CASE == 14
using message = std::vector<account>;
#elif CASE == 15
using message = forgets;
#elif CASE == 16
using message = unready;
#elif CASE == 17
using message = stuck;
#elif CASE == 18
using message = std::shared_ptr<int>;
#elif CASE == 19
using message = std::unique_ptr<int[]>;
#elif CASE == 20
using message = std::unique_ptr<int, deleter>;
#elif CASE == 21
using message = std::unique_ptr<shape>;
#elif CASE == 22
using message = std::function<void()>;
#elif CASE == 23
using message = int[3];
#elif CASE == 24
using message = std::vector<std::string_view>;
#elif CASE == 25
using message = with_bits;
#elif CASE == 26
using message = with_anonymous_union;
#elif CASE == 27
using message = std::pair<int, std::atomic<int>>;
#elif CASE == 28
template <std::size_t... I>
std::variant<std::array<char, I + 1>...> alternatives(std::index_sequence<I...>);
using message = decltype(alternatives(std::make_index_sequence<256>()));
#endif

#if CASE == 24
void receive(cloister::decoder& in) { static_cast<void>(in.value<message>()); }
#else
void send(cloister::encoder& out, const message& m) { out.value(m); }
[[maybe_unused]] constexpr auto shape_of_it = cloister::fingerprint<message>();
#endif
