// SPDX-License-Identifier: BSD-3-Clause
// Model of the semaphore: one word that names its last operation, an entry for each holder, and everybody helps. An acquire and the
// release after it need one CAS each as long as nobody comes between: hold and undo follow each other without being applied.
//
// Source: actors/cloister/actors/semaphore.cpp, internal/token_table.cpp, internal/sync_semaphore.cpp
// Checked: value, counts and extras make up the total in every state; never more hold than there are tokens; where everybody releases what
// it got, each entry has what its process holds; nobody acquires past a hand-over; a killed process's tokens come back exactly once, an
// ended one's stay taken until somebody releases them; a bounded one refuses a release only if no token was out; nobody waits for ever
// while there is a token; at rest no entry has a token, and W, H, P are clear.
// Configuration: two or three processes, up to three tokens; entries of their own or claimed, fewer than processes; processes that only
// release, only acquire, release what they did not get, or acquire two before they release; two threads with one entry; chains of up to
// eight operations beside helpers that stall; kills, stops (then with the look), time-outs, normal ends while holding, by the actor or by
// the process itself, a handle opened again before its end was served; sequence numbers without end, or coming round.
// Not here: several tokens at once, ids used again, weak memory, kills of one with two threads. A free entry is claimed, and a dead
// one's is found, in one step.
// Sequential consistency is assumed. States: 4 171 to 1 813 713 a run; 43 mutants, all detected. Found by this model, each now a mutant:
// serve goes on until nobody can be served (serve_once); a cancelled grant is given back by the rule of release, since others may have
// released it (undo_blind); move reads the word again before each of its two CASes (move_unread); a bounded release reads it again before
// it refuses (error_unchecked); want and end name the entry (by_id); claiming keeps seq (claim_resets); a helper whose CAS of the entry
// failed begins anew, since one that overslept may have applied the hold before this undo, or the undo before this hold (believe_cas);
// whoever ends frees its entry by the word even if it has no token, or the actor takes for it meanwhile (free_unnamed).
// seq_short: a helper that sleeps through a whole round of the numbers breaks it, so they need 31 bits at least. A chain goes round without
// anybody's help, so that its changes, too, skip the number that the entry has (chain_repeats).
// Longer than a file should be, because it is one state machine.
#include "explore.hpp"

using models::successors;

namespace {

using u8 = std::uint8_t;
constexpr auto fair = models::step_kind::fair, forced = models::step_kind::forced;
constexpr int max_processes = 3, max_entries = max_processes + 1, max_messages = 8;

struct config {
  int processes = 2, rounds = 1, tokens = 1;
  int givers = 0, gives = 1, keeps = 0;   // the last so many processes only release, so often; the others only acquire
  int entries = 0;                        // so many to be claimed; 0: each process has its own
  int bounded = 0, anyway = 0;            // anyway: whoever timed out releases nevertheless
  int nested = 0, threads = 0, busy = 0;  // so many acquire two, then release two; two share an entry; so many go `rounds`, 0: all
  int reopens = 0, ends = 0, kills = 0, stops = 0, time_outs = 0, look = 0, wrap = 0;  // ends: ends normally, holding
  int self = 0;  // whoever drops its handle frees its entry itself; 0: the actor does
  // mutants
  int no_help = 0, no_reread = 0, no_seq = 0, seq_repeats = 0, move_reversed = 0, move_unread = 0, serve_once = 0, no_take = 0,
      no_undo = 0, undo_blind = 0, no_w = 0, p_stays = 0, h_stays = 0, no_poke = 0, cancel_stores = 0, no_ret = 0, no_private = 0,
      no_move = 0, error_unchecked = 0, down_early = 0, by_id = 0, claim_resets = 0;
  // mutants of hold and undo
  int believe_cas = 0, hold_nested = 0, extra_early = 0, chain_any = 0, chain_others = 0, chain_take = 0, chain_give = 0,
      chain_handing = 0, chain_quiet = 0, chain_repeats = 0, counted = 0, undo_counts = 0, ret_bare = 0, move_bare = 0,
      give_bare = 0, mine_bare = 0, scan_bare = 0, free_bare = 0, free_unnamed = 0;
};

enum op : u8 { op_none, op_take, op_give, op_grow, op_ret, op_move, op_hold, op_undo };  // in the flags' low bits
constexpr u8 op_bits = 7, waiters = 8, hand_over = 16, poked = 32;
constexpr u8 with(u8 w, u8 flag, bool on) { return static_cast<u8>(on ? w | flag : w & ~flag); }

struct word {
  u8 value, flags, entry, seq;
  bool operator==(const word&) const = default;
};
struct entry {
  u8 actor, count, extra, seq;  // actor: id + 1, 0: nobody's (entry 0: the actor's); extra: one more, by hold
  bool operator==(const entry&) const = default;
  int tokens() const { return count + extra; }
};

enum cell_state : u8 { idle, waiting, granted, entered, cancelled };
enum message : u8 { none, want, cancel, poke, end, give_for_me };  // + 8 * ticket + 64 * its entry
enum job : u8 { j_none, j_acquire, j_release, j_serve, j_down, j_private, j_end, j_undo, j_give, j_left };

enum pc : u8 {
  p_done,
  p_dead,
  p_gone,
  p_claim,
  p_store,
  p_want,
  p_asleep,
  p_cancel,
  p_poke,
  p_ask,
  p_end,
  a_idle,
  a_grant,
  // load the word, help, decide, CAS: processes and actor alike
  x_load,
  // the word that was loaded counts from here on
  x_zero,
  x_from,
  x_zero_again,
  x_zero_apply,
  x_entry,
  x_again,
  x_apply,
  x_free,
  r_extra,
  r_number,
  r_owner,
  r_mine,
  r_zero,
  r_scan,
  r_check,
  x_cas,
};

struct agent {
  u8 pc, job, op, at, best, most, mine;  // op, at: for the next CAS; best, most: while it looks for the largest; mine: its entry
  word w;
  entry e, z;
};
struct proc {
  u8 left, ticket, cell_ticket, cell, stopped, zero_seen, held;
  u8 sent[max_messages];
};

struct model {
  struct state {
    word w;
    entry entries[max_entries];
    agent a[max_processes + 1];  // the actor last
    proc p[max_processes];
    u8 queue[max_processes];          // id + 1 + 8 * ticket + 64 * its entry
    u8 own[max_processes];            // what the actor remembers: tokens of those without an entry
    u8 who, undoing;                  // the actor: whose death or end it handles; a take is not granted yet
    u8 total, orphans, asked, gifts;  // ghosts; gifts: releases without holding
    u8 reopens, ends, kills, stops, time_outs;
  };

  config c;
  explicit model(const config& conf) : c(conf) {
    if (c.processes > max_processes || c.rounds > 4 || c.entries >= max_entries) std::abort();
  }
  int last_entry() const { return c.entries ? c.entries : c.processes; }
  int actor() const { return c.processes; }
  int owner(int i) const { return c.threads && i == 1 ? 0 : i; }

  state first() const {
    state s;
    std::memset(&s, 0, sizeof s);
    s.w.value = s.total = static_cast<u8>(c.tokens);
    for (int i = 0; i < c.processes; ++i) {
      s.p[i].left = static_cast<u8>(i >= c.processes - c.givers ? c.gives : c.busy && i >= c.busy ? 1 : c.rounds);
      if (!c.entries && owner(i) == i) s.entries[i + 1].actor = static_cast<u8>(i + 1);
      if (!c.entries) s.a[i].mine = static_cast<u8>(owner(i) + 1);
      begin(s, i);
    }
    s.a[actor()].pc = a_idle;
    s.ends = static_cast<u8>(c.ends), s.kills = static_cast<u8>(c.kills), s.stops = static_cast<u8>(c.stops);
    s.time_outs = static_cast<u8>(c.time_outs), s.reopens = static_cast<u8>(c.reopens);
    return s;
  }

  // ---- what everybody believes; ghosts and checks

  struct helped {
    int counts[max_entries];
    int sum;
    bool underflow;
  };
  helped after_help(const state& s) const {
    helped h{};
    for (int i = 0; i < max_entries; ++i) h.counts[i] = s.entries[i].tokens();
    const int what = s.w.flags & op_bits, i = s.w.entry;
    if (s.entries[i].seq != s.w.seq) {
      if (what == op_take) ++h.counts[i];
      if (what == op_give && --h.counts[i] < 0) h.underflow = true;
      if (what == op_hold || what == op_undo) h.counts[i] = s.entries[i].count + (what == op_hold);
      if (what == op_move && s.entries[0].seq != s.w.seq) h.counts[0] += h.counts[i];
      if (what == op_ret || what == op_move) h.counts[i] = 0;
    }
    for (const int n : h.counts) h.sum += n;
    return h;
  }
  const char* wrong(const state& s) const {
    const helped h = after_help(s);
    if (h.underflow) return "an entry gives what it has not";
    if (s.w.value + h.sum != s.total) return "tokens are lost or doubled";
    int held = s.undoing + s.orphans + s.asked;
    for (int i = 0; i < c.processes; ++i) held += s.p[i].held;
    if (held > h.sum + s.gifts) return "more hold a token than there are";
    if (c.givers || c.anyway) return nullptr;
    for (int i = 0; i < c.processes && !c.entries && !c.ends && !c.threads; ++i) {
      const bool undone = s.undoing && s.a[actor()].mine == i + 1;
      if (s.p[i].held + undone != h.counts[i + 1]) return "an entry has a token that nobody holds";
    }
    if (held != h.sum) return "an entry has a token that nobody holds";
    return nullptr;
  }

  bool good(const state& s) const {
    const helped h = after_help(s);
    bool late_poke = false;
    if (s.a[actor()].pc != a_idle) return false;
    for (int i = 0; i < c.processes; ++i) {
      const u8 at = s.a[i].pc;
      if (s.p[i].sent[0] != none || at == p_dead) return false;
      if (s.p[i].stopped) {
        late_poke = late_poke || at == p_poke;
        continue;
      }
      if (at != p_done && at != p_gone && at != p_asleep) return false;
      if (at == p_asleep && (s.p[i].cell != waiting || s.w.value)) return false;
      if (s.own[i] && !c.keeps) return false;
    }
    for (int e = 1; e <= last_entry(); ++e)  // who ended or died has none, who is alive has given all
      if (h.counts[e] && !c.keeps && (!s.entries[e].actor || !s.p[s.entries[e].actor - 1].stopped)) return false;
    return s.queue[0] || !(s.w.flags & (late_poke ? waiters | hand_over : waiters | hand_over | poked));
  }

  // Only equality of sequence numbers matters, and that the next is a new one: renames them in their order.
  void canonical(state& s) const {
    if (c.wrap) return;
    bool used[256] = {};
    u8 rank[256] = {}, next_rank = 0;
    auto each = [&](auto f) {
      f(s.w.seq);
      for (entry& e : s.entries) f(e.seq);
      for (agent& q : s.a) {
        if (q.pc > x_load) f(q.w.seq);
        if (q.pc == x_zero_again || q.pc == x_zero_apply || (q.pc >= x_again && q.pc <= x_free)) f(q.e.seq);
        if (q.pc == x_from || q.pc == x_zero_again || q.pc == x_zero_apply) f(q.z.seq);
      }
    };
    each([&](u8& seq) { used[seq] = true; });
    for (int i = 0; i < 256; ++i)
      if (used[i]) rank[i] = next_rank++;
    each([&](u8& seq) { seq = rank[seq]; });
  }
  u8 fresh(const state& s, const word& w, int has, bool move, bool repeats) const {  // has: the entry's number
    if (!c.wrap) {
      u8 top = w.seq;
      for (const entry& e : s.entries) top = std::max(top, e.seq);
      for (const agent& q : s.a) top = std::max({top, q.w.seq, q.e.seq, q.z.seq});
      return static_cast<u8>(top + 1);
    }
    u8 seq = w.seq;
    do seq = static_cast<u8>((seq + 1) % c.wrap);
    while (!repeats && (seq == has || (move && seq == s.entries[0].seq)));
    return seq;
  }

  static void send(state& s, int i, int what) {
    proc& p = s.p[i];
    int k = 0;
    while (p.sent[k] != none) ++k;
    if (k == max_messages - 1 || p.ticket > 7) std::abort();
    p.sent[k] = static_cast<u8>(what + 8 * p.ticket + 64 * s.a[i].mine);
  }
  static void leave(state& s, int who, int ticket) {  // ticket 0: all
    for (int k = 0; k < max_processes; ++k)
      if ((s.queue[k] & 7) == who && (ticket == 0 || (s.queue[k] >> 3 & 7) == ticket)) pop(s, k);
  }
  static void pop(state& s, int k) {
    for (; k + 1 < max_processes; ++k) s.queue[k] = s.queue[k + 1];
    s.queue[max_processes - 1] = 0;
  }
  static void load(agent& q, job what) { q = {x_load, what, 0, 0, 0, 0, q.mine, {}, {}, {}}; }
  static void at(agent& q, pc to) { q = {to, 0, 0, 0, 0, 0, q.mine, {}, {}, {}}; }

  void begin(state& s, int i) const {
    agent& q = s.a[i];
    if (i >= c.processes - c.givers) return release(s, i);
    if (!c.entries || q.mine) return load(q, j_acquire);
    if (s.p[i].held) return at(q, p_store);  // with a token of entry 0: claims none before it has released that
    at(q, p_claim), q.at = 1;
  }
  void release(state& s, int i) const {
    if (c.keeps && i < c.processes - c.givers) return round_over(s, i);
    if (!s.a[i].mine && i < c.processes - c.givers) return at(s.a[i], p_ask);  // a giver without an entry does it itself
    load(s.a[i], j_release);
  }
  void has_one(state& s, int i) const { return i < c.nested && s.p[i].held < 2 ? begin(s, i) : release(s, i); }
  void round_over(state& s, int i) const {
    s.p[i].zero_seen = 0;
    if (i < c.nested && s.p[i].held) return release(s, i);
    if (--s.p[i].left) return begin(s, i);
    at(s.a[i], c.entries ? p_end : p_done);
  }
  int entry_of(const state& s, int who) const {  // who: id + 1
    for (int i = 1; i <= last_entry(); ++i)
      if (s.entries[i].actor == who) return i;
    return 0;
  }

  // ---- steps

  void next(const state& s, successors<state>& out) const {
    for (int i = 0; i < c.processes; ++i) {
      const u8 where = s.a[i].pc;
      if (where == p_done || where == p_dead || where == p_gone) continue;
      if (s.kills > 0) {
        state n = s;
        --n.kills, n.p[i].left = n.p[i].stopped = n.p[i].zero_seen = 0;
        at(n.a[i], p_dead);
        done(n, i, "is killed", out, forced);
      }
      if (s.p[i].stopped) continue;
      if (s.stops > 0) {
        state n = s;
        --n.stops, n.p[i].stopped = 1;
        done(n, i, "is stopped", out, forced);
      }
      if (where >= x_load) common(s, i, out);
      else step(s, i, out);
    }
    if (s.a[actor()].pc >= x_load) common(s, actor(), out);
    else act(s, out);
  }

  void done(state& n, int who, const char* label, successors<state>& out, models::step_kind kind = fair,
            const char* complaint = nullptr) const {
    if (!complaint) complaint = wrong(n);
    if (c.bounded && after_help(n).sum == 0)
      for (int i = 0; i < c.processes; ++i)
        if (n.a[i].job == j_release && n.a[i].pc > x_load) n.p[i].zero_seen = 1;
    canonical(n);
    out.add(n, who == actor() ? -1 : who, label, complaint, kind);
  }

  // The word is loaded, its last operation is applied: what next? No shared access here.
  void decide(state& s, int i) const {
    agent& q = s.a[i];
    q.e = q.z = {};
    q.pc = x_cas, q.at = q.mine, q.op = op_none;
    switch (q.job) {
      case j_acquire:
        if (q.w.value == 0 || q.w.flags & hand_over) return at(q, p_store);
        if (c.hold_nested) q.op = op_hold;
        else if (c.extra_early) q.op = q.most ? op_take : op_hold, q.most = 0;
        else q.pc = r_extra;
        return;
      case j_left: return ended(s, i);
      case j_serve:
        if (s.queue[0] && q.w.value > 0)
          q.pc = c.self ? r_owner : x_cas, q.op = op_take,
          q.at = static_cast<u8>(c.by_id ? entry_of(s, s.queue[0] & 7) : s.queue[0] >> 6);
        else if (!s.queue[0] && !(q.w.flags & (waiters | hand_over | poked))) finished(s);
        return;
      default: q.pc = q.job == j_release && !q.mine ? r_zero : r_mine, q.at = 0;
    }
  }
  // From hold to undo, from undo to hold: one CAS, whether or not the entry has it.
  bool chained(agent& q) const {
    const int what = q.w.flags & op_bits;
    if (!q.mine || (q.w.entry != q.mine && !c.chain_any && (!c.chain_others || q.job != j_release))) return false;
    if (q.job == j_release && (what == op_hold || (c.chain_take && what == op_take))) q.op = op_undo;
    else if (q.job == j_acquire && (what == op_undo || (c.chain_give && what == op_give)) && q.w.value > 0 &&
             (!(q.w.flags & hand_over) || c.chain_handing))
      q.op = op_hold;
    else return false;
    q.at = c.chain_others ? q.w.entry : q.mine;
    return true;
  }
  void ended(state& s, int i) const {
    agent& q = s.a[i];
    if (i == actor()) return load(q, j_serve);
    s.orphans = static_cast<u8>(s.orphans + s.p[i].held), s.p[i].held = 0;
    if (c.entries) q.mine = 0;
    if (s.reopens == 0) return at(q, p_done);
    --s.reopens, s.p[i].left = 1;  // without waiting for the actor
    begin(s, i);
  }
  void finished(state& s) const {  // the actor has done with its message
    s.who = s.a[actor()].mine = 0;
    at(s.a[actor()], a_idle);
  }

  void common(const state& s, int i, successors<state>& out) const {
    state n = s;
    agent& q = n.a[i];
    const int what = q.w.flags & op_bits;
    auto go = [&](pc to, const char* label) {
      q.pc = to;
      done(n, i, label, out);
    };
    auto decided = [&](const char* label) {
      decide(n, i);
      done(n, i, label, out);
    };
    auto anew = [&](const char* label) {
      load(q, static_cast<job>(q.job));
      done(n, i, label, out);
    };
    auto found = [&](op o, int where, const char* label) {
      q.op = o, q.at = static_cast<u8>(where), q.best = q.most = 0;
      go(x_cas, label);
    };
    switch (q.pc) {
      case x_load:
        if (q.job == j_release && s.p[i].held && s.ends > 0) {
          state m = s;
          --m.ends;
          at(m.a[i], p_end);
          done(m, i, "ends, holding", out, forced);
        }
        q.w = s.w;
        if (chained(q)) return go(c.wrap ? r_number : x_cas, "loads the word: its own");
        if (c.extra_early && q.job == j_acquire) q.most = s.entries[q.mine].extra;
        switch (c.no_help ? op_none : s.w.flags & op_bits) {
          case op_none:
          case op_grow: return decided("loads the word");
          case op_move: return go(c.move_reversed ? x_entry : x_zero, "loads the word");
          default: return go(x_entry, "loads the word");
        }
      // ---- help
      case x_zero:
        q.z = s.entries[0];
        if (q.z.seq != q.w.seq) return go(x_from, "helps move: loads entry 0");
        q.z = {};
        return go(x_entry, "helps move: entry 0 has it");
      case x_from: q.e = s.entries[q.w.entry]; return go(x_zero_again, "helps move: loads the entry");
      case x_zero_again: return s.w == q.w ? go(x_zero_apply, "helps move: still that word") : anew("helps move: another word");
      case x_zero_apply:
        if (s.entries[0] != q.z && !c.believe_cas) return anew("helps move: CAS of entry 0 failed");
        if (s.entries[0] == q.z)
          n.entries[0] = {0, static_cast<u8>(q.z.count + (c.move_bare ? q.e.count : q.e.tokens())), q.z.extra, q.w.seq};
        q.e = q.z = {};
        return go(x_entry, "helps move: CAS of entry 0");
      case x_entry:
        q.e = s.entries[q.w.entry];
        if (q.e.seq == q.w.seq && !c.no_seq) return decided("helps: it has been applied");
        return go(c.no_reread || (c.move_unread && what == op_move) ? x_apply : x_again, "helps: loads the entry");
      case x_again: return s.w == q.w ? go(x_apply, "helps: still that word") : anew("helps: another word");
      case x_apply:
        if (s.entries[q.w.entry] == q.e) {
          entry& to = n.entries[q.w.entry];
          to.seq = q.w.seq;
          if (what == op_take || (what == op_hold && c.counted)) ++to.count;
          else if (what == op_give && to.extra && !c.give_bare) to.extra = 0;
          else if (what == op_give || (what == op_undo && (c.counted || c.undo_counts))) --to.count;
          else if (what == op_hold || what == op_undo) to.extra = what == op_hold;
          else to.actor = to.count = to.extra = 0;
          return decided("helps: CAS of the entry");
        }
        return c.believe_cas ? decided("helps: CAS of the entry failed") : anew("helps: CAS of the entry failed");
      // ---- an acquire that does not chain; one that does, and its number
      case r_extra: q.op = s.entries[q.mine].extra ? op_take : op_hold; return go(x_cas, "loads its entry's extra");
      case r_owner:
        if (s.entries[q.at].actor != (s.queue[0] & 7)) q.at = 0;
        return go(x_cas, "serve: loads the head's entry");
      case r_number: q.e.seq = s.entries[q.mine].seq; return go(x_cas, "loads its entry's number");
      // ---- which entry gives, or comes back?
      case r_mine: {
        if (q.job == j_down) q.mine = static_cast<u8>(c.no_ret ? 0 : entry_of(s, s.who));
        if (q.job == j_down && !q.mine) {
          load(q, n.own[n.who - 1] && !c.no_private ? j_private : j_serve);
          return done(n, i, "it has no entry", out);
        }
        const entry& e = s.entries[q.mine];
        const bool ends = q.job == j_down || q.job == j_end;
        q.most = static_cast<u8>((ends ? c.ret_bare : c.mine_bare) ? e.count : e.tokens());
        if (ends) {  // who is dead changes nothing more, so its entry can be freed without the word
          if ((q.job == j_end && !c.free_unnamed) || (c.free_bare ? e.count : e.tokens()) > 0) return go(x_cas, "loads the entry");
          q.e = e, q.most = 0;
          return go(x_free, "loads the entry: nothing");
        }
        if (q.most > 0 || (q.job == j_undo && c.undo_blind)) return found(op_give, q.mine, "loads its entry: has one");
        q.most = 0;
        if (q.job == j_private) {  // others have released them
          n.own[n.who - 1] = n.p[n.who - 1].held = 0;
          load(q, j_serve);
          return done(n, i, "nothing there", out);
        }
        if (q.mine) return go(r_zero, "loads its entry: nothing");
        q.at = 1;
        return go(r_scan, "loads entry 0: nothing");
      }
      case x_free:
        if (s.entries[q.mine] != q.e) return anew("CAS of the entry failed");
        n.entries[q.mine] = {0, 0, 0, q.e.seq};
        if (q.job == j_down) n.p[n.who - 1].held = 0, load(q, j_down);
        else ended(n, i);
        return done(n, i, "frees the entry", out);
      case r_zero:
        if (s.entries[0].count > 0) return found(op_give, 0, "loads entry 0: has one");
        q.at = 1;
        return go(r_scan, "loads entry 0: nothing");
      case r_scan:
        if (const int has = c.scan_bare ? s.entries[q.at].count : s.entries[q.at].tokens(); has > q.most)
          q.most = static_cast<u8>(has), q.best = q.at;
        if (++q.at == q.mine) ++q.at;
        if (q.at <= last_entry()) return go(r_scan, "loads an entry");
        if (q.best) return found(op_give, q.best, "loads an entry: takes the largest");
        if (!c.bounded) return found(op_grow, 0, "loads an entry: nobody has one");
        q.at = 0;
        if (!c.error_unchecked) return go(r_check, "loads an entry: nobody has one");
        return refused(n, i, "loads an entry: nobody has one, refused", out);
      case r_check: return s.w == q.w ? refused(n, i, "refused", out) : anew("another word");
      case x_cas: return swap(s, i, out);
      default: std::abort();
    }
  }

  void refused(state& n, int i, const char* label, successors<state>& out) const {
    const bool zero = i == actor() || n.p[i].zero_seen;
    if (i == actor()) n.undoing = 0, n.asked = static_cast<u8>(n.asked - (n.a[i].job == j_give)), load(n.a[i], j_serve);
    else n.p[i].held = 0, round_over(n, i);
    done(n, i, label, out, fair, zero ? nullptr : "refused, though there was a token out all the time");
  }

  // The CAS of the word.
  void swap(const state& s, int i, successors<state>& out) const {
    state n = s;
    agent& q = n.a[i];
    const agent was = s.a[i];
    if (s.w != was.w) {
      load(q, static_cast<job>(q.job));
      return done(n, i, "CAS failed", out);
    }
    u8 flags = static_cast<u8>(s.w.flags & ~op_bits);
    auto set = [&](int value, op o, int where) {
      const bool chain = o == op_undo || (o == op_hold && (was.w.flags & op_bits) == op_undo && was.w.entry == where);
      n.w = {static_cast<u8>(value), static_cast<u8>(flags | o), static_cast<u8>(where),
             fresh(s, s.w, chain ? was.e.seq : s.entries[where].seq, o == op_move, chain ? c.chain_repeats : c.seq_repeats)};
      if (o == op_grow) ++n.total;
    };
    switch (was.job) {
      case j_acquire:
        set(s.w.value - 1, static_cast<op>(was.op), was.mine);
        ++n.p[i].held;
        has_one(n, i);
        return done(n, i, was.op == op_hold ? "acquire: hold" : "acquire: take", out, fair,
                    s.entries[was.mine].actor != owner(i) + 1 ? "its entry is not its own"
                    : s.w.flags & hand_over                   ? "takes a token that is handed over"
                                                              : nullptr);
      case j_release: {
        const bool ring = flags & (waiters | hand_over), first = !(flags & poked);
        flags = with(flags, poked, ring || !first);
        set(s.w.value + 1, static_cast<op>(was.op), was.at);
        if (n.p[i].held) --n.p[i].held;
        else ++n.gifts;
        if (ring && first && !(was.op == op_undo ? c.chain_quiet : c.no_poke)) at(q, p_poke);
        else round_over(n, i);
        return done(n, i, was.op == op_undo ? "release: undo" : "release", out);
      }
      case j_undo:
      case j_give:
      case j_private:
        set(s.w.value + 1, static_cast<op>(was.op), was.at);
        if (was.job == j_undo) {
          n.undoing = 0;
        } else {
          if (was.job == j_give) --n.asked;
          else if (n.p[n.who - 1].held) --n.p[n.who - 1].held;
          if (was.job == j_private) --n.own[n.who - 1];
        }
        load(q, was.job == j_private && n.own[n.who - 1] ? j_private : j_serve);
        return done(n, i, was.job == j_undo ? "gives it back" : "gives for it", out);
      case j_down:
        set(s.w.value + was.most, op_ret, was.mine);
        n.p[n.who - 1].held = 0;
        load(q, j_down);
        return done(n, i, "ret", out);
      case j_end:
        set(s.w.value, op_move, was.mine);
        if (i == actor()) load(q, j_serve);
        else n.orphans = static_cast<u8>(n.orphans + n.p[i].held), n.p[i].held = 0, load(q, j_left);
        return done(n, i, "move", out);
      default: break;
    }
    // ---- serve
    flags = static_cast<u8>((c.p_stays ? flags & poked : 0) | (c.h_stays ? flags & hand_over : 0));
    if (was.op == op_take) {
      flags = with(flags, waiters, s.queue[1] && !c.no_w);
      if (c.no_take) n.w.flags = static_cast<u8>(flags | (s.w.flags & op_bits));
      else set(s.w.value - 1, op_take, was.at), n.undoing = 1;
      q.mine = was.at;
      at(q, a_grant);
      return done(n, i, "serve: takes for the head", out);
    }
    flags = static_cast<u8>(flags | (s.w.flags & op_bits));  // op, entry and seq stay
    if (!s.queue[0]) {
      n.w.flags = flags;
      finished(n);
      return done(n, i, "serve: nobody queues", out);
    }
    for (const bool h : {false, true}) {
      state m = n;
      m.w.flags = with(with(flags, waiters, !c.no_w), hand_over, h);
      finished(m);
      done(m, i, h ? "serve: W and H" : "serve: W", out);
    }
  }

  void step(const state& s, int i, successors<state>& out) const {
    state n = s;
    agent& q = n.a[i];
    proc& p = n.p[i];
    auto go = [&](pc to, const char* label) {
      at(q, to);
      done(n, i, label, out);
    };
    switch (q.pc) {
      case p_claim: {
        entry& e = n.entries[q.at];
        if (e.actor == 0) {  // a load and a CAS, which nobody can tell from one step
          e.actor = static_cast<u8>(i + 1), e.count = e.extra = 0, q.mine = q.at;
          if (c.claim_resets) e.seq = 0;
          load(q, j_acquire);
          return done(n, i, "claims an entry", out);
        }
        if (++q.at <= c.entries) return done(n, i, "this entry is another one's", out);
        return go(p_store, "no entry is free");
      }
      case p_store: p.cell_ticket = ++p.ticket, p.cell = waiting; return go(p_want, "acquire: stores WAITING");
      case p_want: send(n, i, want); return go(p_asleep, "acquire: sends want, sleeps");
      case p_asleep:
        if (s.time_outs > 0 && (p.cell == waiting || (p.cell == granted && c.cancel_stores))) {
          state m = s;
          --m.time_outs, m.p[i].cell = cancelled;
          at(m.a[i], p_cancel);
          done(m, i, "acquire: times out, CANCELLED", out, forced);
        }
        if (p.cell != granted) return;
        p.cell = entered;
        has_one(n, i);
        return done(n, i, "acquire: ENTERED", out);
      case p_cancel:
        send(n, i, cancel);
        if (c.anyway) release(n, i);
        else round_over(n, i);
        return done(n, i, "acquire: sends cancel", out);
      case p_poke: send(n, i, poke), round_over(n, i); return done(n, i, "release: sends poke", out);
      case p_ask:
        if (p.held) --p.held;
        else ++n.gifts;
        ++n.asked;
        send(n, i, give_for_me), round_over(n, i);
        return done(n, i, "release: asks the actor", out);
      case p_end:
        if (c.self && q.mine) load(q, j_end);
        else send(n, i, end), ended(n, i);
        return done(n, i, "drops its handle", out);
      default: return;
    }
  }

  void act(const state& s, successors<state>& out) const {
    state n = s;
    agent& q = n.a[actor()];
    if (q.pc == a_grant) {
      const u8 who = s.queue[0] & 7, ticket = s.queue[0] >> 3 & 7;
      proc& p = n.p[who - 1];
      pop(n, 0);
      if (p.cell == waiting && p.cell_ticket == ticket) {
        p.cell = granted, ++p.held, n.undoing = 0;
        if (!q.mine) ++n.own[who - 1];
        q.mine = 0;
        if (c.serve_once) finished(n);
        else load(q, j_serve);
        return done(n, actor(), "serve: GRANTED", out);
      }
      if (c.no_undo) finished(n);
      else load(q, j_undo);
      return done(n, actor(), "serve: it was CANCELLED", out);
    }
    auto hears = [&](const char* label) {
      done(n, actor(), label, out);
      n = s;
    };
    for (int i = 0; i < c.processes; ++i) {
      const u8 m = s.p[i].sent[0];
      const u8 id = static_cast<u8>(i + 1);
      if (m != none) {
        for (int k = 0; k + 1 < max_messages; ++k) n.p[i].sent[k] = n.p[i].sent[k + 1];
        load(q, j_serve);
        switch (m & 7) {
          case want: {
            int k = 0;
            while (s.queue[k]) ++k;
            n.queue[k] = static_cast<u8>(id + (m & ~7));
            hears("hears want");
            break;
          }
          case cancel: leave(n, id, m >> 3 & 7), hears("hears cancel"); break;
          case poke: hears("hears poke"); break;
          case give_for_me:  // whatever comes of it: what it held of entry 0 is one less
            if (n.own[i]) --n.own[i];
            n.who = id, load(q, j_give), hears("hears a release");
            break;
          default:
            leave(n, id, 0);
            n.who = id, q.mine = static_cast<u8>(c.by_id ? entry_of(s, id) : m >> 6);
            if (q.mine && !c.no_move) load(q, j_end);
            n.own[i] = 0;  // what it had of entry 0 stays there
            hears("hears of an end");
        }
      }
      if (s.a[i].pc == p_dead && (m == none || c.down_early)) {
        leave(n, id, 0);
        n.a[i].pc = p_gone, n.who = id;
        load(q, j_down);
        hears("hears of a death");
      }
    }
    if (c.look && s.queue[0]) load(q, j_serve), hears("looks");
  }

  std::string show(const state& s) const {
    static constexpr const char* ops[] = {"none", "take", "give", "grow", "ret", "move", "hold", "undo"};
    static constexpr const char* cells[] = {"", "WAITING", "GRANTED", "ENTERED", "CANCELLED"};
    std::string t = "value " + std::to_string(s.w.value) + (s.w.flags & waiters ? " W" : "") + (s.w.flags & hand_over ? " H" : "") +
                    (s.w.flags & poked ? " P " : " ") + ops[s.w.flags & op_bits] + "(" + std::to_string(s.w.entry) + ")#" +
                    std::to_string(s.w.seq) + " entries";
    for (int i = 0; i <= last_entry(); ++i)
      t += " " + std::to_string(s.entries[i].count) + (s.entries[i].extra ? "+1#" : "#") + std::to_string(s.entries[i].seq);
    for (int i = 0; i < c.processes; ++i)
      if (s.p[i].cell != idle) t += " p" + std::to_string(i) + " " + cells[s.p[i].cell];
    t += " queue";
    for (const u8 e : s.queue)
      if (e) t += " p" + std::to_string((e & 7) - 1);
    return t;
  }
};

constexpr const char *stuck = "stuck", *lost = "tokens are lost or doubled", *underflow = "an entry gives what it has not",
                     *too_many = "more hold a token than there are", *nobodys = "an entry has a token that nobody holds";
constexpr models::run<config> runs[] = {
    {"plain", {.rounds = 2}},
    {"time_out", {.rounds = 2, .time_outs = 2}},
    {"kill", {.rounds = 2, .kills = 1}},
    {"two_kills", {.processes = 3, .kills = 2}},
    {"kill_time_out", {.processes = 3, .kills = 1, .time_outs = 1}},
    {"two_tokens", {.processes = 3, .tokens = 2, .kills = 1}},
    {"two_tokens_time_out", {.processes = 3, .tokens = 2, .time_outs = 1}},
    {"stop", {.processes = 3, .stops = 1, .look = 1}},
    {"stop_kill", {.kills = 1, .stops = 1, .time_outs = 1, .look = 1}},
    {"giver", {.processes = 3, .givers = 1, .kills = 1, .time_outs = 1}},
    {"signals", {.processes = 3, .tokens = 0, .givers = 1, .gives = 2, .keeps = 1, .time_outs = 1}},
    {"anyway", {.anyway = 1, .time_outs = 1}},
    {"bounded", {.processes = 3, .tokens = 2, .givers = 1, .bounded = 1, .time_outs = 1}},
    {"ends", {.processes = 3, .tokens = 2, .givers = 1, .ends = 1}},
    {"ends_kill", {.ends = 1, .kills = 1}},
    {"claim", {.processes = 3, .entries = 2}},
    {"overflow", {.entries = 1, .kills = 1, .time_outs = 1}},
    {"overflow_giver", {.processes = 3, .givers = 1, .entries = 1}},
    {"reopen", {.entries = 2, .reopens = 1, .ends = 1, .kills = 1}},
    {"wrap", {.rounds = 2, .wrap = 5}},
    {"nested", {.rounds = 2, .tokens = 2, .nested = 1}},
    {"nested_both", {.tokens = 3, .nested = 2, .kills = 1}},
    {"nested_kill", {.rounds = 2, .tokens = 2, .nested = 1, .kills = 1}},
    {"nested_time_out", {.rounds = 2, .tokens = 2, .nested = 1, .time_outs = 1}},
    {"nested_three", {.processes = 3, .tokens = 2, .nested = 1}},
    {"nested_bounded", {.processes = 3, .tokens = 2, .givers = 1, .bounded = 1, .nested = 1}},
    {"nested_ends", {.processes = 3, .tokens = 2, .givers = 1, .nested = 1, .ends = 1}},
    {"chain", {.processes = 3, .rounds = 3, .busy = 1}},
    {"chain_two", {.processes = 3, .rounds = 3, .tokens = 2, .busy = 1}},
    {"chain_kill", {.processes = 3, .rounds = 2, .tokens = 2, .busy = 1, .kills = 1}},
    {"chain_stop", {.processes = 3, .rounds = 2, .tokens = 2, .busy = 1, .stops = 1, .look = 1}},
    {"chain_time_out", {.rounds = 3, .time_outs = 1}},
    {"chain_giver", {.processes = 3, .rounds = 3, .tokens = 2, .givers = 1, .busy = 1, .kills = 1}},
    {"chain_bounded", {.processes = 3, .rounds = 3, .givers = 1, .bounded = 1, .busy = 1}},
    {"chain_ends", {.processes = 3, .rounds = 2, .tokens = 2, .givers = 1, .busy = 1, .ends = 1}},
    {"chain_claim", {.rounds = 3, .entries = 1, .busy = 1, .kills = 1, .time_outs = 1}},
    {"chain_claim_three", {.processes = 3, .rounds = 2, .entries = 1, .busy = 1, .kills = 1}},
    {"chain_wrap", {.rounds = 4, .busy = 1, .wrap = 7}},
    {"threads", {.processes = 3, .rounds = 2, .tokens = 2, .threads = 1, .busy = 1}},
    {"threads_nested", {.processes = 3, .tokens = 2, .nested = 1, .threads = 1}},
    {"self_ends", {.entries = 2, .ends = 1, .kills = 1, .self = 1}},
    {"self_reopen", {.tokens = 0, .givers = 1, .entries = 1, .reopens = 1, .time_outs = 1, .self = 1}},
    {"no_help", {.no_help = 1}, lost},
    {"no_reread", {.rounds = 2, .no_reread = 1}, lost},
    {"no_seq", {.no_seq = 1}, lost},
    {"seq_repeats", {.rounds = 2, .wrap = 5, .seq_repeats = 1}, lost},
    {"seq_short", {.rounds = 2, .wrap = 4}, lost},
    {"claim_resets", {.processes = 2, .entries = 1, .kills = 1, .claim_resets = 1}, "its entry is not its own"},
    {"by_id", {.entries = 2, .reopens = 1, .ends = 1, .by_id = 1}, "its entry is not its own"},
    {"move_reversed", {.ends = 1, .move_reversed = 1}, lost},
    {"move_unread", {.processes = 3, .tokens = 2, .givers = 1, .entries = 1, .ends = 1, .move_unread = 1}, lost},
    {"no_move", {.ends = 1, .no_move = 1}, stuck},
    {"no_ret", {.kills = 1, .no_ret = 1}, stuck},
    {"no_private", {.entries = 1, .kills = 1, .no_private = 1}, stuck},
    {"down_early", {.kills = 1, .down_early = 1}, stuck},
    {"no_look", {.stops = 1}, stuck},
    {"serve_once", {.processes = 3, .tokens = 0, .givers = 1, .gives = 2, .keeps = 1, .serve_once = 1}, stuck},
    {"no_take", {.no_take = 1}, too_many},
    {"no_undo", {.time_outs = 1, .no_undo = 1}, nobodys},
    {"undo_blind", {.anyway = 1, .time_outs = 1, .undo_blind = 1}, underflow},
    {"cancel_stores", {.time_outs = 1, .cancel_stores = 1}, stuck},
    {"no_poke", {.rounds = 2, .no_poke = 1}, stuck},
    {"no_w", {.no_w = 1}, stuck},
    {"p_stays", {.p_stays = 1}, stuck},
    {"h_stays", {.h_stays = 1}, stuck},
    {"error_unchecked", {.processes = 3, .tokens = 2, .givers = 1, .bounded = 1, .error_unchecked = 1}, "refused"},
    {"believe_cas", {.rounds = 2, .believe_cas = 1}, lost},
    {"hold_nested", {.tokens = 2, .nested = 1, .hold_nested = 1}, lost},
    {"extra_early", {.tokens = 2, .nested = 1, .extra_early = 1}, lost},
    {"chain_any", {.rounds = 2, .chain_any = 1}, lost},
    {"chain_others", {.tokens = 2, .chain_others = 1}, nobodys},
    {"chain_take", {.chain_take = 1}, lost},
    {"chain_give", {.rounds = 2, .chain_give = 1}, lost},
    {"chain_handing", {.rounds = 2, .chain_handing = 1}, "takes a token that is handed over"},
    {"chain_quiet", {.chain_quiet = 1}, stuck},
    {"chain_repeats", {.rounds = 4, .busy = 1, .wrap = 7, .chain_repeats = 1}, lost},
    {"counted", {.counted = 1}, lost},
    {"undo_counts", {.undo_counts = 1}, lost},
    {"ret_bare", {.kills = 1, .ret_bare = 1}, lost},
    {"move_bare", {.ends = 1, .move_bare = 1}, lost},
    {"give_bare", {.tokens = 2, .nested = 1, .give_bare = 1}, lost},
    {"mine_bare", {.processes = 3, .tokens = 2, .mine_bare = 1}, nobodys},
    {"scan_bare", {.processes = 3, .tokens = 2, .givers = 1, .bounded = 1, .scan_bare = 1}, "refused"},
    {"free_bare", {.kills = 1, .free_bare = 1}, lost},
    {"free_unnamed", {.tokens = 0, .givers = 1, .entries = 1, .reopens = 1, .time_outs = 1, .self = 1, .free_unnamed = 1}, lost},
    {"three_rounds", {.rounds = 3, .kills = 1, .time_outs = 1}, nullptr, true},
    {"chain_stop_three", {.processes = 3, .rounds = 3, .tokens = 2, .busy = 1, .stops = 1, .look = 1}, nullptr, true},
    {"chain_kill_time_out", {.processes = 3, .rounds = 2, .busy = 1, .kills = 1, .time_outs = 1}, nullptr, true},
    {"nested_kill_time_out", {.rounds = 2, .tokens = 2, .nested = 1, .kills = 1, .time_outs = 1}, nullptr, true},
    {"threads_three", {.processes = 3, .rounds = 2, .tokens = 2, .threads = 1, .busy = 2}, nullptr, true},
    {"self_three", {.processes = 3, .tokens = 2, .givers = 1, .entries = 2, .ends = 1, .self = 1}, nullptr, true},
    {"claim_kill", {.processes = 3, .entries = 2, .ends = 1, .kills = 1}, nullptr, true},
    {"overflow_three", {.processes = 3, .tokens = 2, .entries = 1, .kills = 1, .time_outs = 1}, nullptr, true},
    {"stop_three", {.processes = 3, .tokens = 2, .kills = 1, .stops = 1, .time_outs = 1, .look = 1}, nullptr, true},
};

constexpr models::field<config> fields[] = {
    {"processes", &config::processes}, {"rounds", &config::rounds},   {"tokens", &config::tokens},
    {"givers", &config::givers},       {"gives", &config::gives},     {"keeps", &config::keeps},
    {"entries", &config::entries},     {"bounded", &config::bounded}, {"anyway", &config::anyway},
    {"reopens", &config::reopens},     {"ends", &config::ends},       {"kills", &config::kills},
    {"stops", &config::stops},         {"look", &config::look},       {"time_outs", &config::time_outs},
    {"wrap", &config::wrap},           {"nested", &config::nested},   {"threads", &config::threads},
    {"busy", &config::busy},           {"self", &config::self},
};

}  // namespace

int main(int argc, char** argv) { return models::main_of<model, config>("semaphore", runs, fields, argc, argv); }
