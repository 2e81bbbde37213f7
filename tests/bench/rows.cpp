// SPDX-License-Identifier: BSD-3-Clause
// The rows of the benchmark. Definitions in docs/benchmarks.md; targets from there, too.
#include "rows.hpp"

#include <filesystem>

namespace bench {
namespace {

using enum role;

target times_best_peer(double factor) { return {target::kind::best_peer, factor}; }
target times_limit(double factor, std::string_view limit) { return {target::kind::limit, factor, limit}; }
target value(double limit) { return {target::kind::absolute, limit}; }

struct size_class {
  std::string_view name;
  std::size_t bytes;
  std::size_t depth;  // messages that may wait, for those that have a bound
  double best_peer;
  double limit;  // of the bare ring, one to one; 0: no target
};
constexpr size_class sizes[] = {
    {"64B", 64, 1024, 2, 0}, {"1K", 1024, 1024, 3, 0}, {"64K", 65536, 64, 1, 0.7}, {"1M", 1048576, 16, 1, 0.7}};

row queue_row(const size_class& size, int pairs, const std::string& seconds) {
  const auto n = std::to_string(pairs);
  row r{"queue-" + std::string(size.name) + '-' + n + 'p' + n + 'c',
        "queue",
        {"bytes=" + std::to_string(size.bytes), "depth=" + std::to_string(size.depth), "producers=" + n, "consumers=" + n, seconds,
         pairs == 1 ? "processors=two" : "processors=any"},
        {{ours, "cloister", "queue", "cloister queue"}, {ours, "cloister", "leases", "cloister queue, leased", false}},
        {{"rate", "msg/s", true, {times_best_peer(size.best_peer)}}}};
  if (pairs == 1) {
    r.entrants.push_back({ours, "cloister", "pipe", "cloister pipe", false});
    if (size.limit > 0) r.readings[0].targets.push_back(times_limit(size.limit, "bare ring"));
  }
  r.entrants.insert(r.entrants.end(), {{peer, "python", "Queue", "Python Queue"},
                                       {peer, "caf", "actors over BASP", "CAF over BASP"},
                                       {peer, "zeromq", "PUSH/PULL ipc", "ZeroMQ ipc"},
                                       {peer, "boost", "message_queue", "Boost message_queue"},
                                       {limit, "limits", "pipe", "pipe(2)"},
                                       {limit, "limits", "bare ring", "bare ring"}});
  return r;
}

row round_trip_row(const std::string& id, const std::string& manner, const std::string& processors, const std::string& seconds) {
  const auto awake = manner == "awake";
  row r{"round-trip-" + id,
        "round-trip",
        {"manner=" + manner, "processors=" + processors, seconds},
        {{ours, "cloister", "queue", "cloister queue"}, {ours, "cloister", "pipe", "cloister pipe"}},
        {{"median", "us", false}}};
  if (!awake) {
    r.entrants.insert(r.entrants.end(), {{peer, "python", "Pipe", "Python Pipe"},
                                         {peer, "caf", "actors over BASP", "CAF over BASP"},
                                         {peer, "zeromq", "PAIR ipc", "ZeroMQ ipc"}});
    r.readings.push_back({"p99", "us", false});
  }
  r.entrants.push_back({peer, "boost", "message_queue", "Boost message_queue"});
  if (!awake) r.entrants.insert(r.entrants.end(), {{limit, "limits", "pipe", "pipe(2)"}, {limit, "limits", "futex", "futex"}});
  if (manner != "asleep" && processors != "one") r.entrants.push_back({limit, "limits", "spin", "spinning"});
  if (manner == "asleep") r.readings[0].targets = {times_limit(1.3, "futex")};
  if (awake) r.readings[0].targets = {value(1)};
  return r;
}

row start_row(std::string_view method, std::string_view python, double ms, const std::string& mib, const std::string& seconds) {
  row r{"start-" + std::string(method) + (mib == "0" ? "" : '-' + mib + 'M'),
        "start",
        {"ballast_mib=" + mib, seconds},
        {{ours, "cloister", method, "cloister process"},
         {peer, "python", method, python},
         {limit, "limits", "vfork and exec", "vfork and exec"},
         {limit, "limits", "fork", "fork"}},
        {{"median", "ms", false}, {"p99", "ms", false}}};
  if (ms > 0) r.readings[0].targets = {value(ms)};
  return r;
}

}  // namespace

std::vector<row> all_rows(const options& o) {
  const std::string seconds = o.quick ? "seconds=0.05" : "seconds=0.5";
  std::vector<row> rows;
  for (const auto& size : sizes)
    for (const int pairs : {1, 2, 4}) rows.push_back(queue_row(size, pairs, seconds));
  for (const auto* manner : {"asleep", "ping-pong", "awake"}) rows.push_back(round_trip_row(manner, manner, "two", seconds));
  rows.push_back(round_trip_row("one-processor", "ping-pong", "one", seconds));
  rows.push_back(start_row("forkserver", "Python forkserver", 0.4, "0", seconds));
  rows.push_back(start_row("forkserver", "Python forkserver", 0.4, "256", seconds));
  rows.push_back(start_row("spawn", "Python spawn", 3, "0", seconds));
  rows.push_back(start_row("fork", "Python fork", 0, "0", seconds));
  rows.push_back({"memory",
                  "memory",
                  {"count=64"},
                  {{ours, "cloister", "queue", "cloister queue"},
                   {ours, "cloister", "pipe", "cloister pipe", false},
                   {peer, "python", "Queue", "Python Queue"},
                   {peer, "zeromq", "PUSH/PULL ipc", "ZeroMQ ipc"},
                   {peer, "boost", "message_queue", "Boost message_queue"}},
                  {{"each", "KiB", false, {value(256)}}}});
  rows.push_back({"crowd",
                  "crowd",
                  {o.quick ? "count=50" : "count=1000"},
                  {{ours, "cloister", "forkserver", "cloister process"},
                   {peer, "python", "forkserver", "Python forkserver"},
                   {peer, "python", "fork", "Python fork"},
                   {limit, "limits", "vfork and exec", "vfork and exec"},
                   {limit, "limits", "fork", "fork"}},
                  {{"start", "s", false, {value(0.5)}}, {"private", "KiB", false, {value(1024)}}}});
  rows.push_back({"tell",
                  "queue",
                  {"bytes=64", "depth=1024", seconds, "processors=two"},
                  {{ours, "cloister", "tell", "cloister tell"}, {limit, "cloister", "queue", "cloister queue"}},
                  {{"rate", "msg/s", true, {times_limit(0.5, "cloister queue")}}}});
  for (const auto* manner : {"asleep", "awake"}) {
    const bool awake = manner == std::string_view("awake");
    row r{"ask-" + std::string(manner),
          "round-trip",
          {"manner=" + std::string(manner), "processors=two", seconds},
          {{ours, "cloister", "ask", "cloister ask"}, {peer, "caf", "actors over BASP", "CAF over BASP"}},
          {{"median", "us", false, {awake ? value(3) : times_limit(2.5, "futex")}}}};
    r.entrants.push_back(awake ? entrant{limit, "limits", "spin", "spinning"} : entrant{limit, "limits", "futex", "futex"});
    rows.push_back(std::move(r));
  }
  rows.push_back(
      {"replacement",
       "replacement",
       {seconds},
       {{ours, "cloister", "supervisor", "cloister supervisor"}, {limit, "cloister", "start and join", "start and join"}},
       {{"median", "ms", false, {times_limit(3, "start and join")}}, {"p99", "ms", false}}});
  rows.push_back({"supervised",
                  "supervised",
                  {o.quick ? "count=50" : "count=1000"},
                  {{ours, "cloister", "supervisor", "cloister supervisor"}},
                  {{"start", "s", false, {value(1)}}, {"restart", "s", false, {value(2)}}}});
  rows.push_back({"supervisors",
                  "supervisors",
                  {o.quick ? "count=50" : "count=1000"},
                  {{ours, "cloister", "supervisor", "cloister supervisor"}},
                  {{"all", "MiB", false, {value(1024)}}}});
  rows.push_back({"lock",
                  "lock",
                  {seconds},
                  {{ours, "cloister", "mutex", "cloister mutex"},
                   {ours, "cloister", "semaphore", "cloister semaphore"},
                   {ours, "cloister", "event", "cloister event"},
                   {peer, "python", "Lock", "Python Lock"},
                   {peer, "python", "Semaphore", "Python Semaphore"},
                   {peer, "python", "Event", "Python Event"}},
                  {{"median", "ns", false, {value(60)}}}});
  for (const auto* processes : {"2", "8"})
    rows.push_back({"contended-" + std::string(processes),
                    "contended",
                    {"count=" + std::string(processes), seconds},
                    {{ours, "cloister", "mutex", "cloister mutex"},
                     {ours, "cloister", "semaphore", "cloister semaphore"},
                     {peer, "python", "Lock", "Python Lock"},
                     {peer, "python", "Semaphore", "Python Semaphore"}},
                    {{"rate", "/s", true, {times_best_peer(1)}}}});
  rows.push_back({"hand-over",
                  "hand-over",
                  {seconds},
                  {{ours, "cloister", "semaphore", "cloister semaphore"}, {peer, "python", "Semaphore", "Python Semaphore"}},
                  {{"median", "us", false, {value(30)}}, {"p99", "us", false}}});
  rows.push_back({"wake-many",
                  "wake-many",
                  {o.quick ? "count=20" : "count=100", seconds},
                  {{ours, "cloister", "event", "cloister event"}, {peer, "python", "Event", "Python Event"}},
                  {{"median", "ms", false, {value(5)}}}});
  rows.push_back({"locks",
                  "locks",
                  {o.quick ? "count=500" : "count=10000"},
                  {{ours, "cloister", "mutex", "cloister mutex"}},
                  {{"all", "MiB", false, {value(100)}}}});
  const std::string count = o.quick ? "count=10000" : "count=1000000";
  rows.push_back({"pool-map",
                  "pool-map",
                  {count, seconds},
                  {{ours, "cloister", "pool", "cloister pool"},
                   {peer, "python", "Pool", "Python Pool"},
                   {peer, "python", "ProcessPoolExecutor", "Python ProcessPoolExecutor"},
                   {limit, "cloister", "threads", "threads"}},
                  {{"rate", "/s", true, {times_best_peer(3)}}}});
  rows.push_back({"pool-imap",
                  "pool-imap",
                  {count, seconds},
                  {{ours, "cloister", "pool", "cloister pool"}, {peer, "python", "Pool", "Python Pool"}},
                  {{"rate", "/s", true, {times_best_peer(30), value(500'000)}}}});
  rows.push_back({"pool-apply",
                  "pool-apply",
                  {seconds},
                  {{ours, "cloister", "pool", "cloister pool"},
                   {peer, "python", "Pool", "Python Pool"},
                   {peer, "python", "ProcessPoolExecutor", "Python ProcessPoolExecutor"}},
                  {{"median", "us", false, {value(30)}}, {"p99", "us", false}}});
  rows.push_back({"pool-large",
                  "pool-large",
                  {"bytes=1048576", seconds},
                  {{ours, "cloister", "pool", "cloister pool"},
                   {peer, "python", "Pool", "Python Pool"},
                   {limit, "cloister", "queues", "two queues"}},
                  {{"median", "us", false, {times_limit(1.5, "two queues")}}}});
  rows.push_back({"pool-speed-up",
                  "pool-speed-up",
                  {},
                  {{ours, "cloister", "pool", "cloister pool"}, {limit, "cloister", "threads", "threads"}},
                  {{"times", "x", true, {value(1.9)}}}});
  rows.push_back({"pool-start",
                  "pool-start",
                  {"count=64"},
                  {{ours, "cloister", "pool", "cloister pool"}},
                  {{"start", "ms", false, {value(50)}}, {"all", "MiB", false, {value(64)}}}});
  rows.push_back({"pool-backlog",
                  "pool-backlog",
                  {count},
                  {{ours, "cloister", "pool", "cloister pool"}},
                  {{"all", "MiB", false, {value(500)}}}});
  for (auto& r : rows) {
    if (o.unpinned) std::erase(r.arguments, "processors=two");
    if (o.quick)
      for (auto& reading : r.readings) reading.targets.clear();
  }
  return rows;
}

std::vector<std::string_view> all_programs() { return {"cloister", "python", "caf", "zeromq", "boost", "limits"}; }

std::vector<std::string> command_of(std::string_view program) {
  if (program == "python") return {"python3", BENCH_PEERS_PY};
  static const auto here = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  return {(here / ("bench_" + std::string(program))).string()};
}

}  // namespace bench
