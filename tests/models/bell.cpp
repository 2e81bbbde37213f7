// SPDX-License-Identifier: BSD-3-Clause
// Model of the bell: how those who poll many mailboxes learn that there is something in one of them.
//
// Source: framework/cloister/detail/event_count.hpp (arm_bell, notify_one, notify_all, nudge), wait.cpp, slots.cpp (after_free, look).
// Checked: a poller that is alive and not stopped does not sleep for ever while an item is there, or once the queue is closed
// and nothing is unfinished any more. Configuration: two pollers, each with an edge of its own for the one bell, two
// notifiers; kills (repair is a notify_all), a stop and a notifier without a descriptor for the bell (then the look every
// 250 ms); a lease that somebody ends after the close. Not here: futex sleepers on the same event (event_count.cpp), several
// mailboxes in one wait: each has a bell of its own.
// Sequential consistency is assumed. States: 3 779 to 68 610 a run; 9 mutants, all detected. Found by this model:
// who polls announces no sleep, so neither the look nor the end of a lease after a close may ask for sleepers first.
#include "explore.hpp"

using models::successors;

namespace {

using u8 = std::uint8_t;
constexpr int max_pollers = 3, max_procs = 6;

struct config {
  int pollers = 2, notifiers = 2, items = 1, takes = 0;  // items of each notifier; a poller ends after `takes`, 0: never
  int kills = 0, stops = 0, stop_notifiers = 1, blind = 0,
      close = 0;  // blind: a notifier that cannot ring; close: a closer, with a lease open
  // mutants
  int no_rearm = 0, try_before_arm = 0, ring_before_commit = 0, one_edge = 0, bell_read_away = 0, no_repair_ring = 0,
      look_wants_sleepers = 0, ack_wants_sleepers = 0, no_look = 0;
};

enum bell_state : u8 { none, armed, disarmed };
enum pc : u8 {
  p_done,
  p_dead,
  n_commit,
  n_load,
  n_disarm,
  n_ring,
  n_late,
  w_arm,
  w_try,
  w_sleep,
  w_late_arm,
  z_close,
  z_notify,
  z_ring,
  z_ack,
  z_load,
  z_disarm,
  z_write,
};

struct proc {
  u8 pc, left, stopped;
};

struct model {
  struct state {
    u8 items, bell, closed, unfinished, edges;  // edges: bit of a poller whose epoll has one
    proc p[max_procs];
    u8 unrepaired, kills, stops, blind;
  };

  config c;
  explicit model(const config& conf) : c(conf) {
    if (c.pollers > max_pollers || procs() > max_procs) std::abort();
  }
  int procs() const { return c.pollers + c.notifiers + c.close; }

  state first() const {
    state s;
    std::memset(&s, 0, sizeof s);
    for (int i = 0; i < procs(); ++i) {
      s.p[i].pc = i < c.pollers ? (c.try_before_arm ? w_try : w_arm) : (i < c.pollers + c.notifiers ? n_commit : z_close);
      s.p[i].left = static_cast<u8>(i >= c.pollers && i < c.pollers + c.notifiers ? c.items : 0);
    }
    s.unfinished = static_cast<u8>(c.close);
    s.kills = static_cast<u8>(c.kills), s.stops = static_cast<u8>(c.stops), s.blind = static_cast<u8>(c.blind);
    return s;
  }

  bool ready(const state& s) const { return s.items > 0 || (s.closed && s.unfinished == 0); }

  bool good(const state& s) const {
    if (s.unrepaired) return false;
    bool poller = false;
    for (int i = 0; i < procs(); ++i) {
      const proc& q = s.p[i];
      if (q.stopped || q.pc == p_done || q.pc == p_dead) continue;
      if (i >= c.pollers || q.pc != w_sleep || (s.edges >> i & 1)) return false;
      poller = true;
    }
    return !poller || !ready(s);
  }

  void ring(state& s) const {
    if (c.one_edge) {  // an eventfd that is read away by the first one
      for (int i = 0; i < c.pollers; ++i)
        if (s.p[i].pc == w_sleep) {
          s.edges = static_cast<u8>(s.edges | 1 << i);
          return;
        }
    }
    for (int i = 0; i < c.pollers; ++i) s.edges = static_cast<u8>(s.edges | 1 << i);
  }

  void next(const state& s, successors<state>& out) const {
    for (int i = 0; i < procs(); ++i) {
      const proc& q = s.p[i];
      if (q.pc == p_done || q.pc == p_dead || q.stopped) continue;
      step(s, i, out);
      if (s.kills > 0) {
        state n = s;
        --n.kills, ++n.unrepaired;
        if (i == procs() - 1 && c.close && q.pc <= z_ack) n.unfinished = 0;  // its lease comes back to nobody here
        n.p[i] = {p_dead, 0, 0};
        out.forced(n, i, "is killed");
      }
      if (s.stops > 0 && (i < c.pollers || (c.stop_notifiers && i < c.pollers + c.notifiers))) {
        state n = s;
        --n.stops, n.p[i].stopped = 1;
        out.forced(n, i, "is stopped");
      }
    }
    if (s.unrepaired) {
      state n = s;
      n.unrepaired = 0;
      if (n.bell != none && !c.no_repair_ring) n.bell = disarmed, ring(n);
      out.add(n, -1, "repair: notify_all");
    }
    if ((c.stops || c.blind) && !c.no_look && !c.look_wants_sleepers && ready(s) && s.bell != none) {
      state n = s;
      n.bell = disarmed;
      ring(n);
      out.add(n, -1, "look: rings");
    }
  }

  void step(const state& s, int i, successors<state>& out) const {
    state n = s;
    proc& q = n.p[i];
    auto go = [&](pc to, const char* label) {
      q.pc = to;
      out.add(n, i, label);
    };
    auto notified = [&](const char* label) {
      if (c.ring_before_commit) return go(n_late, label);
      --q.left;
      go(q.left ? n_commit : p_done, label);
    };
    switch (q.pc) {
      // ---- notify_one, the bell's part
      case n_commit:
        if (!c.ring_before_commit) ++n.items;
        return go(n_load, "commits an item");
      case n_load: return s.bell == armed ? go(n_disarm, "the bell is armed") : notified("the bell is not armed");
      case n_disarm:
        if (s.bell != armed) return notified("another one rings");
        n.bell = disarmed;
        return go(n_ring, "disarms the bell");
      case n_ring:
        if (s.blind > 0) {
          state b = n;
          --b.blind;
          proc& r = b.p[i];
          --r.left, r.pc = r.left ? n_commit : p_done;
          out.forced(b, i, "has no descriptor for the bell");
        }
        ring(n);
        return notified("rings");
      case n_late: ++n.items, --q.left; return go(q.left ? n_commit : p_done, "commits an item, late");
      // ---- a poller: arm, try, sleep
      case w_arm: n.bell = armed; return go(c.try_before_arm ? w_sleep : w_try, "arms");
      case w_try:
        if (s.items > 0) {
          --n.items;
          if (c.takes && ++q.left == c.takes) return go(p_done, "takes an item, has had enough");
          return go(c.try_before_arm ? w_try : w_arm, "takes an item");
        }
        if (ready(s)) return go(p_done, "hears that it is over");
        return go(c.try_before_arm ? w_arm : w_sleep, "nothing");
      case w_sleep:
        if (!(s.edges >> i & 1)) return;
        n.edges = static_cast<u8>(n.edges & ~(1 << i));
        if (c.bell_read_away) n.edges = 0;
        return go(c.no_rearm || c.try_before_arm ? w_try : w_arm, "wakes up");
      // ---- closes, and later ends the last lease
      case z_close: n.closed = 1; return go(z_notify, "close");
      case z_notify:
        if (s.bell == none) return go(z_ack, "close: nobody ever polled");
        n.bell = disarmed;
        return go(z_ring, "close: disarms");
      case z_ring: ring(n); return go(z_ack, "close: rings");
      case z_ack: n.unfinished = 0; return go(c.ack_wants_sleepers ? p_done : z_load, "ends the last lease");
      case z_load: return go(s.bell == armed ? z_disarm : p_done, "is the bell armed?");
      case z_disarm: n.bell = disarmed; return go(z_write, "disarms");
      case z_write: ring(n); return go(p_done, "rings");
      default: return;
    }
  }

  std::string show(const state& s) const {
    std::string t = "items " + std::to_string(s.items) +
                    (s.bell == armed      ? " armed"
                     : s.bell == disarmed ? " disarmed"
                                          : " never armed") +
                    (s.closed ? " closed" : "") + (s.unfinished ? " unfinished" : "") + " asleep";
    for (int i = 0; i < c.pollers; ++i)
      if (s.p[i].pc == w_sleep) t += " p" + std::to_string(i) + (s.edges >> i & 1 ? "(edge)" : "");
    return t;
  }
};

constexpr const char* stuck = "stuck";
constexpr models::run<config> runs[] = {
    {"plain", {.items = 2}},
    {"three_pollers", {.pollers = 3}},
    {"one_each", {.items = 2, .takes = 1}},
    {"kill", {.items = 2, .kills = 2}},
    {"stop", {.items = 2, .stops = 1}},
    {"stopped_poller", {.items = 2, .stops = 1, .stop_notifiers = 0, .no_look = 1}},  // every other one has an edge of its own
    {"blind", {.items = 2, .blind = 1}},
    {"close", {.notifiers = 1, .kills = 1, .close = 1}},
    {"no_rearm", {.items = 2, .no_rearm = 1}, stuck},
    {"try_before_arm", {.try_before_arm = 1}, stuck},
    {"ring_before_commit", {.ring_before_commit = 1}, stuck},
    {"one_edge", {.stops = 1, .stop_notifiers = 0, .one_edge = 1, .no_look = 1}, stuck},
    {"bell_read_away", {.notifiers = 1, .items = 2, .takes = 1, .bell_read_away = 1}, stuck},
    {"no_repair_ring", {.kills = 1, .no_repair_ring = 1}, stuck},
    {"no_look", {.stops = 1, .no_look = 1}, stuck},
    {"look_wants_sleepers", {.blind = 1, .look_wants_sleepers = 1}, stuck},
    {"ack_wants_sleepers", {.notifiers = 0, .close = 1, .ack_wants_sleepers = 1}, stuck},
};

constexpr models::field<config> fields[] = {
    {"pollers", &config::pollers},
    {"notifiers", &config::notifiers},
    {"items", &config::items},
    {"takes", &config::takes},
    {"kills", &config::kills},
    {"stops", &config::stops},
    {"stop_notifiers", &config::stop_notifiers},
    {"blind", &config::blind},
    {"close", &config::close},
};

}  // namespace

int main(int argc, char** argv) { return models::main_of<model, config>("bell", runs, fields, argc, argv); }
