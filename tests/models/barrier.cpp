// SPDX-License-Identifier: BSD-3-Clause
// Model of the barrier: all N that arrived in a round pass, or none of them does.
//
// Source: actors/cloister/actors/barrier.cpp, internal/sync_barrier.cpp
// Checked: a round lets exactly N go (the index is the place in the line), or nobody; the action ran once, and well, before
// the first of them passes; nobody is refused without a cause; nobody waits for ever for who is dead, has timed out, has ended
// while somebody waited or failed in the action; after a reset has returned N live ones pass, after an abort nobody.
// Configuration: 2 to 4 processes, rounds of 2 or 3, an action that may fail, one more process that aborts or resets; kills,
// stops, time-outs, a normal end after different numbers of rounds. Not here: the word that shows n_waiting and broken.
// Sequential consistency is assumed. States: 65 to 629 295 a run; 15 mutants, all detected. Found by this model: arrivals beyond N wait for the next round; `acted` belongs to a ticket;
// abort and reset are answered; an arrival names the epoch (count of resets) that its wait began in; a death is handled here
// before anybody is told of it. Longer than a file should be, because it is one state machine.
#include "explore.hpp"

using models::successors;

namespace {

using u8 = std::uint8_t;
constexpr int max_procs = 4, max_fifo = 5;

constexpr const char* stuck = "stuck";
constexpr const char* uncaused = "refused without a cause";

enum control_kind { no_control, abort_it, reset_it };
struct config {
  int parties = 2, n = 2, rounds = 1, more = 0;  // more: rounds of the first process beyond the others'
  int action = 1, ends = 0;                      // ends: who has had its rounds ends normally
  int control = no_control, first = 9;           // first: so many begin before the control, when they are over it follows,
                                                 // when that has returned the others begin
  int kills = 0, stops = 0, time_outs = 0, fails = 0;
  int at_once = 0;  // a break refuses who acts at once, not when it has said `acted`
  // mutants
  int grant_at_once = 0, time_out_late = 0, no_break_at_down = 0, cancel_breaks = 0, acting_forgotten = 0, acting_again = 0,
      acted_anyway = 0, failed_passes = 0, extra_joins = 0, no_next_round = 0, no_break_at_end = 0, no_epoch = 0, no_answer = 0,
      told_early = 0;
};

enum cell_state : u8 { idle, waiting, registered, granted, refused, entered, cancelled };
enum message_kind : u8 { m_none, m_arrive, m_acted, m_cancel, m_abort, m_reset };
enum pc : u8 { p_done, p_ended, p_dead, b_start, b_send, b_wait, b_act, b_acted, b_told, b_cancel, z_send, z_wait };
enum actor_pc : u8 { a_idle, a_act, a_register, a_grant, a_epoch, a_refuse, a_one, a_answer };
constexpr u8 act = 255;

struct message {
  u8 kind, ticket, value;  // value: epoch, or whether the action went well
};
struct proc {
  u8 pc, left, ticket, cell, value, epoch, stopped, downed;
  u8 ran, blame;  // ghosts: actions run in this wait (2: failed); there is a cause to refuse this wait
  u8 length;
  message fifo[max_fifo];
};
struct member {
  u8 p, ticket;
  bool operator==(const member&) const = default;
};

struct model {
  struct state {
    u8 epoch;
    proc p[max_procs];                                      // parties, then who aborts or resets
    u8 actor, at, length, acting, broken, owed, took_part;  // acting: 1 + process; took_part: bits
    member arrived[max_procs], one, asked;                  // one: a cell to refuse; asked: to be answered
    u8 let_go, cause, dead, returned;  // ghosts: members of a round that passes; somebody died since the reset; the control has
    u8 kills, stops, time_outs, fails;
  };

  config c;
  explicit model(const config& conf) : c(conf) {
    if (procs() > max_procs) std::abort();
  }
  int procs() const { return c.parties + (c.control != no_control); }
  bool ordered() const { return c.first < c.parties; }

  state first() const {
    state s;
    std::memset(&s, 0, sizeof s);
    for (int i = 0; i < procs(); ++i) {
      s.p[i].pc = i < c.parties ? b_start : z_send;
      s.p[i].left = static_cast<u8>(i < c.parties ? c.rounds + (i == 0 ? c.more : 0) : 0);
    }
    s.kills = static_cast<u8>(c.kills), s.stops = static_cast<u8>(c.stops), s.time_outs = static_cast<u8>(c.time_outs);
    s.fails = static_cast<u8>(c.fails);
    return s;
  }

  bool may_start(const state& s, int i) const {
    if (!ordered()) return true;
    if (i < c.parties) return i < c.first || s.returned;
    for (int k = 0; k < c.first; ++k) {
      const proc& q = s.p[k];
      if (q.pc != p_done && !(q.pc == p_dead && (q.downed || c.told_early))) return false;
    }
    return true;
  }

  bool good(const state& s) const {
    if (s.actor != a_idle) return false;
    int waiters = 0;
    for (int i = 0; i < procs(); ++i) {
      const proc& q = s.p[i];
      if (q.length != 0 || ((q.pc == p_dead || q.pc == p_ended) && !q.downed)) return false;
      if (q.pc == p_done || q.pc == p_ended || q.pc == p_dead || q.stopped) continue;
      if (q.pc == b_start || q.pc == z_send) {
        if (may_start(s, i)) return false;
        continue;
      }
      if (q.pc != b_wait || q.cell != waiting || !arrived(s, {static_cast<u8>(i), q.ticket})) return false;
      ++waiters;
    }
    if (waiters == 0) return true;
    const bool complete = s.length >= c.n;
    return !s.broken && !s.dead && !s.owed && (!complete || (s.acting && s.p[s.acting - 1].stopped));
  }

  bool arrived(const state& s, const member& m) const { return std::count(s.arrived, s.arrived + s.length, m) != 0; }
  void send(proc& q, message m) const {
    if (q.length == max_fifo) std::abort();
    q.fifo[q.length++] = m;
  }
  // Ghost: from now on waits may be refused, also those that have begun.
  void blame(state& s, u8 cause) const {
    s.cause = cause;
    for (int i = 0; i < c.parties; ++i)
      if (s.p[i].pc >= b_send && s.p[i].pc < z_send) s.p[i].blame = 1;
  }

  void next(const state& s, successors<state>& out) const {
    for (int i = 0; i < procs(); ++i) {
      const proc& q = s.p[i];
      if (q.pc == p_done || q.pc == p_ended || q.pc == p_dead) continue;
      if (s.kills > 0) {
        state n = s;
        --n.kills;
        blame(n, 1);
        n.let_go = static_cast<u8>(n.let_go & ~(1 << i));
        n.p[i].pc = p_dead, n.p[i].stopped = n.p[i].left = n.p[i].blame = 0;
        out.forced(n, i, "is killed");
      }
      if (q.stopped) continue;
      step(s, i, out);
      if (s.stops > 0) {
        state n = s;
        --n.stops, n.p[i].stopped = 1;
        out.forced(n, i, "is stopped");
      }
    }
    actor(s, out);
  }

  void step(const state& s, int i, successors<state>& out) const {
    state n = s;
    proc& q = n.p[i];
    const u8 me = static_cast<u8>(1 << i);
    auto go = [&](pc to, const char* label, const char* complaint = nullptr) {
      q.pc = to;
      out.add(n, i, label, complaint);
    };
    auto over = [&](const char* label, const char* complaint = nullptr) {
      q.value = q.epoch = q.ran = q.blame = 0;
      if (--q.left) return go(b_start, label, complaint);
      if (c.ends && c.more) blame(n, 1);
      go(c.ends ? p_ended : p_done, label, complaint);
    };
    auto outcome = [&] {
      if (q.cell == granted) {
        q.cell = entered;
        n.let_go = static_cast<u8>(n.let_go & ~me);
        return over("wait: passes", c.control == abort_it && ordered() && i >= c.first ? "passes after an abort" : nullptr);
      }
      if (q.cell == refused) return over("wait: is refused", q.blame ? nullptr : uncaused);
    };
    switch (q.pc) {
      // ---- wait
      case b_start:
        if (!may_start(s, i)) return;
        q.epoch = s.epoch, q.blame = s.cause != 0;
        return go(b_send, "wait: loads the epoch");
      case b_send:
        ++q.ticket, q.cell = waiting;
        send(q, {m_arrive, q.ticket, q.epoch});
        return go(b_wait, "wait: cell WAITING, sends arrive");
      case b_wait:
        if (s.time_outs > 0 && (q.cell == waiting || (c.time_out_late && q.cell == registered && q.value != act))) {
          state m = s;
          --m.time_outs;
          blame(m, 1);
          m.p[i].cell = cancelled, m.p[i].pc = b_cancel;
          if (s.let_go & me) return out.add(m, i, "wait: times out", "split: times out, and others pass");
          out.forced(m, i, "wait: times out");
        }
        if (q.cell == registered && q.value == act) return go(b_act, "wait: is to act");
        return outcome();
      case b_act:
        if (s.fails > 0) {
          state m = s;
          --m.fails;
          blame(m, 1);
          m.p[i].ran = 2, m.p[i].value = 0, m.p[i].pc = b_acted;
          out.forced(m, i, "the action fails");
        }
        q.ran = 1;
        return go(b_acted, "the action");
      case b_acted: send(q, {m_acted, q.ticket, static_cast<u8>(q.ran == 1)}); return go(b_told, "wait: sends acted");
      case b_told: return outcome();
      case b_cancel: send(q, {m_cancel, q.ticket, 0}); return over("wait: sends cancel, times out");
      // ---- abort, reset
      case z_send:
        if (!may_start(s, i)) return;
        ++q.ticket, q.cell = waiting;
        send(q, {c.control == abort_it ? m_abort : m_reset, q.ticket, 0});
        blame(n, static_cast<u8>(ordered() && c.control == reset_it ? 2 : 1));
        if (!c.no_answer) return go(z_wait, "cell WAITING, sends abort or reset");
        n.returned = 1, n.cause &= 1;
        return go(p_done, "sends abort or reset, returns");
      case z_wait:
        if (q.cell != granted) return;
        q.cell = entered, n.returned = 1, n.cause &= 1;
        return go(p_done, "abort or reset returns");
      default: return;
    }
  }

  void actor(const state& s, successors<state>& out) const {
    state n = s;
    auto go = [&](actor_pc to, const char* label, const char* complaint = nullptr) {
      n.actor = to;
      if (to == a_idle) n.at = 0, n.one = n.asked = {0, 0};
      out.add(n, -1, label, complaint);
    };
    auto cas = [&](const member& m, cell_state from, cell_state to, int value) {
      proc& q = n.p[m.p];
      if (q.ticket != m.ticket || q.cell != from) return false;
      q.cell = to, q.value = static_cast<u8>(value);
      return true;
    };
    auto answer = [&](const char* label) { go(n.asked.ticket && !c.no_answer ? a_answer : a_idle, label); };
    auto refuse_all = [&](const char* label) {
      n.at = 0;
      n.length ? go(a_refuse, label) : (n.acting = 0, answer(label));
    };
    auto break_it = [&](const char* label) { n.broken = 1, refuse_all(label); };
    auto round = [&](const char* label) {  // who acts, or if nobody is to: let them go
      const bool complete = c.extra_joins ? n.length == c.n : n.length >= c.n;
      if (!complete || (n.acting && !c.acting_again)) return go(a_idle, label);
      n.at = 0;
      if (!c.action) return go(c.grant_at_once ? a_grant : a_register, label);
      n.acting = static_cast<u8>(n.arrived[c.acting_again ? n.length - 1 : c.n - 1].p + 1);
      go(a_act, label);
    };
    const int members = c.extra_joins ? s.length : c.n;
    switch (s.actor) {
      case a_idle:
        for (int i = 0; i < procs(); ++i) {
          n = s;
          proc& q = n.p[i];
          if (q.length == 0) {
            if (q.downed || (q.pc != p_dead && q.pc != p_ended)) continue;
            q.downed = 1;
            if (q.pc == p_ended) {
              if (!(s.took_part >> i & 1)) go(a_idle, "actor: one has ended");
              else if (!s.length) go(a_idle, "actor: one of the last round has ended, between two");
              else if (c.no_break_at_end) n.owed = 1, go(a_idle, "actor: one of the last round has ended");
              else break_it("actor: one of the last round has ended, breaks");
              continue;
            }
            n.dead = 1;
            if (c.no_break_at_down) go(a_idle, "actor: down");
            else break_it("actor: down, breaks");
            continue;
          }
          const message m = q.fifo[0];
          const member from{static_cast<u8>(i), m.ticket};
          std::copy(q.fifo + 1, q.fifo + q.length, q.fifo);
          q.fifo[--q.length] = {m_none, 0, 0};
          if (m.kind == m_arrive) {
            n.one = from;
            if (s.broken || (m.value != s.epoch && !c.no_epoch)) {
              go(a_one, "actor: arrive, broken or before the reset");
              continue;
            }
            n.one = {0, 0};
            n.arrived[n.length++] = from;
            round("actor: arrive");
          } else if (m.kind == m_acted) {
            const bool current = s.acting == i + 1 && arrived(s, from);
            n.one = from;
            if (c.acting_forgotten && !current) go(a_idle, "actor: acted, of a broken round");
            else if (!current && !(c.acted_anyway && s.acting)) go(a_one, "actor: acted, of a broken round");
            else if (m.value || c.failed_passes) n.one = {0, 0}, go(c.grant_at_once ? a_grant : a_register, "actor: acted");
            else n.one = {0, 0}, n.acting = 0, break_it("actor: the action has failed, breaks");
          } else if (m.kind == m_cancel) {
            if (arrived(s, from) || c.cancel_breaks) break_it("actor: cancel, breaks");
            else go(a_idle, "actor: cancel, of a round that is over");
          } else {
            n.asked = from;
            if (m.kind == m_abort) break_it("actor: abort");
            else go(a_epoch, "actor: reset");
          }
        }
        return;
      case a_act:
        if (cas(s.arrived[c.acting_again ? s.length - 1 : c.n - 1], waiting, registered, act))
          return go(a_idle, "actor: one is to act");
        n.acting = 0;
        return break_it("actor: who was to act has timed out, breaks");
      case a_register:
        if (s.arrived[s.at].p + 1 != s.acting && !cas(s.arrived[s.at], waiting, registered, 0)) {
          n.acting = 0;
          return break_it("actor: one has timed out, breaks");
        }
        if (++n.at < members) return go(a_register, "actor: registers");
        n.at = 0;
        return go(a_grant, "actor: registers the last one");
      case a_grant: {
        const char* const complaint = s.at == 0 ? begins_to_pass(n, members) : nullptr;
        const member& m = s.arrived[s.at];
        if (!cas(m, registered, granted, s.at) && !(c.grant_at_once && cas(m, waiting, granted, s.at))) {
          if (c.grant_at_once) return n.acting = 0, break_it("actor: one has timed out, breaks");
          return go(a_idle, "actor: cannot let one go", "split: one cannot be let go");
        }
        if (++n.at < members) return go(a_grant, "actor: lets one go", complaint);
        n.acting = n.took_part = 0;
        for (int k = 0; k < members; ++k) n.took_part = static_cast<u8>(n.took_part | 1 << s.arrived[k].p);
        member* const rest = std::copy(n.arrived + members, n.arrived + n.length, n.arrived);
        std::fill(rest, n.arrived + n.length, member{0, 0});
        n.length = static_cast<u8>(rest - n.arrived);
        if (complaint != nullptr || c.no_next_round) return go(a_idle, "actor: lets the last one go", complaint);
        return round("actor: lets the last one go");
      }
      case a_epoch:
        ++n.epoch;
        n.broken = n.owed = n.took_part = n.dead = 0;
        return refuse_all("actor: reset: stores the epoch");
      case a_refuse: {
        const member& m = s.arrived[s.at];
        const char* complaint = nullptr;
        if ((m.p + 1 != s.acting || c.at_once) && (cas(m, waiting, refused, 0) || cas(m, registered, refused, 0)) &&
            (s.let_go >> m.p & 1))
          complaint = "split: one is refused, and others pass";
        if (++n.at < s.length) return go(a_refuse, "actor: refuses", complaint);
        n.length = n.acting = n.at = 0;
        std::fill(n.arrived, n.arrived + max_procs, member{0, 0});
        if (complaint != nullptr) return go(a_idle, "actor: refuses the last one", complaint);
        return answer("actor: refuses the last one");
      }
      case a_one:
        if (!cas(s.one, waiting, refused, 0)) cas(s.one, registered, refused, 0);
        return go(a_idle, "actor: refuses one");
      case a_answer: cas(s.asked, waiting, granted, 0); return go(a_idle, "actor: answers");
      default: return;
    }
  }

  // Ghost: the first one of a round is let go.
  const char* begins_to_pass(state& n, int members) const {
    int ran = 0;
    if (members != c.n) return "passes with more or less than N";
    for (int k = 0; k < members; ++k) {
      const proc& q = n.p[n.arrived[k].p];
      if (q.ticket != n.arrived[k].ticket || std::count(n.arrived, n.arrived + members, n.arrived[k]) != 1)
        return "passes without one";
      if (q.pc != p_dead) n.let_go = static_cast<u8>(n.let_go | 1 << n.arrived[k].p);
      ran += q.ran == 2 ? 9 : q.ran;
    }
    return ran != (c.action ? 1 : 0) ? "passes though the action did not run once, and well" : nullptr;
  }

  std::string show(const state& s) const {
    std::string t = "cells";
    for (int i = 0; i < procs(); ++i)
      t += std::string(" ") + "-WRGXEC"[s.p[i].cell] + std::to_string(s.p[i].ticket) + (s.p[i].stopped ? "!" : "");
    t += " arrived";
    for (int k = 0; k < s.length; ++k) t += " p" + std::to_string(s.arrived[k].p);
    if (s.acting) t += " acting p" + std::to_string(s.acting - 1);
    return t + (s.broken ? " broken" : "") + " epoch " + std::to_string(s.epoch);
  }
};

constexpr models::run<config> runs[] = {
    {"two", {.rounds = 2}},
    {"three", {.parties = 3, .n = 3, .rounds = 2}},
    {"three_all", {.parties = 3, .n = 3, .kills = 1, .stops = 1, .time_outs = 1, .fails = 1}},
    {"no_action", {.parties = 3, .n = 3, .action = 0, .kills = 1, .time_outs = 1}},
    {"fails", {.rounds = 2, .time_outs = 1, .fails = 1}},
    {"kill", {.rounds = 2, .kills = 1}},
    {"two_kills", {.parties = 3, .n = 2, .kills = 2}},
    {"stop", {.rounds = 2, .stops = 1}},
    {"stop_and_kill", {.kills = 1, .stops = 1}},
    {"time_out", {.parties = 3, .n = 3, .time_outs = 1}},
    {"time_outs", {.rounds = 2, .kills = 1, .time_outs = 2}},
    {"spare", {.parties = 3, .n = 2, .rounds = 2}},
    {"four", {.parties = 4, .n = 2}},
    {"abort", {.rounds = 2, .control = abort_it}},
    {"reset", {.rounds = 2, .control = reset_it}},
    {"reset_three", {.parties = 3, .rounds = 2, .control = reset_it, .time_outs = 1}},
    {"reset_and_kill", {.control = reset_it, .kills = 1, .time_outs = 1}},
    {"after_abort", {.parties = 3, .control = abort_it, .first = 0}},
    {"after_reset", {.parties = 3, .control = reset_it, .first = 1, .time_outs = 1}},
    {"after_reset_kill", {.parties = 3, .control = reset_it, .first = 1, .kills = 1}},
    {"refused_at_once", {.parties = 3, .rounds = 2, .control = reset_it, .time_outs = 1, .at_once = 1}},
    {"end", {.rounds = 2, .ends = 1}},
    {"end_early", {.more = 1, .ends = 1}},
    {"end_early_three", {.parties = 3, .n = 3, .more = 1, .ends = 1, .kills = 1}},
    {"reset_and_all", {.parties = 3, .rounds = 2, .control = reset_it, .kills = 1}, nullptr, true},
    {"grant_at_once", {.time_outs = 1, .grant_at_once = 1}, "split"},
    {"time_out_late", {.time_outs = 1, .time_out_late = 1}, "split"},
    {"no_break_at_down", {.kills = 1, .no_break_at_down = 1}, stuck},
    {"cancel_breaks", {.parties = 3, .control = reset_it, .first = 1, .time_outs = 1, .cancel_breaks = 1}, uncaused},
    {"acting_forgotten", {.time_outs = 1, .acting_forgotten = 1}, stuck},
    {"acting_again", {.parties = 3, .acting_again = 1}, uncaused},
    {"acted_anyway", {.parties = 3, .rounds = 2, .control = reset_it, .acted_anyway = 1}, "passes though the action"},
    {"failed_passes", {.fails = 1, .failed_passes = 1}, "passes though the action"},
    {"extra_joins", {.parties = 3, .extra_joins = 1}, "passes with more"},
    {"no_next_round", {.parties = 4, .no_next_round = 1}, stuck},
    {"no_break_at_end", {.more = 1, .ends = 1, .no_break_at_end = 1}, stuck},
    {"no_epoch", {.parties = 3, .control = reset_it, .first = 1, .time_outs = 1, .no_epoch = 1}, uncaused},
    {"reset_not_answered", {.parties = 3, .control = reset_it, .first = 1, .time_outs = 1, .no_answer = 1}, uncaused},
    {"abort_not_answered", {.parties = 3, .control = abort_it, .first = 0, .no_answer = 1}, "passes after an abort"},
    {"told_early", {.parties = 3, .control = reset_it, .first = 1, .kills = 1, .told_early = 1}, uncaused},
};

constexpr models::field<config> fields[] = {
    {"parties", &config::parties}, {"n", &config::n},         {"rounds", &config::rounds},       {"more", &config::more},
    {"action", &config::action},   {"ends", &config::ends},   {"control", &config::control},     {"first", &config::first},
    {"kills", &config::kills},     {"stops", &config::stops}, {"time_outs", &config::time_outs}, {"fails", &config::fails},
    {"at_once", &config::at_once}};

}  // namespace

int main(int argc, char** argv) { return models::main_of<model, config>("barrier", runs, fields, argc, argv); }
