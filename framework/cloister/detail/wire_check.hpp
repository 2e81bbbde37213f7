// SPDX-License-Identifier: BSD-3-Clause
// Which types travel, and what the compiler says of the others.
//
// The sentence is the text of a static_assert; the types stand in the line "instantiation of cannot_travel<flaw, type, message>".
#pragma once

#include <cloister/detail/wire_parts.hpp>

#include <type_traits>

namespace cloister::detail {

template <flaw F, class Culprit>
struct finding {
  static constexpr flaw what = F;
  using culprit = Culprit;
};
using no_flaw = finding<flaw::none, void>;

template <class T, bool Receive, class... Open>
constexpr auto find_flaw();

template <bool Receive, class... Open>
constexpr auto find_in(type_list<>, type_list<Open...>) {
  return no_flaw{};
}
template <bool Receive, class... Open, class T, class... More>
constexpr auto find_in(type_list<T, More...>, type_list<Open...> open) {
  using found = decltype(find_flaw<T, Receive, Open...>());
  if constexpr (found::what != flaw::none) return found{};
  else return find_in<Receive>(type_list<More...>{}, open);
}

/// The first thing in T that keeps it from travelling. `Open` are the structs that T is in: a recursive type is looked at once.
template <class T, bool Receive, class... Open>
constexpr auto find_flaw() {
  if constexpr ((std::is_same_v<T, Open> || ...)) return no_flaw{};
  else if constexpr (flaw_v<T> != flaw::none) return finding<flaw_v<T>, T>{};
  else if constexpr (Receive && view<T>) return finding<flaw::only_a_view, T>{};
  else if constexpr (kind_v<T> == kind::aggregate || kind_v<T> == kind::travel)
    return find_in<Receive>(parts_t<T>{}, type_list<T, Open...>{});
  else return find_in<Receive>(parts_t<T>{}, type_list<Open...>{});
}
template <class T, bool Receive>
constexpr auto find_first_flaw() {
  if constexpr (std::is_array_v<T>) return finding<flaw::bare_array, T>{};
  else return find_flaw<T, Receive>();
}

template <class T, bool Receive>
using flaw_in = decltype(find_first_flaw<std::remove_const_t<T>, Receive>());

template <class T>
concept sends = flaw_in<T, false>::what == flaw::none;
template <class T>
concept receives = flaw_in<T, true>::what == flaw::none;

/// `Culprit`, which is or is inside `Message`, cannot travel.
template <flaw F, class Culprit, class Message>
struct cannot_travel {
  static_assert(F != flaw::reference,
                "cloister: a reference cannot travel: nothing is shared between processes. Hold the value itself.");
  static_assert(F != flaw::pointer,
                "cloister: a pointer cannot travel: it means nothing in another process. Hold std::string instead of const "
                "char*, std::unique_ptr or std::optional for what may be missing, and values or handles (queue, source, sink, "
                "pipe_end) else.");
  static_assert(F != flaw::function_pointer,
                "cloister: a pointer to a function cannot travel in a message: its address differs between processes. Send a "
                "function object without state, or an enum that names the function.");
  static_assert(F != flaw::member_pointer, "cloister: a pointer to a member cannot travel. Send an enum that names the member.");
  static_assert(F != flaw::volatile_object, "cloister: a volatile object cannot travel. Take the volatile away, or send a copy.");
  static_assert(F != flaw::union_type, "cloister: a union cannot travel: nobody knows which member is alive. Use std::variant.");
  static_assert(F != flaw::loose_enum,
                "cloister: an enum without a fixed underlying type cannot travel: not all its bytes are values. Write `enum name"
                " : int`.");
  static_assert(F != flaw::closure,
                "cloister: a lambda with captures cannot travel: what it captured belongs to this process. Send the captured "
                "values, as arguments or in a struct with operator().");
  static_assert(F != flaw::polymorphic,
                "cloister: a class with virtual functions cannot travel. Send a struct of its values, or a std::variant of such "
                "structs.");
  static_assert(F != flaw::base_class,
                "cloister: a struct with a base class cannot travel: its members cannot be listed. Make the base a member, or "
                "write `auto travel() { return std::tie(members...); }`.");
  static_assert(F != flaw::unlistable,
                "cloister: the members of this struct cannot be listed: one is a reference, or cannot be initialised by itself. "
                "Hold values, or write `auto travel() { return std::tie(members...); }`.");
  static_assert(F != flaw::too_many_members,
                "cloister: a struct of more than 32 members cannot travel as it is. Put some of them into a struct of their own,"
                " or write `auto travel() { return std::tie(members...); }`.");
  static_assert(F != flaw::array_member,
                "cloister: a struct with a C array travels only if it can be default constructed and assigned. Use std::array.");
  static_assert(F != flaw::private_members,
                "cloister: a class with private members or constructors travels only if it says how: write the member function "
                "`auto travel() { return std::tie(members...); }`, or specialise cloister::codec for it.");
  static_assert(F != flaw::inherited_travel,
                "cloister: this class inherits travel(), which forgets what the class adds. Give it a travel() of its own.");
  static_assert(F != flaw::no_default,
                "cloister: a class with travel() must be default constructible: the receiver makes one and fills it. Add a "
                "default constructor, or specialise cloister::codec for it.");
  static_assert(F != flaw::immovable, "cloister: an object that can be neither moved nor copied cannot travel.");
  static_assert(F != flaw::shared_pointer,
                "cloister: std::shared_ptr and std::weak_ptr cannot travel: nothing is shared between processes. Use "
                "std::unique_ptr for a copy of the object, or a handle to something that is shared.");
  static_assert(F != flaw::unique_array,
                "cloister: a std::unique_ptr to an array cannot travel: it does not know its length. Use std::vector.");
  static_assert(F != flaw::unique_deleter, "cloister: a std::unique_ptr with a deleter of its own cannot travel.");
  static_assert(F != flaw::unique_polymorphic,
                "cloister: a std::unique_ptr to a class with virtual functions cannot travel: the object may be of a derived "
                "class. Use std::variant.");
  static_assert(F != flaw::too_many_alternatives, "cloister: a std::variant of more than 255 alternatives cannot travel.");
  static_assert(F != flaw::standard_class,
                "cloister: this class of the standard library cannot travel. Send what it holds: numbers, strings, containers, "
                "std::optional, std::variant, std::chrono times, paths.");
  static_assert(F != flaw::unknown, "cloister: this type cannot travel. Send its value as another type.");
  static_assert(F != flaw::bare_array,
                "cloister: a C array cannot travel by itself, only as a member. Use std::array, or std::string for text.");
  static_assert(F != flaw::only_a_view,
                "cloister: a std::string_view or std::span can be written but not received: it owns nothing. Receive a "
                "std::string, a std::vector or a std::array.");
};

/// A compile error with a sentence unless a T can be written (and, if `Receive`, read).
template <class T, bool Receive = true>
constexpr void must_travel() {
  using found = flaw_in<T, Receive>;
  if constexpr (found::what != flaw::none) static_cast<void>(sizeof(cannot_travel<found::what, typename found::culprit, T>));
}

}  // namespace cloister::detail
