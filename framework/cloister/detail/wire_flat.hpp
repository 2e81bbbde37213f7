// SPDX-License-Identifier: BSD-3-Clause
// Types whose encoding always has the same length, and those among them whose encoding is their memory.
//
// `plain`: one memcpy. Being trivially copyable is not enough (pointers, closures), nor needed (std::pair): all in it must be plain.
// `flat`: plain, or a fixed number of flat things one after the other: tuples, whose memory differs between standard libraries, and
// classes with travel().
// The public is_flat is `is_image`: plain, or without content.
// Memory from elsewhere is checked before it becomes an object: a bool that is neither 0 nor 1 must not come into being.
#pragma once

#include <cloister/detail/wire_parts.hpp>

#include <cstddef>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

namespace cloister::detail {

/// Kinds that have a fixed number of parts.
constexpr bool is_product(kind k) { return k == kind::pair || k == kind::tuple || k == kind::aggregate || k == kind::travel; }

template <class T>
constexpr bool is_plain();
template <class T>
inline constexpr bool plain = is_plain<T>();

template <class T>
inline constexpr bool plain_member = plain<T> || kind_v<T> == kind::empty;

template <class... T>
constexpr bool all_plain(type_list<T...>) {
  return (plain_member<T> && ...);
}

template <class T>
constexpr bool is_plain() {
  constexpr kind k = kind_v<T>;
  if constexpr (view<T> || flaw_v<T> != flaw::none) return false;
  else if constexpr (std::is_arithmetic_v<T> || k == kind::enumeration) return true;
  else if constexpr (k == kind::duration || k == kind::complex || k == kind::time_point) return std::is_trivially_copyable_v<T>;
  else if constexpr (k == kind::array) return plain<element_t<T>>;
  else if constexpr (k == kind::pair || k == kind::aggregate)
    return std::is_trivially_destructible_v<T> && std::is_trivially_move_constructible_v<T> && all_plain(parts_t<T>{});
  else return false;
}

template <class T>
constexpr bool is_memory_image() {
  if constexpr (view<T> || flaw_v<T> != flaw::none) return false;
  else return plain<T> || (kind_v<T> == kind::empty && sizeof(T) == 1);
}
template <class T>
inline constexpr bool is_image = is_memory_image<T>();

template <class T>
constexpr bool is_flat_type();
template <class T>
inline constexpr bool flat = is_flat_type<T>();

template <class... T>
constexpr bool all_flat(type_list<T...>) {
  return (flat<T> && ...);
}
template <class T>
constexpr bool is_flat_type() {
  constexpr kind k = kind_v<T>;
  if constexpr (flaw_v<T> != flaw::none) return false;
  else if constexpr (plain<T> || k == kind::empty) return true;
  else if constexpr (k == kind::array) return flat<element_t<T>>;
  else if constexpr (is_product(k)) return all_flat(parts_t<T>{});
  else return false;
}

template <class T>
constexpr std::size_t flat_bytes_of();
template <class T>
inline constexpr std::size_t flat_bytes = flat_bytes_of<T>();

template <class... T>
constexpr std::size_t sum_of_bytes(type_list<T...>) {
  return (flat_bytes<T> + ... + 0);
}
template <class T>
constexpr std::size_t flat_bytes_of() {
  if constexpr (!flat<T>) return 0;
  else if constexpr (plain<T>) return sizeof(T);
  else if constexpr (kind_v<T> == kind::empty) return 1;
  else if constexpr (kind_v<T> == kind::array) return extent_of<T> * flat_bytes<element_t<T>>;
  else return sum_of_bytes(parts_t<T>{}) != 0 ? sum_of_bytes(parts_t<T>{}) : 1;  // nothing on the wire is without bytes
}

// What writer and reader agree on.

/// Where the memory of elements begins in a message, as a multiple from its first byte: the reader can copy them in one go.
template <class E>
inline constexpr std::size_t alignment_of = alignof(E) < 16 ? alignof(E) : 16;

/// A level of depth: recursion goes through containers and unique_ptrs of things that are not flat.
template <class T>
inline constexpr bool nests = !all_flat(parts_t<T>{});

// Memory to bytes.

/// Writes flat_bytes<T> bytes.
template <class T>
void store(std::byte* to, const T& v) noexcept {
  if constexpr (plain<T>) {
    std::memcpy(to, std::addressof(v), sizeof v);
  } else if constexpr (kind_v<T> == kind::empty || flat_bytes<T> == 1) {
    *to = std::byte{};
    if constexpr (kind_v<T> != kind::empty) visit_parts(v, [to](const auto&... part) { (store(to, part), ...); });
  } else if constexpr (kind_v<T> == kind::array) {
    for (const auto& e : v) {
      store(to, e);
      to += flat_bytes<element_t<T>>;
    }
  } else {
    visit_parts(v, [to]<class... P>(const P&... part) mutable { ((store(to, part), to += flat_bytes<P>), ...); });
  }
}

// Bytes to memory.

template <class T>
constexpr bool is_checked();
/// Not every pattern of bytes is a value.
template <class T>
inline constexpr bool checked = is_checked<T>();

template <class... T>
constexpr bool any_checked(type_list<T...>) {
  return (checked<T> || ...);
}
template <class T>
constexpr bool is_checked() {
  constexpr kind k = kind_v<T>;
  if constexpr (k == kind::boolean) return true;
  else if constexpr (k == kind::enumeration) return checked<std::underlying_type_t<T>>;  // enum class answer : bool
  else if constexpr (k == kind::array) return checked<element_t<T>>;
  else if constexpr (is_product(k)) return any_checked(parts_t<T>{});
  else return false;
}

/// The flat_bytes<T> bytes at `from` are the encoding of a T.
template <class T>
bool valid(const std::byte* from) noexcept;

template <class... T>
bool all_valid(const std::byte* from, type_list<T...>) noexcept {
  return ((from += flat_bytes<T>, valid<T>(from - flat_bytes<T>)) && ...);
}

template <class T>
bool valid(const std::byte* from) noexcept {
  if constexpr (!checked<T>) {
    return true;
  } else if constexpr (sizeof(T) == sizeof(bool) && (kind_v<T> == kind::boolean || kind_v<T> == kind::enumeration)) {
    return static_cast<unsigned char>(*from) <= 1;
  } else if constexpr (kind_v<T> == kind::array) {
    for (std::size_t i = 0; i < extent_of<T>; ++i)
      if (!valid<element_t<T>>(from + i * flat_bytes<element_t<T>>)) return false;
    return true;
  } else if constexpr (plain<T>) {
    // Where the members lie is asked of memory that never becomes a T.
    alignas(T) std::byte shape[sizeof(T)]{};
    return visit_parts(*reinterpret_cast<const T*>(shape), [&]<class... P>(const P&... part) {
      return (valid<P>(from + (reinterpret_cast<const std::byte*>(std::addressof(part)) - shape)) && ...);
    });
  } else {
    return all_valid(from, parts_t<T>{});
  }
}

template <class T>
constexpr bool is_read_once();
/// Decoding looks at no byte of the message a second time, so that it may lie in memory that somebody hostile writes to.
/// False for what may contain itself, too.
template <class T>
inline constexpr bool read_once = is_read_once<T>();

template <class... T>
constexpr bool all_read_once(type_list<T...>) {
  return (read_once<T> && ...);
}
template <class T>
constexpr bool is_read_once() {
  constexpr kind k = kind_v<T>;
  if constexpr (flaw_v<T> != flaw::none || checked<T>) return false;
  else if constexpr (flat<T> || k == kind::text) return true;
  else if constexpr (k == kind::sequence) return plain<element_t<T>> && !checked<element_t<T>>;
  else if constexpr (k == kind::pair || k == kind::tuple || k == kind::aggregate) return all_read_once(parts_t<T>{});
  else return false;
}

template <class T>
T load_by_assignment(const std::byte* from) noexcept {
  T v;  // the one object, also for g++ 12, which elides nothing declared in an inner block
  std::memcpy(static_cast<void*>(std::addressof(v)), from, sizeof v);
  return v;
}
template <class T>
T load_by_copy(const std::byte* from) noexcept {
  alignas(T) std::byte memory[sizeof(T)];
  std::memcpy(memory, from, sizeof(T));
  return std::move(*reinterpret_cast<T*>(memory));
}

/// REQUIRES: valid<T>(from).
template <class T>
T load(const std::byte* from) noexcept {
  if constexpr (kind_v<T> == kind::empty) {
    return T{};
  } else if constexpr (plain<T>) {
    if constexpr (std::is_default_constructible_v<T> && std::is_move_assignable_v<T>) return load_by_assignment<T>(from);
    else return load_by_copy<T>(from);
  } else {
    auto next = [&from]<class P>(std::type_identity<P>) -> P {
      from += flat_bytes<P>;
      return load<P>(from - flat_bytes<P>);
    };
    return assemble<T>(next);
  }
}

}  // namespace cloister::detail
