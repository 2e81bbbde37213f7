// SPDX-License-Identifier: BSD-3-Clause
// The action of a barrier: code that travels with each of its handles. A captureless lambda, or an aggregate with operator(). Not a
// pointer to a function: in a message it could name any code of whoever gets it.
#pragma once

#include <cloister/detail/listed_code.hpp>
#include <cloister/wire.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace cloister::detail {

class barrier_action {
 public:
  virtual ~barrier_action() = default;
  virtual void run() const = 0;
  virtual code_ref where() const = 0;
  virtual void put(encoder& out) const = 0;
};
using action_ptr = std::shared_ptr<const barrier_action>;

template <class F>
class typed_action final : public barrier_action {
 public:
  explicit typed_action(F f) : f_(std::move(f)) {}
  void run() const override { f_(); }
  code_ref where() const override { return entry_.where(); }
  void put(encoder& out) const override { put_body(out, f_); }
  static action_ptr get(decoder& in) { return std::make_shared<typed_action>(decode_body<F>(in)); }

 private:
  static inline const listed_code entry_{&get};
  const F f_;
};

template <class F>
action_ptr make_action(F f) {
  static_assert(!plain_function<F>,
                "a function by its address cannot travel in messages: as a barrier's action, write [] { f(); }");
  static_assert(std::is_invocable_v<const F&>, "a barrier's action is called without arguments");
  static_assert(!std::is_empty_v<F> || std::is_default_constructible_v<F>, "a barrier's action cannot capture anything");
  if constexpr (!std::is_empty_v<F>)
    static_assert(travels<F>,
                  "a barrier's action travels with it: make it a captureless lambda, or a struct of what travels with operator()");
  return std::make_shared<typed_action<F>>(std::move(f));
}

}  // namespace cloister::detail
