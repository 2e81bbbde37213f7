// SPDX-License-Identifier: BSD-3-Clause
// The reference that slots are compared with: a byte ring behind one lock whose word names its owner.
//
// Nothing clever: tail and head are stored last, so a death under the lock leaves either the old or the new state, and
// repair is to release the lock of the dead. What it cannot do is go on while an owner is stopped.
// Lies in a mapping shared by fork. Threads and processes: any number; put and get never wait for room or messages.
#pragma once

#include <cloister/detail/spin.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <sched.h>
#include <sys/mman.h>

class locked_ring {
 public:
  explicit locked_ring(std::size_t capacity) : capacity_(capacity) {
    void* at = ::mmap(nullptr, sizeof(shared) + capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    shared_ = static_cast<shared*>(at);
    bytes_ = static_cast<std::byte*>(at) + sizeof(shared);
  }
  ~locked_ring() { ::munmap(shared_, sizeof(shared) + capacity_); }
  locked_ring(const locked_ring&) = delete;
  locked_ring& operator=(const locked_ring&) = delete;

  /// False: no room.
  bool put(std::uint16_t me, std::span<const std::byte> message) {
    const lock held(*shared_, me);
    const auto tail = shared_->tail.load(std::memory_order_relaxed);
    const auto length = static_cast<std::uint32_t>(message.size());
    if (capacity_ - (tail - shared_->head.load(std::memory_order_relaxed)) < sizeof length + message.size()) return false;
    write(tail, std::as_bytes(std::span(&length, 1)));
    write(tail + sizeof length, message);
    shared_->tail.store(tail + sizeof length + message.size(), std::memory_order_release);
    return true;
  }

  /// False: empty.
  bool get(std::uint16_t me, std::vector<std::byte>& into) {
    const lock held(*shared_, me);
    const auto head = shared_->head.load(std::memory_order_relaxed);
    if (head == shared_->tail.load(std::memory_order_relaxed)) return false;
    std::uint32_t length = 0;
    read(head, std::as_writable_bytes(std::span(&length, 1)));
    into.resize(length);
    read(head + sizeof length, into);
    shared_->head.store(head + sizeof length + length, std::memory_order_release);
    return true;
  }

  /// REQUIRES: `dead` is dead.
  void repair(std::uint16_t dead) {
    std::uint32_t owner = dead;
    shared_->owner.compare_exchange_strong(owner, 0);
  }

 private:
  struct shared {
    std::atomic<std::uint32_t> owner;
    std::atomic<std::uint64_t> head, tail;
  };
  struct lock {
    lock(shared& s, std::uint16_t me) : of(s) {
      for (int i = 1;; ++i) {
        std::uint32_t free = 0;
        if (of.owner.load(std::memory_order_relaxed) == 0 && of.owner.compare_exchange_weak(free, me)) return;
        if (i % 64 == 0) ::sched_yield();
        cloister::detail::cpu_relax();
      }
    }
    ~lock() { of.owner.store(0, std::memory_order_release); }
    lock(const lock&) = delete;
    lock& operator=(const lock&) = delete;
    shared& of;
  };

  void write(std::uint64_t at, std::span<const std::byte> from) {
    const auto first = std::min<std::size_t>(from.size(), capacity_ - at % capacity_);
    if (first > 0) std::memcpy(bytes_ + at % capacity_, from.data(), first);
    if (first < from.size()) std::memcpy(bytes_, from.data() + first, from.size() - first);
  }
  void read(std::uint64_t at, std::span<std::byte> into) const {
    const auto first = std::min<std::size_t>(into.size(), capacity_ - at % capacity_);
    if (first > 0) std::memcpy(into.data(), bytes_ + at % capacity_, first);
    if (first < into.size()) std::memcpy(into.data() + first, bytes_, into.size() - first);
  }

  std::size_t capacity_;
  shared* shared_;
  std::byte* bytes_;
};
