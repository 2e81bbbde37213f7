// SPDX-License-Identifier: BSD-3-Clause
// Pipes: layout and attaching, waiting around the lanes' attempts, the states of the ends.
#include <cloister/detail/ring.hpp>

#include <bit>

namespace cloister::detail {

// docs/formats.md, "pipe". Behind the control page come the levels: level 0 of both directions, then level 1, and so on.
struct ring::control {
  object_header header;
  std::uint64_t max_bytes;  // immutable
  std::array<std::uint64_t, 15> reserved;
  // What the hub says of ends A and B, and what anybody says who found the mapping broken.
  alignas(128) std::array<std::atomic<std::uint64_t>, 2> end;  // state | kind of exit << 8 | number << 32
  std::atomic<std::uint32_t> broken;
  alignas(128) std::array<shared_lane, 2> lanes;

  static constexpr std::size_t bytes = 4096;
};

namespace {

constexpr std::uint64_t growth = 16;

// Level capacities for a limit: 16 KiB times 16 and again, the last one cut to the power of two that holds the limit.
lane_geometry levels_for(std::uint64_t max_bytes) {
  lane_geometry g;
  g.max_bytes = max_bytes;
  const std::uint64_t top = std::bit_ceil(max_bytes);
  for (std::uint64_t capacity = ring::smallest;; capacity *= growth) {
    g.levels[g.count++].capacity = std::min(capacity, top);
    if (capacity >= top) return g;
  }
}
static_assert(std::uint64_t{ring::smallest} << (4 * (max_ring_levels - 1)) >= std::uint64_t{ring::largest});

std::size_t total_bytes(const lane_geometry& g, std::size_t control_bytes) {
  std::size_t sum = control_bytes;
  for (unsigned l = 0; l < g.count; ++l) sum += 2 * static_cast<std::size_t>(g.levels[l].capacity);
  return sum;
}

constexpr std::int64_t idle_ns = 20'000'000;  // after this, memory that was read empty is given back

std::uint64_t to_word(end_state state, const exit_status& exit) noexcept {
  std::uint64_t kind = 0;
  std::uint64_t number = 0;
  if (const auto signal = exit.signal()) {
    kind = 2;
    number = static_cast<std::uint32_t>(*signal);
  } else if (!exit.exception_type().empty()) {
    kind = 3;
  } else if (const auto code = exit.code()) {
    kind = 1;
    number = static_cast<std::uint32_t>(*code);
  }
  return static_cast<std::uint64_t>(state) | kind << 8 | number << 32;
}

exit_status exit_of(std::uint64_t word) {
  const auto number = static_cast<std::int32_t>(static_cast<std::uint32_t>(word >> 32));
  switch (word >> 8 & 0xff) {
    case 1: return exit_status::exited(number);
    case 2: return exit_status::signaled(number);
    case 3: return exit_status::threw("uncaught exception", "");
    default: return {};
  }
}

}  // namespace

bool ring::store::reserve(std::size_t offset, std::size_t bytes) noexcept { return m->try_reserve(offset, bytes); }
void ring::store::release(std::size_t offset, std::size_t bytes) noexcept { m->release(offset, bytes); }

// ---- making and attaching -------------------------------------------------------------------------------------------

result<std::unique_ptr<ring>> ring::create(const options& o) {
  const auto g = levels_for(std::clamp(o.max_bytes, smallest, largest));
  const std::size_t first = control::bytes + 2 * static_cast<std::size_t>(g.levels[0].capacity);
  auto m = memory::create("pipe '" + o.name + "'", total_bytes(g, control::bytes), first);
  if (!m) return m.error();
  return build(std::move(*m), o);
}

result<std::unique_ptr<ring>> ring::create_in(owned_fd fd, const options& o) {
  const auto g = levels_for(std::clamp(o.max_bytes, smallest, largest));
  const std::size_t first = control::bytes + 2 * static_cast<std::size_t>(g.levels[0].capacity);
  auto m = memory::adopt(std::move(fd), "pipe '" + o.name + "'", total_bytes(g, control::bytes), first);
  if (!m) return m.error();
  return build(std::move(*m), o);
}

result<std::unique_ptr<ring>> ring::build(memory m, const options& o) {
  static_assert(sizeof(control) <= control::bytes && offsetof(control, max_bytes) == 128 && offsetof(control, end) == 256 &&
                offsetof(control, lanes) == 384);
  const std::size_t max_bytes = std::clamp(o.max_bytes, smallest, largest);
  auto* c = new (m.data()) control{};
  c->header = object_header::make(object_kind::pipe, o.id, o.fingerprints, m.size(), o.name);
  c->max_bytes = max_bytes;
  const object_header header = c->header;
  return std::unique_ptr<ring>(new ring(std::move(m), header, max_bytes));
}

result<std::unique_ptr<ring>> ring::attach(memory m) {
  auto header = object_header::read(m, object_kind::pipe);
  if (!header) return header.error();
  std::uint64_t max_bytes = 0;
  if (m.size() >= control::bytes) std::memcpy(&max_bytes, m.data() + offsetof(control, max_bytes), sizeof max_bytes);
  if (max_bytes < smallest || max_bytes > largest || total_bytes(levels_for(max_bytes), control::bytes) != m.size())
    return error{errc::broken, m.what() + ": attach: the geometry is corrupted"};
  return std::unique_ptr<ring>(new ring(std::move(m), *header, max_bytes));
}

ring::ring(memory m, const object_header& header, std::size_t max_bytes)
    : memory_(std::move(m)), header_(header), control_(std::launder(reinterpret_cast<control*>(memory_.data()))) {
  lane_geometry g = levels_for(max_bytes);
  g.base = memory_.data();
  std::size_t offset = control::bytes;
  for (unsigned l = 0; l < g.count; ++l) {
    const auto capacity = static_cast<std::size_t>(g.levels[l].capacity);
    for (unsigned d = 0; d < 2; ++d) lanes_[d].geometry.levels[l] = {offset + d * capacity, capacity};
    offset += 2 * capacity;
  }
  for (unsigned d = 0; d < 2; ++d) {
    lane& l = lanes_[d];
    l.geometry.count = g.count;
    l.geometry.max_bytes = g.max_bytes;
    l.geometry.base = g.base;
    l.shared = &control_->lanes[d];
    l.out.emplace(*l.shared, l.geometry, store{&memory_});
    l.in.emplace(*l.shared, l.geometry, store{&memory_});
  }
}

void ring::set_ringers(unsigned direction, bell_ringer data, bell_ringer space) noexcept {
  lanes_[direction].data_ringer = data;
  lanes_[direction].space_ringer = space;
}

void ring::take_over(unsigned end) noexcept {
  lanes_[end].out_known = false;
  lanes_[1 - end].in_known = false;
}

// ---- sending --------------------------------------------------------------------------------------------------------

result<std::uint64_t> ring::put(unsigned direction, const gathered& message, deadline until) {
  lane& l = lanes_[direction];
  if (ended()) [[unlikely]]
    return end_error("send", direction);
  if (!l.out_known) [[unlikely]] {
    if (l.out->take_over() == lane_outcome::broken) return break_now("send");
    l.out_known = true;
  }
  const lane_outcome outcome = l.out->put(message, false);
  if (outcome != lane_outcome::done) return put_waiting(direction, message, until, outcome);
  l.shared->data.notify_one(l.data_ringer);
  return l.out->position();
}

// The first attempt found no room. As long as the reader gets on, it is waited for: a small lane is a fast one. Otherwise
// the lane grows; if it may not or cannot, there is nothing left but waiting.
result<std::uint64_t> ring::put_waiting(unsigned direction, const gathered& message, deadline until, lane_outcome outcome) {
  constexpr std::chrono::milliseconds patience(10);  // longer than a reader is off its CPU, if the machine is not overloaded
  lane& l = lanes_[direction];
  if (outcome == lane_outcome::nothing && until != deadline::passed()) l.out->await_room(until);
  bool grows = true;     // until an attempt says otherwise
  bool starved = false;  // that attempt found no memory
  while (outcome == lane_outcome::nothing) {
    const std::uint64_t delivered = l.out->delivered();
    const auto attempt = [&] { return ended() || (outcome = l.out->put(message, false)) != lane_outcome::nothing; };
    const auto status = l.shared->space.wait(attempt, grows ? std::min(until, deadline(patience)) : until, l.out_spin);
    if (status == wait_status::ready) {
      if (outcome == lane_outcome::nothing) return end_error("send", direction);
      break;
    }
    if (grows && (status == wait_status::stopped || until.has_passed() || l.out->delivered() == delivered)) {
      outcome = l.out->put(message, true);
      if (outcome != lane_outcome::nothing && outcome != lane_outcome::no_memory) break;
      grows = false;
      starved = outcome == lane_outcome::no_memory;
      outcome = lane_outcome::nothing;
    }
    if (status == wait_status::stopped) return stop_error("send");
    if (!until.has_passed()) continue;
    if (starved) return error(errc::no_memory, says("send") + "no memory for more unread messages");
    return until == deadline::passed() ? error(errc::would_block, says("send") + "no room")
                                       : error(errc::timed_out, says("send") + "timed out");
  }
  switch (outcome) {
    case lane_outcome::done: l.shared->data.notify_one(l.data_ringer); return l.out->position();
    case lane_outcome::too_large:
      return error(errc::too_large, says("send") + "a message of " + std::to_string(message.size()) + " bytes, where at most " +
                                        std::to_string(max_bytes() - record_header_bytes) + " fit");
    case lane_outcome::no_memory:
      return error(errc::no_memory, says("send") + "no memory for a message of " + std::to_string(message.size()) + " bytes");
    case lane_outcome::nothing:
    case lane_outcome::broken: break;
  }
  return break_now("send");
}

// ---- receiving ------------------------------------------------------------------------------------------------------

result<ring_message> ring::peek(unsigned direction, deadline until) {
  if (stop_requested()) [[unlikely]]
    return stop_error("recv");  // a process that is to stop takes no new work
  lane& l = lanes_[direction];
  if (find(l, direction) != lane_outcome::done) [[unlikely]]
    if (auto e = wait_for_data(direction, "recv", until)) return std::move(*e);
  return l.in->message();
}

void ring::pop(unsigned direction) noexcept {
  lane& l = lanes_[direction];
  l.in->pop();
  l.shared->space.notify_one(l.space_ringer);
  if (l.in->large_drained()) [[unlikely]] {
    const auto now = deadline::now();
    if (now - std::exchange(l.large_drained_at, now) > idle_ns && l.in->trim_large()) l.shared->space.notify_one(l.space_ringer);
  }
}

result<bool> ring::poll(unsigned direction, deadline until) {
  if (stop_requested()) return stop_error("poll");
  if (find(lanes_[direction], direction) == lane_outcome::done) return true;
  if (auto e = wait_for_data(direction, "poll", until)) {
    switch (e->code()) {
      case errc::timed_out:
      case errc::would_block: return false;
      case errc::closed:
      case errc::peer_down: return true;
      default: return std::move(*e);
    }
  }
  return true;
}

lane_outcome ring::find(lane& l, unsigned direction) {
  if (control_->broken.load(std::memory_order_relaxed) != 0) [[unlikely]]
    return lane_outcome::broken;
  if (state_of(1 - direction) != end_state::open) [[unlikely]]
    return lane_outcome::nothing;  // this end, not the writer's
  if (!l.in_known) [[unlikely]] {
    if (l.in->take_over() == lane_outcome::broken) return lane_outcome::broken;
    l.in_known = true;
    if (l.in->settled()) l.shared->space.notify_one(l.space_ringer);
  }
  const lane_outcome outcome = l.in->find();
  if (outcome == lane_outcome::done) l.idle_since = 0;
  return outcome;
}

// Returns nothing once find() was `done`.
std::optional<error> ring::wait_for_data(unsigned direction, const char* operation, deadline until) {
  lane& l = lanes_[direction];
  const unsigned own_end = 1 - direction;
  lane_outcome outcome = lane_outcome::nothing;
  const auto attempt = [&] {
    const bool over = ended();  // asked first: find then sees all that was put before the writer's end ended
    outcome = find(l, direction);
    return over || outcome != lane_outcome::nothing;
  };
  if (l.idle_since == 0) l.idle_since = deadline::now();  // over several calls
  for (;;) {
    const bool trims = l.in_known && l.in->trimmable();
    const std::chrono::nanoseconds busy(l.idle_since + idle_ns - deadline::now());
    const auto status = l.shared->data.wait(attempt, trims ? std::min(until, deadline(busy)) : until, l.in_spin);
    if (status == wait_status::ready) {
      if (outcome == lane_outcome::done) return {};
      if (outcome == lane_outcome::broken) return break_now(operation);
      return end_error(operation, own_end);
    }
    if (trims && deadline::now() >= l.idle_since + idle_ns) {
      if (l.in->trim_all()) l.shared->space.notify_one(l.space_ringer);
      l.idle_since = deadline::now();
    }
    if (status == wait_status::stopped) return stop_error(operation);
    if (until == deadline::passed()) return error(errc::would_block, says(operation) + "nothing there");
    if (until.has_passed()) return error(errc::timed_out, says(operation) + "timed out");
  }
}

// ---- the ends -------------------------------------------------------------------------------------------------------

bool ring::is_broken() const noexcept { return control_->broken.load(std::memory_order_acquire) != 0; }

end_state ring::state_of(unsigned end) const noexcept {
  const auto state = control_->end[end].load(std::memory_order_acquire) & 0xff;
  return state == 0 ? end_state::open : state == 1 ? end_state::closed : end_state::dead;
}

// Nobody writes any more, and a reader waits no longer.
bool ring::ended() const noexcept {
  return control_->broken.load(std::memory_order_relaxed) != 0 || state_of(0) != end_state::open || state_of(1) != end_state::open;
}

void ring::set_end_state(unsigned end, end_state state, const exit_status& exit) noexcept {
  control_->end[end].store(to_word(state, exit), std::memory_order_seq_cst);
  wake_all();
}

void ring::wake_all() noexcept {
  for (auto& l : lanes_) {
    l.shared->data.notify_all(l.data_ringer);
    l.shared->space.notify_all(l.space_ringer);
  }
}

bool ring::consumed(unsigned direction, std::uint64_t position) const noexcept {
  const auto& head = lanes_[direction].shared->head;
  std::uint64_t sum = 0;
  for (unsigned l = 0; l < lanes_[direction].geometry.count; ++l) sum += head[l].load(std::memory_order_acquire);
  return sum >= position;
}

std::uint64_t ring::tail_position(unsigned direction) const noexcept {
  const auto& tail = lanes_[direction].shared->tail;
  std::uint64_t sum = 0;
  for (unsigned l = 0; l < lanes_[direction].geometry.count; ++l) sum += position_of(tail[l].load(std::memory_order_acquire));
  return sum;
}

std::uint64_t ring::unread(unsigned direction) const noexcept {
  const auto& shared = *lanes_[direction].shared;
  std::uint64_t sum = 0;
  for (unsigned l = 0; l < lanes_[direction].geometry.count; ++l) {
    const auto head = shared.head[l].load(std::memory_order_acquire);
    sum += position_of(shared.tail[l].load(std::memory_order_acquire)) - head;
  }
  return sum;
}

void ring::look() noexcept {
  for (unsigned d = 0; d < 2; ++d) {
    lane& l = lanes_[d];
    const auto waiting = unread(d);
    const auto delivered = tail_position(d) - waiting;
    if (waiting != 0) l.shared->data.nudge(l.data_ringer);
    if (delivered != std::exchange(l.looked_at, delivered)) l.shared->space.nudge(l.space_ringer);
  }
}

// ---- what is said ---------------------------------------------------------------------------------------------------

std::string ring::says(const char* operation) const {
  return "pipe '" + std::string(header_.name_view()) + "' " + operation + ": ";
}

error ring::stop_error(const char* operation) const {
  const errc reason = stop_reason().value_or(errc::stopping);
  return {reason, says(operation) + (reason == errc::interrupted ? "interrupted" : "this process was asked to stop")};
}

error ring::end_error(const char* operation, unsigned own_end) const {
  if (is_broken()) return {errc::broken, says(operation) + "the shared memory is corrupted"};
  if (state_of(own_end) != end_state::open) return {errc::closed, says(operation) + "this end is closed"};
  if (state_of(1 - own_end) == end_state::closed) return {errc::closed, says(operation) + "the other end is closed"};
  const exit_status exit = exit_of(control_->end[1 - own_end].load(std::memory_order_acquire));
  return {errc::peer_down, says(operation) + "the process of the other end died: " + exit.text(), exit};
}

error ring::break_now(const char* operation) {
  control_->broken.store(1, std::memory_order_seq_cst);
  wake_all();
  return {errc::broken, says(operation) + "the shared memory is corrupted"};
}

}  // namespace cloister::detail
