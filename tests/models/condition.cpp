// SPDX-License-Identifier: BSD-3-Clause
// Model of the condition: a wait that was registered before a notify is counted, whoever is killed or stopped, whenever.
//
// Source: actors/cloister/actors/condition.cpp, internal/sync_condition.cpp
// Checked: at rest nobody is asleep whom a notify should have let out: no more waits can be paired with notifies that began
// after they were registered (deaths and time-outs swallow none); not more waits return as notified than notifies let out;
// `waiting` is right at rest; the queue holds only those who wait; a grant is not passed on to who came after it.
// Configuration: waiters lock, wait and unlock once or twice; notifiers call notify(n) or notify_all in the lock, or without
// it (then a wait that is not registered yet may be missed); kills, stops, time-outs before and after the registration.
// The lock is one step; a killed holder's is free at once. Not here: the lock's protocol (lock.cpp), several conditions.
// Sequential consistency is assumed. States: 2 344 to 1 199 023 a run; 14 mutants, all detected. Found by this model: a wait
// enters (GRANTED -> ENTERED) only when it holds the lock again, so the lock needs another cell than the wait; a remembered
// grant reaches as far as every notify that took somebody whom it could have had (no_exchange); a notify that leaves out who
// was registered after it loses wake-ups, because two notifiers' calls come in any order (by_serial).
#include "explore.hpp"

#include <bit>
#include <numeric>

using models::successors;

namespace {

using u8 = std::uint8_t;
constexpr int max_waiters = 3, max_procs = 5, max_fifo = 5, max_queue = 5, max_waits = 8;
constexpr u8 everybody = 255;

struct config {
  int waiters = 2, notifiers = 2, rounds = 1, calls = 1;  // each waiter's waits, each notifier's calls
  int n = 1, all = 0, locked = 1;                         // notify(n) or notify_all, with the lock or without it
  int kills = 0, stops = 0, time_outs = 0;
  // mutants
  int unlock_early = 0, waiting_late = 0, no_pass_on = 0, pass_on_unchecked = 0, pass_on_to_later = 0, pass_on_forgets = 0,
      cancelled_counts = 0, stays_at_down = 0, enter_unlocked = 0, no_exchange = 0, by_serial = 0, no_ticket = 0, no_cancel = 0,
      cancel_silent = 0;
};

enum cell_state : u8 { idle, waiting, registered, granted, entered, cancelled };
enum message_kind : u8 { m_none, m_wait, m_cancel, m_notify };
enum pc : u8 {
  p_done,
  p_dead,
  w_lock,
  w_send,
  w_sent,
  w_unlock,
  w_sleep,
  w_relock,
  w_enter,
  w_cancel,
  w_give_way,
  w_late,
  w_end,
  n_lock,
  n_load,
  n_send,
  n_end
};
enum actor_pc : u8 { a_idle, a_shown, a_cell, a_grant, a_end };

struct message {
  u8 kind, value, upto;  // value: ticket, or how many; upto: only for a mutant
};
struct proc {
  u8 pc, left, ticket, cell, stopped, downed;
  u8 mine;    // a waiter that timed out: still holds the lock; a notifier: the serial it read
  u8 number;  // ghost: of its wait, in the order of registration; a notifier: the last one when its call began
  u8 length;
  message fifo[max_fifo];
};
struct waiter {
  u8 p, ticket, serial;
};
struct grant {
  u8 there, ticket, upto;
};

struct model {
  struct state {
    u8 lock, shown, shown_serial;  // lock: 1 + holder; `shown` is the word `waiting`
    proc p[max_procs];             // waiters, then notifiers
    u8 actor, length, serial;
    u8 left, upto, passing, meant;  // of the notify that the actor is at
    waiter queue[max_queue];
    grant grants[max_waiters];
    u8 numbers, came_out, calls[max_waits + 1];  // ghosts: waits registered, bits of those notified, notifies by `number`
    u8 kills, stops, time_outs;
  };

  config c;
  explicit model(const config& conf) : c(conf) {
    if (c.waiters > max_waiters || procs() > max_procs) std::abort();
  }
  int procs() const { return c.waiters + c.notifiers; }

  state first() const {
    state s;
    std::memset(&s, 0, sizeof s);
    for (int i = 0; i < procs(); ++i) {
      s.p[i].pc = i < c.waiters ? w_lock : (c.locked ? n_lock : n_load);
      s.p[i].left = static_cast<u8>(i < c.waiters ? c.rounds : c.calls);
    }
    s.kills = static_cast<u8>(c.kills), s.stops = static_cast<u8>(c.stops), s.time_outs = static_cast<u8>(c.time_outs);
    return s;
  }

  // How many of these waits can be paired with notifies that began after they were registered.
  int pairs(const state& s, int waits) const {
    int free = 0, total = 0;
    for (int x = 1; x <= max_waits; ++x) {
      free += waits >> (x - 1) & 1;
      const int paired = std::min(free, static_cast<int>(s.calls[x]));
      free -= paired, total += paired;
    }
    return total;
  }
  static int bit(const proc& q) { return q.number ? 1 << (q.number - 1) : 0; }

  bool good(const state& s) const {
    if (s.actor != a_idle || s.shown != s.length) return false;
    int out = s.came_out;
    for (int i = 0; i < c.waiters; ++i)
      if (s.p[i].pc != p_dead && s.p[i].cell == granted) out |= bit(s.p[i]);
    for (int i = 0; i < procs(); ++i) {
      const proc& q = s.p[i];
      if (q.length != 0 || (q.pc == p_dead && !q.downed)) return false;
      if (q.pc == p_done || q.pc == p_dead || q.stopped) continue;
      const bool needs_lock = q.pc == w_lock || q.pc == w_relock || q.pc == w_late || q.pc == n_lock;
      if (needs_lock && s.lock != 0 && s.p[s.lock - 1].stopped) continue;
      if (q.pc != w_sleep || q.cell == granted || pairs(s, out | bit(q)) > pairs(s, out)) return false;
    }
    for (int k = 0; k < s.length; ++k) {  // who queues sleeps, or was stopped on its way in or out
      const proc& q = s.p[s.queue[k].p];
      if (q.ticket != s.queue[k].ticket || (!q.stopped && q.pc != w_sleep)) return false;
    }
    return true;
  }

  void send(proc& q, message m) const {
    if (q.length == max_fifo) std::abort();
    q.fifo[q.length++] = m;
  }
  void remove(state& s, int p, int ticket) const {
    waiter* const end = s.queue + s.length;
    waiter* const last = std::remove_if(s.queue, end, [&](const waiter& w) { return w.p == p && (!ticket || w.ticket == ticket); });
    std::fill(last, end, waiter{0, 0, 0});
    s.length = static_cast<u8>(last - s.queue);
  }
  u8 called() const { return static_cast<u8>(c.all ? c.waiters : c.n); }

  void next(const state& s, successors<state>& out) const {
    for (int i = 0; i < procs(); ++i) {
      const proc& q = s.p[i];
      if (q.pc == p_done || q.pc == p_dead) continue;
      auto without_call = [&](state& n) {  // a call that does not come to its end
        if (q.pc == n_send && !q.stopped) n.calls[q.number] = static_cast<u8>(n.calls[q.number] - called());
      };
      if (s.kills > 0) {
        state n = s;
        --n.kills;
        without_call(n);
        if (s.lock == i + 1) n.lock = 0;
        n.p[i].pc = p_dead, n.p[i].stopped = n.p[i].mine = n.p[i].left = n.p[i].number = 0;
        out.forced(n, i, "is killed");
      }
      if (q.stopped) continue;
      step(s, i, out);
      if (s.stops > 0) {
        state n = s;
        --n.stops, n.p[i].stopped = 1;
        without_call(n);
        out.forced(n, i, "is stopped");
      }
    }
    actor(s, out);
  }

  void step(const state& s, int i, successors<state>& out) const {
    state n = s;
    proc& q = n.p[i];
    auto go = [&](pc to, const char* label, const char* complaint = nullptr) {
      q.pc = to;
      out.add(n, i, label, complaint);
    };
    auto lock = [&](pc to, const char* label) {
      if (s.lock != 0) return;
      n.lock = static_cast<u8>(i + 1);
      go(to, label);
    };
    auto time_out = [&](cell_state from) {  // CAS -> CANCELLED; it fails if it was registered, or granted, before
      if (s.time_outs == 0 || q.cell != from) return;
      state m = s;
      --m.time_outs;
      m.p[i].cell = cancelled, m.p[i].pc = w_cancel, m.p[i].mine = from == waiting;
      out.forced(m, i, "wait: times out");
    };
    auto come_out = [&](const char* label) {
      n.came_out = static_cast<u8>(n.came_out | bit(q));
      const int calls = std::accumulate(s.calls, s.calls + max_waits + 1, 0);
      go(w_end, label, std::popcount(n.came_out) > calls ? "notified without a notify" : nullptr);
    };
    switch (q.pc) {
      // ---- lock; wait; unlock
      case w_lock: return lock(w_send, "locks");
      case w_send:
        ++q.ticket, q.cell = waiting, q.number = 0;
        send(q, {m_wait, q.ticket, 0});
        return go(c.unlock_early ? w_unlock : w_sent, "wait: cell WAITING, sends wait");
      case w_sent:
        time_out(waiting);
        if (q.cell != waiting) go(w_unlock, "wait: is registered");
        return;
      case w_unlock:
        if (q.number == 0) q.number = ++n.numbers;
        n.lock = 0;
        return go(w_sleep, "wait: unlocks");
      case w_sleep:
        time_out(registered);
        if (q.cell != granted) return;
        if (c.enter_unlocked) q.cell = entered;
        return go(w_relock, "wait: is granted");
      case w_relock:
        if (!c.enter_unlocked) return lock(w_enter, "wait: locks again");
        if (s.lock != 0) return;
        n.lock = static_cast<u8>(i + 1);
        return come_out("wait: locks again, returns");
      case w_enter: q.cell = entered; return come_out("wait: enters, returns");
      case w_cancel: {
        const pc to = q.mine ? w_give_way : w_late;
        q.mine = 0;
        if (!c.no_cancel) send(q, {m_cancel, q.ticket, 0});
        return go(to, "wait: sends cancel");
      }
      case w_give_way: n.lock = 0; return go(w_late, "wait: unlocks, timed out");
      case w_late: return lock(w_end, "wait: locks again, timed out");
      case w_end: n.lock = 0; return go(--q.left ? w_lock : p_done, "unlocks");
      // ---- lock; notify; unlock
      case n_lock: return lock(n_load, "locks");
      case n_load:
        q.number = s.numbers, q.mine = s.shown_serial;
        n.calls[q.number] = static_cast<u8>(n.calls[q.number] + called());
        if (s.shown) return go(n_send, "notify: loads waiting");
        q.number = q.mine = 0;
        return go(n_end, "notify: nobody waits");
      case n_send:
        send(q, {m_notify, c.all ? everybody : called(), c.by_serial ? q.mine : u8{0}});
        q.number = q.mine = 0;
        return go(n_end, "notify: sends notify");
      case n_end:
        if (c.locked) n.lock = 0;
        return go(--q.left ? (c.locked ? n_lock : n_load) : p_done, "unlocks");
      default: return;
    }
  }

  void actor(const state& s, successors<state>& out) const {
    state n = s;
    auto go = [&](actor_pc to, const char* label, const char* complaint = nullptr) {
      n.actor = to;
      if (to == a_idle) n.left = n.upto = n.passing = n.meant = 0;
      out.add(n, -1, label, complaint);
    };
    auto store_waiting = [&] { n.shown = n.length, n.shown_serial = n.serial; };
    auto grant_more = [&](const char* label, const char* complaint = nullptr) {
      go(n.left > 0 && n.length > 0 && n.queue[0].serial <= n.upto ? a_grant : a_end, label, complaint);
    };
    auto same = [&](const proc& q, const waiter& w) { return c.no_ticket || q.ticket == w.ticket; };
    switch (s.actor) {
      case a_idle:
        for (int i = 0; i < procs(); ++i) {
          n = s;
          proc& q = n.p[i];
          if (q.length == 0) {
            if (q.pc != p_dead || q.downed) continue;
            q.downed = 1;
            if (i < c.waiters) down(n, i);
            grant_more("actor: down");
            continue;
          }
          const message m = q.fifo[0];
          std::copy(q.fifo + 1, q.fifo + q.length, q.fifo);
          q.fifo[--q.length] = {m_none, 0, 0};
          if (m.kind == m_wait) {
            if (s.length == max_queue) std::abort();
            n.queue[n.length++] = {static_cast<u8>(i), m.value, ++n.serial};
            n.grants[i] = {0, 0, 0};  // it has come out of the last one
            go(c.waiting_late ? a_cell : a_shown, "actor: wait");
          } else if (m.kind == m_cancel) {
            remove(n, i, m.value);
            go(c.cancel_silent ? a_idle : a_end, "actor: cancel");
          } else {
            n.left = m.value, n.upto = c.by_serial ? m.upto : s.serial, n.meant = s.serial;
            grant_more("actor: notify");
          }
        }
        return;
      case a_shown: store_waiting(); return go(c.waiting_late ? a_idle : a_cell, "actor: stores waiting");
      case a_cell: {
        const waiter w = s.queue[s.length - 1];
        proc& q = n.p[w.p];
        if (q.cell == waiting && same(q, w)) {
          q.cell = registered;
          if (q.number == 0) q.number = ++n.numbers;
          if (n.numbers > max_waits) std::abort();
          return go(c.waiting_late ? a_shown : a_idle, "actor: registers");
        }
        remove(n, w.p, w.ticket);
        return go(a_end, "actor: it has timed out");
      }
      case a_grant: {
        const waiter w = s.queue[0];
        proc& q = n.p[w.p];
        remove(n, w.p, w.ticket);
        if (q.cell != registered || !same(q, w)) {
          if (c.cancelled_counts && n.left != everybody) --n.left;
          return grant_more("actor: it has timed out");
        }
        q.cell = granted;
        if (n.left != everybody) --n.left;
        for (grant& g : n.grants)  // who else could have had this one may have whoever this notify could have had
          if (g.there && w.serial <= g.upto && !c.no_exchange) g.upto = std::max(g.upto, s.meant);
        if (!s.passing || !c.pass_on_forgets) n.grants[w.p] = {1, w.ticket, s.meant};
        return grant_more("actor: grants", w.serial > s.meant ? "passed on to a wait that came after it" : nullptr);
      }
      case a_end: store_waiting(); return go(a_idle, "actor: stores waiting");
      default: return;
    }
  }

  void down(state& n, int d) const {
    if (!c.stays_at_down) remove(n, d, 0);
    const grant g = n.grants[d];
    n.grants[d] = {0, 0, 0};
    const bool never_came_out = n.p[d].cell == granted && n.p[d].ticket == g.ticket;
    if (!g.there || c.no_pass_on || !(never_came_out || c.pass_on_unchecked)) return;
    n.left = n.passing = 1, n.meant = g.upto, n.upto = c.pass_on_to_later ? n.serial : g.upto;
  }

  std::string show(const state& s) const {
    std::string t = "lock " + (s.lock ? "p" + std::to_string(s.lock - 1) : "-") + " waiting " + std::to_string(s.shown) + " cells";
    for (int i = 0; i < c.waiters; ++i) t += std::string(" ") + "-WRGEC"[s.p[i].cell] + std::to_string(s.p[i].ticket);
    t += " queue";
    for (int k = 0; k < s.length; ++k) t += " p" + std::to_string(s.queue[k].p) + "#" + std::to_string(s.queue[k].serial);
    return t;
  }
};

constexpr const char* stuck = "stuck";
constexpr models::run<config> runs[] = {
    {"plain", {}},
    {"rounds", {.rounds = 2, .calls = 2}},
    {"unlocked", {.locked = 0, .kills = 1}},
    {"three_waiters", {.waiters = 3, .n = 2}},
    {"notify_all", {.waiters = 3, .all = 1}},
    {"kill", {.calls = 2, .kills = 1}},
    {"two_kills", {.waiters = 3, .notifiers = 1, .calls = 2, .kills = 2}},
    {"all_and_kill", {.calls = 2, .all = 1, .kills = 1}},
    {"stop", {.calls = 2, .stops = 1}},
    {"stop_and_kill", {.kills = 1, .stops = 1}},
    {"time_out", {.calls = 2, .time_outs = 1}},
    {"time_outs", {.notifiers = 1, .rounds = 2, .kills = 1, .time_outs = 2}},
    {"three_and_two", {.waiters = 3, .kills = 2}, nullptr, true},
    {"everything", {.kills = 1, .stops = 1, .time_outs = 1}, nullptr, true},
    {"unlock_early", {.unlock_early = 1}, stuck},
    {"waiting_late", {.locked = 0, .waiting_late = 1}, stuck},
    {"no_pass_on", {.notifiers = 1, .kills = 1, .no_pass_on = 1}, stuck},
    {"pass_on_unchecked", {.notifiers = 1, .kills = 1, .pass_on_unchecked = 1}, "notified without a notify"},
    {"pass_on_to_later", {.notifiers = 1, .kills = 1, .pass_on_to_later = 1}, "passed on to a wait that came after it"},
    {"no_exchange", {.waiters = 3, .kills = 1, .no_exchange = 1}, stuck},
    {"pass_on_forgets", {.waiters = 3, .notifiers = 1, .kills = 2, .pass_on_forgets = 1}, stuck},
    {"cancelled_counts", {.notifiers = 1, .time_outs = 1, .cancelled_counts = 1}, stuck},
    {"stays_at_down", {.notifiers = 1, .kills = 1, .stays_at_down = 1}, stuck},
    {"enter_unlocked", {.notifiers = 1, .kills = 1, .enter_unlocked = 1}, stuck},
    {"by_serial", {.by_serial = 1}, stuck},
    {"no_ticket", {.rounds = 2, .time_outs = 1, .no_ticket = 1}, stuck},
    {"no_cancel", {.notifiers = 1, .time_outs = 1, .no_cancel = 1}, stuck},
    {"cancel_silent", {.notifiers = 1, .time_outs = 1, .cancel_silent = 1}, stuck},
};

constexpr models::field<config> fields[] = {{"waiters", &config::waiters},
                                            {"notifiers", &config::notifiers},
                                            {"rounds", &config::rounds},
                                            {"calls", &config::calls},
                                            {"n", &config::n},
                                            {"all", &config::all},
                                            {"locked", &config::locked},
                                            {"kills", &config::kills},
                                            {"stops", &config::stops},
                                            {"time_outs", &config::time_outs}};

}  // namespace

int main(int argc, char** argv) { return models::main_of<model, config>("condition", runs, fields, argc, argv); }
