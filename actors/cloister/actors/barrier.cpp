// SPDX-License-Identifier: BSD-3-Clause
// A process's side of the barrier. The actor's: internal/sync_barrier.cpp; model: tests/models/barrier.cpp.
//
// A party gives up only while its cell is WAITING; REGISTERED means that the round is being ended, or that this one is to run the action. Who
// dies where: anywhere in here, the actor hears of it and breaks the round; after GRANTED the round is over.
#include <cloister/actors/barrier.hpp>

#include <cloister/actors/internal/sync_wait.hpp>
#include <cloister/fault.hpp>

#include <algorithm>

namespace cloister {

using namespace internal;
using detail::cell_state;

namespace {

error why_broken(const detail::attachment& it) {
  std::string who;
  try {
    const auto got = ask_actor(it, sync_call::trouble);
    const auto& trouble = std::get<last_trouble>(got);
    if (!trouble.what.empty()) who = trouble.what;
    if (trouble.who.incarnation == 0) return sync_error(it, "wait", errc::barrier_broken, who.empty() ? "it is broken" : who);
    who = "process '" + trouble.who.name + "' (pid " + std::to_string(trouble.who.pid) + ") " + who;
    if (!trouble.exit.known()) return sync_error(it, "wait", errc::barrier_broken, who);
    const auto e = sync_error(it, "wait", errc::barrier_broken, who + ": " + trouble.exit.text());
    return {e.code(), e.text(), trouble.exit};
  } catch (const failure&) {  // asked to stop, or no descriptor left
    return sync_error(it, "wait", errc::barrier_broken, "it is broken");
  }
}

}  // namespace

barrier::barrier(const place& where, std::size_t parties, const detail::action_ptr& action, const barrier_options& options)
    : barrier(
          [&] {
            if (parties == 0 || parties > most_parties)
              throw failure(errc::invalid,
                            "barrier: " + std::to_string(parties) + " parties; there can be 1 to " + std::to_string(most_parties));
            const auto timeout = static_cast<std::uint64_t>(std::max<std::int64_t>(options.timeout.count(), 0));
            return make_sync(where, detail::sync_kind::barrier,
                             static_cast<std::uint32_t>(parties) | (action ? barrier_has_action : 0), timeout, options.name,
                             nullptr);
          }(),
          action) {}  // not moved: nobody says which argument comes first

barrier::barrier(detail::object_handle handle, detail::action_ptr action)
    : sync_handle(std::move(handle)), action_(std::move(action)) {
  object().at_end([](detail::attachment& it) { leave_by_exception(it); });
}

namespace {

// Whoever was to run the action and comes out without having said that it did: the actor sees that here.
struct leaves_no_action_open {
  detail::waiting& w;
  ~leaves_no_action_open() { static_cast<void>(w.change(cell_state::registered, cell_state::cancelled)); }
};

}  // namespace

std::size_t barrier::wait() const {
  const auto timeout = std::chrono::nanoseconds(static_cast<std::int64_t>(object().small().parameter));
  return wait(deadline(timeout)).value();
}

result<std::size_t> barrier::wait(deadline until) const {
  auto& it = object();
  auto* here = detail::membership::current();
  if (!usable(it)) return unusable(it, "wait");
  const bool now = until.has_passed();  // it is told at once, and may be the last
  const deadline last = now ? deadline(answer_patience) : until;
  try {
    const std::uint64_t epoch = it.body<barrier_body>().epoch.load();
    detail::waiting w(here->cells(), here->take_cell(last));
    const leaves_no_action_open this_one{w};
    detail::fault_point("meet", 1);
    here->tell(it.id(), static_cast<std::uint32_t>(sync_call::want), &w, epoch | (now ? at_once : 0), last);
    detail::fault_point("meet", 2);
    const auto how = w.sleep(last);
    if (how != detail::wait_status::ready && w.change(cell_state::waiting, cell_state::cancelled)) {
      withdraw(it, w, how == detail::wait_status::timed_out ? 0 : 1);
      return interruption(it, "wait", how);
    }
    if (w.state() == cell_state::registered && w.value() == run_the_action) {
      detail::fault_point("meet", 3);
      try {
        if (action_) action_->run();
      } catch (...) {
        withdraw(it, w, 2);
        throw;
      }
      detail::fault_point("meet", 4);
      here->tell(it.id(), static_cast<std::uint32_t>(sync_call::acted), &w);
    }
    // What was decided is on its way; there is nothing to wait for but the first process.
    w.sleep(deadline::never(), cell_state::registered, false);
    if (w.state() == cell_state::refused) {
      if (w.value() == static_cast<std::uint64_t>(errc::barrier_broken)) return why_broken(it);
      return refusal(it, "wait", w.value());
    }
    static_cast<void>(w.change(cell_state::granted, cell_state::entered));
    return static_cast<std::size_t>(w.value());
  } catch (const failure& f) { return f.error(); } catch (const std::bad_alloc&) {
    return error(errc::no_memory, "no memory");
  }
}

// Both are answered, so that whatever anybody does after them finds them done.
void barrier::abort() const {
  auto& it = object();
  if (!usable(it)) throw failure(unusable(it, "abort"));
  ask_actor(it, sync_call::abort);
}

void barrier::reset() const {
  auto& it = object();
  if (!usable(it)) throw failure(unusable(it, "reset"));
  ask_actor(it, sync_call::reset);
}

std::size_t barrier::parties() const { return object().small().options & ~barrier_has_action; }
std::size_t barrier::n_waiting() const { return object().body<barrier_body>().waiting.load(); }
bool barrier::broken() const { return object().body<barrier_body>().broken.load() != 0; }

void codec<barrier>::put(encoder& out, const barrier& b) {
  barrier::to_message(out, b);
  if (b.action_) {
    out.value(b.action_->where());
    b.action_->put(out);
  }
}

barrier codec<barrier>::get(decoder& in) {
  auto it = barrier::from_message(in, {detail::sync_kind::barrier});
  detail::action_ptr action;
  if ((it->small().options & barrier_has_action) != 0)
    action = detail::listed_code::find<detail::action_ptr(decoder&)>(in.value<detail::code_ref>())(in);
  return {std::move(it), std::move(action)};
}

}  // namespace cloister
