// SPDX-License-Identifier: BSD-3-Clause
// What a type is made of: the types of its parts, a call with all of them, a value put together from them; and why it has none.
#pragma once

#include <cloister/detail/wire_fields.hpp>
#include <cloister/detail/wire_kind.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace cloister::detail {

/// Why a type cannot travel, apart from what it contains. wire_check.hpp has the sentences.
enum class flaw : std::uint8_t {
  none,
  reference,
  pointer,
  function_pointer,
  member_pointer,
  volatile_object,
  union_type,
  loose_enum,
  closure,
  polymorphic,
  base_class,
  unlistable,
  too_many_members,
  array_member,
  private_members,
  inherited_travel,
  no_default,
  immovable,
  shared_pointer,
  unique_array,
  unique_deleter,
  unique_polymorphic,
  too_many_alternatives,
  standard_class,
  unknown,
  bare_array,   // told by find_first_flaw
  only_a_view,  // told by find_flaw
};

struct type_collector {
  template <class... T>
  constexpr type_list<std::remove_const_t<T>...> operator()(T&...) const {
    return {};
  }
};

template <class T>
struct aggregate_parts {
  using type = decltype(visit_fields(std::declval<T&>(), type_collector{}));
};

template <class... T>
constexpr bool any_c_array(type_list<T...>) {
  return (std::is_array_v<T> || ...);
}

template <class T>
constexpr flaw flaw_of_aggregate() {
  if constexpr (std::is_polymorphic_v<T>) return flaw::polymorphic;
  else if constexpr (aggregate_with_base<T>) return flaw::base_class;
  else if constexpr (fields_v<T> == uncountable) return flaw::unlistable;
  else if constexpr (fields_v<T> > max_fields) return flaw::too_many_members;
  else if constexpr (std::is_default_constructible_v<T> && std::is_move_assignable_v<T>) return flaw::none;
  else return any_c_array(typename aggregate_parts<T>::type{}) ? flaw::array_member : flaw::none;
}

template <class E, class D>
constexpr flaw flaw_of_unique(const std::unique_ptr<E, D>*) {
  if constexpr (std::is_array_v<E>) return flaw::unique_array;
  else if constexpr (!std::is_same_v<D, std::default_delete<E>>) return flaw::unique_deleter;
  else if constexpr (std::is_polymorphic_v<E> && !std::is_final_v<E>) return flaw::unique_polymorphic;
  else return flaw::none;
}

/// For the choice of a sentence only.
constexpr bool looks_like_closure(std::string_view name) {
  return name.find("<lambda") != std::string_view::npos || name.find("(lambda") != std::string_view::npos;
}

template <class T>
constexpr flaw flaw_of_class() {
  constexpr kind k = kind_v<T>;
  if constexpr (std::is_union_v<T>) return flaw::union_type;
  else if constexpr (says_travel<T> && !has_travel<T>) return flaw::inherited_travel;
  else if constexpr ((k == kind::travel || k == kind::aggregate) && !std::is_move_constructible_v<T>) return flaw::immovable;
  else if constexpr (k == kind::travel) return std::is_default_constructible_v<T> ? flaw::none : flaw::no_default;
  else if constexpr (k == kind::pointer) return flaw_of_unique(static_cast<const T*>(nullptr));
  else if constexpr (k == kind::aggregate) return flaw_of_aggregate<T>();
  else if constexpr (k == kind::variant) return std::variant_size_v<T> > 255 ? flaw::too_many_alternatives : flaw::none;
  else if constexpr (k != kind::none) return flaw::none;
  else if constexpr (is_instance<T, std::shared_ptr> || is_instance<T, std::weak_ptr>) return flaw::shared_pointer;
  else if constexpr (looks_like_closure(type_name<T>)) return flaw::closure;
  else if constexpr (std_class<T>) return flaw::standard_class;
  else if constexpr (std::is_polymorphic_v<T>) return flaw::polymorphic;
  else return flaw::private_members;
}

template <class T>
constexpr flaw flaw_of() {
  if constexpr (std::is_reference_v<T> || std::is_void_v<T> || std::is_function_v<T>) return flaw::reference;
  else if constexpr (std::is_volatile_v<T>) return flaw::volatile_object;
  else if constexpr (kind_v<T> == kind::coded) return std::is_move_constructible_v<T> ? flaw::none : flaw::immovable;
  else if constexpr (std::is_pointer_v<T> && std::is_function_v<std::remove_pointer_t<T>>) return flaw::function_pointer;
  else if constexpr (std::is_pointer_v<T> || std::is_null_pointer_v<T>) return flaw::pointer;
  else if constexpr (std::is_member_pointer_v<T>) return flaw::member_pointer;
  else if constexpr (std::is_enum_v<T>) return fixed_enum<T> ? flaw::none : flaw::loose_enum;
  else if constexpr (std::is_class_v<T> || std::is_union_v<T>) return flaw_of_class<T>();
  else return kind_v<T> != kind::none ? flaw::none : flaw::unknown;
}

template <class T>
inline constexpr flaw flaw_v = flaw_of<T>();

// The types of the parts, without const.

template <class T, kind K = kind_v<T>>
struct parts_of {
  using type = type_list<>;
};
template <class T>
using parts_t = typename parts_of<T>::type;

template <class T>
  requires(flaw_v<T> == flaw::none)
struct parts_of<T, kind::aggregate> : aggregate_parts<T> {};

template <class T>
struct arguments_of;
template <template <class...> class C, class... A>
struct arguments_of<C<A...>> {
  using type = type_list<std::remove_const_t<A>...>;
};
template <class T>
struct parts_of<T, kind::pair> : arguments_of<T> {};
template <class T>
struct parts_of<T, kind::tuple> : arguments_of<T> {};
template <class T>
struct parts_of<T, kind::variant> : arguments_of<T> {};

template <class T>
struct tied_parts;
template <class... F>
struct tied_parts<std::tuple<F&...>> {
  using type = type_list<std::remove_const_t<F>...>;
};
template <class T>
struct parts_of<T, kind::travel> : tied_parts<decltype(travel_access::fields(std::declval<T&>()))> {};

template <class T>
struct element_part {
  using type = type_list<element_t<T>>;
};
template <class T>
struct parts_of<T, kind::array> : element_part<T> {};
template <class T>
struct parts_of<T, kind::sequence> : element_part<T> {};
template <class T>
struct parts_of<T, kind::optional> : element_part<T> {};
template <class T>
struct parts_of<T, kind::set> : element_part<T> {};
template <class T>
struct parts_of<T, kind::multiset> : element_part<T> {};
template <class T>
struct parts_of<T, kind::pointer> {
  using type = type_list<std::remove_const_t<typename T::element_type>>;
};
template <class T>
struct parts_of<T, kind::map> {
  using type = type_list<typename T::key_type, typename T::mapped_type>;
};
template <class T>
struct parts_of<T, kind::multimap> : parts_of<T, kind::map> {};

/// visit(part...) with the parts that are always there: members, elements of a pair or tuple.
template <class T, class Visit>
decltype(auto) visit_parts(const T& object, Visit&& visit) {
  if constexpr (kind_v<T> == kind::pair) return visit(object.first, object.second);
  else if constexpr (kind_v<T> == kind::tuple) return std::apply(std::forward<Visit>(visit), object);
  else if constexpr (kind_v<T> == kind::travel)  // travel() only says where the members are
    return std::apply([&](const auto&... member) -> decltype(auto) { return visit(member...); },
                      travel_access::fields(const_cast<T&>(object)));
  else return visit_fields(object, std::forward<Visit>(visit));
}

template <class T, class Next>
void fill(T& into, Next& next) {
  if constexpr (std::is_array_v<T>) {
    for (auto& e : into) fill(e, next);
  } else {
    into = next(std::type_identity<T>{});
  }
}

template <class T, class Next, class... P>
T assemble_parts(Next& next, type_list<P...>) {
  return T{next(std::type_identity<P>{})...};  // in order: these are braces
}
template <class T, class Next, std::size_t... I>
T assemble_elements(Next& next, std::index_sequence<I...>) {
  return T{{(static_cast<void>(I), next(std::type_identity<element_t<T>>{}))...}};
}

/// A T from its parts, each made by next(std::type_identity<part>{}) in order.
template <class T, class Next>
T assemble(Next& next) {
  if constexpr (kind_v<T> == kind::array) {
    if constexpr (extent_of < T >> 16 && std::is_default_constructible_v<T> && std::is_move_assignable_v<T>) {
      T v{};
      for (auto& e : v) fill(e, next);
      return v;
    } else {
      return assemble_elements<T>(next, std::make_index_sequence<extent_of<T>>{});
    }
  } else if constexpr (kind_v<T> == kind::travel) {
    T v{};
    std::apply([&](auto&... member) { (fill(member, next), ...); }, travel_access::fields(v));
    return v;
  } else if constexpr (any_c_array(parts_t<T>{})) {
    T v{};
    visit_fields(v, [&](auto&... member) { (fill(member, next), ...); });
    return v;
  } else {
    return assemble_parts<T>(next, parts_t<T>{});
  }
}

}  // namespace cloister::detail
