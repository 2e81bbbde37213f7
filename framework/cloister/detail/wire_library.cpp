// SPDX-License-Identifier: BSD-3-Clause
// The codecs of the library's own plain types.
#include <cloister/detail/wire_library.hpp>

#include <optional>

namespace cloister {

void codec<owned_fd>::put(encoder& out, const owned_fd& fd) {
  out.value(static_cast<bool>(fd));
  if (fd) out.value(out.need_handles("cloister::owned_fd").put_fd(fd.get()));
}

owned_fd codec<owned_fd>::get(decoder& in) {
  if (!in.value<bool>()) return {};
  return in.need_handles("cloister::owned_fd").take_fd(in.value<std::uint64_t>());
}

namespace {
// What a process's end is on the wire: one of these, and what belongs to it.
enum class ending : std::uint8_t { unknown, exited, signaled, threw };

ending ending_of(const exit_status& exit) {
  if (!exit.known()) return ending::unknown;
  if (exit.signal()) return ending::signaled;
  return exit == exit_status::exited(exit.code().value_or(0)) ? ending::exited : ending::threw;
}
}  // namespace

void codec<exit_status>::put(encoder& out, const exit_status& exit) {
  const ending how = ending_of(exit);
  out.value(how);
  switch (how) {
    case ending::unknown: break;
    case ending::exited: out.value(std::int32_t{*exit.code()}); break;
    case ending::signaled: out.value(std::int32_t{*exit.signal()}); break;
    case ending::threw:
      out.value(exit.exception_type());
      out.value(exit.exception_text());
      break;
  }
}

exit_status codec<exit_status>::get(decoder& in) {
  switch (in.value<ending>()) {
    case ending::unknown: return {};
    case ending::exited: return exit_status::exited(in.value<std::int32_t>());
    case ending::signaled: return exit_status::signaled(in.value<std::int32_t>());
    case ending::threw: {
      auto type = in.value<std::string>();
      return exit_status::threw(std::move(type), in.value<std::string>());
    }
  }
  in.fail("cloister::exit_status", "no such way to end");
}

void codec<error>::put(encoder& out, const error& e) {
  out.value(e.code());
  out.value(e.text());
  out.value(e.exit() != nullptr);
  if (e.exit() != nullptr) out.value(*e.exit());
}

error codec<error>::get(decoder& in) {
  const auto code = in.value<errc>();
  if (code > last_errc) in.fail("cloister::error", "no such kind of failure");
  auto text = in.value<std::string>();
  if (!in.value<bool>()) return {code, std::move(text)};
  return {code, std::move(text), in.value<exit_status>()};
}

}  // namespace cloister
