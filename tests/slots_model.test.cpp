// SPDX-License-Identifier: BSD-3-Clause
// Random operations on slots beside a std::deque that says what each must return, and beside the locked ring.
#include "locked_ring.hpp"
#include "slots_support.hpp"

#include <deque>
#include <map>
#include <random>

using namespace slots_test;

namespace {

/// What a queue is, in the simplest words: messages in order, those that came back first.
struct model {
  struct entry {
    std::uint64_t position, number;
    std::size_t size;
    unsigned redelivered = 0;
  };
  std::deque<entry> ready;                  // in the ring
  std::map<std::uint64_t, entry> returned;  // by position; taken first
  std::map<std::uint64_t, entry> dead;

  std::size_t size() const { return ready.size() + returned.size(); }
  entry pop() {
    entry e{};
    if (!returned.empty()) {
      e = returned.begin()->second;
      returned.erase(returned.begin());
    } else {
      e = ready.front();
      ready.pop_front();
    }
    return e;
  }
};

struct held {
  model::entry entry;
  bool from_table;
  taken message;
};

struct leased {
  model::entry entry;
  lease_token token;
};

class walk {
 public:
  walk(std::uint64_t seed, const slots_options& options) : random_(seed), options_(options), q_(make(options)) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      REQUIRE(q_->size() == model_.size());
      REQUIRE(q_->empty() == (model_.size() == 0));
      REQUIRE(q_->unfinished() == (model_.size() + held_.size() + leased_.size() > 0));
    }
    wind_up();
  }

 private:
  std::uint64_t any(std::uint64_t below) { return std::uniform_int_distribution<std::uint64_t>(0, below - 1)(random_); }
  std::size_t any_size() {
    const auto kind = any(10);
    return kind < 6 ? 8 + any(41) : kind < 9 ? 8 + any(1000) : 8 + any(60'000);
  }
  // Positions are claimed in a window of max_items behind the oldest that is not consumed, so a held one counts on.
  bool room() const {
    if (options_.max_items == 0) return true;
    auto oldest = next_;
    if (!model_.ready.empty()) oldest = std::min(oldest, model_.ready.front().position);
    for (const auto& h : held_)
      if (!h.from_table) oldest = std::min(oldest, h.entry.position);
    return next_ - oldest < options_.max_items;
  }

  void put_one() {
    const model::entry e{next_, 1000 + next_, any_size()};
    const auto r = q_->put(1, message(e.number, e.size), deadline::passed());
    if (!room()) {
      REQUIRE(r == errc::would_block);
      return;
    }
    REQUIRE(r.value() == next_);
    ++next_;
    model_.ready.push_back(e);
  }

  void take_one() {
    auto t = q_->take(2, deadline::passed());
    if (model_.size() == 0) {
      REQUIRE((t == errc::would_block));
      return;
    }
    REQUIRE(t.has_value());
    const bool from_table = !model_.returned.empty();
    const auto e = model_.pop();
    REQUIRE(t->position() == e.position);
    REQUIRE(t->size() == e.size);
    REQUIRE(t->redeliveries() == e.redelivered);
    REQUIRE(number_of(*t) == e.number);
    held_.push_back({e, from_table, std::move(*t)});
  }

  void end_one() {
    if (held_.empty()) return;
    const auto i = any(held_.size());
    auto h = std::move(held_[i]);
    held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(i));
    switch (any(4)) {
      case 0: {
        h.message.give_back();
        if (h.from_table) {
          model_.returned.emplace(h.entry.position, h.entry);
        } else {
          const auto at =
              std::find_if(model_.ready.begin(), model_.ready.end(), [&](const auto& e) { return e.position > h.entry.position; });
          model_.ready.insert(at, h.entry);
        }
        break;
      }
      case 1:
      case 2: h.message.deliver(); break;
      case 3: leased_.push_back({h.entry, h.message.lease().value()}); break;
    }
  }

  void end_lease() {
    if (leased_.empty()) return;
    const auto i = any(leased_.size());
    auto l = leased_[i];
    leased_.erase(leased_.begin() + static_cast<std::ptrdiff_t>(i));
    if (any(2) == 0) {
      REQUIRE(q_->ack(2, l.token).has_value());
      return;
    }
    REQUIRE(q_->give_back(2, l.token).has_value());
    l.entry.redelivered = std::min(l.entry.redelivered + 1, 15U);
    const bool last = options_.max_deliveries != 0 && l.entry.redelivered >= options_.max_deliveries;
    (last ? model_.dead : model_.returned).emplace(l.entry.position, l.entry);
  }

  void take_dead_one() {
    auto t = q_->take_dead(3, deadline::passed());
    if (model_.dead.empty()) {
      REQUIRE((t == errc::would_block));
      return;
    }
    REQUIRE(number_of(*t) == model_.dead.begin()->second.number);
    if (any(2) == 0) return;  // dropped: still dead
    t->deliver();
    model_.dead.erase(model_.dead.begin());
  }

  void step() {
    // Tides: a while of mostly puts, a while of mostly gets.
    if (any(200) == 0) tide_ = any(5) + 1;
    switch (any(8)) {
      case 0: return end_lease();
      case 1: return take_dead_one();
      case 2:
      case 3: return end_one();
      default: return any(6) < tide_ ? put_one() : take_one();
    }
  }

  void wind_up() {
    while (!held_.empty()) end_one();
    while (!leased_.empty()) end_lease();
    while (model_.size() > 0) {
      take_one();
      held_.back().message.deliver();
      held_.pop_back();
    }
    while (!model_.dead.empty()) take_dead_one();
    REQUIRE(leaks(*q_) == "");
    REQUIRE(lies(*q_) == "");
  }

  std::mt19937_64 random_;
  slots_options options_;
  std::unique_ptr<slots> q_;
  model model_;
  std::vector<held> held_;
  std::vector<leased> leased_;
  std::uint64_t next_ = 0;
  std::uint64_t tide_ = 3;
};

}  // namespace

TEST_CASE("slots: random operations do what a std::deque says", "[deadline:120]") {
  const auto seed = GENERATE(range(1, 9));
  INFO("seed " << seed);
  SECTION("without a limit") { walk(static_cast<std::uint64_t>(seed), {}).run(20'000 / harness::slowdown); }
  SECTION("of 1 item") { walk(static_cast<std::uint64_t>(seed), {.max_items = 1}).run(5000 / harness::slowdown); }
  SECTION("of 5 items, 3 deliveries") {
    walk(static_cast<std::uint64_t>(seed), {.max_items = 5, .max_deliveries = 3}).run(20'000 / harness::slowdown);
  }
  SECTION("flat messages, 2 deliveries") {
    walk(static_cast<std::uint64_t>(seed), {.message_size = 64, .max_deliveries = 2}).run(20'000 / harness::slowdown);
  }
}

TEST_CASE("slots: random traffic comes out of slots and of a locked ring alike") {
  const auto seed = GENERATE(range(1, 5));
  std::mt19937_64 random(static_cast<std::uint64_t>(seed));
  auto q = make();
  locked_ring ring(4 << 20);
  std::vector<std::byte> from_ring;
  std::uint64_t number = 0;
  for (int i = 0; i < 30'000 / harness::slowdown; ++i) {
    const auto tide = (i / 1000) % 3;
    if (random() % 4 <= static_cast<std::uint64_t>(tide)) {
      const auto m = message(number, 8 + random() % (random() % 20 == 0 ? 20'000 : 300));
      if (!ring.put(1, m)) continue;
      REQUIRE(q->put(1, m, deadline::passed()).has_value());
      ++number;
    } else {
      auto t = q->take(2, deadline::passed());
      REQUIRE(t.has_value() == ring.get(2, from_ring));
      if (!t) continue;
      std::vector<std::byte> from_slots(t->size());
      t->copy_to(from_slots);
      REQUIRE(from_slots == from_ring);
      t->deliver();
    }
  }
}
