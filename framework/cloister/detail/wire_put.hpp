// SPDX-License-Identifier: BSD-3-Clause
// How each kind of type is written. The bytes are described in docs/formats.md, "Messages".
#pragma once

#include <cloister/wire.hpp>

#include <cstring>
#include <iterator>
#include <string>
#include <utility>
#include <variant>

namespace cloister::detail {

template <class T>
void put(encoder& out, const T& v);

template <class E>
void put_each(encoder& out, const E* from, std::size_t n) {
  if constexpr (plain<E>) {
    out.raw(from, n * sizeof(E));
  } else {
    for (std::size_t i = 0; i < n; ++i) put(out, from[i]);
  }
}

template <class T>
void put_bits(encoder& out, const T& v) {
  out.count(v.size());
  std::byte* to = out.grow((v.size() + 7) / 8);
  unsigned gathered = 0;
  unsigned bits = 0;
  for (const bool bit : v) {
    gathered |= static_cast<unsigned>(bit) << bits;
    if (++bits < 8) continue;
    *to++ = static_cast<std::byte>(gathered);
    gathered = bits = 0;
  }
  if (bits != 0) *to = static_cast<std::byte>(gathered);
}

template <class T>
void put_container(encoder& out, const T& v) {
  out.count(v.size());
  if constexpr (nests<T>) out.enter(type_name<T>);
  if constexpr (kind_v<T> == kind::sequence)
    if constexpr (plain<element_t<T>>)
      if (v.size() != 0) out.pad(alignment_of<element_t<T>>);
  if constexpr (requires { v.data(); }) {
    put_each(out, v.data(), v.size());
  } else {
    for (const auto& e : v) {
      if constexpr (mapping<T>) {
        put(out, e.first);
        put(out, e.second);
      } else {
        put(out, e);
      }
    }
  }
  if constexpr (nests<T>) out.leave();
}

template <class T, std::size_t... I>
void put_alternative(encoder& out, const T& v, std::index_sequence<I...>) {
  if (v.valueless_by_exception())
    throw failure(errc::invalid, "encode of '" + readable(type_name<T>) + "': the variant holds no value");
  *out.grow(1) = static_cast<std::byte>(v.index());
  using writer = void (*)(encoder&, const T&);
  static constexpr writer writers[] = {[](encoder& to, const T& from) { put(to, *std::get_if<I>(&from)); }...};
  writers[v.index()](out, v);
}

template <class T>
void put(encoder& out, const T& v) {
  constexpr kind k = kind_v<T>;
  if constexpr (flat<T>) {
    store(out.grow(flat_bytes<T>), v);
  } else if constexpr (k == kind::coded) {
    const auto before = out.size();
    const encoder::copying all(out);  // it may encode values of its own making
    codec<T>::put(out, v);
    if (out.size() == before) throw failure(errc::invalid, "encode of '" + readable(type_name<T>) + "': its codec wrote nothing");
  } else if constexpr (k == kind::text) {
    out.count(v.size());
    out.raw(v.data(), v.size() * sizeof v[0]);
  } else if constexpr (k == kind::path) {
    put(out, v.native());
  } else if constexpr (k == kind::bits) {
    put_bits(out, v);
  } else if constexpr (k == kind::array) {
    put_each(out, std::data(v), std::size(v));
  } else if constexpr (container<T> || is_span<T>) {
    put_container(out, v);
  } else if constexpr (k == kind::optional) {
    *out.grow(1) = static_cast<std::byte>(v.has_value());
    if (v) put(out, *v);
  } else if constexpr (k == kind::pointer) {
    *out.grow(1) = static_cast<std::byte>(v != nullptr);
    if (!v) return;
    out.enter(type_name<T>);
    put(out, *v);
    out.leave();
  } else if constexpr (k == kind::variant) {
    put_alternative(out, v, std::make_index_sequence<std::variant_size_v<T>>{});
  } else {
    visit_parts(v, [&out](const auto&... part) { (put(out, part), ...); });
  }
}

}  // namespace cloister::detail
