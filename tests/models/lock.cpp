// SPDX-License-Identifier: BSD-3-Clause
// Model of the lock: barging, hand-over by the sync actor, deadlines, and what the next owner hears about a death.
//
// Source: actors/cloister/actors/mutex.cpp, internal/sync_lock.cpp
// Checked: one holder; `died`, with the right culprit beside the word, is told exactly when an owner that had come out of
// lock() was killed or let go while it held and nobody has called recovered since; nobody waits for ever unless a stopped
// process holds or was granted the lock; at rest the word has no owner and neither W, H nor P.
// Configuration: two or three processes, one to three rounds; kills (of stopped ones too), stops (then with the look), time-
// outs, recovered, an owner that lets go of its last handle, a process that waits at another object (also while it holds),
// an id that is used again once its death was served. H is set or not, freely: time decides.
// Not here: threads of a process, spinning, a second lock in full, weak memory.
// Sequential consistency is assumed. States: 1 025 to 261 258 a run; 19 mutants, all detected. Found by this model: a dead
// owner's cell that says GRANTED counts only with the ticket of this lock's own last grant (it may wait at another object),
// and that grant is forgotten at a death; who lets go writes the culprit itself, before its CAS, and drops after its poke.
#include "explore.hpp"

using models::successors;

namespace {

using u8 = std::uint8_t;
constexpr int max_processes = 3, max_messages = 6;

struct config {
  int processes = 2, rounds = 2;
  int kills = 0, stops = 0, time_outs = 0, look = 0, recovered = 0, let_go = 0, elsewhere = 0, restarts = 0;
  // mutants
  int no_down = 0, down_early = 0, granted_is_holding = 0, any_grant = 0, grant_remembered = 0, no_undo = 0, any_ticket = 0,
      serve_stores = 0, no_w = 0, p_stays = 0, h_stays = 0, no_poke = 0, unlock_stores = 0, unlock_clears_died = 0,
      cancel_stores = 0, let_go_quiet = 0, let_go_no_poke = 0, let_go_no_culprit = 0;
};

// The word: owner (id + 1, 0: free) and flags. One u8, so that a CAS compares all of it.
constexpr u8 owner_bits = 7, waiters = 8, hand_over = 16, poked = 32, died = 64;
constexpr u8 owner(u8 w) { return w & owner_bits; }
constexpr u8 with_owner(u8 w, int o) { return static_cast<u8>((w & ~owner_bits) | o); }
constexpr u8 with(u8 w, u8 flag, bool on) { return static_cast<u8>(on ? w | flag : w & ~flag); }

enum cell_state : u8 { idle, waiting, granted, entered, cancelled };
enum message : u8 { none, want, cancel, poke };  // + 4 * ticket

enum pc : u8 {
  p_done,
  p_dead,  // the actor has not heard of it
  p_gone,  // it has, and has served the lock: the id may be used again
  p_load,
  p_take,
  p_store,
  p_want,
  p_asleep,
  p_cancel,
  p_away,
  p_poke,
  // it has come out of lock(), or is about to
  p_entered,
  p_culprit,
  p_hold,
  p_unlock,
  p_recover,
  p_blame,
  p_let_go,
  p_elsewhere,
  // the actor
  a_idle,
  a_load,
  a_blame,
  a_serve,
  a_grant,
};

struct proc {
  u8 pc, left, w, ticket, cell_ticket, cell, told, stopped;
  u8 sent[max_messages];
};

struct model {
  struct state {
    u8 word, culprit;
    proc p[max_processes];
    u8 actor, w, undone, down, grant_to, grant_ticket;  // the last grant: it decides whether GRANTED in a dead one's cell is ours
    u8 queue[max_processes];                            // id + 1 + 8 * ticket; a process is at most once in it
    u8 ghost_died, ghost_culprit;
    u8 kills, stops, time_outs, let_go, elsewhere, restarts;
  };

  config c;
  explicit model(const config& conf) : c(conf) {
    if (c.processes > max_processes || c.rounds > 3) std::abort();
  }

  state first() const {
    state s;
    std::memset(&s, 0, sizeof s);
    for (int i = 0; i < c.processes; ++i) s.p[i].pc = p_load, s.p[i].left = static_cast<u8>(c.rounds);
    s.actor = a_idle;
    s.kills = static_cast<u8>(c.kills), s.stops = static_cast<u8>(c.stops), s.time_outs = static_cast<u8>(c.time_outs);
    s.let_go = static_cast<u8>(c.let_go), s.elsewhere = static_cast<u8>(c.elsewhere), s.restarts = static_cast<u8>(c.restarts);
    return s;
  }

  static bool holds(const proc& q) { return q.pc >= p_entered && q.pc <= p_elsewhere; }

  bool good(const state& s) const {
    if (s.actor != a_idle) return false;
    bool excused = false, late_poke = false;
    for (int i = 0; i < c.processes; ++i) {
      const proc& q = s.p[i];
      if (q.sent[0] != none) return false;
      if (q.stopped && owner(s.word) == i + 1 && (holds(q) || q.cell == granted)) excused = true;
      if (q.stopped && q.pc == p_poke) late_poke = true;
    }
    if (!excused && (late_poke ? s.word & ~died & ~poked : s.word & ~died)) return false;
    for (int i = 0; i < c.processes; ++i) {
      const proc& q = s.p[i];
      if (q.stopped || q.pc == p_done || q.pc == p_gone) continue;
      if (!excused || q.pc != p_asleep) return false;
    }
    return true;
  }

  static void send(proc& q, int what) {
    int at = 0;
    while (q.sent[at] != none) ++at;
    if (at == max_messages - 1) std::abort();
    q.sent[at] = static_cast<u8>(what + 4 * q.ticket);
  }
  static void leave(state& s, int who, int ticket) {  // ticket 0: all
    for (int at = 0; at < max_processes; ++at)
      if ((s.queue[at] & 7) == who && (ticket == 0 || s.queue[at] >> 3 == ticket)) pop(s, at);
  }
  static void pop(state& s, int at) {
    for (; at + 1 < max_processes; ++at) s.queue[at] = s.queue[at + 1];
    s.queue[max_processes - 1] = 0;
  }

  void next(const state& s, successors<state>& out) const {
    for (int i = 0; i < c.processes; ++i) {
      const proc& q = s.p[i];
      if (q.pc == p_gone && s.restarts > 0) {
        state n = s;
        --n.restarts;
        n.p[i] = {p_load, 1, 0, 0, 0, idle, 0, 0, {}};
        out.forced(n, i, "its id is used again");
      }
      if (q.pc == p_done || q.pc == p_dead || q.pc == p_gone) continue;
      if (s.kills > 0) {
        state n = s;
        proc& r = n.p[i];
        --n.kills, r.pc = p_dead, r.left = r.w = r.told = r.stopped = 0;
        if (holds(q)) n.ghost_died = 1, n.ghost_culprit = static_cast<u8>(i + 1);
        out.forced(n, i, "is killed");
      }
      if (q.stopped) continue;
      if (s.stops > 0) {
        state n = s;
        --n.stops, n.p[i].stopped = 1;
        out.forced(n, i, "is stopped");
      }
      step(s, i, out);
    }
    act(s, out);
  }

  void step(const state& s, int i, successors<state>& out) const {
    state n = s;
    proc& q = n.p[i];
    auto go = [&](pc to, const char* label, const char* complaint = nullptr) {
      q.pc = to;
      if (to != p_take && to != p_unlock && to != p_recover && to != p_let_go) q.w = 0;
      out.add(n, i, label, complaint);
    };
    auto round_over = [&](const char* label) {
      q.told = 0;
      go(--q.left ? p_load : p_done, label);
    };
    auto out_of_lock = [&](u8 w, const char* label) {
      const char* complaint = nullptr;
      for (int other = 0; other < c.processes; ++other)
        if (other != i && holds(s.p[other])) complaint = "two hold the lock";
      if (!complaint && (w & died) && !s.ghost_died) complaint = "died is told, but nobody died";
      if (!complaint && !(w & died) && s.ghost_died) complaint = "a death is not told";
      q.told = (w & died) != 0;
      go(q.told ? p_culprit : p_hold, label, complaint);
    };
    auto lost = [&] { return owner(s.word) == i + 1 ? nullptr : "an owner has lost the lock"; };
    switch (q.pc) {
      // ---- lock
      case p_load:
        if (s.elsewhere > 0) {
          state m = s;
          --m.elsewhere, m.p[i].pc = p_away;
          m.p[i].cell_ticket = ++m.p[i].ticket, m.p[i].cell = waiting;
          out.forced(m, i, "waits at another object");
        }
        q.w = s.word;
        return go(owner(q.w) == 0 && !(q.w & hand_over) ? p_take : p_store, "lock: loads the word");
      case p_away:
      case p_elsewhere:
        if (q.cell == waiting) q.cell = granted, out.add(n, -1, "the other object grants");
        else q.cell = entered, go(q.pc == p_away ? p_load : p_hold, "comes out there");
        return;
      case p_take:
        if (s.word != q.w) return go(p_load, "lock: CAS failed");
        n.word = with_owner(s.word, i + 1);
        return out_of_lock(s.word, "lock: owns it");
      case p_store: q.cell_ticket = ++q.ticket, q.cell = waiting; return go(p_want, "lock: stores WAITING");
      case p_want: send(q, want); return go(p_asleep, "lock: sends want, sleeps");
      case p_asleep:
        if (q.cell == granted) {
          state m = s;
          if (c.cancel_stores && s.time_outs > 0) {
            --m.time_outs, m.p[i].cell = cancelled, m.p[i].pc = p_cancel;
            out.forced(m, i, "lock: stores CANCELLED over GRANTED");
          }
          q.cell = entered;
          return go(p_entered, "lock: ENTERED");
        }
        if (q.cell == waiting && s.time_outs > 0) {
          --n.time_outs, q.cell = cancelled, q.pc = p_cancel;
          out.forced(n, i, "lock: times out, CANCELLED");
        }
        return;
      case p_cancel: send(q, cancel); return round_over("lock: sends cancel");
      case p_entered:
        return owner(s.word) == i + 1 ? out_of_lock(s.word, "lock: loads died") : go(p_hold, "lock: loads died", lost());
      case p_culprit: return go(p_hold, "reads who died", s.culprit == s.ghost_culprit ? nullptr : "the wrong one is blamed");
      // ---- unlock, or one of the other things an owner may do
      case p_hold:
        if (q.told && c.recovered) {
          state m = s;
          m.p[i].pc = p_recover, m.p[i].w = s.word;
          out.add(m, i, "recovered: loads the word", lost());
        }
        if (s.let_go > 0) {
          state m = s;
          --m.let_go, m.p[i].pc = c.let_go_no_culprit ? p_let_go : p_blame;
          if (c.let_go_no_culprit) m.p[i].w = s.word;
          out.forced(m, i, "decides to let go");
        }
        if (s.elsewhere > 0) {
          state m = s;
          --m.elsewhere, m.p[i].pc = p_elsewhere;
          m.p[i].cell_ticket = ++m.p[i].ticket, m.p[i].cell = waiting;
          out.forced(m, i, "waits at another object");
        }
        q.w = s.word;
        return go(p_unlock, "unlock: loads the word", lost());
      case p_recover:
        if (s.word != q.w) return go(p_hold, "recovered: CAS failed");
        n.word = with(s.word, died, false);
        n.ghost_died = n.ghost_culprit = q.told = 0;
        return go(p_hold, "recovered", lost());
      case p_unlock: {
        if (s.word != q.w && !c.unlock_stores) return go(p_hold, "unlock: CAS failed");
        const u8 free = with(with_owner(q.w, 0), died, (q.w & died) && !c.unlock_clears_died);
        if (!(q.w & (waiters | hand_over))) {
          n.word = free;
          return round_over("unlock: frees it");
        }
        n.word = with(free, poked, true);
        if ((q.w & poked) || c.no_poke) return round_over("unlock: frees it, a poke is under way");
        return go(p_poke, "unlock: frees it, P");
      }
      case p_poke: send(q, poke); return q.left ? round_over("sends poke") : go(p_done, "sends poke");
      // ---- lets go of its last handle, and ends
      case p_blame:
        n.culprit = static_cast<u8>(i + 1), q.w = s.word;  // (the load needs no step: a CAS follows)
        return go(p_let_go, "lets go: writes who");
      case p_let_go: {
        if (s.word != q.w) {
          q.w = s.word;
          return go(p_let_go, "lets go: CAS failed, loads again");
        }
        n.word = with(with(with_owner(s.word, 0), died, (s.word & died) || !c.let_go_quiet), poked, true);
        n.ghost_died = 1, n.ghost_culprit = static_cast<u8>(i + 1);
        q.left = q.told = 0;
        return go((s.word & poked) || c.let_go_no_poke ? p_done : p_poke, "lets go", lost());
      }
      default: return;
    }
  }

  void act(const state& s, successors<state>& out) const {
    state n = s;
    auto go = [&](pc to, const char* label, const char* complaint = nullptr) {
      n.actor = to;
      if (to != a_blame && to != a_serve) n.w = 0;
      if (to == a_idle) {
        if (n.down) n.p[n.down - 1].pc = p_gone;
        n.down = n.undone = 0;
      }
      out.add(n, -1, label, complaint);
    };
    switch (s.actor) {
      case a_idle:
        for (int i = 0; i < c.processes; ++i, n = s) {
          proc& q = n.p[i];
          const u8 m = q.sent[0];
          if (m != none) {
            for (int at = 0; at + 1 < max_messages; ++at) q.sent[at] = q.sent[at + 1];
            const int ticket = m >> 2;
            if (m % 4 == want) {
              int at = 0;
              while (s.queue[at]) ++at;
              n.queue[at] = static_cast<u8>(i + 1 + 8 * ticket);
            }
            if (m % 4 == cancel) leave(n, i + 1, ticket);
            go(a_load, m % 4 == want ? "hears want" : (m % 4 == cancel ? "hears cancel" : "hears poke"));
            n = s;
          }
          if (s.p[i].pc == p_dead && (m == none || c.down_early) && !c.no_down) {
            leave(n, i + 1, 0);
            n.down = static_cast<u8>(i + 1);
            const bool ours = c.any_grant || (s.grant_to == i + 1 && s.grant_ticket == q.cell_ticket);
            if (ours && q.cell == granted && !c.granted_is_holding) n.undone = n.down;  // it never came out of lock()
            if (s.grant_to == i + 1 && !c.grant_remembered) n.grant_to = n.grant_ticket = 0;
            go(a_load, "hears of a death");
          }
        }
        n = s;
        if (c.look && s.queue[0]) go(a_load, "looks");
        return;
      case a_load: {
        n.w = s.word;
        const u8 o = owner(s.word);
        return go(o && o == s.down && o != s.undone ? a_blame : a_serve, "serve: loads the word");
      }
      case a_blame: n.culprit = s.down; return go(a_serve, "serve: writes who died");
      case a_serve: {
        if (s.word != s.w && !c.serve_stores) return go(a_load, "serve: CAS failed");
        const u8 o = owner(s.w), head = s.queue[0],
                 flags = static_cast<u8>((c.h_stays ? s.w & hand_over : 0) | (c.p_stays ? s.w & poked : 0));
        const bool vacant = o == 0 || o == s.undone || o == s.down;
        const u8 dead = static_cast<u8>(s.w & died || (o && o == s.down && o != s.undone) ? died : 0);
        if (!head) {
          n.word = static_cast<u8>((vacant ? 0 : o) | dead | flags);
          return go(a_idle, vacant ? "serve: nobody queues, free" : "serve: nobody queues");
        }
        if (vacant) {
          n.word = static_cast<u8>((head & 7) | (s.queue[1] && !c.no_w ? waiters : 0) | dead | flags);
          return go(a_grant, "serve: hands it over");
        }
        for (const bool h : {false, true}) {
          n = s;
          n.word = with(with(with(s.w, waiters, !c.no_w), poked, flags & poked), hand_over, h);
          go(a_idle, h ? "serve: owned, W and H" : "serve: owned, W");
        }
        return;
      }
      case a_grant: {
        const u8 who = s.queue[0] & 7, ticket = s.queue[0] >> 3;
        proc& q = n.p[who - 1];
        pop(n, 0);
        if (q.cell == waiting && (q.cell_ticket == ticket || c.any_ticket)) {
          q.cell = granted, n.grant_to = who, n.grant_ticket = ticket;
          return go(a_idle, "serve: GRANTED", q.pc == p_away || q.pc == p_elsewhere ? "granted, but it waits elsewhere" : nullptr);
        }
        n.undone = who;
        return c.no_undo ? go(a_idle, "serve: it was CANCELLED") : go(a_load, "serve: it was CANCELLED");
      }
      default: return;
    }
  }

  std::string show(const state& s) const {
    static constexpr const char* cells[] = {"", "WAITING", "GRANTED", "ENTERED", "CANCELLED"};
    std::string t = "owner " + (owner(s.word) ? "p" + std::to_string(owner(s.word) - 1) : std::string("none"));
    for (const auto& [flag, name] : {std::pair{waiters, " W"}, {hand_over, " H"}, {poked, " P"}, {died, " died"}})
      if (s.word & flag) t += name;
    for (int i = 0; i < c.processes; ++i)
      if (s.p[i].cell != idle)
        t += " p" + std::to_string(i) + " " + cells[s.p[i].cell] + "(" + std::to_string(s.p[i].cell_ticket) + ")";
    t += " queue";
    for (const u8 e : s.queue)
      if (e) t += " p" + std::to_string((e & 7) - 1) + "(" + std::to_string(e >> 3) + ")";
    return t;
  }
};

constexpr const char* stuck = "stuck";
constexpr models::run<config> runs[] = {
    {"plain", {}},
    {"time_out", {.time_outs = 2}},
    {"three", {.processes = 3, .rounds = 1, .time_outs = 1}},
    {"kill", {.kills = 1, .time_outs = 1}},
    {"recovered", {.kills = 1, .recovered = 1}},
    {"two_kills", {.processes = 3, .rounds = 1, .kills = 2}},
    {"three_kill", {.processes = 3, .rounds = 1, .kills = 1, .time_outs = 1}},
    {"stop", {.processes = 3, .rounds = 1, .stops = 1, .look = 1}},
    {"stop_kill", {.kills = 1, .stops = 1, .time_outs = 1, .look = 1}},
    {"let_go", {.processes = 3, .rounds = 1, .kills = 1, .recovered = 1, .let_go = 1}},
    {"elsewhere", {.kills = 1, .time_outs = 1, .elsewhere = 1}},
    {"restart", {.kills = 2, .elsewhere = 1, .restarts = 1}},
    {"three_two_rounds", {.processes = 3, .kills = 1, .time_outs = 1}, nullptr, true},
    {"three_stop", {.processes = 3, .rounds = 1, .kills = 1, .stops = 1, .time_outs = 1, .look = 1}},
    {"no_look", {.processes = 3, .rounds = 1, .stops = 1}, stuck},
    {"no_down", {.kills = 1, .no_down = 1}, stuck},
    {"down_early", {.kills = 1, .down_early = 1}, stuck},
    {"granted_is_holding", {.kills = 1, .granted_is_holding = 1}, "died is told, but nobody died"},
    {"any_grant", {.kills = 1, .elsewhere = 1, .any_grant = 1}, "a death is not told"},
    {"grant_remembered", {.kills = 2, .elsewhere = 1, .restarts = 1, .grant_remembered = 1}, "a death is not told"},
    {"no_undo", {.time_outs = 1, .no_undo = 1}, stuck},
    {"any_ticket", {.time_outs = 1, .elsewhere = 1, .any_ticket = 1}, "granted, but it waits elsewhere"},
    {"serve_stores", {.serve_stores = 1}, "an owner has lost the lock"},
    {"no_w", {.no_w = 1}, stuck},
    {"p_stays", {.p_stays = 1}, stuck},
    {"h_stays", {.time_outs = 1, .h_stays = 1}, stuck},
    {"no_poke", {.no_poke = 1}, stuck},
    {"unlock_stores", {.unlock_stores = 1}, stuck},
    {"unlock_clears_died", {.processes = 3, .rounds = 1, .kills = 1, .unlock_clears_died = 1}, "a death is not told"},
    {"cancel_stores", {.time_outs = 1, .cancel_stores = 1}, stuck},
    {"let_go_quiet", {.let_go = 1, .let_go_quiet = 1}, "a death is not told"},
    {"let_go_no_poke", {.let_go = 1, .let_go_no_poke = 1}, stuck},
    {"let_go_no_culprit", {.let_go = 1, .let_go_no_culprit = 1}, "the wrong one is blamed"},
};

constexpr models::field<config> fields[] = {
    {"processes", &config::processes}, {"rounds", &config::rounds},       {"kills", &config::kills},
    {"stops", &config::stops},         {"time_outs", &config::time_outs}, {"look", &config::look},
    {"recovered", &config::recovered}, {"let_go", &config::let_go},       {"elsewhere", &config::elsewhere},
    {"restarts", &config::restarts},
};

}  // namespace

int main(int argc, char** argv) { return models::main_of<model, config>("lock", runs, fields, argc, argv); }
