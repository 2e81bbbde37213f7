// SPDX-License-Identifier: BSD-3-Clause
// What stands behind small objects of one kind: the logic of their supervisor actor. The control plane runs it as a CAF actor in the first
// process, from the first such object to the end of the node; the hub tells it, in this order, what each process asked, that it let
// go of an object, and that it is dead.
//
// Threads: the hub's. None may wait for anything. What they throw is logged, and that call is lost.
// Shared memory of objects and cells was written by processes: whatever is read from it is checked.
#pragma once

#include <cloister/detail/arena.hpp>
#include <cloister/detail/wait_cell.hpp>
#include <cloister/error.hpp>
#include <cloister/fd.hpp>
#include <cloister/process.hpp>

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace cloister::internal {

/// Which owner words name a process of this node, or a dead one of which not everything is put right yet.
using living_actors = std::bitset<65'536>;

/// Who somebody is or was, and if it has ended how, as far as that is known.
struct past_process {
  process_id who;
  exit_status exit;
};

/// What a process held when it died. `inherited`: it was forked from one that held it, and neither was handed it nor asked anything of it.
struct lost_object {
  std::uint64_t object = 0;
  bool inherited = false;
};

/// What a service has of the node that it runs in. As long as that.
struct service_host {
  const living_actors& living;
  /// Puts something encoded into the queues of those who watch this service.
  std::function<void(std::vector<std::byte>)> report;
  std::function<past_process(std::uint32_t incarnation)> find;
};

struct small_object {
  std::uint64_t id = 0;
  std::shared_ptr<detail::arena> home;
  std::uint32_t place = 0;
};

/// A time for `look`.
inline constexpr std::int64_t never_again = std::numeric_limits<std::int64_t>::max();

struct service_user {
  process_id process;
  std::uint16_t actor = 0;
};

/// A cell that a process waits in; its memory stays as long as this does.
struct lent_cell {
  std::shared_ptr<detail::cell_block> block;
  detail::wait_cell* cell = nullptr;
  std::uint32_t ticket = 0;

  /// Both are false if who waited gave up. REQUIRES, of grant: cell != nullptr.
  bool grant(std::uint64_t value) const noexcept {
    return cell->answer(ticket, detail::cell_state::waiting, detail::cell_state::granted, value);
  }
  bool refuse(errc why) const noexcept {
    return cell != nullptr &&
           cell->answer(ticket, detail::cell_state::waiting, detail::cell_state::refused, static_cast<std::uint64_t>(why));
  }
};

class service {
 public:
  virtual ~service() = default;
  virtual void created(const small_object& what) = 0;
  /// Nobody holds it any more, and no message names it: its place is to be released (arena::release). None of its words is looked at after that.
  virtual void removed(std::uint64_t object) = 0;
  struct call {
    service_user from;
    std::uint64_t object = 0;
    std::uint32_t what = 0;
    lent_cell answer_in;  // if the cell is not null
    owned_fd answer_to;   // if not empty: gets one encoded `answer` (control.hpp)
    std::uint64_t a = 0;
  };
  virtual void asked(call what) = 0;
  /// It lives, and holds that object no more.
  virtual void dropped(const service_user& who, std::uint64_t object) = 0;
  /// `objects`: what it held. When this returns, its name in owner words is used again.
  virtual void died(const service_user& who, const exit_status& exit, std::span<const lost_object> objects) = 0;
  /// Called after each of the others, and at the time that it returned last; `never_again` if it wants no more.
  virtual std::int64_t look(std::int64_t now) = 0;
};

/// The services that this program has: each source that defines one has one of these with static lifetime.
class service_entry {
 public:
  using maker = std::unique_ptr<service> (*)(service_host host);
  service_entry(const char* name, maker how) noexcept : name_(name), make_(how), next_(first_) { first_ = this; }
  service_entry(const service_entry&) = delete;
  service_entry& operator=(const service_entry&) = delete;

  /// nullptr if there is none of that name.
  static const service_entry* find(std::string_view name) noexcept {
    const auto* e = first_;
    while (e != nullptr && e->name_ != name) e = e->next_;
    return e;
  }
  std::unique_ptr<service> make(service_host host) const { return make_(std::move(host)); }

 private:
  const std::string_view name_;
  const maker make_;
  service_entry* const next_;
  static inline constinit service_entry* first_ = nullptr;
};

}  // namespace cloister::internal
