// SPDX-License-Identifier: BSD-3-Clause
// Bodies of pool.hpp.
#pragma once

#include <cloister/actors/pool.hpp>

#include <algorithm>
#include <deque>
#include <variant>

namespace cloister {
namespace detail {

template <class E>
struct parts_of_item {
  using type = type_list<std::decay_t<E>>;
};
template <class E>
  requires requires { std::tuple_size<std::decay_t<E>>::value; }
struct parts_of_item<E> {
  template <std::size_t... I>
  static auto of(std::index_sequence<I...>) -> type_list<std::decay_t<std::tuple_element_t<I, std::decay_t<E>>>...>;
  using type = decltype(of(std::make_index_sequence<std::tuple_size_v<std::decay_t<E>>>{}));
};
template <bool Star, class Items>
struct item_types {
  using type = type_list<std::decay_t<std::ranges::range_reference_t<Items>>>;
};
template <class Items>
struct item_types<true, Items> : parts_of_item<std::ranges::range_reference_t<Items>> {};

template <class Shape, bool Star, class E>
void put_item(encoder& out, const E& item) {
  if constexpr (Star) std::apply([&out](const auto&... part) { put_all_as(out, typename Shape::item{}, part...); }, item);
  else put_all_as(out, typename Shape::item{}, item);
}

/// `count` items from `from` on, as a letter has them.
template <class Shape, bool Star, class Iterator>
void put_items(encoder& out, Iterator from, std::uint32_t count) {
  if (count == 1) return put_item<Shape, Star>(out, *from);
  encoder item(out.handles());
  const encoder::copying all(out);
  for (std::uint32_t i = 0; i < count; ++i, ++from) {
    item.clear();
    put_item<Shape, Star>(item, *from);
    const auto bytes = item.bytes();
    out.value(static_cast<std::uint32_t>(bytes.size()));
    out.raw(bytes.data(), bytes.size());
  }
}

/// The results of a stream: each item's, until it is taken.
template <class R>
class stream_job final : public job {
  using value_type = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

 public:
  stream_job(job_origin from, bool ordered) : job(std::move(from), std::numeric_limits<std::size_t>::max()), ordered_(ordered) {}
  bool reads_once() const noexcept override { return read_once<value_type>; }

  void read(std::size_t item, decoder& in) override {
    if constexpr (std::is_void_v<R>) {
      in.finish();
      store(item, value_type{});
    } else {
      auto value = in.value<R>();
      in.finish();
      store(item, std::move(value));
    }
  }
  void fail(std::size_t item, const error& why) override { store(item, why); }

  void submitted(std::size_t items) override {
    const std::scoped_lock guard(mutex());
    if (ordered_) results_.resize(results_.size() + items);
    open_ += items;
  }
  /// Items whose results were not taken yet.
  std::size_t open() {
    const std::scoped_lock guard(mutex());
    return open_;
  }
  bool has_next() {
    const std::scoped_lock guard(mutex());
    return !results_.empty() && results_.front().has_value();
  }
  std::optional<result<value_type>> take() {
    const std::scoped_lock guard(mutex());
    if (results_.empty() || !results_.front()) return {};
    auto first = std::move(results_.front());
    results_.pop_front();
    ++taken_;
    --open_;
    return first;
  }
  std::size_t taken() const noexcept { return taken_; }

 private:
  void store(std::size_t item, result<value_type> r) {
    const std::scoped_lock guard(mutex());
    if (!ordered_) results_.emplace_back(std::move(r));
    else if (item >= taken_ && item - taken_ < results_.size()) results_[item - taken_].emplace(std::move(r));
  }
  const bool ordered_;
  std::deque<std::optional<result<value_type>>> results_;  // guarded by mutex()
  std::size_t open_ = 0;                                   // guarded by mutex()
  std::size_t taken_ = 0;                                  // written by the one who takes
};

/// Where a stream's items come from: pulls some and submits them; false at the end of the input. Throws what pulling throws.
using pull_more = std::function<bool(std::size_t most)>;

}  // namespace detail

/// What imap gives: a range of values, for one loop. Move-only, one thread. Dropping it cancels what has not run.
template <class R>
class [[nodiscard]] task_stream {
 public:
  using value_type = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

  task_stream(task_stream&&) noexcept = default;
  task_stream& operator=(task_stream&& other) noexcept {
    const task_stream before(std::move(*this));
    job_ = std::move(other.job_);
    pull_ = std::move(other.pull_);
    pull_threw_ = std::move(other.pull_threw_);
    window_ = other.window_;
    report_ = std::move(other.report_);
    began_ = other.began_;
    return *this;
  }
  ~task_stream() {
    if (!job_ || job_->open() == 0) return;
    try {
      job_->home().cancel(*job_);
    } catch (const std::exception&) {}  // the node has ended, or there is no memory
  }

  /// The next result, or the next failure; nothing at the end. Throws what pulling the input threw, once. If there is none in time:
  /// `timed_out`, and the stream goes on.
  std::optional<result<value_type>> next(deadline until = deadline::never());

  class iterator {
   public:
    using value_type = task_stream::value_type;
    using difference_type = std::ptrdiff_t;
    explicit iterator(task_stream& of) : of_(&of) { ++*this; }
    /// Throws the item's failure. What comes after it is had by `next`, or by another loop.
    task_stream::value_type& operator*() const { return current_->value(); }
    iterator& operator++() {
      current_ = of_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& i, std::default_sentinel_t) { return !i.current_; }

   private:
    task_stream* of_;
    mutable std::optional<result<task_stream::value_type>> current_;
  };
  iterator begin() { return iterator(*this); }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  friend class pool_handle;
  task_stream(std::shared_ptr<detail::stream_job<R>> of, detail::pull_more pull, std::size_t window,
              std::function<void(const progress&)> report)
      : job_(std::move(of)), pull_(std::move(pull)), window_(window), report_(std::move(report)), began_(deadline::now()) {}
  void fill();

  std::shared_ptr<detail::stream_job<R>> job_;
  detail::pull_more pull_;  // empty: the input has ended
  std::exception_ptr pull_threw_;
  std::size_t window_;
  std::function<void(const progress&)> report_;
  std::int64_t began_;
};

template <class R>
void task_stream<R>::fill() {
  try {
    for (auto open = job_->open(); pull_ && open < window_; open = job_->open())
      if (!pull_(window_ - open)) pull_ = nullptr;
  } catch (...) {
    pull_threw_ = std::current_exception();
    pull_ = nullptr;
  }
}

template <class R>
std::optional<result<typename task_stream<R>::value_type>> task_stream<R>::next(deadline until) {
  if (!job_) throw failure(errc::invalid, "a stream that was moved from");
  for (;;) {
    fill();
    if (auto r = job_->take()) {
      if (report_) {
        progress now{job_->taken(), {}, std::chrono::nanoseconds(deadline::now() - began_)};
        if (!pull_) now.total = now.done + job_->open();
        report_(now);
      }
      return r;
    }
    if (job_->open() == 0) {
      if (auto threw = std::exchange(pull_threw_, nullptr)) std::rethrow_exception(threw);
      return {};
    }
    auto waited = job_->home().wait(
        *job_, [this] { return job_->has_next(); }, until);
    if (!waited && (waited == errc::timed_out || waited == errc::would_block))
      return result<value_type>(errc::timed_out, waited.error().text());
    waited.value();
  }
}

// ---- the handle -------------------------------------------------------------------------------------------------------

template <class F, class... Args>
  requires(!std::same_as<std::remove_cvref_t<F>, pool_initializer>)
pool_initializer::pool_initializer(F function, Args... args) {
  using body = std::decay_t<F>;
  detail::check_body<body>();
  const auto take = [&]<bool Node, class... P>(detail::task_parameters<Node, void, detail::type_list<P...>>) {
    static_assert(sizeof...(P) == sizeof...(Args),
                  "cloister: the number of arguments is not that of the initializer's parameters.");
    (detail::check_parameter<P>(), ...);
    code_ = detail::initializer_of<body, Node, P...>::entry.number();
    write_ = [f = body(std::move(function)), stored = std::make_shared<const std::tuple<detail::travelling_t<P>...>>(
                                                 detail::travelling_t<P>(std::move(args))...)](encoder& out) {
      detail::put_body(out, f);
      std::apply([&](const auto&... value) { (out.value(value), ...); }, *stored);
    };
  };
  using split = decltype(detail::split_parameters(detail::parameters_of<body, Args...>()));
  take(split{});
}

// What all items of a letter have in common.
template <class Shape, class F, class... Fixed>
std::function<void(encoder&)> pool_handle::writer_of_function(const F& f, const Fixed&... fixed) const {
  detail::check_body<F>();
  std::uint32_t number = 0;
  if constexpr (detail::plain_function<F>) number = link().number_of(reinterpret_cast<const void*>(f));
  // Valid while the call that made it runs, or its stream lives: see there.
  return [options = options_, number, f, fixed...](encoder& out) {
    static_cast<void>(number), static_cast<void>(f);  // not used for every kind of function
    out.value(options->name);
    if constexpr (detail::plain_function<F>) out.value(number);
    else if constexpr (!std::is_empty_v<F>) out.value(f);
    const encoder::copying all(out);
    detail::put_all_as(out, typename Shape::fixed{}, fixed...);
  };
}

template <class F, class... Args>
auto pool_handle::apply_async(F f, const Args&... args) const {
  using shape = detail::task_shape<F, detail::type_list<std::decay_t<const Args&>...>, detail::type_list<>>;
  using value = typename shape::value_type;
  const auto write_function = writer_of_function<shape>(f);
  const auto code = shape::body::entry.number();
  auto job = std::make_shared<detail::apply_job<value>>(origin("apply", code), std::size_t{1});
  link().submit(job, 0, 1, queue(), head(code), [&](encoder& out) {
    write_function(out);
    detail::put_all_as(out, typename shape::item{}, args...);
  });
  return detail::future_access::make<value>(std::move(job));
}

template <bool Star, class F, class Items, class... Fixed>
auto pool_handle::submit_map(const char* call, bool probe, bool reports, F f, const Items& items, const Fixed&... fixed) const {
  using item_list = typename detail::item_types<Star, const Items>::type;
  using shape = detail::task_shape<F, item_list, detail::type_list<std::decay_t<const Fixed&>...>>;
  using value = typename shape::value_type;
  const auto write_function = writer_of_function<shape>(f, fixed...);
  const auto code = shape::body::entry.number();
  const auto count = static_cast<std::size_t>(std::ranges::distance(items));
  auto job = std::make_shared<detail::map_job<value>>(origin(call, code), count);
  if (reports) job->report_to(options_->on_progress, count);
  auto at = std::ranges::begin(items);
  std::size_t base = 0;
  const auto submit = [&](std::size_t n) {
    link().submit(job, base, static_cast<std::uint32_t>(n), queue(), head(code), [&](encoder& out) {
      write_function(out);
      detail::put_items<shape, Star>(out, at, static_cast<std::uint32_t>(n));
    });
    std::ranges::advance(at, static_cast<std::ptrdiff_t>(n));
    base += n;
  };
  try {
    // What it costs is not known: a few tell.
    const std::size_t probes = link().workers();
    if (probe && options_->chunk == 0 && count > 8 * probes && !link().cost(code)) {
      while (base < probes) submit(1);
      const auto left = count - probes;
      job->home()
          .wait(
              *job, [&] { return job->left() <= left || link().cost(code).has_value(); }, deadline::never())
          .value();
    }
    const auto chunk = chunk_for(code, count);
    while (base < count) submit(std::min(chunk, count - base));
  } catch (...) {
    job->home().cancel(*job);
    throw;
  }
  return job;
}

namespace detail {
/// Something that can be walked twice.
template <class Items>
decltype(auto) walkable(Items& items) {
  if constexpr (std::ranges::forward_range<const std::remove_const_t<Items>>) {
    return std::as_const(items);
  } else {
    std::vector<std::ranges::range_value_t<Items>> all;
    for (auto&& item : items) all.emplace_back(std::forward<decltype(item)>(item));
    return all;
  }
}
}  // namespace detail

template <bool Star, class F, class Items, class... Fixed>
auto pool_handle::start_map(const char* call, F f, Items& items, const Fixed&... fixed) const {
  const auto& all = detail::walkable(items);
  auto job = submit_map<Star>(call, false, true, std::move(f), all, fixed...);
  return detail::future_access::make<typename decltype(job)::element_type::whole>(std::move(job));
}

template <bool Star, class F, class Items, class... Fixed>
auto pool_handle::run_map(const char* call, F f, Items& items, const Fixed&... fixed) const {
  refuse_in_own_worker(call);
  const auto began = deadline::now();
  const auto& all = detail::walkable(items);
  auto job = submit_map<Star>(call, true, false, std::move(f), all, fixed...);
  auto& in = job->home();
  const auto total = options_->on_progress ? static_cast<std::size_t>(std::ranges::distance(all)) : 0;
  try {
    for (auto left = total; options_->on_progress && left != 0;) {
      in.wait(
            *job, [&] { return job->left() != left; }, deadline::never())
          .value();
      left = job->left();
      options_->on_progress({total - left, total, std::chrono::nanoseconds(deadline::now() - began)});
    }
    in.wait(
          *job, [&] { return job->done(); }, deadline::never())
        .value();
  } catch (...) {
    in.cancel(*job);
    throw;
  }
  return std::move(job->outcome()).value();
}

template <class F, class Items, class... Fixed>
auto pool_handle::stream(bool ordered, const char* call, F f, Items items, const Fixed&... fixed) const {
  using item_list = typename detail::item_types<false, Items>::type;
  using shape = detail::task_shape<F, item_list, detail::type_list<std::decay_t<const Fixed&>...>>;
  using value = typename shape::value_type;
  using element = std::ranges::range_value_t<Items>;
  const auto code = shape::body::entry.number();
  auto job = std::make_shared<detail::stream_job<value>>(origin(call, code), ordered);
  const auto chunk = std::clamp<std::size_t>(options_->chunk, 1, detail::largest_chunk);
  struct input {
    Items items;
    std::optional<std::ranges::iterator_t<Items>> at = {};
    std::size_t pulled = 0;
    std::vector<element> batch = {};
  };
  auto in = std::make_shared<input>(input{std::move(items)});
  auto pull = [in, job, chunk, link = link_, head = head(code), queue = queue(),
               write_function = writer_of_function<shape>(f, fixed...)](std::size_t most) -> bool {
    in->batch.clear();
    bool more = true;
    std::exception_ptr threw;
    try {
      while (in->batch.size() < std::min(chunk, most)) {
        if (!in->at) in->at.emplace(std::ranges::begin(in->items));
        else if (*in->at != std::ranges::end(in->items) && in->pulled != 0) ++*in->at;
        if (*in->at == std::ranges::end(in->items)) {
          more = false;
          break;
        }
        in->batch.emplace_back(**in->at);
        ++in->pulled;
      }
    } catch (...) { threw = std::current_exception(); }
    if (const auto n = in->batch.size(); n != 0) {
      link->submit(job, in->pulled - n, static_cast<std::uint32_t>(n), queue, head, [&](encoder& out) {
        write_function(out);
        detail::put_items<shape, false>(out, in->batch.begin(), static_cast<std::uint32_t>(n));
      });
    }
    if (threw) std::rethrow_exception(threw);
    return more;
  };
  constexpr std::size_t usual_window = 1024;
  const auto window = options_->window != 0 ? options_->window : usual_window * link().workers();
  return task_stream<value>(std::move(job), std::move(pull), window, options_->on_progress);
}

/// Travels as its queues; what is called by the copy has no options.
template <>
struct codec<pool_handle> {
  static constexpr std::uint64_t fingerprint = detail::tasks_fingerprint;
  static void put(encoder& out, const pool_handle& p);
  static pool_handle get(decoder& in);
};

}  // namespace cloister
