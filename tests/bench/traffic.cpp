// SPDX-License-Identifier: BSD-3-Clause
// The clock of the queue contest; see traffic.hpp.
#include "traffic.hpp"

#include <chrono>
#include <stdexcept>
#include <thread>

namespace bench {

figures measure(stage& s, crew& members, const job& j) {
  return measure(s, j, static_cast<std::uint32_t>(members.pids().size()), [&] { members.join(); });
}

figures measure(stage& s, const job& j, std::uint32_t participants, const std::function<void()>& join) {
  s.await_ready(participants);
  const auto begin = s.open_gate();
  std::this_thread::sleep_for(std::chrono::duration<double>(j.seconds));
  s.request_stop();
  join();
  s.check_totals();
  if (s.received() == 0) throw std::runtime_error("no message was received");
  return {{"rate", static_cast<double>(s.received()) * 1e9 / static_cast<double>(s.last_received_at() - begin)}};
}

}  // namespace bench
