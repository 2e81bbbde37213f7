// SPDX-License-Identifier: BSD-3-Clause
// Model of leases, dead letters, chunks, joins, and the repair of all that.
//
// Source: framework/cloister/detail/slots_leases.cpp, slots_lease_calls.cpp, slots_take.cpp (try_take, finish,
// after_free, idle), slots_chunks.cpp, slots_repair.cpp.
// Checked: at most one holder of a message; none lost, none delivered after its ack; a redelivery is flagged; a holder reads
// only its own chunks; a join returns only when all is done, also when a holder puts new work before it acks; consumers of a
// closed queue leave only when nothing can come back; nobody sleeps for ever; at the end every slot, entry and chunk is free.
// Configuration: main puts, joins, takes the dead letters, closes; one or two consumers lease (or get), ack or give back;
// one to three slots, up to two entries, up to three chunks, two a message; kills at every step, of main too, replacements
// with the same id; repair in steps, interrupted anywhere and begun again, two dead at once, dead letters made by the hub.
// Futexes are events that wake one of those who announced themselves; waiting for chunks or room is one step.
// Not here: growth of rings, table and chunks, several threads with one id, bytes, more than one ring (queue_chain.cpp).
// Sequential consistency is assumed. States: 5 467 to 763 879 a run; 24 mutants, all detected. Found by this model: chunks are
// freed by a list collected before the delivery, never by following links after it; consumed means slot first, table second;
// entries that are being filled do not name a position yet. Longer than a file should be, because it is one state machine.
#include "explore.hpp"

using models::successors;

namespace {

using u8 = std::uint8_t;
constexpr int max_slots = 3, max_entries = 2, max_chunks = 3, max_procs = 4, max_messages = 3;

struct config {
  int slots = 1, entries = 1, chunks = 0, chunked = 0;  // chunked: chunks of each message
  int messages = 1, spawn = 0;                          // spawn: the holder of message 1 puts one more before it acks
  int consumers = 2, lease = 1;                         // lease 0: consumers get instead
  int kills = 0, kill_main = 0, restarts = 0, give_backs = 0, max_deliveries = 0, join = 1, replace = 1, look = 0;
  // mutants
  int slots_before_entries = 0, chunks_before_slots = 0, chunks_before_free = 0, table_before_ring = 0, end_not_rechecked = 0,
      no_table_check = 0, table_then_slot = 0, free_before_held = 0, no_position = 0, links_read_late = 0, leave_on_busy = 0,
      no_in_slot_check = 0, filling_stays = 0, filling_counts = 0, ack_chunks_first = 0, bind_late = 0, no_epoch = 0,
      epoch_seen_late = 0, no_settled_notify = 0, no_drain_notify = 0, no_repair_notify = 0, dead_without_owner = 0,
      dead_taken_stays = 0, no_hub_id = 0;
};

enum slot_state : u8 { s_free, s_writing, s_ready, s_taken, s_leased };
enum entry_state : u8 { e_free, e_filling, e_held, e_returned, e_dead, e_dead_taken };
enum chunk_state : u8 { c_free, c_owned, c_in };
enum event_name : u8 { ready, vacant, settled };
constexpr u8 hub_id = 15;

struct slot {
  u8 lap, state, red, owner, msg, head;
};  // head: 1 + the number of the first chunk
struct entry {
  u8 state, red, owner, pos, msg, head;
};
struct chunk {
  u8 state, who, msg, next;
};  // who: owner, or position

enum pc : u8 {
  p_done,
  p_dead,
  // put, called with m, returns to `back`
  put_chunk,
  put_unchunk,
  put_wait,
  put_tail,
  put_slot,
  put_full,
  put_full_sleep,
  put_help,
  put_bind,
  put_copy,
  put_commit,
  put_late_bind,
  put_notify,
  // take
  g_announce,
  g_closed,
  g_epoch,
  g_table,
  g_head,
  g_slot,
  g_end,
  g_sleep,
  // lease, hold, end it
  l_find,
  l_fill,
  l_held,
  l_free,
  l_notify,
  l_read,
  l_work,
  l_after_put,
  l_choose,
  l_ack,
  l_chunks,
  l_vacant,
  l_others,
  l_give_back,
  l_came_back,
  l_back_notify,
  // bury: move to the dead letters; unbury: no place
  b_find,
  b_fill,
  b_dead,
  b_free,
  b_owner,
  b_unbury,
  // get
  d_copy,
  d_read,
  d_free,
  // idle: for a joiner, and for a consumer of a closed queue
  i_head,
  i_slot,
  i_table,
  i_again,
  // main
  m_next,
  m_join,
  m_sleep,
  m_dead,
  m_dead_read,
  m_dead_ack,
  m_close,
  m_closed,
};

struct proc {
  u8 pc, back, m, p, h, e, red, t, k, n;
  u8 closed, skipped, stale, changed;  // stale: the epoch is newer than what was seen of the table; changed: than this scan
  u8 list[2];
};

struct model {
  struct state {
    slot slots[max_slots];
    entry entries[max_entries];
    chunk chunks[max_chunks];
    u8 tail, head, closed;
    u8 waiting[3], woken[3];
    proc procs[max_procs];
    u8 hub_pc, hub_i, hub_e, hub_k, hub_dead, unrepaired;
    u8 candidate[max_chunks];  // the hub's: 1 + position
    u8 kills, restarts, give_backs;
    // ghosts, by message
    u8 committed[max_messages + 1], holder[max_messages + 1], seen[max_messages + 1], acked[max_messages + 1],
        deads[max_messages + 1];
  };
  enum hub : u8 {
    h_idle,
    h_entries,
    h_slots,
    h_bury_find,
    h_bury_dead,
    h_bury_free,
    h_bury_owner,
    h_unbury,
    h_chunks,
    h_named,
    h_sweep,
    h_epoch,
    h_notify
  };

  config c;
  explicit model(const config& conf) : c(conf) {}
  int procs() const { return 1 + c.consumers; }
  u8 lap(int p) const { return static_cast<u8>(p / c.slots); }
  slot& at(state& s, int p) const { return s.slots[p % c.slots]; }
  const slot& at(const state& s, int p) const { return s.slots[p % c.slots]; }

  state first() const {
    state s;
    std::memset(&s, 0, sizeof s);
    s.kills = static_cast<u8>(c.kills);
    s.restarts = static_cast<u8>(c.restarts);
    s.give_backs = static_cast<u8>(c.give_backs);
    s.procs[0].pc = m_next;
    for (int i = 1; i < procs(); ++i) s.procs[i].pc = g_announce, s.procs[i].stale = 1;
    return s;
  }

  bool all_ended(const state& s) const {
    if (s.hub_pc != h_idle || s.unrepaired != 0) return false;
    for (int i = 0; i < procs(); ++i)
      if (s.procs[i].pc != p_done) return false;
    return true;
  }
  bool good(const state& s) const { return all_ended(s); }

  const char* final_complaint(const state& s) const {
    for (int i = 0; i < c.slots; ++i)
      if (s.slots[i].state != s_free) return "end: a slot is not free";
    for (int i = 0; i < c.entries; ++i)
      if (s.entries[i].state != e_free && s.entries[i].state != e_dead) return "end: a lease entry is not free";
    for (int i = 0; i < c.chunks; ++i) {
      bool dead_letter = false;
      for (int e = 0; e < c.entries; ++e)
        dead_letter =
            dead_letter || (s.entries[e].state == e_dead && s.chunks[i].state == c_in && s.chunks[i].who == s.entries[e].pos);
      if (s.chunks[i].state != c_free && !dead_letter) return "end: a chunk has leaked";
    }
    for (int m = 1; m <= max_messages; ++m)
      if (s.committed[m] && !s.acked[m] && !s.deads[m]) return "end: a message is lost";
    return nullptr;
  }
  bool drained(const state& s) const {
    for (int i = 0; i < c.slots; ++i)
      if (s.slots[i].state != s_free) return false;
    return true;
  }
  static void new_epoch(state& s) {
    for (proc& q : s.procs) {
      if (q.pc >= g_announce) q.stale = 1;
      if (q.pc >= g_table && q.pc <= g_end) q.changed = 1;
    }
  }
  // A process begins anew; what it knows of the epoch stays.
  static void begin(proc& q, pc at) {
    const u8 stale = q.stale;
    q = {};
    q.pc = at, q.stale = stale;
  }

  static void wake_all(state& s, int event) { s.woken[event] = s.waiting[event]; }

  // One waiter, any of them; `then` is what the notifier does next.
  void notify_one(const state& s, int i, int event, u8 then, const char* label, successors<state>& out) const {
    bool any = false;
    for (int w = 0; w < procs(); ++w) {
      if (!((s.waiting[event] & ~s.woken[event]) >> w & 1)) continue;
      state n = s;
      n.woken[event] = static_cast<u8>(n.woken[event] | 1 << w);
      n.procs[i].pc = then;
      out.add(n, i, label);
      any = true;
    }
    if (any) return;
    state n = s;
    n.procs[i].pc = then;
    out.add(n, i, label);
  }

  // The user has the message from here on.
  const char* hand_over(state& s, int i) const {
    proc& q = s.procs[i];
    const u8 m = q.m;
    const char* complaint = nullptr;
    if (m == 0 || !s.committed[m]) complaint = "a message that was never committed is delivered";
    else if (s.acked[m]) complaint = "a message is delivered again after its ack";
    else if (s.holder[m]) complaint = "a message has two holders";
    else if (s.seen[m] && q.red == 0) complaint = "a redelivery is not flagged";
    s.holder[m] = static_cast<u8>(i + 1);
    s.seen[m] = 1;
    return complaint;
  }

  void next(const state& s, successors<state>& out) const {
    if (all_ended(s)) {
      if (const char* complaint = final_complaint(s)) out.add(s, -1, "end", complaint);
      return;
    }
    for (int i = 0; i < procs(); ++i) {
      const u8 pc = s.procs[i].pc;
      if (pc == p_done || pc == p_dead) continue;
      step(s, i, out);
      if (s.kills > 0 && (i > 0 || c.kill_main)) {
        state n = s;
        --n.kills;
        for (int e = 0; e < 3; ++e) n.waiting[e] &= static_cast<u8>(~(1 << i)), n.woken[e] &= static_cast<u8>(~(1 << i));
        for (int m = 1; m <= max_messages; ++m)
          if (n.holder[m] == i + 1) n.holder[m] = 0;
        std::memset(&n.procs[i], 0, sizeof(proc));
        n.procs[i].pc = p_dead;
        n.unrepaired = static_cast<u8>(n.unrepaired | 1 << i);
        out.forced(n, i, "is killed");
      }
    }
    hub_step(s, out);
  }

  void step(const state& s, int i, successors<state>& out) const {
    state n = s;
    proc& q = n.procs[i];
    const u8 me = static_cast<u8>(i + 1), bit = static_cast<u8>(1 << i);
    const char* complaint = nullptr;
    const char* label = "?";
    auto done = [&](const char* what) { out.add(n, i, what, complaint); };
    switch (q.pc) {
      // ---- put
      case put_chunk: {
        if (q.k == c.chunked) {
          q.pc = put_tail;
          q.k = 0;
          return step(n, i, out);
        }
        for (int k = 0; k < c.chunks; ++k) {
          chunk& ch = n.chunks[k];
          if (ch.state != c_free) continue;
          ch = {c_owned, me, q.m, q.k > 0 ? static_cast<u8>(q.list[0] + 1) : u8{0}};
          q.list[1] = q.list[0];
          q.list[0] = static_cast<u8>(k);
          ++q.k;
          return done("put: chunk free -> owned, copied");
        }
        q.pc = q.k > 0 ? put_unchunk : put_wait;
        return done("put: no chunk");
      }
      case put_unchunk:
        n.chunks[q.list[q.k - 1]] = {c_free, 0, 0, 0};
        if (--q.k == 0) q.pc = put_wait;
        return done("put: gives a chunk back");
      case put_wait:
        for (int k = 0; k < c.chunks; ++k)
          if (s.chunks[k].state == c_free) {
            q.pc = put_chunk;
            return done("put: tries for chunks again");
          }
        return;
      case put_tail:
        q.t = s.tail;
        q.pc = put_slot;
        return done("put: reads tail");
      case put_slot: {
        slot& w = at(n, q.t);
        if (w.state == s_free && w.lap == lap(q.t)) {
          w.state = s_writing, w.owner = me;
          q.pc = put_help;
          q.p = q.t;
          return done("P1: FREE -> WRITING");
        }
        if (w.lap < lap(q.t)) {
          q.pc = put_full;
          return done("put: full");
        }
        if (n.tail == q.t) n.tail = static_cast<u8>(q.t + 1);
        q.t = std::max(static_cast<u8>(q.t + 1), n.tail);
        return done("put: helps tail");
      }
      case put_full:  // announce, look once more, sleep
        n.waiting[vacant] |= bit, n.woken[vacant] &= static_cast<u8>(~bit);
        q.pc = put_full_sleep;
        return done("put: announces itself");
      case put_full_sleep: {
        const u8 t = s.tail;
        const slot& w = at(s, t);
        if ((s.woken[vacant] & bit) || w.lap >= lap(t)) {
          n.waiting[vacant] &= static_cast<u8>(~bit), n.woken[vacant] &= static_cast<u8>(~bit);
          q.pc = put_tail;
          return done("put: tries again");
        }
        return;
      }
      case put_help:
        if (n.tail == q.p) n.tail = static_cast<u8>(q.p + 1);
        q.pc = c.chunked && !c.bind_late ? put_bind : put_copy;
        q.k = 0;
        return done("P2: tail");
      case put_bind:
      case put_late_bind:
        n.chunks[q.list[q.k]].state = c_in, n.chunks[q.list[q.k]].who = q.p;
        if (++q.k == c.chunked) q.pc = q.pc == put_bind ? put_copy : put_notify;
        return done("put: chunk owned -> in(p)");
      case put_copy:
        at(n, q.p).msg = q.m;
        at(n, q.p).head = c.chunked ? static_cast<u8>(q.list[0] + 1) : u8{0};
        q.pc = put_commit;
        return done("P3: copy");
      case put_commit:
        at(n, q.p).state = s_ready, at(n, q.p).owner = 0, at(n, q.p).red = 0;
        n.committed[q.m] = 1;
        q.k = 0;
        q.pc = c.bind_late && c.chunked ? put_late_bind : put_notify;
        return done("P4: READY");
      case put_notify: {
        const u8 back = q.back;
        q.k = q.t = 0, q.list[0] = q.list[1] = 0;
        return notify_one(n, i, ready, back, "P5: notify", out);
      }
      // ---- take
      case g_announce:
        n.waiting[ready] |= bit, n.woken[ready] &= static_cast<u8>(~bit);
        begin(q, g_closed);
        return done("take: announces itself");
      case g_closed:
        q.closed = s.closed;
        q.pc = g_epoch;
        return done("take: reads status");
      case g_epoch:
        q.e = q.changed = 0;
        q.pc = q.stale && c.lease ? g_table : g_head;
        if (!c.epoch_seen_late) q.stale = 0;
        return done("take: reads epoch");
      case g_table: {
        if (q.e == c.entries) {
          if (c.epoch_seen_late) q.stale = 0;
          q.pc = g_head;
          return step(n, i, out);
        }
        entry& e = n.entries[q.e];
        if (e.state != e_returned) {
          ++q.e;
          return done("take: entry not returned");
        }
        e.state = e_held, e.owner = me;
        q.m = e.msg, q.p = e.pos, q.red = e.red, q.n = e.head;
        q.pc = l_read, q.k = 0, q.stale = 1;
        complaint = hand_over(n, i);
        stop_waiting(n, i);
        return done("take: entry returned -> held");
      }
      case g_head:
        q.h = q.p = s.head;
        q.skipped = 0;
        q.pc = g_slot;
        return done("take: reads head");
      case g_slot: {
        if (q.p - q.h >= c.slots) {
          q.pc = g_end;
          return step(n, i, out);
        }
        slot& w = at(n, q.p);
        if (w.lap == lap(q.p)) {
          if (w.state == s_ready) {
            w.state = s_taken, w.owner = me;
            q.red = w.red, q.m = w.msg, q.n = w.head, q.k = q.e = 0;
            if (c.max_deliveries && w.red >= c.max_deliveries) {
              q.pc = b_find;
              return done("G1: READY -> TAKEN, delivered too often");
            }
            q.pc = c.lease ? l_find : d_copy;
            stop_waiting(n, i);
            return done("G1: READY -> TAKEN");
          }
          if (w.state == s_free) {
            q.pc = g_end;
            return done("take: end of queue");
          }
          q.skipped = 1, ++q.p;
          return done("take: skips");
        }
        if (w.lap > lap(q.p)) {
          if (q.p == q.h) {
            if (n.head == q.h) n.head = static_cast<u8>(q.h + 1);
            ++q.h;
          }
          ++q.p;
          return done("take: helps head");
        }
        q.pc = g_end;
        return done("take: end of queue");
      }
      case g_end:
        q.m = q.n = q.red = 0;
        if (q.changed) {
          q.pc = g_epoch;
          return done("take: epoch has moved, again");
        }
        if (!q.closed) {
          q.pc = g_sleep;
          return done("take: nothing");
        }
        if (c.leave_on_busy && !q.skipped) {
          stop_waiting(n, i);
          q = {};
          return done("take: closed, leaves");
        }
        q.back = g_sleep;
        q.pc = c.table_before_ring ? i_table : i_head;
        q.e = 0;
        return done("take: closed; is it idle?");
      case g_sleep:
        if (!(s.woken[ready] & bit)) return;
        begin(q, g_announce);
        stop_waiting(n, i);
        return done("take: woken");
      // ---- lease
      case l_find: {
        if (q.e == c.entries) {  // no free entry: the lease stays in its slot
          at(n, q.p).state = s_leased;
          q.pc = l_read, q.k = 0;
          complaint = hand_over(n, i);
          return done("lease: no entry, TAKEN -> LEASED");
        }
        entry& e = n.entries[q.e];
        if (e.state != e_free) {
          ++q.e;
          return done("lease: entry in use");
        }
        e.state = e_filling, e.owner = me;
        q.pc = c.free_before_held ? l_free : l_fill;
        return done("lease: entry free -> filling");
      }
      case l_fill:
        n.entries[q.e].msg = q.m, n.entries[q.e].head = q.n, n.entries[q.e].pos = q.p;
        q.pc = l_held;
        return done("lease: fills the entry");
      case l_held:
        n.entries[q.e].state = e_held, n.entries[q.e].red = q.red;
        q.pc = c.free_before_held ? l_notify : l_free;
        return done("lease: entry filling -> held");
      case l_free:
        free_slot(n, q.p);
        q.pc = c.free_before_held ? l_fill : l_notify;
        return done("lease: slot FREE");
      case l_notify:
        q.k = 0;
        complaint = hand_over(n, i);
        if (complaint) return done("lease: the user has it");
        return notify_one(n, i, vacant, l_read, "lease: notify vacant, the user has it", out);
      case l_read:
        if (q.k == c.chunked) {
          q.pc = l_work;
          return step(n, i, out);
        }
        if (q.n == 0 || s.chunks[q.n - 1].msg != q.m) {
          complaint = "a holder reads a chunk that is not its message's";
          return done("holder reads a chunk");
        }
        q.list[q.k++] = static_cast<u8>(q.n - 1);
        q.n = s.chunks[q.n - 1].next;
        return done("holder reads a chunk");
      case l_work:
        q.n = 0;
        if (c.spawn && q.m == 1 && !s.committed[c.messages + 1]) {
          q.h = q.p, q.closed = q.e, q.skipped = q.m;  // the put uses p, e and m
          q.m = static_cast<u8>(c.messages + 1);
          q.back = l_after_put;
          q.pc = put_tail;
          return step(n, i, out);
        }
        q.pc = l_choose;
        return step(n, i, out);
      case l_after_put:
        q.p = q.h, q.e = q.closed, q.m = q.skipped;
        q.h = q.skipped = q.closed = q.t = q.back = 0;
        q.pc = l_choose;
        return step(n, i, out);
      case l_choose: {
        if (s.give_backs > 0) {
          state a = n;
          --a.give_backs;
          a.procs[i].pc = l_give_back;
          step(a, i, out);
        }
        q.k = 0;
        q.pc = c.ack_chunks_first ? l_chunks : l_ack;
        return step(n, i, out);
      }
      case l_ack:
        n.acked[q.m] = 1, n.holder[q.m] = 0;
        if (q.e == c.entries) {
          free_slot(n, q.p);
          label = "ack: slot FREE";
        } else {
          n.entries[q.e] = {e_free, 0, 0, s.entries[q.e].pos, s.entries[q.e].msg, s.entries[q.e].head};
          label = "ack: entry -> free";
        }
        q.k = 0;
        q.pc = c.ack_chunks_first ? l_vacant : l_chunks;
        return done(label);
      case l_chunks: {
        if (q.k == c.chunked) {
          q.pc = c.ack_chunks_first ? l_ack : l_vacant;
          return step(n, i, out);
        }
        chunk& ch = n.chunks[q.list[q.k]];
        const u8 following = ch.next;
        const bool ours = ch.state == c_in && (ch.who == q.p || c.no_position);
        if (ours) ch = {c_free, 0, 0, 0};
        if (c.links_read_late && q.k == 0) {  // the next link is read here, not before the delivery
          if (!ours || following == 0) q.k = static_cast<u8>(c.chunked - 1);
          else q.list[1] = static_cast<u8>(following - 1);
        }
        ++q.k;
        return done("chunk in(p) -> free");
      }
      case l_vacant: return notify_one(n, i, vacant, l_others, "ended: notify vacant", out);
      case l_others:  // closed: those who leave look again; drained: joiners do
        if (s.closed && !c.no_drain_notify) wake_all(n, ready);
        if (drained(s) && !c.no_settled_notify) wake_all(n, settled);
        if (q.back == g_slot) {  // buried: the scan goes on
          q.back = 0;
          q.pc = g_head;
        } else if (i == 0) begin(q, m_dead);
        else begin(q, g_announce);
        return done("ended: notify ready when closed, settled when drained");
      case l_give_back: {
        n.holder[q.m] = 0;
        ++q.red;
        const bool last = c.max_deliveries && q.red >= c.max_deliveries;
        if (q.e < c.entries) {
          entry& e = n.entries[q.e];
          e.state = last ? e_dead : e_returned, e.owner = 0, e.red = q.red;
          if (last) n.deads[q.m] = 1, wake_all(n, settled);
        } else if (last) {
          q.e = 0, q.n = at(s, q.p).head;
          q.pc = b_find;
          q.t = 1;  // it comes from give_back
          return step(n, i, out);
        } else {
          at(n, q.p).state = s_ready, at(n, q.p).owner = 0, at(n, q.p).red = q.red;
        }
        q.pc = l_came_back;
        return done("give_back");
      }
      case l_came_back:
        if (!c.no_epoch) new_epoch(n);
        if (s.closed) wake_all(n, ready);
        q.pc = l_back_notify;
        return done("give_back: epoch");
      case l_back_notify: begin(q, g_announce); return notify_one(n, i, ready, g_announce, "give_back: notify", out);
      // ---- bury
      case b_find: {
        if (q.e == c.entries) {
          q.pc = b_unbury;
          return step(n, i, out);
        }
        entry& e = n.entries[q.e];
        if (e.state != e_free) {
          ++q.e;
          return done("bury: entry in use");
        }
        e.state = e_filling, e.owner = me;
        q.pc = b_fill;
        return done("bury: entry free -> filling");
      }
      case b_fill:
        n.entries[q.e].msg = q.m, n.entries[q.e].head = q.n, n.entries[q.e].pos = q.p;
        q.pc = b_dead;
        return done("bury: fills the entry");
      case b_dead:
        n.entries[q.e].state = e_dead, n.entries[q.e].red = q.red;
        if (c.dead_without_owner) n.entries[q.e].owner = 0;
        q.pc = b_free;
        return done("bury: entry filling -> dead(me)");
      case b_free:
        free_slot(n, q.p);
        n.deads[q.m] = 1;
        q.pc = b_owner;
        return done("bury: slot FREE");
      case b_owner:
        if (!c.dead_without_owner) n.entries[q.e].owner = 0;
        wake_all(n, settled);
        q.back = q.t ? u8{0} : u8{g_slot};
        q.t = q.m = q.n = q.red = q.e = q.p = 0;
        q.pc = l_vacant;
        return done("bury: entry dead(me) -> dead");
      case b_unbury: {
        at(n, q.p).state = s_ready, at(n, q.p).owner = 0, at(n, q.p).red = q.red;
        if (q.t) {
          q.pc = l_came_back;
          return done("bury: no place, READY again");
        }
        q.skipped = 1, ++q.p, q.m = q.n = q.red = q.e = 0;
        q.pc = g_slot;
        return done("bury: no place, READY again, skips");
      }
      // ---- get: delivery is the FREE store
      case d_copy: q.k = 0, q.pc = d_read; return done("G2: copy");
      case d_read:
        if (q.k == c.chunked) {
          q.pc = d_free;
          q.n = 0;
          return step(n, i, out);
        }
        if (q.n == 0 || s.chunks[q.n - 1].msg != q.m) {
          complaint = "a holder reads a chunk that is not its message's";
          return done("G2: reads a chunk");
        }
        q.list[q.k++] = static_cast<u8>(q.n - 1);
        q.n = s.chunks[q.n - 1].next;
        if (c.chunks_before_free) n.chunks[q.list[q.k - 1]] = {c_free, 0, 0, 0};
        return done("G2: reads a chunk");
      case d_free:
        complaint = hand_over(n, i);
        n.holder[q.m] = 0, n.acked[q.m] = 1;
        free_slot(n, q.p);
        q.e = static_cast<u8>(c.entries), q.k = 0;
        q.pc = l_chunks;
        return done("G3: FREE, delivered");
      // ---- idle: ring, then table, then the end again
      case i_head:
        q.p = s.head;
        q.pc = i_slot;
        return done("idle: reads head");
      case i_slot: {
        const slot& w = at(s, q.p);
        if (w.lap > lap(q.p)) {
          ++q.p;
          return done("idle: position is past");
        }
        if (w.lap == lap(q.p) && w.state != s_free) {
          q.pc = q.back;
          return done("idle: no, a message in the ring");
        }
        q.e = 0;
        q.pc = c.table_before_ring ? i_again : i_table;
        return done("idle: ring is empty");
      }
      case i_table: {
        if (q.e == c.entries) {
          q.pc = c.table_before_ring ? i_head : i_again;
          return step(n, i, out);
        }
        const u8 e = s.entries[q.e].state;
        if (e == e_filling || e == e_held || e == e_returned) {
          q.pc = q.back;
          return done("idle: no, a lease");
        }
        ++q.e;
        return done("idle: entry is free");
      }
      case i_again: {
        const slot& w = at(s, q.p);
        if (!c.end_not_rechecked && (w.lap != lap(q.p) || w.state != s_free) && w.lap >= lap(q.p)) {
          q.pc = c.table_before_ring ? i_table : i_head;
          q.e = 0;
          return done("idle: something was put, again");
        }
        if (q.back == g_sleep) {
          stop_waiting(n, i);
          q = {};
          return done("take: closed, leaves");
        }
        for (int m = 1; m <= max_messages; ++m)
          if (s.committed[m] && !s.acked[m] && !s.deads[m]) complaint = "join returns before the work is done";
        n.waiting[settled] &= static_cast<u8>(~bit), n.woken[settled] &= static_cast<u8>(~bit);
        begin(q, m_dead);
        return done("join: all done");
      }
      // ---- main: puts, joins, takes the dead letters, closes
      case m_next:
        if (q.m == c.messages) {
          begin(q, c.join ? m_join : m_close);
          return step(n, i, out);
        }
        ++q.m;
        q.back = m_next;
        q.pc = put_chunk;
        return step(n, i, out);
      case m_join:
        n.waiting[settled] |= bit, n.woken[settled] &= static_cast<u8>(~bit);
        begin(q, c.table_before_ring ? i_table : i_head);
        q.back = m_sleep;
        return done("join: announces itself");
      case m_sleep:
        if (!(s.woken[settled] & bit)) return;
        n.woken[settled] &= static_cast<u8>(~bit);
        begin(q, m_join);
        return done("join: woken");
      case m_dead: {
        if (q.e == c.entries || !c.max_deliveries) {
          begin(q, m_close);
          return step(n, i, out);
        }
        entry& e = n.entries[q.e];
        if (e.state == e_dead && e.owner != 0) {
          begin(q, m_join);
          return done("take_dead: one is on its way, waits");
        }
        if (e.state != e_dead) {
          ++q.e;
          return done("take_dead: not this entry");
        }
        e.state = e_dead_taken, e.owner = me;
        q.m = e.msg, q.p = e.pos, q.n = e.head, q.k = 0;
        if (s.holder[q.m]) complaint = "a message has two holders";
        if (s.acked[q.m]) complaint = "a message is delivered again after its ack";
        n.holder[q.m] = me;
        q.pc = m_dead_read;
        return done("take_dead: entry dead -> dead_taken(me)");
      }
      case m_dead_read:
        if (q.k == c.chunked) {
          q.pc = m_dead_ack;
          return step(n, i, out);
        }
        if (q.n == 0 || s.chunks[q.n - 1].msg != q.m) {
          complaint = "a holder reads a chunk that is not its message's";
          return done("take_dead: reads a chunk");
        }
        q.list[q.k++] = static_cast<u8>(q.n - 1);
        q.n = s.chunks[q.n - 1].next;
        return done("take_dead: reads a chunk");
      case m_dead_ack:
        n.acked[q.m] = 1, n.holder[q.m] = 0;
        n.entries[q.e] = {e_free, 0, 0, s.entries[q.e].pos, s.entries[q.e].msg, s.entries[q.e].head};
        q.k = 0, q.pc = l_chunks;
        return done("take_dead: delivered");
      case m_close:
        n.closed = 1;
        q.pc = m_closed;
        return done("close");
      case m_closed:
        wake_all(n, ready);
        q = {};
        return done("close: notify_all");
      default: return;
    }
  }

  void free_slot(state& n, u8 p) const {
    slot& w = at(n, p);
    w = {static_cast<u8>(lap(p) + 1), s_free, 0, 0, w.msg, w.head};
    if (n.head == p) n.head = static_cast<u8>(p + 1);
  }
  static void stop_waiting(state& s, int i) {
    s.waiting[ready] &= static_cast<u8>(~(1 << i)), s.woken[ready] &= static_cast<u8>(~(1 << i));
  }

  void hub_step(const state& s, successors<state>& out) const {
    state n = s;
    auto dead = [&](u8 owner) {
      return (owner == hub_id && !c.no_hub_id) || (owner != 0 && owner != hub_id && (s.hub_dead >> (owner - 1) & 1));
    };
    auto in_ring = [&](u8 p) { return at(s, p).lap <= lap(p); };
    if (s.hub_pc != h_idle && s.restarts > 0) {
      state r = s;
      --r.restarts;
      hub_forgets(r);
      out.forced(r, -1, "repair is interrupted");
    }
    static constexpr u8 orders[3][3] = {
        {h_entries, h_slots, h_chunks}, {h_slots, h_entries, h_chunks}, {h_chunks, h_entries, h_slots}};
    const u8* order = orders[c.slots_before_entries ? 1 : c.chunks_before_slots ? 2 : 0];
    auto after = [&](u8 part) -> u8 { return part == order[0] ? order[1] : part == order[1] ? order[2] : u8{h_epoch}; };
    auto go = [&](u8 pc, int i, const char* label) {
      n.hub_pc = pc, n.hub_i = static_cast<u8>(i);
      out.add(n, -1, label);
    };
    auto next_part = [&](u8 part) {
      n.hub_pc = after(part), n.hub_i = 0;
      hub_step(n, out);
    };
    const int i = s.hub_i;
    switch (s.hub_pc) {
      case h_idle:
        if (c.look) look(s, out);
        if (s.unrepaired == 0) return;
        n.hub_dead = s.unrepaired;
        return go(order[0], 0, "repair begins");
      case h_entries: {
        if (i == c.entries) return next_part(h_entries);
        entry& e = n.entries[i];
        if (!dead(e.owner)) return go(h_entries, i + 1, "repair: entry is fine");
        const slot& w = at(s, e.pos);
        const bool in_slot_too =
            w.lap == lap(e.pos) && (w.state == s_taken || w.state == s_leased) && w.owner == e.owner && !c.no_in_slot_check;
        const entry emptied = {e_free, 0, 0, e.pos, e.msg, e.head};
        if (e.state == e_filling) {
          if (!c.filling_stays) e = emptied;
        } else if (e.state == e_held) {
          if (in_slot_too) e = emptied;
          else {
            ++e.red, e.owner = 0;
            e.state = c.max_deliveries && e.red >= c.max_deliveries ? e_dead : e_returned;
            if (e.state == e_dead) n.deads[e.msg] = 1;
          }
        } else if (e.state == e_dead) {
          if (in_slot_too) e = emptied;
          else e.owner = 0;
        } else if (e.state == e_dead_taken && !c.dead_taken_stays) {
          e.state = e_dead, e.owner = 0;
        }
        return go(h_entries, i + 1, "repair: entry of a dead one");
      }
      case h_slots: {
        if (i == c.slots) return next_part(h_slots);
        slot& w = n.slots[i];
        if (dead(w.owner) && w.state == s_writing) {
          w = {static_cast<u8>(w.lap + 1), s_free, 0, 0, w.msg, w.head};
          return go(h_slots, i + 1, "repair: slot WRITING -> FREE");
        }
        if (dead(w.owner)) {
          w.state = s_ready, w.owner = 0, ++w.red;
          return go(h_slots, i, "repair: slot TAKEN or LEASED -> READY");
        }
        if (w.state == s_ready && c.max_deliveries && w.red >= c.max_deliveries) {
          w.state = s_taken, w.owner = hub_id;
          n.hub_e = 0;
          return go(h_bury_find, i, "repair: slot READY -> TAKEN(hub), delivered too often");
        }
        return go(h_slots, i + 1, "repair: slot is fine");
      }
      case h_bury_find: {
        if (s.hub_e == c.entries) return go(h_unbury, i, "repair: no place for a dead letter");
        entry& e = n.entries[s.hub_e];
        if (e.state != e_free) {
          ++n.hub_e;
          return go(h_bury_find, i, "repair: entry in use");
        }
        const slot& w = s.slots[i];
        e = {e_filling, w.red, hub_id, static_cast<u8>(w.lap * c.slots + i), w.msg, w.head};
        return go(h_bury_dead, i, "repair: entry free -> filling(hub)");
      }
      case h_bury_dead:
        n.entries[s.hub_e].state = e_dead;
        if (c.dead_without_owner) n.entries[s.hub_e].owner = 0;
        return go(h_bury_free, i, "repair: entry filling -> dead(hub)");
      case h_bury_free:
        n.deads[s.slots[i].msg] = 1;
        free_slot(n, static_cast<u8>(s.slots[i].lap * c.slots + i));
        return go(h_bury_owner, i, "repair: slot FREE");
      case h_bury_owner:
        n.entries[s.hub_e].owner = 0;
        n.hub_e = 0;
        return go(h_slots, i + 1, "repair: entry dead(hub) -> dead");
      case h_unbury:
        n.slots[i].state = s_ready, n.slots[i].owner = 0, n.hub_e = 0;
        return go(h_slots, i + 1, "repair: slot READY again");
      // Chunks: candidates by slot, minus those that the table names, swept by CAS.
      case h_chunks: {
        if (i == c.chunks) return go(h_named, 0, "repair: has the candidates");
        chunk& ch = n.chunks[i];
        if (ch.state == c_owned && dead(ch.who)) ch = {c_free, 0, 0, 0};
        else if (ch.state == c_in && (c.table_then_slot || !in_ring(ch.who))) n.candidate[i] = static_cast<u8>(ch.who + 1);
        return go(h_chunks, i + 1, "repair: a chunk");
      }
      case h_named: {
        if (i == c.entries) return go(h_sweep, 0, "repair: has read the table");
        const entry& e = s.entries[i];
        const bool counts = e.state != e_free && (e.state != e_filling || c.filling_counts) && !c.no_table_check;
        for (auto& x : n.candidate)
          if (counts && x == e.pos + 1) x = 0;
        return go(h_named, i + 1, "repair: an entry");
      }
      case h_sweep: {
        if (i == c.chunks) return next_part(h_chunks);
        chunk& ch = n.chunks[i];
        const u8 p = static_cast<u8>(s.candidate[i] - 1);
        if (s.candidate[i] && ch.state == c_in && ch.who == p && !in_ring(p)) ch = {c_free, 0, 0, 0};
        n.candidate[i] = 0;
        return go(h_sweep, i + 1, "repair: sweeps a chunk");
      }
      case h_epoch:
        if (!c.no_epoch) new_epoch(n);
        return go(h_notify, 0, "repair: epoch");
      case h_notify:
        for (int e = 0; e < 3 && !c.no_repair_notify; ++e) wake_all(n, e);
        for (int k = 0; k < procs(); ++k) {
          if (!(s.hub_dead >> k & 1)) continue;  // a replacement, with the same id
          n.procs[k].pc = k == 0 ? (c.join ? m_join : m_close) : (c.replace ? g_announce : p_done);
          n.procs[k].stale = n.procs[k].pc == g_announce;
        }
        n.unrepaired = static_cast<u8>(n.unrepaired & ~s.hub_dead);
        hub_forgets(n);
        return out.add(n, -1, "repair: notify_all; replacements start");
      default: return;
    }
  }
  static void hub_forgets(state& s) {
    s.hub_pc = h_idle, s.hub_i = s.hub_e = s.hub_k = s.hub_dead = 0;
    for (auto& x : s.candidate) x = 0;
  }
  // Every 250 ms, when there is something to take.
  void look(const state& s, successors<state>& out) const {
    bool any = false;
    for (int i = 0; i < c.slots; ++i) any = any || s.slots[i].state == s_ready;
    for (int i = 0; i < c.entries; ++i) any = any || s.entries[i].state == e_returned;
    if (!any || !(s.waiting[ready] & ~s.woken[ready])) return;
    state n = s;
    new_epoch(n);
    wake_all(n, ready);
    out.add(n, -1, "look");
  }

  std::string show(const state& s) const {
    std::string t = "tail " + std::to_string(s.tail) + " head " + std::to_string(s.head) + (s.closed ? " closed" : "") + " slots";
    for (int i = 0; i < c.slots; ++i) {
      const slot& w = s.slots[i];
      t += std::string(" ") + "FWRTL"[w.state] + std::to_string(w.lap) + "." + std::to_string(w.owner) + "r" +
           std::to_string(w.red) + "m" + std::to_string(w.msg);
    }
    t += " entries";
    for (int i = 0; i < c.entries; ++i) {
      const entry& e = s.entries[i];
      t += std::string(" ") + "-FHRDd"[e.state] + std::to_string(e.owner) + "@" + std::to_string(e.pos) + "r" +
           std::to_string(e.red) + "m" + std::to_string(e.msg);
    }
    if (c.chunks) t += " chunks";
    for (int i = 0; i < c.chunks; ++i)
      t += std::string(" ") + "-oi"[s.chunks[i].state] + std::to_string(s.chunks[i].who) + "m" + std::to_string(s.chunks[i].msg);
    return t;
  }
};

constexpr const char* stuck = "stuck";
constexpr const char* two_holders = "a message has two holders";
constexpr const char* foreign = "a holder reads a chunk that is not its message's";
constexpr const char* leaked = "end: a chunk has leaked";
constexpr const char* early = "join returns before the work is done";
constexpr models::run<config> runs[] = {
    {"lease", {.kills = 1}},
    {"two_messages", {.messages = 2, .give_backs = 1}},
    {"spawn", {.slots = 2, .spawn = 1}},
    {"spawn_kill", {.slots = 2, .spawn = 1, .consumers = 1, .kills = 2, .kill_main = 1}},
    {"interrupted_repair", {.kills = 1, .restarts = 1}},
    {"two_deaths", {.consumers = 1, .kills = 2, .kill_main = 1, .restarts = 1}},
    {"no_entry", {.slots = 3, .entries = 0, .spawn = 1, .consumers = 1, .kills = 1}},
    {"get_chunks",
     {.entries = 0, .chunks = 3, .chunked = 2, .messages = 2, .consumers = 1, .lease = 0, .kills = 1, .kill_main = 1}},
    {"get_chunks_two", {.entries = 0, .chunks = 2, .chunked = 2, .messages = 1, .lease = 0, .kills = 1, .kill_main = 1}},
    {"lease_chunks", {.chunks = 3, .chunked = 2, .messages = 2, .consumers = 1, .kills = 2}},
    {"lease_chunks_two", {.chunks = 1, .chunked = 1, .kills = 1}},
    {"dead", {.chunks = 1, .chunked = 1, .kills = 1, .give_backs = 1, .max_deliveries = 2}},
    {"dead_by_hub",
     {.entries = 2, .chunks = 1, .chunked = 1, .consumers = 1, .kills = 2, .kill_main = 1, .restarts = 1, .max_deliveries = 1}},
    {"drain", {.kills = 1, .give_backs = 1, .join = 0, .replace = 0}},
    {"two_deaths_of_two", {.kills = 2, .restarts = 1}, nullptr, true},
    {"two_messages_kill", {.messages = 2, .kills = 1}, nullptr, true},
    {"two_messages_chunks", {.chunks = 2, .chunked = 1, .messages = 2, .kills = 1}, nullptr, true},
    {"dead_no_entry", {.slots = 2, .messages = 2, .give_backs = 1, .max_deliveries = 1, .look = 1}, nullptr, true},
    {"dead_two_deaths", {.kills = 2, .give_backs = 1, .max_deliveries = 2}, nullptr, true},
    {"slots_before_entries", {.kills = 1, .slots_before_entries = 1}, two_holders},
    {"no_in_slot_check", {.kills = 1, .no_in_slot_check = 1}, two_holders},
    {"free_before_held", {.kills = 1, .free_before_held = 1}, early},
    {"filling_stays", {.kills = 1, .filling_stays = 1}, stuck},
    {"no_repair_notify", {.kills = 1, .no_repair_notify = 1}, stuck},
    {"table_before_ring", {.slots = 2, .spawn = 1, .table_before_ring = 1}, early},
    {"end_not_rechecked", {.slots = 2, .spawn = 1, .end_not_rechecked = 1}, early},
    {"no_settled_notify", {.no_settled_notify = 1}, stuck},
    {"no_drain_notify", {.kills = 1, .join = 0, .replace = 0, .no_drain_notify = 1}, stuck},
    {"leave_on_busy", {.kills = 1, .join = 0, .replace = 0, .leave_on_busy = 1}, "end: a lease entry is not free"},
    {"no_epoch", {.give_backs = 1, .join = 0, .replace = 0, .no_epoch = 1}, stuck},
    {"epoch_seen_late", {.kills = 1, .join = 0, .replace = 0, .epoch_seen_late = 1}, stuck},
    {"chunks_before_free",
     {.entries = 0, .chunks = 3, .chunked = 2, .messages = 2, .consumers = 1, .lease = 0, .kills = 1, .chunks_before_free = 1},
     foreign},
    {"ack_chunks_first", {.chunks = 3, .chunked = 2, .messages = 2, .consumers = 1, .kills = 2, .ack_chunks_first = 1}, foreign},
    {"chunks_before_slots",
     {.entries = 0,
      .chunks = 3,
      .chunked = 2,
      .messages = 2,
      .consumers = 1,
      .lease = 0,
      .kills = 1,
      .kill_main = 1,
      .chunks_before_slots = 1},
     leaked},
    {"links_read_late",
     {.entries = 0,
      .chunks = 3,
      .chunked = 2,
      .messages = 2,
      .consumers = 1,
      .lease = 0,
      .kills = 1,
      .kill_main = 1,
      .links_read_late = 1},
     leaked},
    {"no_position", {.entries = 0, .chunks = 2, .chunked = 1, .messages = 2, .lease = 0, .kills = 1, .no_position = 1}, foreign},
    {"no_table_check", {.chunks = 3, .chunked = 2, .messages = 2, .consumers = 1, .kills = 2, .no_table_check = 1}, foreign},
    {"table_then_slot", {.chunks = 1, .chunked = 1, .kills = 1, .table_then_slot = 1}, foreign},
    {"filling_counts", {.chunks = 2, .chunked = 1, .messages = 2, .kills = 1, .filling_counts = 1}, leaked},
    {"bind_late", {.entries = 0, .chunks = 3, .chunked = 2, .messages = 2, .consumers = 1, .lease = 0, .bind_late = 1}, leaked},
    {"dead_without_owner",
     {.entries = 2, .consumers = 1, .kills = 1, .restarts = 1, .max_deliveries = 1, .dead_without_owner = 1},
     "a message is delivered again"},
    {"dead_taken_stays",
     {.entries = 2, .consumers = 1, .kills = 2, .kill_main = 1, .give_backs = 1, .max_deliveries = 2, .dead_taken_stays = 1},
     "end: a lease entry is not free"},
    {"no_hub_id", {.entries = 2, .consumers = 1, .kills = 1, .restarts = 1, .max_deliveries = 1, .no_hub_id = 1}, stuck},
};

constexpr models::field<config> fields[] = {
    {"slots", &config::slots},
    {"entries", &config::entries},
    {"chunks", &config::chunks},
    {"chunked", &config::chunked},
    {"messages", &config::messages},
    {"spawn", &config::spawn},
    {"consumers", &config::consumers},
    {"lease", &config::lease},
    {"kills", &config::kills},
    {"kill_main", &config::kill_main},
    {"restarts", &config::restarts},
    {"give_backs", &config::give_backs},
    {"max_deliveries", &config::max_deliveries},
    {"join", &config::join},
    {"replace", &config::replace},
    {"look", &config::look},
};

}  // namespace

int main(int argc, char** argv) { return models::main_of<model, config>("leases_chunks", runs, fields, argc, argv); }
