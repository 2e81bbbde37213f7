// SPDX-License-Identifier: BSD-3-Clause
// Bodies of actor.hpp and self.hpp.
#pragma once

#include <cloister/actor.hpp>
#include <cloister/this_process.hpp>

namespace cloister {
namespace detail {

struct recipe_maker {
  static child_recipe make(child_options options) { return child_recipe(std::move(options)); }
  static start_request& request(child_recipe& recipe) { return *recipe.request_; }
};

template <class A>
using kept_argument =
    std::conditional_t<std::is_convertible_v<std::decay_t<A>, std::string_view> && !std::is_class_v<std::decay_t<A>>, std::string,
                       travelling_t<std::decay_t<A>>>;

template <class T, class... Stored>
T make_object(self& me, Stored&&... stored) {
  if constexpr (std::is_constructible_v<T, self&, Stored...>) return T(me, std::forward<Stored>(stored)...);
  else if constexpr (std::is_aggregate_v<T>) return T{std::forward<Stored>(stored)...};
  else return T(std::forward<Stored>(stored)...);
}

/// The body of an actor's process.
template <class T, class... Stored>
void run_actor(body_context& context) {
  auto& in = context.arguments;
  auto mailbox = queue_from_message(in, source_role, interface_of<T>());
  auto settings = in.value<actor_settings>();
  std::tuple<Stored...> stored{in.value<Stored>()...};
  in.finish();
  actor_core core(std::move(mailbox), context.here, std::move(settings), handlers_of<T>());
  self me(core);
  T object = std::apply([&](auto&... s) { return make_object<T>(me, std::move(s)...); }, stored);
  this_process::ready();
  actor_instance<T> instance{object, me};
  core.run(&instance);
}

/// Fills the request of a process for the actor with that mailbox.
template <class T, class... Args>
void encode_actor(start_request& request, const object_handle& mailbox, const actor_options& options, Args&&... args) {
  (check_parameter<kept_argument<Args>>(), ...);
  start_handles handles(request);
  encoder out(&handles);
  queue_to_message(out, mailbox, source_role);
  out.value(actor_settings{mailbox->name(), options.on_error == error_policy::end_actor});
  const std::tuple<kept_argument<Args>...> stored(kept_argument<Args>(std::forward<Args>(args))...);
  std::apply([&](const auto&... value) { (out.value(value), ...); }, stored);
  const auto bytes = out.bytes();
  request.block.arguments.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  request.block.entry = locate_code(reinterpret_cast<const void*>(&run_actor<T, kept_argument<Args>...>));
  request.block.says_ready = true;
}

}  // namespace detail

template <class T>
template <class... Args>
actor<T>::actor(const place& where, actor_options options, Args&&... args) : limit_(options.max_messages) {
  if (options.process.name.empty()) options.process.name = detail::readable(detail::type_name<T>);
  mailbox_ = detail::make_mailbox(options.process.name, detail::interface_of<T>(), true);
  options.process.daemon = true;  // ~actor never waits
  const auto request = detail::make_request(where.default_start_method(), options.process);
  detail::encode_actor<T>(*request, mailbox_, options, std::forward<Args>(args)...);
  detail::start_detached(*request);
}

template <class T>
template <class... Args>
actor<T>::actor(const supervisor& within, child_options as_child, actor_options options, Args&&... args) {
  auto [handle, recipe] = supervised_actor<T>(std::move(as_child), std::move(options), std::forward<Args>(args)...);
  within.start_child(std::move(recipe));
  *this = std::move(handle);
}

template <class T, class... Args>
std::pair<actor<T>, child_recipe> supervised_actor(child_options as_child, actor_options options, Args&&... args) {
  actor<T> handle;
  handle.mailbox_ = detail::make_mailbox(as_child.id, detail::interface_of<T>(), false);
  handle.limit_ = options.max_messages;
  if (as_child.ready_within.count() == 0) as_child.ready_within = std::chrono::nanoseconds::max();
  if (as_child.process.name.empty()) as_child.process.name = as_child.id;
  auto recipe = detail::recipe_maker::make(std::move(as_child));
  detail::encode_actor<T>(detail::recipe_maker::request(recipe), handle.mailbox_, options, std::forward<Args>(args)...);
  return {std::move(handle), std::move(recipe)};
}

template <class T>
template <class M>
result<void> actor<T>::tell(const M& message, deadline until) const {
  auto& mailbox = object();
  const auto key = detail::enter_handler<T, M>();
  if (detail::actor_core::current() != nullptr) until = deadline::passed();
  auto put = detail::put_letter(mailbox, {detail::letter_kind::tell, key, 0, 0, 0}, message, limit_, until);
  if (!put) return detail::mailbox_error(mailbox, put.error());
  return {};
}

template <class T>
template <class M>
result<detail::answer_of<T, M>> actor<T>::ask(const M& message, deadline until) const {
  using answer = detail::answer_of<T, M>;
  auto& mailbox = object();
  const auto put = [&](const detail::letter_head& head) { return detail::put_letter(mailbox, head, message, limit_, until); };
  const auto key = detail::enter_handler<T, M>();
  if constexpr (std::is_void_v<answer>) {
    return detail::ask_and_wait(mailbox, until, put, key, [](decoder&) {});
  } else {
    std::optional<answer> value;
    auto done = detail::ask_and_wait(mailbox, until, put, key, [&](decoder& in) { value.emplace(in.value<answer>()); });
    if (!done) return done.error();
    return *std::move(value);
  }
}

template <class T>
actor<T> self::handle(const T&) const {
  actor<T> mine;
  mine.mailbox_ = detail::object_handle(core_.mailbox().shared_from_this(), detail::sink_role);
  mine.limit_ = std::uint64_t{1} << 32;
  return mine;
}

template <class T, class M>
asking<detail::answer_of<T, M>> self::ask(const actor<T>& whom, const M& message, deadline until) {
  asking<detail::answer_of<T, M>> asked;
  auto& mailbox = detail::object_of(whom.handle());
  core_.ask(
      mailbox, until,
      [&](const detail::letter_head& head) { return detail::put_letter(mailbox, head, message, whom.limit_, deadline::passed()); },
      detail::enter_handler<T, M>(), asked.state_);
  return asked;
}

/// As a sink: its mailbox, and how many messages may wait there.
template <class T>
struct codec<actor<T>> {
  static constexpr std::uint64_t fingerprint = detail::interface_of<T>();
  static void put(encoder& out, const actor<T>& a) {
    detail::queue_to_message(out, a.mailbox_, detail::sink_role);
    out.value(a.limit_);
  }
  static actor<T> get(decoder& in) {
    actor<T> a;
    a.mailbox_ = detail::queue_from_message(in, detail::sink_role, fingerprint);
    a.limit_ = in.value<std::uint64_t>();
    return a;
  }
};

}  // namespace cloister
