// SPDX-License-Identifier: BSD-3-Clause
// Any bytes, decoded as one of the types of wire_samples.hpp: a value, or `failure{undecodable}`; nothing else, and no memory that the
// message does not pay for (-rss_limit_mb). What was decoded must encode, and decode again to something of the same size.
//
// Input: byte 0 chooses the type. If byte 1 is even, the rest is the message; if odd, the rest changes a valid message of that type:
// three bytes for each change (place, what to do, a byte), so that the fuzzer begins behind the first checks.
#include "../wire_samples.hpp"

#include <cstdlib>
#include <cstring>
#include <span>

using namespace cloister;

namespace {

struct subject {
  std::vector<std::byte> valid;
  void (*read)(std::span<const std::byte>);
};

template <class T>
void read_as(std::span<const std::byte> bytes) {
  std::vector<std::byte> clean;
  try {
    clean = encode(decode<T>(bytes));
  } catch (const failure& f) {
    if (f.code() != errc::undecodable || std::strncmp(f.what(), "decode of '", 11) != 0) std::abort();
    return;
  }
  if (encode(decode<T>(clean)).size() != clean.size()) std::abort();
}

const std::vector<subject>& subjects() {
  static const std::vector<subject> all = [] {
    std::vector<subject> made;
    samples::for_each_sample([&made]<class T>(const T& v) { made.push_back({encode(v), &read_as<T>}); });
    return made;
  }();
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const subject& chosen = subjects()[data[0] % subjects().size()];
  const auto rest = std::as_bytes(std::span(data, size)).subspan(2);
  if (data[1] % 2 == 0) {
    // Of exactly the message's size, and once more at an odd place.
    const std::vector<std::byte> exact(rest.begin(), rest.end());
    chosen.read(exact);
    chosen.read(rest);
    return 0;
  }
  auto bytes = chosen.valid;
  for (std::size_t i = 0; i + 2 < rest.size(); i += 3) {
    const std::size_t at = bytes.empty() ? 0 : static_cast<std::size_t>(rest[i]) % bytes.size();
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (static_cast<unsigned>(rest[i + 1]) % 4) {
      case 0:
        if (!bytes.empty()) *place = rest[i + 2];
        break;
      case 1:
        if (!bytes.empty()) *place ^= rest[i + 2];
        break;
      case 2: bytes.insert(place, rest[i + 2]); break;
      case 3:
        if (!bytes.empty()) bytes.erase(place);
        break;
    }
  }
  chosen.read(bytes);
  return 0;
}
