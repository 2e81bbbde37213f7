// SPDX-License-Identifier: BSD-3-Clause
// Which of an actor's `on` overloads a message goes to, and what comes back. Compile time, but for the table of handlers: each that some
// call in the program needs enters itself while static objects are constructed. A letter names its message by type, never by an address.
#pragma once

#include <cloister/detail/actor_core.hpp>
#include <cloister/fault.hpp>
#include <cloister/wire.hpp>

#include <concepts>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace cloister {

class self;
template <class R>
class reply;

namespace detail {

template <class T, class M>
concept handles_with_self = requires(T& actor, self& me, M message) {
  actor.on(me, std::move(message));
};
template <class T, class M>
concept handles_alone = requires(T& actor, M message) {
  actor.on(std::move(message));
};
template <class T, class M>
concept handles = handles_with_self<T, M> || handles_alone<T, M>;

template <class T, class M>
decltype(auto) call_handler(T& actor, self& me, M message) {
  if constexpr (handles_with_self<T, M>) return actor.on(me, std::move(message));
  else return actor.on(std::move(message));
}

/// That `on` takes its message by reference, and replies later: a coroutine would find it gone.
template <class T, class M, class R>
concept borrows_for_later = requires {
  static_cast<R (T::*)(const M&)>(&T::on);
}
|| requires { static_cast<R (T::*)(const M&) const>(&T::on); }
|| requires { static_cast<R (T::*)(self&, const M&)>(&T::on); }
|| requires { static_cast<R (T::*)(self&, const M&) const>(&T::on); }
|| requires { static_cast<R (T::*)(M &&)>(&T::on); }
|| requires { static_cast<R (T::*)(self&, M &&)>(&T::on); };

template <class R>
struct reply_value {
  using type = std::remove_cvref_t<R>;
  static constexpr bool later = false;
};
template <class R>
struct reply_value<reply<R>> {
  using type = R;
  static constexpr bool later = true;
};
template <class T, class M>
using handler_result = decltype(call_handler(std::declval<T&>(), std::declval<self&>(), std::declval<M>()));
/// What asking an actor of type T with an M gives.
template <class T, class M>
using answer_of = typename reply_value<handler_result<T, M>>::type;

template <class T>
handler_table& handlers_of() {
  static handler_table table;
  return table;
}

template <class M>
std::uint64_t key_of() {
  static const std::uint64_t key = number_of_name(typeid(M).name());
  return key;
}

/// The actor's object and its self, as handlers get them.
template <class T>
struct actor_instance {
  T& object;
  self& me;
};

template <class T, class M>
void run_handler(void* actor, actor_core& core, letter& l) {
  auto& [object, me] = *static_cast<actor_instance<T>*>(actor);
  auto message = l.rest.value<M>();
  l.rest.finish();
  l.message.deliver();
  fault_point("handle", 1);
  const reply_address to =
      l.head.kind == letter_kind::ask ? reply_address{l.head.reply_to, l.head.ticket, l.head.until} : reply_address{};
  try {
    using traits = reply_value<handler_result<T, M>>;
    if constexpr (traits::later) {
      call_handler<T, M>(object, me, std::move(message)).bind(core, to);
    } else if constexpr (std::is_void_v<typename traits::type>) {
      call_handler<T, M>(object, me, std::move(message));
      if (to.lane != 0) core.reply(to, [](encoder&) {});
    } else {
      const auto value = call_handler<T, M>(object, me, std::move(message));
      if (to.lane != 0) core.reply(to, [&](encoder& out) { out.value(value); });
    }
  } catch (...) { core.failed(to); }
}

template <class T, class M>
struct handler_entry {
  static inline const bool entered = [] {
    handlers_of<T>().add({key_of<M>(), &run_handler<T, M>, read_once<M>});
    return true;
  }();
};

/// What every sender of an M to an actor of type T goes through.
template <class T, class M>
std::uint64_t enter_handler() {
  static_assert(handles<T, M>, "cloister: this actor has no `on` that takes such a message.");
  static_assert(travels<M>, "cloister: a message to an actor travels: its type must, too.");
  if constexpr (reply_value<handler_result<T, M>>::later)
    static_assert(!borrows_for_later<T, M, handler_result<T, M>>,
                  "cloister: an `on` that replies later takes its message by value: it is gone when a coroutine goes on.");
  static_cast<void>(handler_entry<T, M>::entered);
  return key_of<M>();
}

/// Names an actor's interface: the text of its type.
template <class T>
constexpr std::uint64_t interface_of() {
  return number_of_name(type_name<T>);
}

}  // namespace detail
}  // namespace cloister
