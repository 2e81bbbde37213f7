// SPDX-License-Identifier: BSD-3-Clause
// How a function becomes a task in another process. A letter names its code by a number that only functions which some call in the program
// made a task of have (they enter themselves while static objects are constructed), never by an address. A plain function is besides the
// n-th of those that the pool's owner has given, in a table that nobody else can write.
#pragma once

#include <cloister/detail/actor_core.hpp>
#include <cloister/detail/body.hpp>
#include <cloister/error.hpp>
#include <cloister/wire.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cloister::detail {

/// What a pool's initializer has made in this worker.
struct worker_state {
  std::shared_ptr<void> object;
  std::uint64_t type = 0;
};

/// Takes one item's value, while it lives. Throws `failure` if that has no encoding.
struct result_sink {
  virtual void accept(const void* value, void (*encode)(encoder&, const void*)) = 0;

 protected:
  ~result_sink() = default;
};

enum class task_stage { decoding, running, answering };
struct task_surroundings {
  node& here;
  const worker_state& state;
  result_sink& result;
  task_stage stage = task_stage::decoding;
};

/// The owner's plain functions, as a worker finds them. Throws `failure{undecodable}`.
struct function_source {
  virtual const void* function(std::uint32_t index) = 0;

 protected:
  ~function_source() = default;
};

/// A function with what its items have in common.
class task_body {
 public:
  virtual ~task_body() = default;
  /// Decodes the arguments of one item, runs it, and hands its value over.
  virtual void run(decoder& item, task_surroundings& with) = 0;
};
using make_task = std::unique_ptr<task_body> (*)(decoder& in, function_source& functions);
using make_state = worker_state (*)(decoder& in, node& here);

/// On the list of all code that a letter or a start may name so. Static objects only.
class named_code {
 public:
  template <class Function>
  explicit named_code(Function* code, bool reads_once = false) noexcept
      : code_(reinterpret_cast<const void*>(code)), reads_once_(reads_once), next_(first_) {
    first_ = this;
  }
  named_code(const named_code&) = delete;
  named_code& operator=(const named_code&) = delete;

  /// The same in every process of this program, and never 0. Any thread.
  std::uint64_t number() const;
  /// Throws `failure{undecodable}` if there is none.
  static const named_code& find(std::uint64_t number);
  template <class Function>
  Function as() const noexcept {
    return reinterpret_cast<Function>(const_cast<void*>(code_));
  }
  /// What it decodes may lie in shared memory.
  bool reads_once() const noexcept { return reads_once_; }

 private:
  const void* const code_;
  const bool reads_once_;
  const named_code* const next_;
  mutable std::atomic<std::uint64_t> number_{0};
  static inline constinit const named_code* first_ = nullptr;
};

// ---- a function's parameters ------------------------------------------------------------------------------------------

template <class P>
inline constexpr bool is_state = std::is_lvalue_reference_v<P> && !std::is_const_v<std::remove_reference_t<P>> && !is_node<P>;

/// Parameters: perhaps a node&, perhaps a State&, then those that are encoded.
template <bool Node, class State, class Rest>
struct task_parameters {};
template <bool Node, class... P>
constexpr auto without_state(type_list<P...>) {
  return task_parameters<Node, void, type_list<P...>>{};
}
template <bool Node, class P0, class... P>
  requires is_state<P0>
constexpr auto without_state(type_list<P0, P...>) { return task_parameters<Node, std::remove_reference_t<P0>, type_list<P...>>{}; }
template <class... P>
constexpr auto split_parameters(type_list<P...> all) {
  return without_state<false>(all);
}
template <class P0, class... P>
  requires is_node<P0>
constexpr auto split_parameters(type_list<P0, P...>) { return without_state<true>(type_list<P...>{}); }

template <std::size_t N, class Taken, class Rest>
struct first_of {
  using first = Taken;
  using rest = Rest;
};
template <std::size_t N, class... T, class P0, class... P>
  requires(N > 0)
struct first_of<N, type_list<T...>, type_list<P0, P...>> : first_of<N - 1, type_list<T..., P0>, type_list<P...>> {};

template <class P, class S>
decltype(auto) pass_copy(const S& stored) {
  if constexpr (std::is_lvalue_reference_v<P>) return stored;
  else return S(stored);
}

template <class F>
F decode_task_function(decoder& in, function_source& functions) {
  if constexpr (plain_function<F>) return reinterpret_cast<F>(const_cast<void*>(functions.function(in.value<std::uint32_t>())));
  else if constexpr (std::is_empty_v<F>) return F{};
  else return in.value<F>();
}

template <class F, class Split, class Item, class Fixed>
class task_of;
template <class F, bool Node, class State, class All, class... Item, class... Fixed>
class task_of<F, task_parameters<Node, State, All>, type_list<Item...>, type_list<Fixed...>> final : public task_body {
 public:
  static std::unique_ptr<task_body> make(decoder& in, function_source& functions) {
    return std::make_unique<task_of>(in, functions);
  }
  static constexpr bool reads_once =
      (plain_function<F> || std::is_empty_v<F> || read_once<F>)&&(read_once<travelling_t<Item>> && ...) &&
      (read_once<travelling_t<Fixed>> && ...);
  static inline const named_code entry{&make, reads_once};

  task_of(decoder& in, function_source& functions)
      : function_(decode_task_function<F>(in, functions)), fixed_{in.value<travelling_t<Fixed>>()...} {}

  static auto call(F& f, node& here, [[maybe_unused]] void* state, std::tuple<travelling_t<Item>...>& item,
                   [[maybe_unused]] const std::tuple<travelling_t<Fixed>...>& fixed) -> decltype(auto) {
    return [&]<std::size_t... I, std::size_t... J>(std::index_sequence<I...>, std::index_sequence<J...>)->decltype(auto) {
      if constexpr (Node && !std::is_void_v<State>)
        return f(here, *static_cast<State*>(state), pass<Item>(std::get<I>(item))..., pass_copy<Fixed>(std::get<J>(fixed))...);
      else if constexpr (Node) return f(here, pass<Item>(std::get<I>(item))..., pass_copy<Fixed>(std::get<J>(fixed))...);
      else if constexpr (!std::is_void_v<State>)
        return f(*static_cast<State*>(state), pass<Item>(std::get<I>(item))..., pass_copy<Fixed>(std::get<J>(fixed))...);
      else return f(pass<Item>(std::get<I>(item))..., pass_copy<Fixed>(std::get<J>(fixed))...);
    }
    (std::index_sequence_for<Item...>{}, std::index_sequence_for<Fixed...>{});
  }
  using value_type = std::decay_t<decltype(call(std::declval<F&>(), std::declval<node&>(), nullptr,
                                                std::declval<std::tuple<travelling_t<Item>...>&>(),
                                                std::declval<const std::tuple<travelling_t<Fixed>...>&>()))>;

  void run(decoder& in, task_surroundings& with) override {
    if constexpr (!std::is_void_v<State>) {
      if (with.state.type != number_of_name(type_name<State>))
        throw failure(errc::invalid,
                      "the task wants a '" + readable(type_name<State>) + "', which this pool's initializer does not make");
    }
    std::tuple<travelling_t<Item>...> item{in.value<travelling_t<Item>>()...};  // braces: left to right
    in.finish();
    with.stage = task_stage::running;
    if constexpr (std::is_void_v<value_type>) {
      call(function_, with.here, with.state.object.get(), item, fixed_);
      with.stage = task_stage::answering;
      with.result.accept(nullptr, [](encoder&, const void*) {});
    } else {
      const value_type value = call(function_, with.here, with.state.object.get(), item, fixed_);
      with.stage = task_stage::answering;
      with.result.accept(&value, [](encoder& out, const void* v) { out.value(*static_cast<const value_type*>(v)); });
    }
  }

 private:
  F function_;
  const std::tuple<travelling_t<Fixed>...> fixed_;
};

/// Everything about a function F that is called with an item of those types and these arguments, the same for all.
template <class F, class ItemArgs, class FixedArgs>
struct task_shape;
template <class F, class... ItemArgs, class... FixedArgs>
struct task_shape<F, type_list<ItemArgs...>, type_list<FixedArgs...>> {
  using split = decltype(split_parameters(parameters_of<F, ItemArgs..., FixedArgs...>()));
  template <bool Node, class State, class... P>
  static auto parts_of(task_parameters<Node, State, type_list<P...>>) {
    (check_parameter<P>(), ...);
    static_assert(sizeof...(P) == sizeof...(ItemArgs) + sizeof...(FixedArgs),
                  "cloister: the number of arguments is not that of the task's parameters.");
    return first_of<sizeof...(ItemArgs), type_list<>, type_list<P...>>{};
  }
  using parts = decltype(parts_of(split{}));
  using item = typename parts::first;
  using fixed = typename parts::rest;
  using body = task_of<F, split, item, fixed>;
  using value_type = typename body::value_type;
  static_assert(std::is_void_v<value_type> || travels<value_type>, "cloister: what a task returns travels: its type must, too.");
};

/// Encodes `arg` as a parameter P.
template <class P, class A>
void put_as(encoder& out, const A& arg) {
  if constexpr (std::is_same_v<A, travelling_t<P>>) out.value(arg);
  else {
    const encoder::copying all(out);
    out.value(travelling_t<P>(arg));
  }
}
template <class... P, class... A>
void put_all_as(encoder& out, type_list<P...>, const A&... args) {
  (put_as<P>(out, args), ...);
}

// ---- the initializer ----------------------------------------------------------------------------------------------------

template <class F, bool Node, class... P>
struct initializer_of {
  static worker_state make(decoder& in, node& here) {
    F f = decode_body<F>(in);
    std::tuple<travelling_t<P>...> stored{in.value<travelling_t<P>>()...};
    const auto call = [&]<std::size_t... I>(std::index_sequence<I...>)->decltype(auto) {
      if constexpr (Node) return f(here, pass<P>(std::get<I>(stored))...);
      else return f(pass<P>(std::get<I>(stored))...);
    };
    using made = std::decay_t<decltype(call(std::index_sequence_for<P...>{}))>;
    if constexpr (std::is_void_v<made>) {
      call(std::index_sequence_for<P...>{});
      return {};
    } else {
      // Constructed in place: it may be neither copied nor moved.
      struct holder {
        made object;
      };
      auto held = std::shared_ptr<holder>(new holder{call(std::index_sequence_for<P...>{})});
      return {std::shared_ptr<void>(held, &held->object), number_of_name(type_name<made>)};
    }
  }
  static inline const named_code entry{&make};
};

}  // namespace cloister::detail
