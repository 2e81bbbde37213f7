// SPDX-License-Identifier: BSD-3-Clause
// One process's hold on one shared object: the mapping, and how often it is used here in which role.
//
// Every handle (queue, source, sink, pipe_end, mutex, ...) is an `object_handle`: a shared pointer to the attachment and a role. The hub
// counts, per process, the attachments and the roles in use; the first use of a role here and the last are told to it.
// When the last handle goes, the object is unmapped and the hub told. One attachment an object and process.
//
// Threads: any. Blocks: only to queue a short message to the hub. Forked children: see adopt_uses.
#pragma once

#include <cloister/detail/arena.hpp>
#include <cloister/detail/event_count.hpp>
#include <cloister/detail/memory.hpp>
#include <cloister/fd.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace cloister::detail {

class ring;
class slots;

/// Roles 1 and 2 of the two kinds of object.
inline constexpr unsigned no_role = 0, sink_role = 1, source_role = 2, end_a = 1, end_b = 2;

class attachment : public std::enable_shared_from_this<attachment> {
 public:
  /// Made by membership only, which then gives it its core.
  explicit attachment(std::uint64_t id);
  ~attachment();
  attachment(const attachment&) = delete;
  attachment& operator=(const attachment&) = delete;

  std::uint64_t id() const noexcept { return id_; }
  /// Of the message type; a pipe's first is that of what end A sends.
  std::uint64_t fingerprint(unsigned direction = 0) const noexcept { return fingerprints_[direction]; }
  const std::string& name() const noexcept { return name_; }
  /// arena: it is a small object in one.
  object_kind kind() const noexcept { return queue_ ? object_kind::queue : pipe_ ? object_kind::pipe : object_kind::arena; }
  slots& queue() const noexcept { return *queue_; }  ///< REQUIRES: kind() == queue
  ring& pipe() const noexcept { return *pipe_; }     ///< REQUIRES: kind() == pipe
  // REQUIRES: kind() == arena
  const small_head& small() const noexcept { return *small_; }
  std::size_t body_bytes() const noexcept { return home_->body_bytes(); }
  template <class Body>
  Body& body() const noexcept {
    return *reinterpret_cast<Body*>(reinterpret_cast<std::byte*>(small_) + sizeof(small_head));
  }
  /// What this process alone knows of a small object: words of its kind's own, zero at first, and after a fork in the child.
  std::array<std::atomic<std::uint64_t>, 2>& own() noexcept { return own_; }

  /// The node that it was in has ended, as far as this process is concerned.
  bool gone() const noexcept { return gone_.load(std::memory_order_relaxed); }

  /// Has a small object's kind do something that does not throw when the last handle here goes. Every handle of that kind sets the same.
  void at_end(void (*what)(attachment&)) noexcept { at_end_.store(what, std::memory_order_relaxed); }

  void use(unsigned role);  ///< one more handle in `role` lives here
  void stop_use(unsigned role) noexcept;
  /// In a forked child: these uses are its own; all other handles in its memory are its parent's.
  void adopt_uses(std::array<unsigned, 3> uses) noexcept;

  /// The descriptor that becomes readable, as an edge, when bell `which` rings; fetched from the hub on first use.
  /// Throws `failure{no_descriptors}`.
  int bell(unsigned which);

 private:
  friend class membership;
  struct bell_line {
    attachment* owner = nullptr;
    unsigned which = 0;
    std::atomic<int> fd{-1};
  };
  static void ring_bell(void* line) noexcept;
  class membership* node_of_it() const noexcept;
  bell_ringer ringer(unsigned which) noexcept;

  const std::uint64_t id_;
  std::array<std::uint64_t, 2> fingerprints_{};
  std::string name_;
  // one of the three
  std::unique_ptr<slots> queue_;
  std::unique_ptr<ring> pipe_;
  small_head* small_ = nullptr;
  std::shared_ptr<arena> home_;  // of the small object
  std::array<std::atomic<std::uint64_t>, 2> own_{};
  std::atomic<void (*)(attachment&)> at_end_{nullptr};  // before the hub hears that this process does not hold it any more
  std::atomic<bool> gone_{false};
  std::mutex mutex_;
  std::array<unsigned, 3> uses_{};  // guarded by mutex_
  std::array<bell_line, 4> bells_;  // own synchronisation: set once, under mutex_
};

/// A counted use of an attachment in a role: what all public handles are made of.
class object_handle {
 public:
  object_handle() = default;
  object_handle(std::shared_ptr<attachment> object, unsigned role) : object_(std::move(object)), role_(role) {
    if (object_) object_->use(role_);
  }
  object_handle(const object_handle& other) : object_handle(other.object_, other.role_) {}
  object_handle(object_handle&& other) noexcept : object_(std::move(other.object_)), role_(other.role_) { other.object_.reset(); }
  // Not one operator by value: Clang 14 does not destroy its parameter after `handle = {}`.
  object_handle& operator=(const object_handle& other) { return *this = object_handle(other); }
  object_handle& operator=(object_handle&& other) noexcept {
    object_handle before(std::move(*this));
    object_ = std::move(other.object_);
    role_ = other.role_;
    return *this;
  }
  ~object_handle() {
    if (object_) object_->stop_use(role_);
  }

  explicit operator bool() const noexcept { return object_ != nullptr; }
  attachment* operator->() const noexcept { return object_.get(); }
  attachment& operator*() const noexcept { return *object_; }
  const std::shared_ptr<attachment>& object() const noexcept { return object_; }
  unsigned role() const noexcept { return role_; }

 private:
  std::shared_ptr<attachment> object_;
  unsigned role_ = no_role;
};

}  // namespace cloister::detail
