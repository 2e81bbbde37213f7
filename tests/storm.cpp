// SPDX-License-Identifier: BSD-3-Clause
// The kill storm: producers and consumers of one queue are killed at random moments and replaced, and every message must arrive.
//
//   storm [--messages N] [--pairs N] [--every MICROSECONDS] [--large BYTES] [--work N] [--stop] [--seed N]
//
// Invariant, checked message by message: what a producer says it has sent is delivered at least once; a second delivery is flagged as
// redelivered, or is of a message that its producer was putting when it was killed (it cannot know, so its successor sends it
// again); at the end nothing is left, leased or held. `--stop` also stops victims for a while before they are killed.
#include <cloister/cloister.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

using namespace cloister;
using namespace std::literals;

namespace {

struct message {
  std::uint32_t id;
  bool again;  // its producer does not know whether it was sent before
  std::string ballast;
};
struct delivery {
  std::uint32_t id;
  bool again, redelivered;
};

// What a producer has begun and finished to send; in a file that outlives it.
struct progress {
  std::uint32_t begun, sent;
};

progress* map_progress(int fd) {
  void* at = ::mmap(nullptr, sizeof(progress), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) std::abort();
  return static_cast<progress*>(at);
}

void produce(sink<message> out, owned_fd log, std::uint32_t first, std::uint32_t count, std::uint32_t large) {
  auto* p = map_progress(log.get());
  for (auto n = p->sent; n < count; ++n) {
    const bool again = p->begun > n;
    p->begun = n + 1;
    out.put({first + n, again, std::string(n % 64 == 0 ? large : n % 200, 'x')});
    p->sent = n + 1;
  }
}

// A job takes some microseconds, so that a hundred thousand of them outlast hundreds of kills.
void consume(source<message> in, sink<delivery> out, std::uint32_t work) {
  for (auto& m : in.leases()) {
    volatile std::uint32_t spent = 0;
    for (std::uint32_t i = 0; i < work; ++i) spent = spent + i;
    out.put({m->id, m->again, m.redelivered()});
  }
}

struct options {
  std::uint32_t messages = 100000, pairs = 4, every_us = 5000, large = 20000, work = 20000, seed = 1;
  bool stop = false;
};

options parse(int argc, char** argv) {
  options o;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--stop") {
      o.stop = true;
      continue;
    }
    std::uint32_t* to = a == "--messages" ? &o.messages
                        : a == "--pairs"  ? &o.pairs
                        : a == "--every"  ? &o.every_us
                        : a == "--large"  ? &o.large
                        : a == "--seed"   ? &o.seed
                        : a == "--work"   ? &o.work
                                          : nullptr;
    if (to == nullptr || i + 1 == argc) {
      std::fprintf(
          stderr,
          "usage: storm [--messages N] [--pairs N] [--every MICROSECONDS] [--large BYTES] [--work N] [--stop] [--seed N]\n");
      std::exit(2);
    }
    *to = static_cast<std::uint32_t>(std::strtoul(argv[++i], nullptr, 10));
  }
  return o;
}

class storm {
 public:
  storm(const node& here, const options& o)
      : here_(here), o_(o), each_(o.messages / o.pairs), seen_(each_ * o.pairs), random_(o.seed) {
    for (std::uint32_t i = 0; i < o_.pairs; ++i) {
      logs_.emplace_back(::memfd_create("progress", MFD_CLOEXEC));
      if (::ftruncate(logs_.back().get(), sizeof(progress)) != 0) std::abort();
      producers_.push_back(producer(i));
      consumers_.push_back(consumer());
    }
  }

  int run() {
    auto next_kill = std::chrono::steady_clock::now();
    while (!finished()) {
      collect(results_.get(1ms));
      if (std::chrono::steady_clock::now() < next_kill) continue;
      replace();
      next_kill = std::chrono::steady_clock::now() + std::chrono::microseconds(o_.every_us);
      strike();
    }
    tasks_.close();
    for (auto& c : consumers_) {
      if (c.is_alive()) ::kill(c.pid(), SIGCONT);  // stopped while it had nothing to do
      if (!c.join(60s)) c.kill();                  // what it still has is missing in the report
    }
    results_.close();
    while (auto d = results_.get(10s)) collect(d);
    return report();
  }

 private:
  process producer(std::uint32_t i) {
    return process(here_, {.name = "producer"}, produce, tasks_, logs_[i].duplicate(), i * each_, each_, o_.large);
  }
  process consumer() { return process(here_, {.name = "consumer"}, consume, tasks_, results_, o_.work); }

  void collect(const result<delivery>& d) {
    if (!d) return;
    if (d->id >= seen_.size()) ++foreign_;
    else if (seen_[d->id]++ > 0 && !d->redelivered && !d->again) ++unflagged_;
    redelivered_ += d->redelivered ? 1 : 0;
    ++delivered_;
  }

  // All sent, and none waiting or leased.
  bool finished() {
    return std::all_of(producers_.begin(), producers_.end(), [](auto& p) { return p.exit() && p.exit()->success(); }) &&
           tasks_.join(deadline::passed()).has_value();
  }

  void replace() {
    for (std::uint32_t i = 0; i < o_.pairs; ++i) {
      if (const auto e = producers_[i].exit(); e && !e->success()) producers_[i] = producer(i);
      if (const auto e = consumers_[i].exit()) consumers_[i] = consumer();
    }
  }

  void strike() {
    const auto n = random_() % (2 * o_.pairs);
    auto& victim = n < o_.pairs ? producers_[n] : consumers_[n - o_.pairs];
    if (!victim.is_alive()) return;
    if (o_.stop && random_() % 4 == 0) {
      // Stopped wherever it is; killed by a later strike at the same one.
      ::kill(victim.pid(), SIGSTOP);
      ++stops_;
      return;
    }
    victim.kill();
    ++kills_;
  }

  int report() {
    const auto lost = std::count(seen_.begin(), seen_.end(), 0);
    std::printf(
        "%zu messages, %llu deliveries, %llu flagged as redelivered, %llu kills, %llu stops; lost %lld, unflagged repeats %llu, "
        "foreign %llu, left %zu\n",
        seen_.size(), static_cast<unsigned long long>(delivered_), static_cast<unsigned long long>(redelivered_),
        static_cast<unsigned long long>(kills_), static_cast<unsigned long long>(stops_), static_cast<long long>(lost),
        static_cast<unsigned long long>(unflagged_), static_cast<unsigned long long>(foreign_), tasks_.size());
    return lost == 0 && unflagged_ == 0 && foreign_ == 0 && tasks_.empty() ? 0 : 1;
  }

  const node& here_;
  const options o_;
  const std::uint32_t each_;
  std::vector<int> seen_;
  std::mt19937 random_;
  queue<message> tasks_{here_, {.name = "tasks"}};
  queue<delivery> results_{here_, {.name = "results"}};
  std::vector<owned_fd> logs_;
  std::vector<process> producers_, consumers_;
  std::uint64_t delivered_ = 0, redelivered_ = 0, unflagged_ = 0, foreign_ = 0, kills_ = 0, stops_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  node here{argc, argv};
  return storm(here, parse(argc, argv)).run();
}
