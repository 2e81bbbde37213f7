// SPDX-License-Identifier: BSD-3-Clause
// CAF 0.17 as a contestant: actors of different processes, over BASP on loopback TCP, message by message.
//
// CAF has no queue. Its natural form: one receiving actor system with a receiving actor for each consumer, and a sending
// actor in a process of its own for each producer; sender i sends to receiver i modulo consumers. Since CAF buffers
// without bound, the contest's depth is a credit: a sender has at most that many messages on the way, and the receiver
// returns a quarter of it at a time. A round trip is two event-based actors. The scheduler's policy is the one that is better
// for CAF: `stealing`, its default, for the queue, and `sharing` for the round trip. Actor systems are made after fork.
#include <algorithm>
#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "contest.hpp"
#include "round_trip.hpp"
#include "stage.hpp"
#include "traffic.hpp"

namespace {

using bench::figures;
using bench::job;
using bench::note;

using bytes = std::vector<char>;  // CAF copies these in one piece
using data_atom = caf::atom_constant<caf::atom("data")>;
using go_atom = caf::atom_constant<caf::atom("go")>;
using ack_atom = caf::atom_constant<caf::atom("ack")>;
using end_atom = caf::atom_constant<caf::atom("end")>;

struct config : caf::actor_system_config {
  explicit config(caf::atom_value policy) {
    load<caf::io::middleman>();
    set("scheduler.policy", policy);
  }
};

std::uint16_t publish(caf::actor_system& system, const caf::actor& who) {
  auto port = system.middleman().publish(who, 0, "127.0.0.1");
  if (!port) throw std::runtime_error("publish: " + system.render(port.error()));
  return *port;
}

caf::actor find(caf::actor_system& system, std::uint32_t port) {
  auto found = system.middleman().remote_actor("127.0.0.1", static_cast<std::uint16_t>(port));
  if (!found) throw std::runtime_error("remote_actor: " + system.render(found.error()));
  return *found;
}

// -- queue ------------------------------------------------------------------------------------------------------------

struct receiver_state {
  std::uint64_t messages = 0;
  std::uint64_t sum = 0;
  int senders = 0;                   // still sending
  std::vector<std::uint64_t> taken;  // of each sender, since its last credit
};

caf::behavior receiver(caf::stateful_actor<receiver_state>* self, bench::stage* s, const job* j, int senders) {
  self->state.senders = senders;
  self->state.taken.resize(static_cast<std::size_t>(j->producers));
  return {
      [=](data_atom, std::uint32_t sender, const bytes& message) {
        auto& mine = self->state;
        ++mine.messages;
        mine.sum += bench::number_of(std::as_bytes(std::span(message)));
        if (++mine.taken[sender] < std::max<std::size_t>(1, j->depth / 4)) return;
        self->send(caf::actor_cast<caf::actor>(self->current_sender()), ack_atom::value, mine.taken[sender]);
        mine.taken[sender] = 0;
      },
      [=](end_atom) {
        auto& mine = self->state;
        self->send(caf::actor_cast<caf::actor>(self->current_sender()), end_atom::value);
        if (--mine.senders > 0) return;
        s->add_received(mine.messages, mine.sum, bench::now_ns());
        self->quit();
      },
  };
}

struct sender_state {
  bytes message;
  std::uint64_t number = 0;
  std::uint64_t sum = 0;
  std::uint64_t on_the_way = 0;
  bool ended = false;
};

caf::behavior sender(caf::stateful_actor<sender_state>* self, bench::stage* s, const job* j, std::uint32_t index,
                     const caf::actor& to) {
  self->state.message.resize(j->bytes, 'x');
  const auto send_all = [=] {
    auto& mine = self->state;
    for (; mine.on_the_way < j->depth && !s->stopping(); ++mine.on_the_way) {
      bench::set_number(std::as_writable_bytes(std::span(mine.message)), ++mine.number);
      mine.sum += mine.number;
      self->send(to, data_atom::value, index, mine.message);
    }
    if (!s->stopping() || mine.ended) return;
    mine.ended = true;
    s->add_sent(mine.number, mine.sum, j->producers);
    self->send(to, end_atom::value);
  };
  return {
      [=](go_atom) { send_all(); },
      [=](ack_atom, std::uint64_t credit) {
        self->state.on_the_way -= credit;
        send_all();
      },
      [=](end_atom) { self->quit(); },
  };
}

void run_receivers(bench::stage& s, const job& j) {
  config c{caf::atom("stealing")};
  caf::actor_system system{c};
  for (int i = 0; i < j.consumers; ++i) {
    const auto senders = (j.producers - i + j.consumers - 1) / j.consumers;
    s.word(static_cast<std::size_t>(i)) = publish(system, system.spawn(receiver, &s, &j, senders));
  }
  s.wait_at_gate();
  system.await_all_actors_done();
}

void run_sender(bench::stage& s, const job& j, int index) {
  config c{caf::atom("stealing")};
  caf::actor_system system{c};
  const auto to = find(system, s.word(static_cast<std::size_t>(index % j.consumers)));
  const auto from = system.spawn(sender, &s, &j, static_cast<std::uint32_t>(index), to);
  s.wait_at_gate();
  caf::anon_send(from, go_atom::value);
  system.await_all_actors_done();
}

figures queue(const job& j) {
  if (j.consumers > j.producers) throw bench::not_applicable("a receiver without a sender");
  bench::stage s;
  bench::crew members;
  members.add(j, 1, [&] { run_receivers(s, j); });
  s.await_ready(1);  // the ports are known
  for (int i = 0; i < j.producers; ++i) members.add(j, 0, [&] { run_sender(s, j, i); });
  return bench::measure(s, members, j);
}

// -- round trip -------------------------------------------------------------------------------------------------------

note to_note(const bytes& message) {
  note n;
  std::memcpy(&n, message.data(), sizeof(n));
  return n;
}

bytes to_bytes(const note& n) {
  bytes message(sizeof(n));
  std::memcpy(message.data(), &n, sizeof(n));
  return message;
}

caf::behavior echoer(caf::event_based_actor* self, const job* j) {
  return {
      [=](data_atom, const bytes& message) {
        note n = to_note(message);
        if (!bench::echo(n, *j)) return self->quit();
        self->send(caf::actor_cast<caf::actor>(self->current_sender()), data_atom::value, to_bytes(n));
      },
  };
}

caf::behavior pinging(caf::event_based_actor* self, bench::pinger* p, const caf::actor& to) {
  return {
      [=](go_atom) { self->send(to, data_atom::value, to_bytes(p->first())); },
      [=](data_atom, const bytes& message) {
        note n = to_note(message);
        const auto more = p->next(n);
        self->send(to, data_atom::value, to_bytes(n));
        if (!more) self->quit();
      },
  };
}

figures round_trip(const job& j) {
  if (j.manner == "awake") throw bench::not_applicable("its actors cannot be told to poll");
  bench::stage s;
  bench::crew members;
  members.add(j, 1, [&] {
    config c{caf::atom("sharing")};
    caf::actor_system system{c};
    s.word(0) = publish(system, system.spawn(echoer, &j));
    s.wait_at_gate();
    system.await_all_actors_done();
  });
  s.await_ready(1);
  s.open_gate();
  bench::take_processor(j, 0);
  bench::pinger p(j);
  {
    config c{caf::atom("sharing")};
    caf::actor_system system{c};
    caf::anon_send(system.spawn(pinging, &p, find(system, s.word(0))), go_atom::value);
    system.await_all_actors_done();
    members.join();  // while our side still stands: the last note may be on its way
  }
  return p.result();
}

std::string version() {
#ifdef CAF_VERSION_MAJOR
  return "CAF " + std::to_string(CAF_VERSION_MAJOR) + '.' + std::to_string(CAF_VERSION_MINOR) + '.' +
         std::to_string(CAF_VERSION_PATCH);
#else
  return "CAF " + std::to_string(CAF_VERSION / 10000) + '.' + std::to_string(CAF_VERSION / 100 % 100) + '.' +
         std::to_string(CAF_VERSION % 100);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  static const bench::contestant table[] = {
      {"queue", "actors over BASP", queue},
      {"round-trip", "actors over BASP", round_trip},
  };
  return bench::contestant_main(argc, argv, version(), table);
}
