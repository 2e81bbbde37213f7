// SPDX-License-Identifier: BSD-3-Clause
// Death by SIGKILL at every step of every call, in every state of the queue: what the survivors see after the repair.
// The failure matrix: a put is there in full if its commit was stored, else not at all; a get's message is the victim's
// once its slot is free, else the next consumer's, flagged; a lease comes back flagged unless its ack was stored.
#include "slots_crash.hpp"

using namespace slots_test;

namespace {

/// What must have become of the message that the victim worked on.
enum class fate { as_it_was, flagged, gone, dead_letter };

struct role {
  std::string name;
  std::function<void(slots&, report&)> act;
  /// Of the first message in the queue; by the calls finished and the place of death.
  std::function<fate(unsigned call, const fault_place&)> first;
  /// How many of the victim's own messages are there.
  std::function<unsigned(const report&, const fault_place&)> own;
};

bool patient = false;
unsigned no_own(const report&, const fault_place&) { return 0; }
fate untouched(unsigned, const fault_place&) { return fate::as_it_was; }
bool is(const fault_place& p, const char* operation, unsigned from, unsigned to) {
  return p.operation == operation && p.step >= from && p.step <= to;
}

fate of_take(const fault_place& p) { return is(p, "get", 2, 4) ? fate::flagged : fate::as_it_was; }
fate of_deliver(const fault_place& p) {
  return is(p, "get", 5, 8) || p.operation == "notify" || p.operation == "grow" ? fate::gone : fate::flagged;
}
bool stored_in_table(const fault_place& p) { return p.operation == "get" || p.operation == "notify" || is(p, "ack", 2, 2); }

// Waits only where it is to die waiting.
deadline patience() { return patient ? deadline(20ms) : deadline::passed(); }

void put_own(slots& q, report& r, std::size_t size) {
  if (q.put(victim, message(new_number, size), patience())) ++r.put;
}

std::vector<role> roles() {
  const auto own_put = [](const report& r, const fault_place& p) {
    return unsigned{r.put} + (is(p, "put", 6, 7) || (p.operation == "notify" && r.call == 0) ? 1U : 0U);
  };
  const auto take = [](slots& q, report& r) {
    auto t = q.take(victim, patience());
    if (t) r.call = 1;
    return t;
  };
  return {
      {"puts a small message", [](slots& q, report& r) { put_own(q, r, 40); }, untouched, own_put},
      {"puts a large message", [](slots& q, report& r) { put_own(q, r, 50'000); }, untouched, own_put},
      {"puts a batch of three",
       [](slots& q, report& r) {
         std::vector<std::vector<std::byte>> all{message(new_number, 40), message(new_number + 1, 40), message(new_number + 2, 40)};
         std::vector<std::span<const std::byte>> spans(all.begin(), all.end());
         if (const auto n = q.put_many(victim, spans, patience())) r.put += static_cast<unsigned>(*n);
       },
       untouched,
       [](const report& r, const fault_place& p) {
         if (is(p, "put", 4, 5)) return unsigned{r.put} + p.skip;
         if (is(p, "put", 6, 6)) return unsigned{r.put} + p.skip + 1;
         return unsigned{r.put};  // and those that found room before a notification or a wait
       }},
      {"gets a message",
       [=](slots& q, report& r) {
         auto t = take(q, r);
         if (!t) return;
         const auto n = number_of(*t);
         t->deliver();
         r.got(n);
       },
       [](unsigned call, const fault_place& p) { return call == 0 ? of_take(p) : of_deliver(p); }, no_own},
      {"takes a message and gives it back",
       [=](slots& q, report& r) {
         if (auto t = take(q, r)) t->give_back();
       },
       [](unsigned call, const fault_place& p) {
         return call == 0 || !(is(p, "get", 3, 4) || is(p, "give_back", 1, 1)) ? of_take(p) : fate::flagged;
       },
       no_own},
      {"leases a message and acknowledges it",
       [=](slots& q, report& r) {
         auto t = take(q, r);
         if (!t) return;
         const auto l = t->lease();
         r.call = 2;
         if (q.ack(victim, *l)) r.got(0);
       },
       [](unsigned call, const fault_place& p) {
         return call == 0 ? of_take(p) : call == 2 && stored_in_table(p) ? fate::gone : fate::flagged;
       },
       no_own},
      {"leases a message and gives it back",
       [=](slots& q, report& r) {
         auto t = take(q, r);
         if (!t) return;
         const auto l = t->lease();
         r.call = 2;
         (void)q.give_back(victim, *l);
       },
       [](unsigned call, const fault_place& p) { return call == 0 ? of_take(p) : fate::flagged; }, no_own},
  };
}

void check(const state& s, const role& v, const fault_place& p, std::set<std::string>& reached) {
  auto q = make(s.options);
  const auto before = s.prepare(*q);
  const std::vector<unsigned> flagged_before(before.size(), s.name == "one came back" ? 1 : 0);
  auto& r = shared_report();
  r.call = r.put = r.delivered = 0;
  patient = p.operation == "wait";
  const auto ended = die_at(p.operation, p.step, p.skip, [&] { v.act(*q, r); });
  if (ended.signal() != SIGKILL) {
    REQUIRE(ended.success());
    return;
  }
  INFO("a queue that is " << s.name << "; the victim " << v.name << " and dies at " << p.text() << " after " << r.call << " calls");
  reached.insert(p.operation + std::to_string(p.step));
  const std::array<actor_id, 1> dead{victim};
  q->repair(dead);
  std::vector<seen> expected;
  for (std::size_t i = 0; i < before.size(); ++i) expected.push_back({before[i], flagged_before[i]});
  if (!expected.empty()) {
    const auto f = v.first(r.call, p);
    if (f == fate::flagged) ++expected.front().redeliveries;
    if (f == fate::gone) expected.erase(expected.begin());
  }
  const unsigned own = v.own(r, p);
  for (unsigned i = 0; i < own; ++i) expected.push_back({new_number + i, 0});
  const auto got = drain(*q);
  const bool part_of_batch =
      v.name == "puts a batch of three" && (p.operation == "notify" || p.operation == "wait" || is(p, "put", 7, 7));
  if (part_of_batch)
    for (auto n = new_number; expected.size() < got.size(); ++n) expected.push_back({n, 0});
  REQUIRE(got.size() >= expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    INFO("message " << i << ": number " << got[i].number << ", redelivered " << got[i].redeliveries << " times; expected "
                    << expected[i].number << ", " << expected[i].redeliveries);
    REQUIRE(got[i] == expected[i]);
  }
  REQUIRE(got.size() == expected.size());
  release_bystander(*q);
  REQUIRE(leaks(*q) == "");
  REQUIRE(lies(*q) == "");
  put(*q, 1);
  REQUIRE(get(*q) == 1);
}

}  // namespace

TEST_CASE("slots: whoever dies at whatever step, survivors see each message whole, once, and nothing leaks", "[deadline:300]") {
  std::set<std::string> reached;
  for (const auto& s : states())
    for (const auto& v : roles())
      for (const auto& p : fault_places())
        if (chosen()) check(s, v, p, reached);
  if (harness::sanitized) return;
  // Each step was died at by somebody; the others have cases of their own below.
  for (const auto& p : fault_places()) {
    if (p.operation == "notify" || p.operation == "wait") continue;  // event_count's, and need a sleeper
    INFO("step " << p.operation << ' ' << p.step);
    REQUIRE(reached.count(p.operation + std::to_string(p.step)) == 1);
  }
}
