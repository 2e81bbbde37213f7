// SPDX-License-Identifier: BSD-3-Clause
// Model of the queue's chain of rings: claims, growth by sealing, punching, closing, joining, waiting, repair.
//
// Source: framework/cloister/detail/slots_chain.cpp, slots_walk.cpp, slots.cpp
// (try_put, after_free, look), slots_take.cpp (try_take, idle), slots_repair.cpp. Rings are used once each, the last one goes
// round; a ring that was passed is punched and then reads FREE(0).
// Checked: a message is delivered once if it was committed and never if not; put(A) returned before put(B) began means that
// A is taken first; no "empty" while a message was there all the time; a full queue grows without a reader; nobody sleeps
// for ever although there is a message, room, or the end of a close; a join returns when what was put before is delivered.
// Configuration: up to three rings of 2 or 3 slots, two producers, two consumers and one that closes or joins; kills at
// every step with repair in steps, interrupted and begun again; a stop with the look; messages that are given back.
// Futexes are events that wake one sleeper (event_count.cpp has their inside). Leases and chunks: leases_chunks.cpp.
// Not here: batches, max_items, take by several threads with one id, wrong words, laps that wrap.
// Sequential consistency is assumed. States: 44 to 946 616 a run; 19 mutants, all detected. Found by this model: a repair must
// walk every ring by itself; a producer that found room passes the wake on; a put that is undone at a close notifies joiners.
// Longer than a file should be, because it is one state machine.
#include "explore.hpp"

using models::successors;

namespace {

using u8 = std::uint8_t;
constexpr int max_rings = 3, max_size = 3, max_procs = 5, max_messages = 6;

struct config {
  int rings = 2, size = 2;                                     // rings of `size` slots each; the last one goes round
  int producers = 1, messages = 2, others = 1, consumers = 2;  // messages of producer 0, and of each other one
  int kills = 0, kill_producers = 1, restarts = 0, stops = 0, give_backs = 0, early_close = 0, join = 0,
      replace = 1;  // join: 1 = join, then close; 2 = close, then join
  int takes = 0,
      filled = 0;  // filled: so many messages are there at the beginning. takes: a consumer ends after so many messages; 0: never
  // mutants
  int no_status_check = 0, no_stale_check = 0, no_look_back = 0, advance_on_skip = 0, no_abort_ready = 0, no_abort_settled = 0,
      no_look = 0, no_repair_notify = 0, no_get_ring_check = 0, no_drain_notify = 0, no_free_slot_kept = 0, leave_on_busy = 0,
      no_room_passed_on = 0, closed_read_late = 0, repair_stops_at_free = 0, torn_stays = 0, taken_stays = 0, commit_early = 0;
};

enum word_state : u8 { w_free, w_writing, w_ready, w_taken, w_sealed };
struct word {
  u8 lap, state, owner, msg;
};

enum event_name : u8 { ready, room, settled };
enum pc : u8 {
  p_done,
  p_dead,
  p_next,
  p_begin,
  p_ring,
  p_tail,
  p_slot,
  p_help,
  p_head,
  p_claim,
  p_stale,
  p_unclaim,
  p_status,
  p_abort,
  p_abort_settled,
  p_move,
  p_copy,
  p_commit,
  p_late_copy,
  p_notify,
  p_more_room,
  p_seal,
  p_on,
  p_full,
  p_full_sleep,
  c_announce,
  c_closed,
  c_epoch,
  c_ring,
  c_head,
  c_slot,
  c_back_look,
  c_again,
  c_take,
  c_retire,
  c_retire_head,
  c_retire_on,
  c_retire_get,
  c_punch,
  c_onward,
  c_end,
  c_end_epoch,
  c_sleep,
  c_pass,
  c_copy,
  c_free,
  c_move,
  c_room,
  c_settled,
  c_back,
  c_back_epoch,
  c_back_notify,
  j_begin,
  j_ring,
  j_head,
  j_slot,
  j_again,
  j_ring_again,
  j_sleep,
  z_close,
  z_notify,
};

struct proc {
  u8 pc, stopped, m, k, r, t;         // put; of a consumer: ring and position of the candidate, then of what it holds
  u8 g, p, at_r, skipped, e, closed;  // walk: first ring, place, was a slot skipped, has the epoch changed since
  u8 writing, w_r, w_p, b_r, b_p;     // the first WRITING slot that was skipped; where the look back stands
  u8 msg, taken, join_set, present;   // ghosts: what was there when the scan began
};

struct model {
  struct state {
    word slot[max_rings][max_size];
    u8 tail[max_rings], head[max_rings];
    u8 put_ring, get_ring, status;  // the epoch: whose scan it has overtaken stands with each process
    u8 waiting[3], woken[3];
    proc p[max_procs];
    u8 hub_pc, hub_r, hub_p, hub_dead, unrepaired, kills, restarts, stops, give_backs;
    u8 committed, returned, delivered, taken_once;  // bit m-1
    u8 before[max_messages];
  };
  enum hub : u8 { h_idle, h_head, h_slot, h_punch, h_epoch, h_notify };

  config c;
  explicit model(const config& conf) : c(conf) {
    if (procs() > max_procs || total() + c.filled > max_messages) std::abort();
  }
  int total() const { return c.messages + (c.producers - 1) * c.others; }
  int procs() const { return c.producers + c.consumers + 1; }
  bool producer(int i) const { return i < c.producers; }
  bool consumer(int i) const { return i >= c.producers && i < c.producers + c.consumers; }
  u8 lap(int p) const { return static_cast<u8>(p / c.size); }
  template <class S>
  auto& at(S& s, int r, int p) const {
    return s.slot[r][p % c.size];
  }
  static u8 bit(int i) { return static_cast<u8>(1 << i); }

  state first() const {
    state s;
    std::memset(&s, 0, sizeof s);
    for (int i = 0; i < procs(); ++i)
      s.p[i].pc = producer(i) ? p_next : (consumer(i) ? c_announce : (c.join == 1 ? j_begin : z_close));
    s.kills = static_cast<u8>(c.kills), s.restarts = static_cast<u8>(c.restarts), s.stops = static_cast<u8>(c.stops);
    s.give_backs = static_cast<u8>(c.give_backs);
    for (int k = 0; k < c.filled; ++k) {
      s.slot[0][k] = {0, w_ready, 0, static_cast<u8>(total() + k + 1)};
      s.committed = static_cast<u8>(s.committed | bit(total() + k));
    }
    s.returned = s.committed;
    s.tail[0] = static_cast<u8>(c.filled);
    return s;
  }

  bool message_ready(const state& s) const {
    for (int r = s.get_ring; r < c.rings; ++r)
      for (int i = 0; i < c.size; ++i)
        if (s.slot[r][i].state == w_ready) return true;
    return false;
  }
  bool has_room(const state& s) const {
    const int r = s.put_ring, h = real_head(s, r);
    int end = h;
    while (end < h + c.size && at(s, r, end).lap == lap(end) && at(s, r, end).state != w_free) ++end;
    return end - h <= c.size - 2 || r + 1 < c.rings;
  }
  int real_head(const state& s, int r) const {
    int h = s.head[r];
    while (at(s, r, h).lap > lap(h)) ++h;
    return h;
  }
  /// Nothing ready, being written or taken.
  bool is_idle(const state& s) const {
    for (int r = s.get_ring; r < c.rings; ++r)
      for (int i = 0; i < c.size; ++i)
        if (s.slot[r][i].state != w_free && s.slot[r][i].state != w_sealed) return false;
    return true;
  }

  bool good(const state& s) const {
    if (s.hub_pc != h_idle || s.unrepaired) return false;
    bool any_stopped = false, all_done = true;
    for (int i = 0; i < procs(); ++i) any_stopped = any_stopped || s.p[i].stopped, all_done = all_done && s.p[i].pc == p_done;
    if (!any_stopped && c.consumers > 0) return all_done;
    if (message_ready(s)) {  // fine only if every consumer is stopped
      for (int i = 0; i < procs(); ++i)
        if (consumer(i) && !s.p[i].stopped && s.p[i].pc != p_done) return false;
    }
    for (int i = 0; i < procs(); ++i) {
      const proc& q = s.p[i];
      const bool asleep = (q.pc == c_sleep && !(s.woken[ready] & bit(i))) ||
                          (q.pc == p_full_sleep && !(s.woken[room] & bit(i)) && !has_room(s)) || q.pc == j_sleep;
      if (!q.stopped && q.pc != p_done && !asleep && q.pc != z_close) return false;
    }
    return true;
  }

  const char* final_complaint(const state& s) const {
    if (c.takes) return nullptr;
    if (s.committed & ~s.delivered) return "end: a committed message is lost";
    for (int r = s.get_ring; r < c.rings; ++r)
      for (int i = 0; i < c.size; ++i)
        if (s.slot[r][i].state != w_free && s.slot[r][i].state != w_sealed) return "end: a slot is not free";
    return nullptr;
  }

  static void wake_all(state& s, int event) { s.woken[event] = s.waiting[event]; }
  static void stop_waiting(state& s, int i, int event) {
    s.waiting[event] = static_cast<u8>(s.waiting[event] & ~bit(i)), s.woken[event] = static_cast<u8>(s.woken[event] & ~bit(i));
  }
  // Wakes one sleeper, any of them; who has announced itself but does not sleep yet will not. `n`: after the notifier's step.
  void notify_one(state n, int i, int event, const char* label, successors<state>& out) const {
    u8 asleep = 0;
    for (int w = 0; w < procs(); ++w)
      if (n.p[w].pc == p_full_sleep || n.p[w].pc == c_sleep || n.p[w].pc == j_sleep) asleep = static_cast<u8>(asleep | bit(w));
    n.woken[event] = static_cast<u8>(n.woken[event] | (n.waiting[event] & ~asleep));
    bool any = false;
    for (int w = 0; w < procs(); ++w) {
      if (!((n.waiting[event] & ~n.woken[event]) >> w & 1)) continue;
      state m = n;
      m.woken[event] = static_cast<u8>(m.woken[event] | bit(w));
      out.add(m, i, label);
      any = true;
    }
    if (!any) out.add(n, i, label);
  }

  void next(const state& s, successors<state>& out) const {
    bool all_done = s.hub_pc == h_idle && !s.unrepaired;
    for (int i = 0; i < procs(); ++i) all_done = all_done && s.p[i].pc == p_done;
    if (all_done) {
      if (const char* complaint = final_complaint(s)) out.add(s, -1, "end", complaint);
      return;
    }
    for (int i = 0; i < procs(); ++i) {
      const proc& q = s.p[i];
      if (q.pc == p_done || q.pc == p_dead || q.stopped) continue;
      step(s, i, out);
      if (s.stops > 0 && i < procs() - 1) {
        state n = s;
        --n.stops, n.p[i].stopped = 1;
        out.forced(n, i, "is stopped");
      }
      if (s.kills > 0 && (consumer(i) || (producer(i) && c.kill_producers))) {
        state n = s;
        --n.kills;
        for (int e = 0; e < 3; ++e) stop_waiting(n, i, e);
        n.p[i] = {};
        n.p[i].pc = p_dead;
        n.unrepaired = static_cast<u8>(n.unrepaired | bit(i));
        out.forced(n, i, "is killed");
      }
    }
    hub_step(s, out);
  }

  void step(const state& s, int i, successors<state>& out) const {
    state n = s;
    proc& q = n.p[i];
    const u8 me = static_cast<u8>(i + 1);
    const char* complaint = nullptr;
    auto go = [&](pc to, const char* label) {
      q.pc = to;
      out.add(n, i, label, complaint);
    };
    switch (q.pc) {
      // ---- put
      case p_next:
        if (q.k == (i == 0 ? c.messages : c.others)) {
          q = {};
          return go(p_done, "has put all");
        }
        q.m = static_cast<u8>((i == 0 ? 0 : c.messages + (i - 1) * c.others) + q.k + 1);
        q.pc = p_begin;
        return step(n, i, out);
      case p_begin:
        if (s.status) {
          q = {};
          return go(p_done, "put: closed");
        }
        n.before[q.m - 1] = s.returned;
        return go(p_ring, "put begins");
      case p_ring:
        if (q.e && s.status) {  // an attempt begins with a look at the status
          stop_waiting(n, i, room);
          q = {};
          return go(p_done, "put: closed");
        }
        q.r = s.put_ring;
        return go(p_tail, "put: reads put_ring");
      case p_tail: q.t = s.tail[q.r]; return go(p_slot, "put: reads tail");
      case p_slot: {
        const word& w = at(s, q.r, q.t);
        if (w.lap < lap(q.t)) return go(p_ring, "put: an older lap");
        if (w.lap > lap(q.t) || (w.state != w_free && w.state != w_sealed)) return go(p_help, "put: position is claimed");
        if (w.state == w_sealed) return go(p_on, "put: SEALED");
        return go(p_head, "put: position is free");
      }
      case p_help:
        if (s.tail[q.r] == q.t) n.tail[q.r] = static_cast<u8>(q.t + 1);
        q.t = std::max(static_cast<u8>(q.t + 1), n.tail[q.r]);
        return go(p_slot, "put: helps tail");
      case p_head: {
        const u8 h = s.head[q.r];
        if (at(s, q.r, h).lap > lap(h)) {
          ++n.head[q.r];
          return go(p_head, "put: helps head");
        }
        if (q.t - h <= c.size - (c.no_free_slot_kept ? 1 : 2)) return go(p_claim, "put: room");
        return go(q.r + 1 < c.rings ? p_seal : p_full, "put: no room");
      }
      case p_claim: {
        word& w = at(n, q.r, q.t);
        if (w.state != w_free || w.lap != lap(q.t)) return go(p_slot, "P1 fails");
        w.state = w_writing, w.owner = me;
        stop_waiting(n, i, room);
        q.e = 0;
        return go(c.no_stale_check ? p_status : p_stale, "P1: FREE -> WRITING");
      }
      case p_stale:
        if (s.get_ring > q.r) return go(p_unclaim, "P1': this ring was over");
        return go(p_status, "P1': ring is alive");
      case p_unclaim: {
        word& w = at(n, q.r, q.t);
        if (w.state == w_writing && w.owner == me) w = {};
        return go(p_ring, "P1': claim taken back");
      }
      case p_status:
        if (s.status && !c.no_status_check) {
          word& w = at(n, q.r, q.t);
          w = {static_cast<u8>(w.lap + 1), w_free, 0, 0};
          return go(p_abort, "P1'': closed, slot FREE");
        }
        return go(p_move, "P1'': open");
      case p_abort:
        if (!c.no_abort_ready) wake_all(n, ready);
        return go(p_abort_settled, "P1'': notify_all ready");
      case p_abort_settled:
        if (!c.no_abort_settled) wake_all(n, settled);
        q = {};
        return go(p_done, "P1'': notify_all settled; put fails");
      case p_move:
        if (s.tail[q.r] == q.t) ++n.tail[q.r];
        return go(p_copy, "P2: tail");
      case p_copy:
        if (!c.commit_early) at(n, q.r, q.t).msg = q.m;
        return go(p_commit, "P3: copy");
      case p_commit: {
        word& w = at(n, q.r, q.t);
        if (w.state != w_writing || w.owner != me) complaint = "a writer has lost its slot";
        w.state = w_ready, w.owner = 0;
        n.committed = static_cast<u8>(n.committed | bit(q.m - 1));
        return go(c.commit_early ? p_late_copy : p_notify, "P4: READY");
      }
      case p_late_copy: at(n, q.r, q.t).msg = q.m; return go(p_notify, "P3: copy, late");
      case p_notify: q.pc = p_more_room; return notify_one(n, i, ready, "P6: notify", out);
      case p_more_room: {
        n.returned = static_cast<u8>(n.returned | bit(q.m - 1));
        const u8 k = static_cast<u8>(q.k + 1);
        q = {};
        q.k = k, q.pc = p_next;
        if (c.no_room_passed_on || !has_room(s)) return go(p_next, "put returns");
        return notify_one(n, i, room, "put returns, passes more room on", out);
      }
      case p_seal: {
        word& w = at(n, q.r, q.t);
        if (w.state == w_free && w.lap == lap(q.t)) w.state = w_sealed;
        else return go(p_slot, "W3 fails");
        return go(p_on, "W3: FREE -> SEALED");
      }
      case p_on:
        if (s.put_ring == q.r) ++n.put_ring;
        return go(p_ring, "W5: put_ring");
      case p_full:
        if (q.e) return go(p_full_sleep, "put: full, sleeps");
        n.waiting[room] = static_cast<u8>(n.waiting[room] | bit(i)), n.woken[room] = static_cast<u8>(n.woken[room] & ~bit(i));
        q.e = 1;
        return go(p_ring, "put: full, announces itself");
      case p_full_sleep:
        if (!(s.woken[room] & bit(i))) return;
        n.woken[room] = static_cast<u8>(n.woken[room] & ~bit(i));
        return go(p_ring, "put: woken");
      // ---- get
      case c_announce: {
        n.waiting[ready] = static_cast<u8>(n.waiting[ready] | bit(i)), n.woken[ready] = static_cast<u8>(n.woken[ready] & ~bit(i));
        return go(c_closed, "get: announces itself");
      }
      case c_closed: q.closed = s.status; return go(c_epoch, "get: reads status");
      case c_epoch: {
        const u8 closed = q.closed, taken = q.taken;
        q = {};
        q.closed = closed, q.taken = taken;
        q.present = static_cast<u8>(s.returned & ~s.taken_once);
        return go(c_ring, "get: reads epoch");
      }
      case c_ring: q.g = q.at_r = s.get_ring; return go(c_head, "get: reads get_ring");
      case c_head: q.p = s.head[q.at_r]; return go(c_slot, "get: reads head");
      case c_slot: {
        const word& w = at(s, q.at_r, q.p);
        if (w.lap > lap(q.p)) {
          if (s.head[q.at_r] == q.p) ++n.head[q.at_r];
          ++q.p;
          return go(c_slot, "get: position is past");
        }
        if (w.lap < lap(q.p)) return go(s.get_ring == q.g ? c_slot : c_epoch, "get: an older lap");
        switch (w.state) {
          case w_ready:
            q.r = q.at_r, q.t = q.p;
            if (!q.writing || c.no_look_back) {
              q.pc = c_take;
              return step(n, i, out);
            }
            q.b_r = q.w_r, q.b_p = q.w_p;
            return go(c_back_look, "get: READY, but something before it was WRITING");
          case w_free: return go(c_end, "get: end of queue");
          case w_sealed: return go(q.at_r == q.g ? c_retire : c_onward, "get: SEALED");
          case w_writing:
            if (!q.writing) q.writing = 1, q.w_r = q.at_r, q.w_p = q.p;
            [[fallthrough]];
          default: q.skipped = 1, ++q.p; return go(c_slot, "get: skips a slot");
        }
      }
      case c_back_look: {  // from the first WRITING one up to here
        if (q.b_r > q.at_r || (q.b_r == q.at_r && q.b_p >= q.p)) {
          q.b_r = q.b_p = 0;
          return step_as(n, i, c_again, out);
        }
        const word& w = at(s, q.b_r, q.b_p);
        if (w.lap == lap(q.b_p) && w.state == w_ready) {
          q.r = q.b_r, q.t = q.b_p, q.b_r = q.b_p = 0;
          return go(c_take, "get: an earlier one is READY now");
        }
        if (w.lap == lap(q.b_p) && (w.state == w_sealed || w.state == w_free)) {
          ++q.b_r, q.b_p = q.b_r < c.rings ? s.head[q.b_r] : u8{0};
          return go(c_back_look, "get: looks back, next ring");
        }
        ++q.b_p;
        return go(c_back_look, "get: looks back");
      }
      case c_again: {
        const word& w = at(s, q.at_r, q.p);
        return go(w.lap == lap(q.p) && w.state == w_ready ? c_take : c_slot, "get: nothing earlier");
      }
      case c_take: {  // the candidate is (r, t); the walk stands at (at_r, p)
        word& w = at(n, q.r, q.t);
        if (w.lap != lap(q.t) || w.state != w_ready) {
          q.r = q.t = 0;
          return go(c_slot, "G1 fails");
        }
        if (w.msg == 0 || !(s.committed >> (w.msg - 1) & 1)) {
          complaint = "a message that was never committed is taken";
          return go(c_pass, "G1: READY -> TAKEN");
        }
        for (int m = 0; m < max_messages; ++m)
          if ((s.before[w.msg - 1] >> m & 1) && !(s.taken_once >> m & 1) && (s.committed >> m & 1))
            complaint = "out of order: an older message is still there";
        n.taken_once = static_cast<u8>(n.taken_once | bit(w.msg - 1));
        w.state = w_taken, w.owner = me;
        stop_waiting(n, i, ready);
        const u8 r = q.r, t = q.t, taken = q.taken;
        q = {};
        q.r = r, q.t = t, q.taken = taken;
        return go(c_pass, "G1: READY -> TAKEN");
      }
      case c_retire:
        if (q.at_r != s.get_ring) return go(c_onward, "get: this ring is passed already");
        return go(c_retire_head, "get: is this ring drained?");
      case c_retire_head: {
        const u8 h = s.head[q.at_r];
        if (at(s, q.at_r, h).lap > lap(h)) {
          ++n.head[q.at_r];
          return go(c_retire_head, "get: helps head");
        }
        const bool drained = c.advance_on_skip || (at(s, q.at_r, h).lap == lap(h) && at(s, q.at_r, h).state == w_sealed);
        if (!drained && q.at_r < s.get_ring) ++q.g;
        return go(drained ? c_retire_on : c_onward, drained ? "get: this ring is drained" : "get: this ring is not drained");
      }
      case c_retire_on:
        if (s.put_ring == q.at_r) ++n.put_ring;
        return go(c_retire_get, "get: put_ring");
      case c_retire_get: {
        ++q.g;
        if (s.get_ring != q.at_r) return go(c_onward, "get: another one was faster");
        ++n.get_ring;
        return go(c_punch, "get: get_ring moves on");
      }
      case c_punch:
        for (auto& w : n.slot[q.at_r]) w = {};
        return go(c_onward, "get: punches the old ring");
      case c_onward: ++q.at_r; return step_as(n, i, c_head, out);
      case c_end:
        if (s.get_ring != q.g && !c.no_get_ring_check) return go(c_epoch, "get: get_ring has moved, again");
        return go(c_end_epoch, "get: get_ring is the same");
      case c_end_epoch:
        if (q.e) return go(c_epoch, "get: epoch has moved, again");
        if (q.present & ~s.taken_once) complaint = "empty, although a message was there all the time";
        if ((c.closed_read_late ? s.status : q.closed) && (!q.skipped || c.leave_on_busy)) {
          stop_waiting(n, i, ready);
          q = {};
          return go(p_done, "get: closed, leaves");
        }
        {
          const u8 taken = q.taken;
          q = {};
          q.taken = taken;
        }
        return go(c_sleep, "get: nothing");
      case c_sleep:
        if (!(s.woken[ready] & bit(i))) return;
        stop_waiting(n, i, ready);
        return go(c_announce, "get: woken");
      case c_pass:
        q.pc = c_copy;
        if (lap(q.t + 1) == at(s, q.r, q.t + 1).lap && at(s, q.r, q.t + 1).state == w_ready)
          return notify_one(n, i, ready, "passes the wake on", out);
        return step(n, i, out);
      case c_copy:
        q.msg = at(s, q.r, q.t).msg;
        if (s.give_backs > 0) {
          state b = n;
          --b.give_backs, b.p[i].pc = c_back;
          out.forced(b, i, "G2: copy; will give back");
        }
        return go(c_free, "G2: copy");
      case c_free: {
        word& w = at(n, q.r, q.t);
        if (w.state != w_taken || w.owner != me) complaint = "a taker has lost its slot";
        else if (s.delivered >> (q.msg - 1) & 1) complaint = "a message is delivered twice";
        n.delivered = static_cast<u8>(n.delivered | bit(q.msg - 1));
        w = {static_cast<u8>(w.lap + 1), w_free, 0, w.msg};
        return go(c_move, "G3: FREE, delivered");
      }
      case c_move:
        if (s.head[q.r] == q.t) ++n.head[q.r];
        return go(c_room, "get: head");
      case c_room: {
        const u8 taken = q.taken;
        q = {};
        q.taken = taken;
        q.pc = c_settled;
        return notify_one(n, i, room, "get: notify room", out);
      }
      case c_settled:
        if (s.status && !c.no_drain_notify) wake_all(n, ready);
        if (is_idle(s)) wake_all(n, settled);
        if (c.takes && ++q.taken == c.takes) {
          q = {};
          return go(p_done, "get: has had enough");
        }
        return go(c_announce, "get: notify settled, and ready when closed");
      case c_back: at(n, q.r, q.t).state = w_ready, at(n, q.r, q.t).owner = 0; return go(c_back_epoch, "give back: READY");
      case c_back_epoch: new_epoch(n); return go(c_back_notify, "give back: epoch");
      case c_back_notify:
        q = {};
        q.pc = c_announce;
        return notify_one(n, i, ready, "give back: notify", out);
      // ---- join, then close
      case j_begin:
        n.waiting[settled] = static_cast<u8>(n.waiting[settled] | bit(i)),
        n.woken[settled] = static_cast<u8>(n.woken[settled] & ~bit(i));
        if (q.k == 0) q.join_set = s.returned, q.k = 1;
        return go(j_ring, "join: announces itself");
      case j_ring: q.g = q.r = s.get_ring; return go(j_head, "join: reads get_ring");
      case j_head: q.p = s.head[q.r]; return go(j_slot, "join: reads head");
      case j_slot: {
        const word& w = at(s, q.r, q.p);
        if (w.lap > lap(q.p)) {
          ++q.p;
          return go(j_slot, "join: position is past");
        }
        if (w.lap < lap(q.p) || w.state == w_free) return go(j_again, "join: end of queue");
        if (w.state == w_sealed) {
          ++q.r;
          return go(j_head, "join: next ring");
        }
        return go(j_sleep, "join: a message");
      }
      case j_again: {
        const word& w = at(s, q.r, q.p);
        if (w.state != w_free || w.lap != lap(q.p)) return go(j_ring, "join: something was put, again");
        return go(j_ring_again, "join: the end is where it was");
      }
      case j_ring_again:
        if (s.get_ring != q.g && !c.no_get_ring_check) return go(j_ring, "join: get_ring has moved, again");
        if (q.join_set & ~s.delivered) complaint = "join returns before the work is done";
        stop_waiting(n, i, settled);
        q = {};
        return go(c.join == 2 ? p_done : z_close, "join: all done");
      case j_sleep:
        if (!(s.woken[settled] & bit(i))) return;
        stop_waiting(n, i, settled);
        return go(j_begin, "join: woken");
      case z_close:
        if (!c.early_close)
          for (int k = 0; k < c.producers; ++k)
            if (s.p[k].pc != p_done || (!is_idle(s) && !c.takes)) return;
        n.status = 1;
        return go(z_notify, "close");
      case z_notify:
        for (int e = 0; e < 3; ++e) wake_all(n, e);
        q = {};
        return go(c.join == 2 ? j_begin : p_done, "close: notify_all");
      default: return;
    }
  }

  void step_as(state& n, int i, pc as, successors<state>& out) const {
    n.p[i].pc = as;
    step(n, i, out);
  }
  void new_epoch(state& n) const {
    for (proc& q : n.p)
      if (q.pc >= c_ring && q.pc <= c_end_epoch) q.e = 1;
  }
  void hub_step(const state& s, successors<state>& out) const {
    state n = s;
    auto dead = [&](u8 owner) { return owner != 0 && (s.hub_dead >> (owner - 1) & 1); };
    if (s.hub_pc != h_idle && s.restarts > 0) {
      state r = s;
      --r.restarts;
      r.hub_pc = h_idle, r.hub_r = r.hub_p = r.hub_dead = 0;
      out.forced(r, -1, "repair is interrupted");
    }
    auto go = [&](hub to, const char* label) {
      n.hub_pc = to;
      out.add(n, -1, label);
    };
    switch (s.hub_pc) {
      case h_idle:
        look(s, out);
        if (!s.unrepaired) return;
        n.hub_dead = s.unrepaired;
        n.hub_r = s.get_ring;
        return go(h_head, "repair begins");
      case h_head: n.hub_p = s.head[s.hub_r]; return go(h_slot, "repair: reads head");
      case h_slot: {
        word& w = at(n, s.hub_r, s.hub_p);
        ++n.hub_p;
        if (w.lap > lap(s.hub_p)) return go(h_slot, "repair: position is past");
        if (w.lap < lap(s.hub_p) || w.state == w_free || w.state == w_sealed) {
          n.hub_p = 0, ++n.hub_r;  // every ring by itself: this one may have been punched under us
          const bool end = n.hub_r >= c.rings || (c.repair_stops_at_free && w.state != w_sealed);
          return go(end ? h_punch : h_head, end ? "repair: end of queue" : "repair: next ring");
        }
        if (w.state == w_writing && dead(w.owner) && !c.torn_stays) w = {static_cast<u8>(w.lap + 1), w_free, 0, w.msg};
        if (w.state == w_taken && dead(w.owner) && !c.taken_stays) w.state = w_ready, w.owner = 0;
        return go(h_slot, "repair: a slot");
      }
      case h_punch:
        for (int r = 0; r < s.get_ring; ++r)
          for (auto& w : n.slot[r]) w = {};
        n.hub_r = n.hub_p = 0;
        return go(h_epoch, "repair: punches old rings");
      case h_epoch: new_epoch(n); return go(h_notify, "repair: epoch");
      case h_notify:
        if (!c.no_repair_notify)
          for (int e = 0; e < 3; ++e) wake_all(n, e);
        for (int i = 0; i < procs(); ++i)
          if (s.hub_dead >> i & 1) n.p[i].pc = consumer(i) && c.replace ? c_announce : p_done;
        n.unrepaired = static_cast<u8>(n.unrepaired & ~s.hub_dead);
        n.hub_dead = 0;
        return go(h_idle, "repair: notify_all; consumers are replaced");
      default: return;
    }
  }

  // Every 250 ms: wakes one sleeper where there is something to do.
  void look(const state& s, successors<state>& out) const {
    if (c.no_look || c.stops == 0) return;
    const bool get = message_ready(s) && (s.waiting[ready] & ~s.woken[ready]),
               put = has_room(s) && (s.waiting[room] & ~s.woken[room]);
    if (!get && !put) return;
    state n = s;
    if (get) new_epoch(n);
    notify_one(n, -1, get ? ready : room, "look", out);
  }

  std::string show(const state& s) const {
    std::string t = "put_ring " + std::to_string(s.put_ring) + " get_ring " + std::to_string(s.get_ring) + " ";
    for (int r = 0; r < c.rings; ++r) {
      t += "[";
      for (int i = 0; i < c.size; ++i) {
        const word& w = s.slot[r][i];
        t += std::string(1, "FWRTS"[w.state]) + std::to_string(w.lap) + "." + std::to_string(w.owner) + "m" +
             std::to_string(w.msg) + " ";
      }
      t += "h" + std::to_string(s.head[r]) + "t" + std::to_string(s.tail[r]) + "] ";
    }
    return t + (s.status ? "closed" : "");
  }
};

constexpr const char* stuck = "stuck";
constexpr const char* lost = "end: a committed message is lost";
constexpr const char* missed = "empty, although a message was there all the time";
constexpr models::run<config> runs[] = {
    {"growth", {.rings = 3, .messages = 5, .consumers = 1}},
    {"laps", {.rings = 1, .size = 3, .messages = 4, .consumers = 1, .kills = 1}},
    {"kill", {.messages = 3, .consumers = 1, .kills = 1}},
    {"kill_and_restart", {.messages = 2, .consumers = 1, .kills = 2, .restarts = 1}},
    {"two_producers", {.producers = 2, .messages = 1, .consumers = 1, .kills = 1}},
    {"stale_producer", {.size = 3, .producers = 2, .messages = 1, .others = 2, .consumers = 1, .filled = 2}},
    {"two_consumers", {.messages = 1, .consumers = 2, .filled = 1}},
    {"one_of_two_consumers_dies", {.messages = 1, .consumers = 2, .kills = 1, .early_close = 1, .replace = 0}},
    {"give_back", {.messages = 1, .consumers = 2, .give_backs = 1}},
    {"stop", {.messages = 1, .consumers = 2, .stops = 1}},
    {"full", {.rings = 1, .producers = 2, .messages = 1, .consumers = 1, .kills = 1, .filled = 1}},
    {"room_for_two", {.rings = 1, .size = 3, .producers = 2, .messages = 1, .consumers = 2, .takes = 1, .filled = 2}},
    {"nobody_gets", {.messages = 3, .consumers = 0}},
    {"close", {.producers = 2, .messages = 1, .consumers = 1, .early_close = 1}},
    {"close_while_full", {.rings = 1, .producers = 2, .messages = 1, .consumers = 1, .early_close = 1, .filled = 1}},
    {"join", {.producers = 2, .messages = 1, .consumers = 1, .join = 1}},
    {"close_and_join", {.messages = 1, .consumers = 1, .early_close = 1, .join = 2, .filled = 1}},
    {"kill_among_two_and_two", {.producers = 2, .messages = 1, .consumers = 2, .kills = 1}, nullptr, true},
    {"kill_with_two_consumers", {.messages = 2, .consumers = 2, .kills = 1}, nullptr, true},
    {"stop_with_more", {.messages = 1, .consumers = 2, .stops = 1, .filled = 1}, nullptr, true},
    {"close_two_and_two", {.producers = 2, .messages = 1, .consumers = 2, .early_close = 1}, nullptr, true},
    {"no_status_check", {.producers = 2, .messages = 1, .consumers = 1, .early_close = 1, .no_status_check = 1}, lost},
    {"closed_read_late", {.producers = 2, .messages = 1, .consumers = 1, .early_close = 1, .closed_read_late = 1}, lost},
    {"no_abort_ready", {.producers = 2, .messages = 1, .consumers = 1, .early_close = 1, .no_abort_ready = 1}, stuck},
    {"no_abort_settled", {.messages = 1, .consumers = 1, .early_close = 1, .join = 2, .filled = 1, .no_abort_settled = 1}, stuck},
    {"no_drain_notify", {.messages = 1, .consumers = 2, .early_close = 1, .no_drain_notify = 1}, stuck},
    {"leave_on_busy", {.messages = 1, .consumers = 2, .kills = 1, .early_close = 1, .replace = 0, .leave_on_busy = 1}, lost},
    {"no_stale_check", {.producers = 2, .messages = 1, .consumers = 1, .filled = 1, .no_stale_check = 1}, missed},
    {"no_look_back", {.producers = 2, .messages = 1, .consumers = 1, .no_look_back = 1}, "out of order"},
    {"advance_on_skip", {.producers = 2, .messages = 1, .consumers = 1, .advance_on_skip = 1}, "a writer has lost its slot"},
    {"no_get_ring_check", {.messages = 1, .consumers = 2, .filled = 1, .no_get_ring_check = 1}, missed},
    {"no_get_ring_check_in_join",
     {.producers = 2, .messages = 1, .consumers = 1, .join = 1, .no_get_ring_check = 1},
     "join returns before"},
    {"no_free_slot_kept", {.messages = 3, .consumers = 0, .no_free_slot_kept = 1}, stuck},
    {"no_room_passed_on",
     {.rings = 1, .size = 3, .producers = 2, .messages = 1, .consumers = 2, .takes = 1, .filled = 2, .no_room_passed_on = 1},
     stuck},
    {"no_look", {.messages = 1, .consumers = 2, .stops = 1, .no_look = 1}, stuck},
    {"no_repair_notify", {.messages = 2, .consumers = 1, .kills = 1, .no_repair_notify = 1}, stuck},
    {"repair_stops_at_free", {.messages = 2, .consumers = 1, .kills = 1, .repair_stops_at_free = 1}, stuck},
    {"torn_stays", {.messages = 2, .consumers = 1, .kills = 1, .torn_stays = 1}, stuck},
    {"taken_stays", {.messages = 2, .consumers = 1, .kills = 1, .taken_stays = 1}, stuck},
    {"commit_early", {.messages = 2, .consumers = 1, .commit_early = 1}, "a message that was never committed"},
};

constexpr models::field<config> fields[] = {
    {"rings", &config::rings},
    {"size", &config::size},
    {"producers", &config::producers},
    {"messages", &config::messages},
    {"others", &config::others},
    {"consumers", &config::consumers},
    {"filled", &config::filled},
    {"takes", &config::takes},
    {"kills", &config::kills},
    {"kill_producers", &config::kill_producers},
    {"replace", &config::replace},
    {"restarts", &config::restarts},
    {"stops", &config::stops},
    {"give_backs", &config::give_backs},
    {"early_close", &config::early_close},
    {"join", &config::join},
};

}  // namespace

int main(int argc, char** argv) { return models::main_of<model, config>("queue_chain", runs, fields, argc, argv); }
