// SPDX-License-Identifier: BSD-3-Clause
// What kind of thing a type is, as far as its bytes are concerned.
//
// Classes of the standard library whose headers cost much are recognised by their shape and by living in namespace std, so that
// sending an int does not include <map>, <chrono> and <filesystem>. Classes that only look like them are not taken for them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace cloister {

class encoder;
class decoder;
template <class T>
struct codec;

/// Be its friend to keep travel() private.
struct travel_access {
  template <class T>
  static constexpr auto member() -> decltype(&T::travel);
  template <class T>
  static constexpr auto fields(T& object) -> decltype(object.travel()) {
    return object.travel();
  }
};

namespace detail {

template <class... T>
struct type_list {};

template <class T>
constexpr auto find_type_name() {
  std::string_view text = __PRETTY_FUNCTION__;  // g++: "... [with T = int]", clang: "... [T = int]"
  text.remove_prefix(text.find("T = ") + 4);
  text.remove_suffix(1);
  return text;
}
/// The compiler's spelling of T; texts show it tidied.
template <class T>
inline constexpr std::string_view type_name = find_type_name<T>();

template <class T>
concept std_class = std::is_class_v<T> && type_name<T>
.starts_with("std::");

/// What stands for T on the wire. The numbers are part of the fingerprint: docs/formats.md, "Messages".
enum class kind : std::uint8_t {
  none = 0,  // cannot travel
  boolean = 1,
  character = 2,
  signed_integer = 3,
  unsigned_integer = 4,
  floating = 5,
  enumeration = 6,
  empty = 7,
  text = 8,
  array = 9,
  sequence = 10,
  bits = 11,
  set = 12,
  multiset = 13,
  map = 14,
  multimap = 15,
  optional = 16,
  variant = 17,
  pointer = 18,  // unique_ptr
  pair = 19,
  tuple = 20,
  aggregate = 21,
  travel = 22,  // a class with travel()
  coded = 23,   // a class with a codec
  duration = 24,
  time_point = 25,
  path = 26,
  complex = 27,
};

// Customisation.

template <class T>
concept has_codec = requires {
  sizeof(codec<T>);
};

template <class T>
inline constexpr bool is_tie = false;
template <class... F>
inline constexpr bool is_tie<std::tuple<F&...>> = true;

template <class R, class C>
C class_of_member(R (C::*)());
template <class R, class C>
C class_of_member(R (C::*)() noexcept);

template <class T>
concept says_travel = std::is_class_v<T> && requires(T& object) {
  class_of_member(travel_access::member<T>());
  requires is_tie<decltype(travel_access::fields(object))>;
};
/// Its own travel(), not that of a base class, which would forget what the derived class adds.
template <class T>
concept has_travel = says_travel<T> && requires {
  requires std::is_same_v<decltype(class_of_member(travel_access::member<T>())), T>;
};

// Shapes of the standard library.

template <class T, template <class...> class Of>
inline constexpr bool is_instance = false;
template <class... A, template <class...> class Of>
inline constexpr bool is_instance<Of<A...>, Of> = true;

template <class T>
inline constexpr bool is_std_array = false;
template <class E, std::size_t N>
inline constexpr bool is_std_array<std::array<E, N>> = true;

template <class T>
inline constexpr bool is_span = false;
template <class E, std::size_t N>
inline constexpr bool is_span<std::span<E, N>> = true;

template <class T>
inline constexpr bool is_bits = false;
template <class A>
inline constexpr bool is_bits<std::vector<bool, A>> = true;

template <class T>
concept view = is_instance<T, std::basic_string_view> || is_span<T>;

template <class T>
concept container = std_class<T> && requires(T& c) {
  typename T::value_type;
  typename T::allocator_type;
  c.begin();
  c.clear();
  c.size();
};
template <class T>
concept keyed = container<T> && requires {
  typename T::key_type;
};
template <class T>
concept sequence = container<T> && !keyed<T> && requires(T & c) {
  c.pop_back();
};
template <class T>
concept unique_keys = keyed<T> && requires(T& c, const typename T::value_type& v) {
  c.insert(v).second;
};
template <class T>
concept mapping = keyed<T> && requires {
  typename T::mapped_type;
};
template <class T>
concept duration_like = std_class<T> && requires(const T& d) {
  typename T::period;
  requires std::is_arithmetic_v<typename T::rep> && !std::is_same_v<typename T::rep, bool>;
  d.count();
};
template <class T>
concept time_point_like = std_class<T> && requires(const T& t) {
  T::clock::is_steady;
  requires duration_like<typename T::duration>;
  t.time_since_epoch();
};
template <class T>
concept path_like = std_class<T> && requires {
  T::preferred_separator;
  requires std::is_same_v<typename T::string_type, std::string>;
};
template <class T>
concept complex_like = std_class<T> && requires(const T& c) {
  requires std::is_arithmetic_v<typename T::value_type> && !std::is_same_v<typename T::value_type, bool>;
  c.real();
  c.imag();
  requires sizeof(T) == 2 * sizeof(typename T::value_type);
};

template <class T>
concept character = std::is_same_v<T, char> || std::is_same_v<T, wchar_t> || std::is_same_v<T, char8_t> ||
    std::is_same_v<T, char16_t> || std::is_same_v<T, char32_t>;

/// An enum that says its underlying type: every value of that type is a value of the enum.
template <class T>
concept fixed_enum = std::is_enum_v<T> && requires {
  T{0};
};

template <class T>
concept stateless = std::is_empty_v<T> && std::is_trivially_copyable_v<T> && std::is_default_constructible_v<T> &&
    (std::is_aggregate_v<T> || std::is_trivially_default_constructible_v<T>);

/// The number of things in an array-like type.
template <class T>
inline constexpr std::size_t extent_of = 0;
template <class E, std::size_t N>
inline constexpr std::size_t extent_of<E[N]> = N;
template <class E, std::size_t N>
inline constexpr std::size_t extent_of<std::array<E, N>> = N;
template <class E, std::size_t N>
inline constexpr std::size_t extent_of<std::span<E, N>> = N;

/// The type of the things in an array-like or sequence-like type.
template <class T>
struct element_of {
  using type = std::remove_const_t<typename T::value_type>;
};
template <class E, std::size_t N>
struct element_of<E[N]> {
  using type = std::remove_const_t<E>;
};
template <class T>
using element_t = typename element_of<T>::type;

/// REQUIRES: T without const. Aggregates are told from those that cannot travel by flaw_of.
template <class T>
constexpr kind kind_of() {
  if constexpr (has_codec<T>) return kind::coded;
  else if constexpr (std::is_same_v<T, bool>) return kind::boolean;
  else if constexpr (character<T>) return kind::character;
  else if constexpr (std::is_integral_v<T>) return std::is_signed_v<T> ? kind::signed_integer : kind::unsigned_integer;
  else if constexpr (std::is_floating_point_v<T>) return kind::floating;
  else if constexpr (fixed_enum<T>) return kind::enumeration;
  else if constexpr (std::is_array_v<T> || is_std_array<T>) return extent_of<T> == 0 ? kind::empty : kind::array;
  else if constexpr (!std::is_class_v<T>) return kind::none;
  else if constexpr (says_travel<T>) return has_travel<T> ? kind::travel : kind::none;
  else if constexpr (is_instance<T, std::basic_string> || is_instance<T, std::basic_string_view>) return kind::text;
  else if constexpr (is_bits<T>) return kind::bits;
  else if constexpr (is_span<T>)
    return T::extent == std::dynamic_extent ? kind::sequence : T::extent == 0 ? kind::empty : kind::array;
  else if constexpr (is_instance<T, std::optional>) return kind::optional;
  else if constexpr (is_instance<T, std::variant>) return kind::variant;
  else if constexpr (is_instance<T, std::pair>) return kind::pair;
  else if constexpr (is_instance<T, std::unique_ptr>) return kind::pointer;
  else if constexpr (stateless<T>) return kind::empty;
  else if constexpr (is_instance<T, std::tuple>) return kind::tuple;
  else if constexpr (sequence<T>) return kind::sequence;
  else if constexpr (mapping<T>) return unique_keys<T> ? kind::map : kind::multimap;
  else if constexpr (keyed<T>) return unique_keys<T> ? kind::set : kind::multiset;
  else if constexpr (duration_like<T>) return kind::duration;
  else if constexpr (time_point_like<T>) return kind::time_point;
  else if constexpr (path_like<T>) return kind::path;
  else if constexpr (complex_like<T>) return kind::complex;
  else if constexpr (std::is_aggregate_v<T>) return kind::aggregate;
  else return kind::none;
}

template <class T>
inline constexpr kind kind_v = kind_of<T>();

}  // namespace detail
}  // namespace cloister
