// SPDX-License-Identifier: BSD-3-Clause
// One number for the shape of a type. The numbers of kinds and the order of mixing are part of the format: docs/formats.md,
// "Messages".
#pragma once

#include <cloister/detail/wire_check.hpp>
#include <cloister/detail/wire_flat.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace cloister::detail {

inline constexpr std::uint64_t wire_version = 1;

constexpr std::uint64_t mix(std::uint64_t h, std::uint64_t x) {
  h = (h ^ x) * 0x9e3779b97f4a7c15u;
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93u;
  return h ^ (h >> 29);
}

template <class T, class... Open>
constexpr std::uint64_t shape(std::uint64_t h);

template <class... Open, class... P>
constexpr std::uint64_t shape_of_parts(std::uint64_t h, type_list<P...>) {
  h = mix(h, sizeof...(P));
  ((h = shape<P, Open...>(h)), ...);
  return h;
}

/// How many structs up the one is that a recursive type comes back to.
template <class T, class... Open>
constexpr std::size_t distance() {
  std::size_t at = 0;
  static_cast<void>((std::is_same_v<T, Open> || ... || (++at, false)));
  return at;
}

/// A handle may say what it is a handle of, itself a message that may contain such handles.
template <class T, class... Open>
constexpr std::uint64_t shape_of_coded(std::uint64_t h) {
  if constexpr (requires { typename codec<T>::element; }) return shape<typename codec<T>::element, Open...>(h);
  else return h;
}

template <class T, class... Open>
constexpr std::uint64_t shape(std::uint64_t h) {
  constexpr kind k = kind_v<T>;
  if constexpr ((std::is_same_v<T, Open> || ...)) return mix(mix(h, 255), distance<T, Open...>());
  else {
    h = mix(h, static_cast<std::uint64_t>(k));
    if constexpr (k == kind::coded) return shape_of_coded<T, Open...>(mix(h, codec<T>::fingerprint));
    else if constexpr (k == kind::floating) h = mix(mix(h, sizeof(T)), std::numeric_limits<T>::digits);
    else if constexpr (std::is_arithmetic_v<T>) h = mix(h, sizeof(T));
    else if constexpr (k == kind::enumeration) h = shape<std::underlying_type_t<T>>(h);
    else if constexpr (k == kind::text) h = mix(h, sizeof(typename T::value_type));
    else if constexpr (k == kind::array) h = mix(h, extent_of<T>);
    else if constexpr (k == kind::duration) h = mix(mix(shape<typename T::rep>(h), T::period::num), T::period::den);
    else if constexpr (k == kind::time_point) h = mix(shape<typename T::duration>(h), T::clock::is_steady);
    else if constexpr (k == kind::complex) h = shape<typename T::value_type>(h);
    else if constexpr (k == kind::aggregate && plain<T>) h = mix(mix(h, sizeof(T)), alignof(T));
    if constexpr (k == kind::aggregate || k == kind::travel) return shape_of_parts<T, Open...>(h, parts_t<T>{});
    else return shape_of_parts<Open...>(h, parts_t<T>{});
  }
}

template <class T>
constexpr std::uint64_t fingerprint_of() {
  must_travel<T, false>();
  if constexpr (sends<T>) return shape<T>(wire_version);
  else return 0;
}

}  // namespace cloister::detail
