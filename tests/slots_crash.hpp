// SPDX-License-Identifier: BSD-3-Clause
// The table of deaths: roles (what the victim does) x states (what the queue is like) x every fault step.
#pragma once

#include "slots_support.hpp"

#include <cloister/fault.hpp>

#include <algorithm>
#include <csignal>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include <sys/mman.h>

namespace slots_test {

inline constexpr actor_id victim = 7, survivor = 3, bystander = 9;
inline constexpr std::uint64_t new_number = 900;  // what a victim puts: 900, 901, ...

/// What a victim tells from the other side: shared by fork.
struct report {
  std::atomic<unsigned> call;       // the calls it has finished
  std::atomic<unsigned> put;        // of its messages, those whose put returned success
  std::atomic<unsigned> delivered;  // numbers that became its own
  std::array<std::atomic<std::uint64_t>, 16> numbers;

  void got(std::uint64_t n) { numbers[delivered++] = n; }
};

inline report& shared_report() {
  static auto* at =
      static_cast<report*>(::mmap(nullptr, sizeof(report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  return *at;
}

struct state {
  std::string name;
  slots_options options;
  /// Fills the queue; returns the numbers in it, in the order in which a get must find them.
  std::function<std::vector<std::uint64_t>(slots&)> prepare;
};

struct seen {
  std::uint64_t number;
  unsigned redeliveries;
  friend bool operator==(const seen&, const seen&) = default;
};

/// Everything a get finds, delivered to `me`.
inline std::vector<seen> drain(slots& q, actor_id me = survivor) {
  std::vector<seen> all;
  for (;;) {
    auto t = q.take(me, deadline::passed());
    if (!t) return all;
    all.push_back({number_of(*t), t->redeliveries()});
    t->deliver();
  }
}

inline std::vector<std::uint64_t> fill(slots& q, std::uint64_t from, std::uint64_t count, std::size_t size = 8) {
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t n = from; n < from + count; ++n) {
    put(q, n, size);
    numbers.push_back(n);
  }
  return numbers;
}

/// Dies at one step of whatever `body` calls, if it gets there.
inline exit_status die_at(const std::string& operation, unsigned step, unsigned skip, const std::function<void()>& body) {
  return harness::forked([&] {
    inject_fault({.operation = operation, .step = step, .skip = skip});
    body();
  });
}

inline std::vector<state> states() {
  const slots_options big_slots{.message_size = 4096};  // rings of 32, 64, ... slots: 31 messages fill the first
  return {
      {"empty", {}, [](slots&) { return std::vector<std::uint64_t>{}; }},
      {"one", {}, [](slots& q) { return fill(q, 1, 1); }},
      {"full", {.max_items = 3}, [](slots& q) { return fill(q, 1, 3); }},
      {"wrapped",
       {.max_items = 4},
       [](slots& q) {
         for (std::uint64_t i = 0; i < 6; ++i) put(q, 100 + i), get(q);
         return fill(q, 1, 2);
       }},
      {"large", {}, [](slots& q) { return fill(q, 1, 2, 30'000); }},
      {"about to grow", big_slots, [](slots& q) { return fill(q, 1, 31); }},
      {"a ring sealed and left", big_slots,
       [](slots& q) {
         auto numbers = fill(q, 1, 31);
         REQUIRE(die_at("grow", 3, 0, [&] { put(q, 99, 8, 20); }).signal() == SIGKILL);
         return numbers;
       }},
      {"in two rings, the first one drained", big_slots,
       [](slots& q) {
         fill(q, 100, 31);
         auto numbers = fill(q, 1, 5);
         for (int i = 0; i < 31; ++i) get(q);
         return numbers;
       }},
      {"one came back",
       {},
       [](slots& q) {
         fill(q, 1, 2);
         REQUIRE(q.take(survivor, deadline::passed())->lease().has_value());
         auto second = q.take(survivor, deadline::passed())->lease();
         REQUIRE(q.give_back(survivor, *second).has_value());
         const std::array<actor_id, 1> gone{survivor};
         q.repair(gone);  // the first comes back as well: then both are in the table, oldest first
         return std::vector<std::uint64_t>{1, 2};
       }},
      {"being written by another",
       {},
       [](slots& q) {
         REQUIRE(die_at("put", 2, 0, [&] { put(q, 98, 8, bystander); }).signal() == SIGKILL);
         return fill(q, 1, 2);
       }},
      {"given memory back",
       {},
       [](slots& q) {
         fill(q, 100, 2, 300'000);
         drain(q);
         q.look();
         q.look();
         return fill(q, 1, 1, 64 * 4096);
       }},
      {"lease table about to grow",
       {},
       [](slots& q) {
         for (std::uint32_t i = 0; i < q.layout().geometry().first_leases; ++i) {
           put(q, 5000);
           REQUIRE(q.take(bystander, deadline::passed())->lease().has_value());
         }
         return fill(q, 1, 2);
       }},
      {"lease table full",
       {.max_bytes = 32 * 1024},
       [](slots& q) {
         while (true) {
           put(q, 5000);
           if (q.take(bystander, deadline::passed())->lease()->entry == lease_token::in_slot) break;
         }
         return fill(q, 1, 2);
       }},
  };
}

/// Acknowledges whatever `bystander` holds, so that the leak check sees only what the case left behind.
inline void release_bystander(slots& q) {
  const std::array<actor_id, 1> gone{bystander};
  q.repair(gone);
  for (;;) {
    auto t = q.take(survivor, deadline::passed());
    if (!t) return;
    t->deliver();
  }
}

/// Of the table's cells all; under a sanitizer, where a fork costs much, each eighth.
inline bool chosen() {
  static unsigned cell = 0;
  return !harness::sanitized || ++cell % 8 == 0;
}

struct fault_place {
  std::string operation;
  unsigned step;
  unsigned skip;
  std::string text() const {
    return operation + " " + std::to_string(step) + (skip ? " at the " + std::to_string(skip + 1) + "th time" : "");
  }
};

/// Every step of the operations of the queue, and of waiting and notifying; those that one call passes often, also later
/// than at the first time.
inline std::vector<fault_place> fault_places() {
  const std::set<std::string> often{"put4", "put5", "put6", "chunk1", "chunk5", "get5", "get7", "notify1"};
  std::vector<fault_place> all;
  for (const auto operation :
       {"put", "grow", "chunk", "chunk_grow", "get", "lease", "lease_grow", "ack", "give_back", "wait", "notify"})
    for (unsigned step = 1; step <= fault_steps(operation); ++step)
      for (unsigned skip = 0; skip < (often.count(operation + std::to_string(step)) ? 3 : 1); ++skip)
        all.push_back({operation, step, skip});
  return all;
}

}  // namespace slots_test
