// SPDX-License-Identifier: BSD-3-Clause
// libFuzzer target: any bytes as a pool's task letters, and as answers in the lane of who submitted. A worker, whose body runs on a thread of
// this process, answers what makes no sense and goes on; whoever waits has each item settled once; and after all of it a task of a caller in
// its right mind comes back with its result.
//
// Input: letters, one after another. Byte 0 of each: its kind, and above bit 2 the length of what follows its head; byte 1 chooses the
// function or the answer's form, bytes 2 and 3 which items. Kind 3: no head, the bytes are all there is; 7: the same, as an answer.
#include <cloister/actors/detail/pool_code.hpp>
#include <cloister/actors/detail/pool_link.hpp>
#include <cloister/actors/internal/function_table.hpp>
#include <cloister/actors/internal/pool_board.hpp>
#include <cloister/actors/internal/pool_worker.hpp>
#include <cloister/cloister.hpp>
#include <cloister/detail/letter.hpp>
#include <cloister/internal/registry_options.hpp>

#include <array>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

using namespace cloister;
using namespace cloister::detail;
using namespace cloister::internal;

namespace {

struct rich {
  std::string text;
  std::vector<std::variant<int, std::string>> parts;
  std::map<std::string, int> counts;
};

struct twice {
  int operator()(int n) const { return static_cast<int>(2U * static_cast<unsigned>(n)); }
};
struct same {
  rich operator()(rich r) const { return r; }
};
struct throws {
  int operator()(const std::string& text, int n) const { throw std::runtime_error(text + std::to_string(n)); }
};
struct sends_back {
  queue<int> operator()(queue<int> q) const { return q; }
};
struct wants_state {
  int operator()(std::string& state) const { return static_cast<int>(state.size()); }
};
int by_address(int n) { return n; }

template <class F, class... Items>
std::uint64_t code_of() {
  return task_shape<F, type_list<Items...>, type_list<>>::body::entry.number();
}

// A worker's arguments stay in this process.
struct own_handles final : handle_sink, handle_source {
  std::vector<std::shared_ptr<attachment>> objects;
  std::vector<owned_fd> fds;
  std::uint64_t put_object(attachment& object, unsigned) override {
    for (std::size_t i = 0; i < objects.size(); ++i)
      if (objects[i].get() == &object) return i;
    std::abort();
  }
  std::uint64_t put_fd(int fd) override {
    fds.push_back(owned_fd(::dup(fd)));
    return fds.size() - 1;
  }
  std::shared_ptr<attachment> take_object(std::uint64_t number, std::uint64_t, unsigned, std::uint64_t) override {
    return objects.at(number);
  }
  owned_fd take_fd(std::uint64_t number) override { return std::move(fds.at(number)); }
};

// A pool with one worker and no thread that watches it.
class one_worker {
 public:
  explicit one_worker(node& here) : words_(here), board_(pool_board::create("fuzzed")), functions_(function_table::create()) {
    for (unsigned q = 0; q < pool_queues; ++q)
      queues_[q] = {make_queue({.name = "tasks"}, tasks_fingerprint, 176, q == normal_queue ? many_takers : 0).object(),
                    source_role};
    auto page = worker_page::create("fuzzed");
    functions_.add(reinterpret_cast<const void*>(&by_address));
    for (const auto& q : queues_) handles_.objects.push_back(q.object());
    handles_.objects.push_back(words_.handle().object());
    encoder out(&handles_);
    for (const auto& q : queues_) queue_to_message(out, q, source_role);
    out.value(sink<pool_word>(words_));
    for (const int fd : {page.fd(), board_.fd(), functions_.fd()}) out.value(owned_fd(::dup(fd)));
    out.value(worker_terms{"fuzzed", 1, 0, 0, 0, 0});
    start_.assign(out.bytes().begin(), out.bytes().end());
    thread_ = std::thread([this, &here] {
      decoder in(start_, &handles_);
      body_context context{in, here};
      run_pool_worker(context);
    });
    std::array<object_handle, pool_queues> sinks;
    for (unsigned q = 0; q < pool_queues; ++q) sinks[q] = {queues_[q].object(), sink_role};
    link_ = std::make_shared<pool_link>(std::move(sinks), sink<pool_word>(words_), 1, nullptr);
    inbox::here().introduce(*queues_[normal_queue]);
  }
  void stop() {
    for (auto& q : queues_) queue_close(*q, false);
    thread_.join();
  }

  const std::shared_ptr<pool_link>& link() const noexcept { return link_; }
  attachment& tasks() const noexcept { return *queues_[normal_queue]; }

 private:
  const queue<pool_word> words_;
  pool_board board_;
  function_table functions_;
  std::array<object_handle, pool_queues> queues_;
  own_handles handles_;
  std::vector<std::byte> start_;
  std::thread thread_;
  std::shared_ptr<pool_link> link_;
};

// What is waited for: each item is settled once.
template <class T>
class waits final : public job {
 public:
  waits(const std::shared_ptr<pool_link>& of, std::size_t items) : job({of, "fuzz"}, items), settled_(items) {}
  bool reads_once() const noexcept override { return read_once<T>; }
  void read(std::size_t item, decoder& in) override {
    auto value = in.value<T>();
    in.finish();
    last_ = std::move(value);
    settle(item);
  }
  void fail(std::size_t item, const error&) override { settle(item); }
  const std::optional<T>& last() const noexcept { return last_; }

 private:
  void settle(std::size_t item) {
    if (settled_.at(item)) std::abort();
    settled_[item] = true;
  }
  std::vector<bool> settled_;
  std::optional<T> last_;
};

constexpr std::uint32_t items = 5;
std::optional<node> here;
std::optional<one_worker> worker;

void put_raw(attachment& mailbox, std::span<const std::byte> head, std::span<const std::byte> rest) {
  std::vector<std::byte> bytes(head.begin(), head.end());
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  if (!put_bytes(mailbox, bytes, deadline::passed())) std::abort();
}

template <class T>
void run(std::span<const std::byte> in) {
  static const std::array codes{code_of<twice, int>(),
                                code_of<same, rich>(),
                                code_of<throws, std::string, int>(),
                                code_of<sends_back, queue<int>>(),
                                code_of<wants_state>(),
                                code_of<int (*)(int), int>(),
                                std::uint64_t{4711}};
  static lanes all(worker->tasks());
  auto& mine = inbox::here();
  const auto open = std::make_shared<waits<T>>(worker->link(), items);
  const auto ticket = mine.expect(open, 0, items);
  for (unsigned n = 0; in.size() >= 4 && n < 30; ++n) {
    const auto kind = static_cast<unsigned>(in[0]), choice = static_cast<unsigned>(in[1]);
    const auto from = static_cast<std::uint32_t>(in[2]), to = static_cast<std::uint32_t>(in[3]);
    const auto rest = in.subspan(4, std::min<std::size_t>(kind / 8 * 8, in.size() - 4));
    in = in.subspan(4 + rest.size());
    encoder head;
    if (kind % 8 < 4) {
      if (kind % 8 != 3) {
        task_head t;
        t.code = codes[choice % codes.size()];
        t.lane = choice / 8 % 8 == 7 ? choice : mine.lane();
        t.ticket = ticket + (kind % 8 == 2 ? choice / 64 : 0);
        t.base = from;
        t.begin = from % 8;
        t.end = to % 64 == 63 ? ~0U : to % 64;
        t.tries = static_cast<std::uint16_t>(to / 64);
        head.value(t);
      }
      put_raw(worker->tasks(), head.bytes(), rest);
    } else {
      if (kind % 8 != 7)
        write_head(head, {choice % 16 == 15 ? letter_kind::down : letter_kind::reply,
                          choice % 16 == 15 ? (choice / 16 % 2 == 0 ? worker->link()->id() : 7) : answer_key(from % 16, to % 16),
                          ticket + (choice / 16 == 15 ? 1 : 0), choice % 2 == 0 ? answer_framed : answer_alone, choice});
      put_raw(*all.find(mine.lane()), head.bytes(), rest);
    }
  }
  const auto last = std::make_shared<waits<int>>(worker->link(), 1);
  worker->link()->submit(last, 0, 1, normal_queue, {.code = codes[0]}, [](encoder& out) {
    out.value(std::string());
    out.value(21);
  });
  const auto waited = mine.wait(
      "fuzz", [&] { return last->done(); }, deadline(std::chrono::seconds(8)));
  if (!waited) std::abort();
  mine.fail(ticket, error(errc::cancelled, ""));
  if (!open->done()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  log_to_stderr(log_level::off);
  here.emplace(*argc, *argv);
  worker.emplace(*here);
  std::atexit([] {
    worker->stop();
    worker.reset();
    here.reset();
  });
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const auto in = std::as_bytes(std::span(data, size)).subspan(1);
  switch (data[0] % 3) {
    case 0: run<int>(in); break;
    case 1: run<rich>(in); break;
    default: run<queue<int>>(in); break;
  }
  return 0;
}
