// SPDX-License-Identifier: BSD-3-Clause
// Model of the event: a waiter whose wait began before a set returns, although a clear follows at once.
//
// Source: actors/cloister/actors/event.cpp, internal/sync_event.hpp
// Checked: nobody for whom an event was set sleeps for ever or times out; nobody returns without a set.
// Configuration: waiters that wait once or more, setters that set (and clear) once or twice; kills (repair is a notify_all),
// stops (then with the look, in three steps), time-outs. The event count is an abstraction: who has announced is woken, also
// before it sleeps, and somebody counts as announced only that long (event_count.cpp has the real one, which is kinder).
// Sequential consistency is assumed. States: 158 to 395 632 a run; 15 mutants, all detected. Found by this model:
// the look reads the word before it asks for sleepers, and begins with the generation of the creation, not of its first look.
#include "explore.hpp"

using models::successors;

namespace {

using u8 = std::uint8_t;
constexpr int max_procs = 5;

struct config {
  int waiters = 2, setters = 1, rounds = 1, sets = 1, clears = 1;  // clears: a clear after each set
  int clearers = 0;                                                // who only clear, once
  int kills = 0, stops = 0, stop_waiters = 1, time_outs = 0;
  // mutants
  int no_generation = 0, only_set = 0, no_recheck = 0, no_look = 0, no_repair = 0, set_stored = 0, clear_bumps = 0,
      generation_late = 0, wakes_one = 0, look_only_set = 0, look_sleepers_first = 0, look_begins_late = 0, no_last_try = 0,
      notify_before_set = 0, clear_stored = 0;
};

enum pc : u8 {
  p_done,
  p_dead,
  s_load,
  s_cas,
  s_announced,
  s_notify,
  c_load,
  c_cas,
  w_load,
  w_announce,
  w_check,
  w_asleep,
  w_woken,
};
enum hub_pc : u8 { h_idle, h_word, h_announced, h_notify };

struct proc {
  u8 pc, left, stopped;
  u8 gen, set;    // a setter: the word it loaded; a waiter: the generation it saw at the start
  u8 woken, due;  // due (ghost): a set happened since this wait began
};

struct model {
  struct state {
    u8 gen, set;
    proc p[max_procs];  // waiters, then setters
    u8 hub_pc, hub_last, hub_knows, hub_seen;
    u8 unrepaired, kills, stops, time_outs;
  };

  config c;
  explicit model(const config& conf) : c(conf) {
    if (procs() > max_procs) std::abort();
  }
  int procs() const { return c.waiters + c.setters + c.clearers; }

  state first() const {
    state s;
    std::memset(&s, 0, sizeof s);
    for (int i = 0; i < procs(); ++i) {
      s.p[i].pc = i < c.waiters ? w_load : (i < c.waiters + c.setters ? first_of_setter() : c_load);
      s.p[i].left = static_cast<u8>(i < c.waiters ? c.rounds : (i < c.waiters + c.setters ? c.sets : 1));
    }
    s.hub_knows = static_cast<u8>(!c.look_begins_late);
    s.kills = static_cast<u8>(c.kills), s.stops = static_cast<u8>(c.stops), s.time_outs = static_cast<u8>(c.time_outs);
    return s;
  }
  pc first_of_setter() const { return c.notify_before_set ? s_announced : s_load; }

  bool good(const state& s) const {
    if (s.unrepaired || s.hub_pc != h_idle) return false;
    for (int i = 0; i < procs(); ++i) {
      const proc& q = s.p[i];
      if (q.pc == p_done || q.pc == p_dead || q.stopped) continue;
      if (q.pc != w_asleep || q.woken || q.due) return false;
    }
    return true;
  }

  // Waiters are alike, and so are setters.
  void canonical(state& s) const {
    const auto before = [](const proc& x, const proc& y) { return std::memcmp(&x, &y, sizeof x) < 0; };
    std::sort(s.p, s.p + c.waiters, before);
    std::sort(s.p + c.waiters, s.p + procs(), before);
  }

  bool somebody_announced(const state& s) const {
    for (int i = 0; i < c.waiters; ++i)
      if ((s.p[i].pc == w_check || s.p[i].pc == w_asleep) && !s.p[i].woken) return true;
    return false;
  }
  void wake(state& s) const {
    for (int i = 0; i < c.waiters; ++i) {
      if ((s.p[i].pc != w_check && s.p[i].pc != w_asleep) || s.p[i].woken) continue;
      s.p[i].woken = 1;
      if (c.wakes_one) return;
    }
  }

  void next(const state& s, successors<state>& out) const {
    for (int i = 0; i < procs(); ++i) {
      const proc& q = s.p[i];
      if (q.pc == p_done || q.pc == p_dead) continue;
      if (s.kills > 0) {
        state n = s;
        --n.kills, ++n.unrepaired;
        n.p[i] = {p_dead, 0, 0, 0, 0, 0, 0};
        canonical(n);
        out.forced(n, i, "is killed");
      }
      if (q.stopped) continue;
      step(s, i, out);
      if (s.stops > 0 && (i >= c.waiters || c.stop_waiters)) {
        state n = s;
        --n.stops, n.p[i].stopped = 1;
        canonical(n);
        out.forced(n, i, "is stopped");
      }
    }
    hub(s, out);
  }

  void hub(const state& s, successors<state>& out) const {
    state n = s;
    auto go = [&](hub_pc to, const char* label) {
      n.hub_pc = to;
      if (to == h_idle) n.hub_seen = 0;
      canonical(n);
      out.add(n, -1, label);
    };
    switch (s.hub_pc) {
      case h_idle:
        if (c.stops > 0 && !c.no_look) go(c.look_sleepers_first ? h_announced : h_word, "look");
        if (s.unrepaired) {
          n = s;
          n.unrepaired = 0;
          if (!c.no_repair) wake(n);
          go(h_idle, "repair: notify_all");
        }
        return;
      case h_word: {
        if (!s.hub_knows) n.hub_knows = 1, n.hub_last = s.gen;
        const bool fresh = s.set || (s.gen != n.hub_last && !c.look_only_set);
        n.hub_last = s.gen;
        if (c.look_sleepers_first) return go(fresh && s.hub_seen ? h_notify : h_idle, "look: loads the word, second");
        return go(fresh ? h_announced : h_idle, "look: loads the word");
      }
      case h_announced:
        n.hub_seen = somebody_announced(s);
        if (c.look_sleepers_first) return go(h_word, "look: loads announced, first");
        return go(n.hub_seen ? h_notify : h_idle, "look: loads announced");
      case h_notify: wake(n); return go(h_idle, "look: notify_all");
      default: return;
    }
  }

  void step(const state& s, int i, successors<state>& out) const {
    state n = s;
    proc& q = n.p[i];
    auto go = [&](pc to, const char* label, const char* complaint = nullptr) {
      q.pc = to;
      canonical(n);
      out.add(n, i, label, complaint);
    };
    auto over = [&](pc again, const char* label, const char* complaint = nullptr) {
      const u8 left = static_cast<u8>(q.left - 1);
      q = {p_done, left, 0, 0, 0, 0, 0};
      go(left ? again : p_done, label, complaint);
    };
    auto set_is_over = [&](const char* label) {
      q.gen = q.set = 0;
      if (c.clears) return go(c_load, label);
      return over(first_of_setter(), label);
    };
    // The attempt of the event count: the word is set, or its generation is another one.
    auto attempt = [&](pc otherwise, const char* label) {
      const bool changed = !c.only_set && s.gen != q.gen;
      if (s.set || changed) return over(w_load, "wait: it was set", q.due || s.set ? nullptr : "returned without a set");
      go(otherwise, label);
    };
    switch (q.pc) {
      // ---- set, and clear
      case s_load: q.gen = s.gen, q.set = s.set; return go(s_cas, "set: loads the word");
      case s_cas:
        if ((q.gen != s.gen || q.set != s.set) && !c.set_stored) return q.gen = q.set = 0, go(s_load, "set: CAS fails");
        n.gen = static_cast<u8>(c.no_generation ? s.gen : q.gen + 1), n.set = 1;
        for (int w = 0; w < c.waiters; ++w)
          if (n.p[w].pc >= w_announce) n.p[w].due = 1;
        if (c.notify_before_set) return set_is_over("set: CAS, late");
        q.gen = q.set = 0;
        return go(s_announced, "set: CAS");
      case s_announced:
        if (somebody_announced(s)) return go(s_notify, "set: somebody has announced");
        return c.notify_before_set ? go(s_load, "set: nobody has announced") : set_is_over("set: nobody has announced");
      case s_notify: wake(n); return c.notify_before_set ? go(s_load, "set: notify_all") : set_is_over("set: notify_all");
      case c_load: q.gen = s.gen, q.set = s.set; return go(c_cas, "clear: loads the word");
      case c_cas:
        if ((q.gen != s.gen || q.set != s.set) && !c.clear_stored) return q.gen = q.set = 0, go(c_load, "clear: CAS fails");
        n.set = 0, n.gen = static_cast<u8>(q.gen + (c.clear_bumps ? 1 : 0));
        return over(first_of_setter(), "clear: CAS");
      // ---- wait
      case w_load:
        if (s.set) return over(w_load, "wait: is set");
        q.gen = s.gen;
        return go(w_announce, "wait: loads the generation");
      case w_announce: return go(c.no_recheck ? w_asleep : w_check, "wait: announces itself");
      case w_check: return attempt(w_asleep, "wait: unchanged, falls asleep");
      case w_asleep:
        if (q.woken) return q.woken = 0, go(c.generation_late ? w_load : w_woken, "wait: wakes up");
        if (s.time_outs > 0) {
          --n.time_outs;
          const bool late = !c.no_last_try && (s.set || (!c.only_set && s.gen != q.gen));
          const u8 left = static_cast<u8>(q.left - 1);
          const bool missed = q.due && !late;
          q = {left ? w_load : p_done, left, 0, 0, 0, 0, 0};
          canonical(n);
          if (missed) return out.add(n, i, "wait: times out", "timed out although it was set");
          out.forced(n, i, late ? "wait: times out, it was set" : "wait: times out");
        }
        return;
      case w_woken: return attempt(w_announce, "wait: nothing after all");
      default: return;
    }
  }

  std::string show(const state& s) const {
    std::string t = "generation " + std::to_string(s.gen) + (s.set ? " set" : "") + " asleep";
    for (int i = 0; i < c.waiters; ++i)
      if (s.p[i].pc == w_asleep)
        t += " p" + std::to_string(i) + "(" + std::to_string(s.p[i].gen) + (s.p[i].woken ? ", woken)" : ")");
    return t;
  }
};

constexpr const char* stuck = "stuck";
constexpr models::run<config> runs[] = {
    {"plain", {}},
    {"no_clear", {.setters = 2, .clears = 0}},
    {"two_setters", {.setters = 2, .rounds = 2}},
    {"three_waiters", {.waiters = 3, .setters = 2}},
    {"pulses", {.setters = 2, .rounds = 2, .sets = 2}},
    {"kill", {.setters = 2, .kills = 1}},
    {"two_kills", {.setters = 2, .rounds = 2, .kills = 2}},
    {"stop", {.setters = 2, .rounds = 2, .stops = 1}},
    {"stop_and_clear", {.rounds = 2, .clearers = 1, .stops = 1}},
    {"stop_and_kill", {.setters = 2, .kills = 1, .stops = 1}},
    {"time_out", {.setters = 2, .rounds = 2, .kills = 1, .time_outs = 1}},
    {"two_stops", {.setters = 2, .rounds = 2, .kills = 1, .stops = 2}},
    {"three_stop_and_kill", {.waiters = 3, .setters = 2, .rounds = 2, .kills = 1, .stops = 1}, nullptr, true},
    {"no_generation", {.no_generation = 1}, stuck},
    {"only_set", {.only_set = 1}, stuck},
    {"no_recheck", {.no_recheck = 1}, stuck},
    {"generation_late", {.generation_late = 1}, stuck},
    {"set_stored", {.setters = 2, .set_stored = 1}, stuck},
    {"clear_stored", {.setters = 2, .clear_stored = 1}, "returned without a set"},
    {"clear_bumps", {.setters = 2, .clear_bumps = 1}, "returned without a set"},
    {"wakes_one", {.wakes_one = 1}, stuck},
    {"notify_before_set", {.notify_before_set = 1}, stuck},
    {"no_last_try", {.time_outs = 1, .no_last_try = 1}, "timed out although it was set"},
    {"no_repair", {.kills = 1, .no_repair = 1}, stuck},
    {"no_look", {.stops = 1, .stop_waiters = 0, .no_look = 1}, stuck},
    {"look_only_set", {.clearers = 1, .stops = 1, .look_only_set = 1}, stuck},
    {"look_sleepers_first", {.clearers = 1, .stops = 1, .look_sleepers_first = 1}, stuck},
    {"look_begins_late", {.clearers = 1, .stops = 1, .look_begins_late = 1}, stuck},
};

constexpr models::field<config> fields[] = {
    {"waiters", &config::waiters},     {"setters", &config::setters}, {"rounds", &config::rounds},
    {"sets", &config::sets},           {"clears", &config::clears},   {"clearers", &config::clearers},
    {"kills", &config::kills},         {"stops", &config::stops},     {"stop_waiters", &config::stop_waiters},
    {"time_outs", &config::time_outs},
};

}  // namespace

int main(int argc, char** argv) { return models::main_of<model, config>("event", runs, fields, argc, argv); }
