// SPDX-License-Identifier: BSD-3-Clause
// How each kind of type is read, with everything checked. The bytes are described in docs/formats.md, "Messages".
#pragma once

#include <cloister/wire.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <variant>

namespace cloister::detail {

/// The least that a T takes: what a count is checked against.
template <class T>
inline constexpr std::size_t least_bytes = flat<T>                                                              ? flat_bytes<T>
                                           : kind_v<T> == kind::text || container<T> || kind_v<T> == kind::path ? 4
                                                                                                                : 1;

template <class T>
const std::byte* take_valid(decoder& in, std::size_t n = 1) {
  const std::byte* from = in.take(n * flat_bytes<T>, type_name<T>);
  if constexpr (checked<T>)
    for (std::size_t i = 0; i < n; ++i)
      if (!valid<T>(from + i * flat_bytes<T>)) in.fail(type_name<T>, "a bool is neither 0 nor 1");
  return from;
}

template <class T>
bool get_flag(decoder& in) {
  const auto flag = static_cast<unsigned>(*in.take(1, type_name<T>));
  if (flag > 1) in.fail(type_name<T>, "says neither that it holds a value nor that it holds none");
  return flag == 1;
}

template <class T>
T get(decoder& in);

template <class T>
T get_text(decoder& in) {
  using unit = typename T::value_type;
  const std::size_t n = in.count(sizeof(unit), type_name<T>);
  const std::byte* from = in.take(n * sizeof(unit), type_name<T>);
  if constexpr (sizeof(unit) == 1) {
    return T(reinterpret_cast<const unit*>(from), n);
  } else {
    T v(n, unit{});
    std::memcpy(v.data(), from, n * sizeof(unit));
    return v;
  }
}

template <class T>
T get_bits(decoder& in) {
  const std::size_t n = in.count(1, type_name<T>, 8);
  const std::byte* from = in.take((n + 7) / 8, type_name<T>);
  if (n % 8 != 0 && (from[n / 8] >> (n % 8)) != std::byte{}) in.fail(type_name<T>, "bits are set behind its end");
  T v(n);
  std::size_t i = 0;
  for (auto bit = v.begin(); bit != v.end(); ++bit, ++i) *bit = (from[i / 8] >> (i % 8) & std::byte{1}) != std::byte{};
  return v;
}

/// No message makes its reader allocate ahead more than 16 times what it brings.
template <class T>
void reserve(T& v, std::size_t n, std::size_t bytes) {
  if constexpr (requires { v.reserve(n); }) v.reserve(std::min(n, bytes / sizeof(typename T::value_type) * 16 + 16));
}

/// One copy where the bytes lie as the elements want to lie; else the elements must be made first.
template <class T>
T get_plain_elements(const std::byte* from, std::size_t n) {
  using element = element_t<T>;
  if (reinterpret_cast<std::uintptr_t>(from) % alignof(element) == 0) {
    const auto* first = reinterpret_cast<const element*>(from);
    return T(first, first + n);
  }
  T v(n);
  if (n != 0) std::memcpy(static_cast<void*>(v.data()), from, n * sizeof(element));
  return v;
}

template <class T>
T get_sequence(decoder& in) {
  using element = element_t<T>;
  const std::size_t n = in.count(least_bytes<element>, type_name<T>);
  if constexpr (plain<element>)
    if (n != 0) in.pad(alignment_of<element>, type_name<T>);
  if constexpr (plain<element> && requires(T & v) { v.data(); } && std::is_default_constructible_v<element> &&
                std::is_move_assignable_v<element>) {
    return get_plain_elements<T>(take_valid<element>(in, n), n);
  } else {
    T v;
    reserve(v, n, in.left());
    if constexpr (nests<T>) in.enter(type_name<T>);
    for (std::size_t i = 0; i < n; ++i) v.emplace_back(get<element>(in));
    if constexpr (nests<T>) in.leave();
    return v;
  }
}

template <class T>
T get_keyed(decoder& in) {
  using key = typename T::key_type;
  std::size_t each = least_bytes<key>;
  if constexpr (mapping<T>) each += least_bytes<typename T::mapped_type>;
  const std::size_t n = in.count(each, type_name<T>);
  T v;
  reserve(v, n, in.left());
  if constexpr (nests<T>) in.enter(type_name<T>);
  for (std::size_t i = 0; i < n; ++i) {
    if constexpr (mapping<T>) {
      key k = get<key>(in);
      v.emplace_hint(v.end(), std::move(k), get<typename T::mapped_type>(in));
    } else {
      v.emplace_hint(v.end(), get<key>(in));
    }
    if (unique_keys<T> && v.size() != i + 1) in.fail(type_name<T>, "holds a key twice");
  }
  if constexpr (nests<T>) in.leave();
  return v;
}

template <class T, std::size_t... I>
T get_alternative(decoder& in, std::index_sequence<I...>) {
  const auto index = static_cast<std::size_t>(*in.take(1, type_name<T>));
  if (index >= sizeof...(I)) in.fail(type_name<T>, "alternative " + std::to_string(index) + " of " + std::to_string(sizeof...(I)));
  using reader = T (*)(decoder&);
  static constexpr reader readers[] = {
      [](decoder& from) { return T(std::in_place_index<I>, get<std::variant_alternative_t<I, T>>(from)); }...};
  return readers[index](in);
}

template <class T>
T get(decoder& in) {
  constexpr kind k = kind_v<T>;
  if constexpr (flat<T>) {
    return load<T>(take_valid<T>(in));
  } else if constexpr (k == kind::coded) {
    return codec<T>::get(in);
  } else if constexpr (k == kind::text) {
    return get_text<T>(in);
  } else if constexpr (k == kind::path) {
    return T(get_text<typename T::string_type>(in));
  } else if constexpr (k == kind::bits) {
    return get_bits<T>(in);
  } else if constexpr (k == kind::sequence) {
    return get_sequence<T>(in);
  } else if constexpr (keyed<T>) {
    return get_keyed<T>(in);
  } else if constexpr (k == kind::optional) {
    if (!get_flag<T>(in)) return T();
    return T(std::in_place, get<element_t<T>>(in));
  } else if constexpr (k == kind::pointer) {
    if (!get_flag<T>(in)) return T();
    in.enter(type_name<T>);
    T v = std::make_unique<typename T::element_type>(get<std::remove_cv_t<typename T::element_type>>(in));
    in.leave();
    return v;
  } else if constexpr (k == kind::variant) {
    return get_alternative<T>(in, std::make_index_sequence<std::variant_size_v<T>>{});
  } else {
    auto next = [&in]<class P>(std::type_identity<P>) -> P { return get<P>(in); };
    return assemble<T>(next);
  }
}

}  // namespace cloister::detail
