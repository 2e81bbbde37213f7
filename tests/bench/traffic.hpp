// SPDX-License-Identifier: BSD-3-Clause
// The queue contest: producers put messages as fast as they can for a while, consumers get them all.
//
//   stage s;  crew members;
//   members.add(j, 0, [&] { produce(s, j, [&](std::span<const std::byte> m) { ...put m... }); });
//   members.add(j, 1, [&] { consume(s, j, [&](std::span<std::byte> room) { ...get into room... }); });
//   return measure(s, members, j);
//
// Every message carries a number in its first 8 bytes; the sums sent and received must agree. Number 0 ends a consumer:
// the last producer to finish puts one for each. The rate counts all messages, from the opening of the gate until the
// last was received. A producer copies from memory of its own, a consumer into memory of its own.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "contest.hpp"
#include "stage.hpp"

namespace bench {

inline std::uint64_t number_of(std::span<const std::byte> message) noexcept {
  std::uint64_t number = 0;
  std::memcpy(&number, message.data(), sizeof(number));
  return number;
}

inline void set_number(std::span<std::byte> message, std::uint64_t number) noexcept {
  std::memcpy(message.data(), &number, sizeof(number));
}

/// A message of `bytes` bytes, or of as many as an array has; REQUIRES: at least 8.
template <class Message = std::vector<std::byte>>
Message make_message(std::size_t bytes) {
  Message message{};
  if constexpr (requires { message.resize(bytes); }) message.resize(bytes);
  for (std::size_t i = 0; i < message.size(); ++i) message[i] = static_cast<std::byte>(i * 31 + 7);
  return message;
}

/// Puts numbered messages, at least one, until the stage stops; returns true for the last producer. `put` is called with the message,
/// which is a vector or an array of bytes.
template <class Message = std::vector<std::byte>, std::invocable<const Message&> Put>
bool produce_until_stop(stage& s, const job& j, Put&& put) {
  auto message = make_message<Message>(j.bytes);
  std::uint64_t number = 0;
  std::uint64_t sum = 0;
  s.wait_at_gate();
  do {  // at least one, however short of processors the machine is
    set_number(message, ++number);
    sum += number;
    put(message);
  } while (!s.stopping());
  return s.add_sent(number, sum, j.producers);
}

/// The same, and the last producer ends the consumers.
template <class Message = std::vector<std::byte>, std::invocable<const Message&> Put>
void produce(stage& s, const job& j, Put&& put) {
  if (!produce_until_stop<Message>(s, j, put)) return;
  auto end = make_message<Message>(j.bytes);
  set_number(end, 0);
  for (int i = 0; i < j.consumers; ++i) put(end);
}

/// Gets messages until one with number 0. `next` gets a message and returns its number.
template <std::invocable Next>
void consume_numbers(stage& s, Next&& next) {
  std::uint64_t messages = 0;
  std::uint64_t sum = 0;
  s.wait_at_gate();
  while (const std::uint64_t number = next()) {
    sum += number;
    ++messages;
  }
  s.add_received(messages, sum, now_ns());
}

/// The same for a `get` that fills the memory it is given.
template <std::invocable<std::span<std::byte>> Get>
void consume(stage& s, const job& j, Get&& get) {
  std::vector<std::byte> message(j.bytes);
  consume_numbers(s, [&] {
    get(std::span<std::byte>(message));
    return number_of(message);
  });
}

/// Runs the contest once all participants are at the gate; returns the figure "rate", messages per second.
figures measure(stage& s, crew& members, const job& j);
/// The same for participants that are no crew: `join` waits for all of them.
figures measure(stage& s, const job& j, std::uint32_t participants, const std::function<void()>& join);

}  // namespace bench
