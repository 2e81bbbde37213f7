// SPDX-License-Identifier: BSD-3-Clause
// The members of an aggregate, in order: how many there are, and a call with all of them.
//
// Members are counted by trying how many initialisers the type accepts, with a thing that converts to anything; an array among
// them takes one initialiser for each of its elements, and is found by offering it `{}`. Then structured bindings name them.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace cloister::detail {

inline constexpr std::size_t max_fields = 32;

struct any_value {
  template <class T>
  operator T() const;  // NOLINT(google-explicit-constructor): never defined, never called
};

/// Converts to base classes of T only.
template <class T>
struct any_base {
  template <class B>
    requires(std::is_base_of_v<B, T> && !std::is_same_v<B, T>)
  operator B() const;  // NOLINT(google-explicit-constructor): never defined, never called
};

/// The base classes of an aggregate are initialised first.
template <class T>
concept aggregate_with_base = requires {
  T{any_base<T>{}};
};

template <class T, class Before, class After>
inline constexpr bool accepts = false;
template <class T, std::size_t... Before>
inline constexpr bool accepts<T, std::index_sequence<Before...>, void> = requires {
  T{(static_cast<void>(Before), any_value{})...};
};
/// So many values, one pair of braces, so many values.
template <class T, std::size_t... Before, std::size_t... After>
inline constexpr bool accepts<T, std::index_sequence<Before...>, std::index_sequence<After...>> = requires {
  T{(static_cast<void>(Before), any_value{})..., {}, (static_cast<void>(After), any_value{})...};
};
/// So many values, as many as wanted in braces, so many values.
template <class T, class Before, class Inside, class After>
inline constexpr bool accepts_inside = false;
template <class T, std::size_t... Before, std::size_t... Inside, std::size_t... After>
inline constexpr bool
    accepts_inside<T, std::index_sequence<Before...>, std::index_sequence<Inside...>, std::index_sequence<After...>> = requires {
  T{(static_cast<void>(Before), any_value{})...,
    {(static_cast<void>(Inside), any_value{})...},
    (static_cast<void>(After), any_value{})...};
};
template <class T, std::size_t Before, std::size_t Inside, std::size_t After>
inline constexpr bool accepts_filled =
    accepts_inside<T, std::make_index_sequence<Before>, std::make_index_sequence<Inside>, std::make_index_sequence<After>>;
template <class T, std::size_t N>
inline constexpr bool accepts_values = accepts<T, std::make_index_sequence<N>, void>;
template <class T, std::size_t Before, std::size_t After>
inline constexpr bool accepts_braces = accepts<T, std::make_index_sequence<Before>, std::make_index_sequence<After>>;

inline constexpr std::size_t uncountable = ~std::size_t{0};
inline constexpr std::size_t max_initialisers = 1024;

/// The largest N in [Low, High) that `Accepts` takes. REQUIRES: it takes Low, not High, and all that it takes lie together.
template <class Accepts, std::size_t Low, std::size_t High>
constexpr std::size_t largest() {
  if constexpr (High - Low == 1) return Low;
  else if constexpr (constexpr std::size_t middle = Low + (High - Low) / 2; Accepts::template taken<middle>)
    return largest<Accepts, middle, High>();
  else return largest<Accepts, Low, middle>();
}

template <class T>
struct by_values {
  template <std::size_t N>
  static constexpr bool taken = accepts_values<T, N>;
};
template <class T, std::size_t Before>
struct after_braces {
  template <std::size_t N>
  static constexpr bool taken = accepts_braces<T, Before, N>;
};

/// All initialisers that T can take. The least it needs may be more than none: members without default constructor.
template <class T, std::size_t Low = 0, std::size_t Step = 1>
constexpr std::size_t count_initialisers() {
  if constexpr (!accepts_values<T, Low>) {
    if constexpr (Low > max_fields) return uncountable;
    else return count_initialisers<T, Low + 1>();
  } else if constexpr (Low + Step > max_initialisers) {
    return uncountable;
  } else if constexpr (accepts_values<T, Low + Step>) {
    return count_initialisers<T, Low + Step, Step * 2>();
  } else {
    return largest<by_values<T>, Low, Low + Step>();
  }
}

/// The same with elements that have no default constructor, for which `{}` is nothing: braces with just so many values.
template <class T, std::size_t Total, std::size_t At, std::size_t Size = 2>
constexpr std::size_t filled_initialisers_at() {
  if constexpr (Size > max_fields || At + Size > Total) return 1;
  else if constexpr (accepts_filled<T, At, Size, Total - At - Size> && !accepts_filled<T, At, Size, Total - At - Size + 1>)
    return Size;
  else return filled_initialisers_at<T, Total, At, Size + 1>();
}

/// How many of the `Total` initialisers the member at initialiser `At` takes.
template <class T, std::size_t Total, std::size_t At, std::size_t Least = 0>
constexpr std::size_t initialisers_at() {
  if constexpr (accepts_braces<T, At, Total - At - 1>) return 1;  // after `{}` all others still find room
  else if constexpr (Least + At + 2 > Total) return filled_initialisers_at<T, Total, At>();
  else if constexpr (accepts_braces<T, At, Least>) return Total - At - largest<after_braces<T, At>, Least, Total - At - 1>();
  else return initialisers_at<T, Total, At, Least + 1>();
}

template <class T, std::size_t Total, std::size_t At = 0, std::size_t Fields = 0>
constexpr std::size_t count_members() {
  if constexpr (At >= Total) return Fields;
  else if constexpr (Fields > max_fields) return Fields;
  else return count_members<T, Total, At + initialisers_at<T, Total, At>(), Fields + 1>();
}

/// The number of members of the aggregate T; max_fields + 1 stands for more, `uncountable` for what cannot be initialised so.
template <class T>
constexpr std::size_t count_fields() {
  constexpr std::size_t total = count_initialisers<T>();
  if constexpr (total == uncountable) return uncountable;
  else return count_members<T, total>();
}

template <class T>
inline constexpr std::size_t fields_v = count_fields<T>();

// clang-format off
/// visit(first, second, ...) with references to the members. A bit-field cannot be referred to: the compiler names it.
template <class T, class Visit>
constexpr decltype(auto) visit_fields(T& object, Visit&& visit) {
  constexpr std::size_t fields = fields_v<std::remove_const_t<T>>;
  static_assert(fields <= max_fields);
  if constexpr (fields == 0) return visit();
  else if constexpr (fields == 1) { auto& [m1] = object; return visit(m1); }
  else if constexpr (fields == 2) { auto& [m1, m2] = object; return visit(m1, m2); }
  else if constexpr (fields == 3) { auto& [m1, m2, m3] = object; return visit(m1, m2, m3); }
  else if constexpr (fields == 4) { auto& [m1, m2, m3, m4] = object; return visit(m1, m2, m3, m4); }
  else if constexpr (fields == 5) { auto& [m1, m2, m3, m4, m5] = object; return visit(m1, m2, m3, m4, m5); }
  else if constexpr (fields == 6) { auto& [m1, m2, m3, m4, m5, m6] = object; return visit(m1, m2, m3, m4, m5, m6); }
  else if constexpr (fields == 7) { auto& [m1, m2, m3, m4, m5, m6, m7] = object; return visit(m1, m2, m3, m4, m5, m6, m7); }
  else if constexpr (fields == 8) { auto& [m1, m2, m3, m4, m5, m6, m7, m8] = object; return visit(m1, m2, m3, m4, m5, m6, m7, m8); }
  else if constexpr (fields == 9) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9);
  }
  else if constexpr (fields == 10) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10);
  }
  else if constexpr (fields == 11) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11);
  }
  else if constexpr (fields == 12) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12);
  }
  else if constexpr (fields == 13) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13);
  }
  else if constexpr (fields == 14) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14);
  }
  else if constexpr (fields == 15) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15);
  }
  else if constexpr (fields == 16) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16);
  }
  else if constexpr (fields == 17) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17);
  }
  else if constexpr (fields == 18) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18);
  }
  else if constexpr (fields == 19) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19);
  }
  else if constexpr (fields == 20) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20);
  }
  else if constexpr (fields == 21) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21);
  }
  else if constexpr (fields == 22) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22);
  }
  else if constexpr (fields == 23) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23);
  }
  else if constexpr (fields == 24) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24);
  }
  else if constexpr (fields == 25) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25] =
           object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24,
                 m25);
  }
  else if constexpr (fields == 26) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25, m26]
           = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25,
                 m26);
  }
  else if constexpr (fields == 27) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25, m26,
           m27] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25,
                 m26, m27);
  }
  else if constexpr (fields == 28) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25, m26,
           m27, m28] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25,
                 m26, m27, m28);
  }
  else if constexpr (fields == 29) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25, m26,
           m27, m28, m29] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25,
                 m26, m27, m28, m29);
  }
  else if constexpr (fields == 30) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25, m26,
           m27, m28, m29, m30] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25,
                 m26, m27, m28, m29, m30);
  }
  else if constexpr (fields == 31) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25, m26,
           m27, m28, m29, m30, m31] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25,
                 m26, m27, m28, m29, m30, m31);
  }
  else if constexpr (fields == 32) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25, m26,
           m27, m28, m29, m30, m31, m32] = object;
    return visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23, m24, m25,
                 m26, m27, m28, m29, m30, m31, m32);
  }
}
// clang-format on

}  // namespace cloister::detail
