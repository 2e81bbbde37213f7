// SPDX-License-Identifier: BSD-3-Clause
// How a function, captureless lambda or callable object plus arguments becomes bytes, and runs from them in another process.
//
// The body's parameter types decide what is encoded: "bob" for a `std::string` parameter travels as a string, a queue for a
// `source` parameter as a source. Code is named by the offset of `run_body<...>` in its module; a plain function adds its own.
#pragma once

#include <cloister/detail/membership.hpp>
#include <cloister/wire.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace cloister {
class node;
}

namespace cloister::detail {

/// What an entry point gets: the encoded arguments, and this process's own node.
struct body_context {
  decoder& arguments;
  node& here;  // not const: a body may spell its first parameter `node&`
};
using entry_point = void (*)(body_context&);

/// The place of `code` in this program's image. Throws `failure{invalid}` if it lies in no loaded module.
code_ref locate_code(const void* code);
/// The other way round, in a process of the same program. Throws `failure{not_started}` if that module is not here or is another build.
const void* find_code(const code_ref& ref);

template <class F>
struct signature {};  // nothing: a generic callable, whose parameters are the arguments' own types
template <class R, class... P>
struct signature<R (*)(P...)> {
  using parameters = type_list<P...>;
};
template <class R, class... P>
struct signature<R (*)(P...) noexcept> {
  using parameters = type_list<P...>;
};
template <class R, class C, class... P>
struct signature<R (C::*)(P...)> {
  using parameters = type_list<P...>;
};
template <class R, class C, class... P>
struct signature<R (C::*)(P...) const> {
  using parameters = type_list<P...>;
};
template <class R, class C, class... P>
struct signature<R (C::*)(P...) noexcept> {
  using parameters = type_list<P...>;
};
template <class R, class C, class... P>
struct signature<R (C::*)(P...) const noexcept> {
  using parameters = type_list<P...>;
};

template <class F>
concept plain_function = std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>;
template <class F>
concept has_one_call_operator = requires {
  &F::operator();
};

template <class F, class... Args>
auto parameters_of() {
  if constexpr (plain_function<F>) return typename signature<F>::parameters{};
  else if constexpr (has_one_call_operator<F>) return typename signature<decltype(&F::operator())>::parameters{};
  else return type_list<std::decay_t<Args>...>{};
}

template <class P>
inline constexpr bool is_node = std::is_same_v<std::remove_cvref_t<P>, node>;

/// What is kept of a parameter while it travels: itself without reference; text for a view.
template <class P>
struct travelling {
  using type = std::remove_cvref_t<P>;
};
template <class P>
  requires std::is_same_v<std::remove_cvref_t<P>, std::string_view>
struct travelling<P> {
  using type = std::string;
};
template <class P>
using travelling_t = typename travelling<P>::type;

template <class P>
constexpr void check_parameter() {
  static_assert(!(std::is_lvalue_reference_v<P> && !std::is_const_v<std::remove_reference_t<P>>),
                "cloister: a body that runs in another process cannot take a non-const reference: nothing is shared. "
                "Take the value, and send the result back through a queue or a pipe. (Only a leading `node&` is special.)");
  static_assert(!std::is_pointer_v<std::remove_cvref_t<P>>,
                "cloister: a pointer means nothing in another process. Take std::string instead of const char*, and values or "
                "handles (queue, source, sink, pipe_end) instead of other pointers.");
}

template <class F>
constexpr void check_body() {
  if constexpr (!plain_function<F>) {
    static_assert(std::is_empty_v<F> || std::is_aggregate_v<F>,
                  "cloister: a lambda with captures cannot travel: what it captured belongs to this process. Pass the captured "
                  "values as arguments, make the body an aggregate with operator(), or use process::fork for a closure.");
    static_assert(!std::is_empty_v<F> || std::is_default_constructible_v<F>,
                  "cloister: an empty callable must be default constructible to be made again in another process.");
  }
}

template <class F, class... Stored>
using encoded_body = std::tuple<F, Stored...>;

template <class F>
void put_body(encoder& out, const F& body) {
  if constexpr (plain_function<F>) out.value(locate_code(reinterpret_cast<const void*>(body)));
  else if constexpr (!std::is_empty_v<F>) out.value(body);
}
template <class F>
F decode_body(decoder& in) {
  if constexpr (plain_function<F>) return reinterpret_cast<F>(const_cast<void*>(find_code(in.value<code_ref>())));
  else if constexpr (std::is_empty_v<F>) return F{};
  else return in.value<F>();
}

template <class P, class S>
decltype(auto) pass(S& stored) {
  if constexpr (std::is_lvalue_reference_v<P>) return std::as_const(stored);
  else return std::move(stored);
}

/// The entry point of one kind of body: decodes callable and arguments, then calls.
template <class F, bool WithNode, class... P>
void run_body(body_context& context) {
  F body = decode_body<F>(context.arguments);
  std::tuple<travelling_t<P>...> stored{context.arguments.value<travelling_t<P>>()...};  // braces: left to right
  context.arguments.finish();
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    if constexpr (WithNode) static_cast<void>(std::move(body)(context.here, pass<P>(std::get<I>(stored))...));
    else static_cast<void>(std::move(body)(pass<P>(std::get<I>(stored))...));
  }
  (std::index_sequence_for<P...>{});
}

template <class F, bool WithNode, class... P, class... Args>
void encode_body(start_request& request, F body, type_list<P...>, Args&&... args) {
  static_assert(sizeof...(P) == sizeof...(Args), "cloister: the number of arguments is not that of the body's parameters.");
  (check_parameter<P>(), ...);
  start_handles handles(request);
  encoder out(&handles);
  put_body(out, body);
  if constexpr (sizeof...(P) == sizeof...(Args)) {
    // The converted values live until all are encoded: handles made by conversion are held by the request from then on.
    std::tuple<travelling_t<P>...> stored(travelling_t<P>(std::forward<Args>(args))...);
    std::apply([&](const auto&... value) { (out.value(value), ...); }, stored);
  }
  const auto bytes = out.bytes();
  request.block.arguments.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  request.block.entry = locate_code(reinterpret_cast<const void*>(&run_body<F, WithNode, P...>));
}

/// Fills `request` with the body and its arguments.
template <class F, class... Args>
void encode_start(start_request& request, F&& body, Args&&... args) {
  using body_type = std::decay_t<F>;
  check_body<body_type>();
  const auto with = []<class P0, class... P>(type_list<P0, P...>) {
    if constexpr (is_node<P0>) return std::pair<std::true_type, type_list<P...>>{};
    else return std::pair<std::false_type, type_list<P0, P...>>{};
  };
  using parameters = decltype(parameters_of<body_type, Args...>());
  if constexpr (std::is_same_v<parameters, type_list<>>) {
    encode_body<body_type, false>(request, std::forward<F>(body), parameters{}, std::forward<Args>(args)...);
  } else {
    using split = decltype(with(parameters{}));
    encode_body<body_type, split::first_type::value>(request, std::forward<F>(body), typename split::second_type{},
                                                     std::forward<Args>(args)...);
  }
}

}  // namespace cloister::detail
