// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/actors/pool.hpp>

#include <cloister/actors/internal/pool_keeper.hpp>
#include <cloister/actors/internal/pool_worker.hpp>
#include <cloister/detail/stop.hpp>

#include <algorithm>

namespace cloister {

// ---- the handle -------------------------------------------------------------------------------------------------------

detail::pool_link& pool_handle::link() const {
  if (!link_) throw failure(errc::invalid, "a handle of no pool: default constructed, or moved from");
  return *link_;
}

detail::job_origin pool_handle::origin(const char* call, std::uint64_t code) const {
  static_cast<void>(link());
  return {link_, call, options_, code};
}

void pool_handle::refuse_in_own_worker(const char* call) const {
  if (detail::inbox::working_for() == link().id()) throw failure(detail::inbox::own_worker_error("pool '" + name() + "' " + call));
}

detail::task_head pool_handle::head(std::uint64_t code) const {
  detail::task_head h;
  h.code = code;
  h.run_ns = std::max<std::int64_t>(options_->deadline.count(), 0);
  h.most_tries = static_cast<std::uint16_t>(std::clamp(options_->tries, 1U, 65535U));
  h.backoff_ms =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(options_->backoff.count(), 0, detail::task_head::most_backoff_ms));
  return h;
}

// About a millisecond's worth, and four for each worker at least.
std::size_t pool_handle::chunk_for(std::uint64_t code, std::size_t items) const {
  constexpr double worth_ns = 1e6;
  constexpr auto most = detail::largest_chunk;
  if (options_->chunk != 0) return std::min(options_->chunk, most);
  const std::size_t shares = 4 * std::size_t{link().workers()};
  const auto even = std::clamp<std::size_t>((items + shares - 1) / shares, 1, most);
  const auto cost = link().cost(code);
  if (!cost) return even;
  return static_cast<std::size_t>(std::clamp(worth_ns / std::max(*cost, 1.0), 1.0, static_cast<double>(even)));
}

void codec<pool_handle>::put(encoder& out, const pool_handle& p) {
  const auto& link = p.link();
  for (const auto& q : link.queues()) detail::queue_to_message(out, q, detail::sink_role);
  out.value(link.words());
  out.value(std::uint32_t{link.workers()});
}

pool_handle codec<pool_handle>::get(decoder& in) {
  std::array<detail::object_handle, detail::pool_queues> queues;
  for (auto& q : queues) q = detail::queue_from_message(in, detail::sink_role, detail::tasks_fingerprint);
  auto words = in.value<sink<detail::pool_word>>();
  const auto workers = std::clamp<std::uint32_t>(in.value<std::uint32_t>(), 1, internal::most_workers);
  return {std::make_shared<detail::pool_link>(std::move(queues), std::move(words), workers, nullptr),
          std::make_shared<const task_options>()};
}

// ---- the pool -----------------------------------------------------------------------------------------------------------

namespace {
void check_size(const std::string& name, const char* call, int workers) {
  if (workers < 1 || workers > static_cast<int>(internal::most_workers))
    throw failure(errc::invalid, "pool '" + name + "'" + call + ": " + std::to_string(workers) + " workers; it has 1 to " +
                                     std::to_string(internal::most_workers));
}
}  // namespace

pool::pool(const place& where, pool_options options) {
  if (options.name.empty()) options.name = "pool";
  const auto name = options.name;
  check_size(name, "", options.workers);
  if (options.max_tasks_per_worker.value_or(1) < 1)
    throw failure(errc::invalid,
                  "pool '" + name + "': a worker does at least one task, not " + std::to_string(*options.max_tasks_per_worker));
  if (internal::pool_depth() >= most_nested_pools)
    throw failure(errc::invalid,
                  "pool '" + name + "': pools in workers of pools go " + std::to_string(most_nested_pools) + " deep");
  auto tasks = std::make_shared<const task_options>(options.tasks);
  keeper_ = std::make_shared<internal::pool_keeper>(where, std::move(options));
  link_ = std::make_shared<detail::pool_link>(keeper_->sinks(), keeper_->words(), 0, keeper_);
  options_ = std::move(tasks);
}

pool::pool(pool&& other) noexcept = default;

pool& pool::operator=(pool&& other) noexcept {
  if (this == &other) return *this;
  finish();
  pool_handle::operator=(std::move(other));
  keeper_ = std::move(other.keeper_);
  return *this;
}

pool::~pool() { finish(); }

void pool::finish() noexcept {
  if (!keeper_) return;
  try {
    if (keeper_->is_mine()) {
      terminate();
      detail::inbox::here().await_calls(link_->id(), deadline::never());
    }
  } catch (const std::exception&) {}  // ~pool_keeper waits for the thread in any case
  keeper_.reset();
}

internal::pool_keeper& pool::keeper() const {
  static_cast<void>(link());
  if (!keeper_->is_mine())
    throw failure(errc::invalid, "pool '" + name() + "': it belongs to another process, or to a node that has ended");
  return *keeper_;
}

void pool::close() const {
  keeper().close();
  for (const auto& q : link().queues()) detail::queue_close(*q, false);
}

void pool::terminate() const {
  keeper().terminate();
  keeper().join(deadline::never()).value();
  detail::inbox::here().read_meanwhile(deadline::passed());
}

result<void> pool::join(deadline until) const {
  auto& k = keeper();
  if (!k.closing()) throw failure(errc::invalid, "pool '" + name() + "' join: it is not closed");
  // What comes meanwhile is read here, so that no worker waits for room.
  auto& in = detail::inbox::here();
  constexpr std::int64_t slice_ns = 20'000'000;
  for (;;) {
    const auto end = deadline::now() + slice_ns;
    if (auto over = k.join(until.is_never() || until.at_ns() > end ? deadline::at(end) : until); over) break;
    else if (until.has_passed()) return over;
    in.read_meanwhile(deadline::passed());
    if (const auto why = detail::stop_reason()) return {*why, "pool '" + name() + "' join: this process was asked to stop"};
  }
  in.read_meanwhile(deadline::passed());
  for (;;) {
    const auto end = deadline::now() + slice_ns;
    if (in.await_calls(link().id(), until.is_never() || until.at_ns() > end ? deadline::at(end) : until)) return {};
    if (until.has_passed()) return {errc::timed_out, "pool '" + name() + "' join: a callback is not over yet"};
    if (const auto why = detail::stop_reason()) return {*why, "pool '" + name() + "' join: this process was asked to stop"};
  }
}

void pool::resize(int workers) const {
  check_size(name(), " resize", workers);
  if (keeper().closing()) throw failure(errc::closed, "pool '" + name() + "' resize: it is closed");
  keeper().resize(workers);
}

unsigned pool::size() const { return keeper().size(); }
std::vector<process_id> pool::workers() const { return keeper().workers(); }

}  // namespace cloister
