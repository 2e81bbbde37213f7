// SPDX-License-Identifier: BSD-3-Clause
// Model of the event count: notifications are not lost, whoever is killed or stopped, whenever.
//
// Source: framework/cloister/detail/event_count.hpp (wait, notify_one, notify_waiting, notify_all, nudge).
// Checked: an item that was committed is taken as long as somebody who could take it is alive and not stopped.
// Configuration: two waiters and two notifiers with three notifications (also 3 and 1, 3), up to two kills (repair is a
// notify_all), a stop (then with the look every 250 ms), a time-out, waiters that take everything or one item each, one notification for two.
// tests/event_explore.test.cpp runs the real code in all interleavings up to a bound; this one has no bound.
// Sequential consistency is assumed. States: 5 192 to 352 010 a run, up to symmetry; 14 mutants, all detected: the version
// with one counter that is set back to 0 needs 276 640 states until it loses a wake-up.
#include "explore.hpp"

using models::successors;

namespace {

using u8 = std::uint8_t;
constexpr int max_procs = 5;

struct config {
  int waiters = 2, notifiers = 2, first = 2, others = 1;  // notifications of the first notifier, and of each other one
  int kills = 0, stops = 0, time_outs = 0, look = 0;
  int all = 0;               // notify_waiting: one wakes all; so does the repair, if somebody may sleep
  int takes = 0, batch = 1;  // a waiter ends after so many items, 0: never; items committed at once
  // mutants
  int one_counter = 0, no_recheck = 0, seq_read_late = 0, no_bump = 0, bump_late = 0, clears_though_woken = 0,
      announced_read_late = 0, notify_before_commit = 0, no_repair_notify = 0, no_last_try = 0, no_pass_on = 0;
};

enum pc : u8 {
  p_done,
  p_dead,
  n_commit,
  n_announced,
  n_cleared,
  n_bump,
  n_wake,
  n_raise,
  n_late_commit,
  w_try,
  w_seq,
  w_announce,
  w_recheck,
  w_sleep,
  w_asleep,
  w_woken,
};

struct proc {
  u8 pc, left, a, old_seq, woke, stopped, woken, timed_out;
};

struct model {
  struct state {
    u8 items, announced, cleared;  // seq itself is not needed: see bump()
    proc p[max_procs];             // waiters, notifiers, and the hub (looks and repairs) last
    u8 unrepaired, kills, stops, time_outs;
  };

  config c;
  explicit model(const config& conf) : c(conf) {
    if (c.waiters + c.notifiers + 1 > max_procs) std::abort();
  }
  int hub() const { return c.waiters + c.notifiers; }

  state first() const {
    state s;
    std::memset(&s, 0, sizeof s);
    for (int i = 0; i < hub(); ++i) {
      s.p[i].pc = i < c.waiters ? w_try : n_commit;
      s.p[i].left = static_cast<u8>(i < c.waiters ? 0 : (i == c.waiters ? c.first : c.others));
    }
    s.kills = static_cast<u8>(c.kills), s.stops = static_cast<u8>(c.stops), s.time_outs = static_cast<u8>(c.time_outs);
    return s;
  }

  /// Everybody may rest: all has been notified, and what is left nobody could take.
  bool good(const state& s) const {
    if (s.unrepaired || s.p[hub()].pc != p_done) return false;
    bool takers = false;
    for (int i = 0; i < hub(); ++i) {
      const proc& q = s.p[i];
      if (q.stopped || q.pc == p_done || q.pc == p_dead) continue;
      if (i >= c.waiters) return false;
      if (q.pc != w_asleep || q.woken) return false;
      takers = true;
    }
    return s.items == 0 || !takers;
  }

  // Only the order of the counters matters, and processes of a kind are alike: names each class of states by one of them.
  // (One counter that is set back to 0 is compared by value: that mutant stays as it is.)
  void canonical(state& s) const {
    std::sort(s.p, s.p + c.waiters, before);
    std::sort(s.p + c.waiters, s.p + hub(), before);
    if (c.one_counter) return;
    bool used[256] = {};
    used[s.cleared] = used[s.announced] = true;
    for (const proc& q : s.p) used[q.a] = used[q.a] || reads_counters(q);
    u8 rank[256], next_rank = 0;
    for (int value = 0; value <= s.announced; ++value) rank[value] = used[value] ? next_rank++ : u8{0};
    s.cleared = rank[s.cleared], s.announced = rank[s.announced];
    for (proc& q : s.p)
      if (reads_counters(q)) q.a = rank[q.a];
  }
  static bool reads_counters(const proc& q) { return q.pc >= n_cleared && q.pc <= n_raise; }
  static bool before(const proc& x, const proc& y) { return std::memcmp(&x, &y, sizeof x) < 0; }
  // A bump of seq: whoever has read it holds an old value from now on, for ever.
  void bump(state& s) const {
    for (int i = 0; i < c.waiters; ++i)
      if (s.p[i].pc >= w_announce && s.p[i].pc <= w_sleep) s.p[i].old_seq = 1;
  }

  void next(const state& s, successors<state>& out) const {
    for (int i = 0; i <= hub(); ++i) {
      const proc& q = s.p[i];
      if (i == hub() && q.pc == p_done) {
        hub_begins(s, out);
        continue;
      }
      if (q.pc == p_done || q.pc == p_dead || q.stopped) continue;
      step(s, i, out);
      if (i == hub()) continue;
      if (s.kills > 0) {
        state n = s;
        --n.kills, ++n.unrepaired;
        n.p[i] = {p_dead, 0, 0, 0, 0, 0, 0, 0};
        canonical(n);
        out.forced(n, i, "is killed");
      }
      if (s.stops > 0) {
        state n = s;
        --n.stops, n.p[i].stopped = 1;
        canonical(n);
        out.forced(n, i, "is stopped");
      }
    }
  }

  void hub_begins(const state& s, successors<state>& out) const {
    if (s.unrepaired) {  // notify_all: two accesses, which nobody can tell from one here
      state n = s;
      n.unrepaired = 0;
      if (c.all) {
        n.p[hub()].pc = n_announced;
      } else if (!c.no_repair_notify) {
        bump(n);
        for (int i = 0; i < c.waiters; ++i)
          if (n.p[i].pc == w_asleep) n.p[i].woken = 1;
      }
      canonical(n);
      out.add(n, -1, "repair: notify_all");
    }
    if (c.look && s.items > 0) {
      state n = s;
      n.p[hub()].pc = n_announced;
      out.add(n, -1, "look");
    }
  }

  // Where a notification leads back to: a notifier's next commit, a waiter that passed a wake on, the hub.
  void after_notify(proc& q, int i) const {
    q.a = 0;
    if (i == hub()) {
      q.pc = p_done;
    } else if (i < c.waiters) {
      q.pc = c.takes > 0 && q.left == c.takes ? p_done : w_try;
    } else if (c.notify_before_commit) {
      q.pc = n_late_commit;
    } else {
      q.pc = --q.left ? n_commit : p_done;
    }
  }

  void step(const state& s, int i, successors<state>& out) const {
    state n = s;
    proc& q = n.p[i];
    auto go = [&](pc to, const char* label) {
      q.pc = to;
      canonical(n);
      out.add(n, i == hub() ? -1 : i, label);
    };
    auto notified = [&](const char* label) {
      after_notify(q, i);
      go(static_cast<pc>(q.pc), label);
    };
    auto take = [&](pc otherwise, const char* label) {
      if (s.items > 0) {
        --n.items, q.timed_out = q.old_seq = 0;
        q.left = static_cast<u8>(q.left + (c.takes > 0));
        if (c.batch > 1 && n.items > 0 && !c.no_pass_on) return go(n_announced, "takes an item, sees another one");
        after_notify(q, i);
        return go(static_cast<pc>(q.pc), "takes an item");
      }
      if (q.timed_out && otherwise == w_seq) q.timed_out = 0, otherwise = p_done;
      if (c.seq_read_late && otherwise == w_seq) otherwise = w_announce;
      go(otherwise, label);
    };
    switch (q.pc) {
      // ---- notify_one
      case n_commit:
        if (!c.notify_before_commit) n.items = static_cast<u8>(n.items + c.batch);
        return go(n_announced, "commits an item");
      case n_late_commit: ++n.items, --q.left; return go(q.left ? n_commit : p_done, "commits an item, late");
      case n_announced: q.a = s.announced; return go(n_cleared, "notify: reads announced");
      case n_cleared:
        if (c.one_counter ? q.a == 0 : q.a == s.cleared) return notified("notify: nobody sleeps");
        return go(c.bump_late ? n_wake : n_bump, "notify: somebody may sleep");
      case n_bump:
        if (!c.no_bump) bump(n);
        if (c.bump_late) return q.woke ? q.woke = 0, notified("notify: bumps seq, late") : go(n_raise, "notify: bumps seq, late");
        return go(n_wake, "notify: bumps seq");
      case n_wake: {
        if (c.all) {
          for (int w = 0; w < c.waiters; ++w)
            if (s.p[w].pc == w_asleep) n.p[w].woken = 1;
          return go(n_raise, "notify: FUTEX_WAKE wakes all");
        }
        bool any = false;
        for (int w = 0; w < c.waiters; ++w) {
          if (s.p[w].pc != w_asleep || s.p[w].woken) continue;
          any = true;
          state m = s;
          m.p[w].woken = 1;
          proc& r = m.p[i];
          r.woke = c.bump_late;
          if (c.bump_late) r.pc = n_bump;
          else if (c.clears_though_woken) r.pc = n_raise;
          else after_notify(r, i);
          canonical(m);
          out.add(m, i == hub() ? -1 : i, "notify: FUTEX_WAKE wakes one");
        }
        if (any) return;
        return go(c.bump_late ? n_bump : n_raise, "notify: FUTEX_WAKE wakes nobody");
      }
      case n_raise:
        if (c.one_counter) {
          if (s.announced == q.a) n.announced = 0;
        } else if (c.announced_read_late) {
          n.cleared = s.announced;
        } else {
          n.cleared = std::max(s.cleared, q.a);
        }
        return notified("notify: raises cleared");
      // ---- wait
      case w_try: return take(w_seq, "wait: nothing");
      case w_seq: q.old_seq = 0; return go(c.seq_read_late ? w_recheck : w_announce, "wait: reads seq");
      case w_announce:
        ++n.announced;
        if (c.seq_read_late) return go(w_seq, "wait: announces itself");
        return go(c.no_recheck ? w_sleep : w_recheck, "wait: announces itself");
      case w_recheck: return take(w_sleep, "wait: still nothing");
      case w_sleep:
        if (q.old_seq) {
          q.old_seq = 0;
          return go(w_woken, "wait: seq has changed");
        }
        return go(w_asleep, "wait: falls asleep");
      case w_asleep:
        if (q.woken && c.no_last_try && s.time_outs > 0) {
          state m = n;
          --m.time_outs, m.p[i] = {p_done, 0, 0, 0, 0, 0, 0, 0};
          canonical(m);
          out.forced(m, i, "wait: wakes up after its deadline and leaves");
        }
        if (q.woken) {
          q.woken = 0;
          return go(w_woken, "wait: wakes up");
        }
        if (s.time_outs > 0) {
          --n.time_outs, q.timed_out = 1;
          q.pc = w_woken;
          canonical(n);
          out.forced(n, i, "wait: times out");
        }
        return;
      case w_woken: return take(w_seq, "wait: nothing after all");
      default: return;
    }
  }

  std::string show(const state& s) const {
    std::string t = "items " + std::to_string(s.items) + " announced " + std::to_string(s.announced) + " cleared " +
                    std::to_string(s.cleared) + " asleep";
    for (int i = 0; i < c.waiters; ++i)
      if (s.p[i].pc == w_asleep) t += " p" + std::to_string(i) + (s.p[i].woken ? "(woken)" : "");
    return t;
  }
};

constexpr const char* stuck = "stuck";
constexpr models::run<config> runs[] = {
    {"plain", {}},
    {"kill", {.kills = 1}},
    {"two_kills", {.kills = 2}},
    {"stop", {.notifiers = 1, .stops = 1, .look = 1}},
    {"time_out", {.kills = 1, .time_outs = 1}},
    {"one_each", {.takes = 1}},
    {"batches", {.notifiers = 1, .first = 1, .kills = 1, .takes = 1, .batch = 2}},
    {"three_waiters", {.waiters = 3, .notifiers = 1, .first = 3, .kills = 1}},
    {"all", {.all = 1}},
    {"all_kill", {.kills = 2, .all = 1}},
    {"all_stop", {.notifiers = 1, .stops = 1, .look = 1, .all = 1}},
    {"all_three", {.waiters = 3, .notifiers = 1, .first = 3, .kills = 1, .time_outs = 1, .all = 1}},
    {"all_read_late", {.all = 1, .announced_read_late = 1}, stuck},
    {"all_no_bump", {.all = 1, .no_bump = 1}, stuck},
    {"four_notifications", {.first = 2, .others = 2, .kills = 2, .time_outs = 1}, nullptr, true},
    {"stop_and_kill", {.kills = 1, .stops = 1, .look = 1}, nullptr, true},
    {"no_look", {.notifiers = 1, .stops = 1}, stuck},
    {"one_counter", {.one_counter = 1}, stuck},
    {"no_recheck", {.no_recheck = 1}, stuck},
    {"seq_read_late", {.seq_read_late = 1}, stuck},
    {"no_bump", {.no_bump = 1}, stuck},
    {"bump_late", {.bump_late = 1}, stuck},
    {"clears_though_woken", {.takes = 1, .clears_though_woken = 1}, stuck},
    {"announced_read_late", {.announced_read_late = 1}, stuck},
    {"notify_before_commit", {.notify_before_commit = 1}, stuck},
    {"no_repair_notify", {.kills = 1, .no_repair_notify = 1}, stuck},
    {"no_pass_on", {.notifiers = 1, .first = 1, .takes = 1, .batch = 2, .no_pass_on = 1}, stuck},
    {"no_last_try", {.time_outs = 1, .no_last_try = 1}, stuck},
};

constexpr models::field<config> fields[] = {
    {"waiters", &config::waiters},     {"notifiers", &config::notifiers}, {"first", &config::first},
    {"others", &config::others},       {"kills", &config::kills},         {"stops", &config::stops},
    {"time_outs", &config::time_outs}, {"look", &config::look},           {"takes", &config::takes},
    {"batch", &config::batch},         {"all", &config::all},
};

}  // namespace

int main(int argc, char** argv) { return models::main_of<model, config>("event_count", runs, fields, argc, argv); }
