// SPDX-License-Identifier: BSD-3-Clause
// How big each part of a queue is made, and where it goes.
#include <cloister/detail/slots_layout.hpp>

#include <algorithm>
#include <bit>

namespace cloister::detail {
namespace {

constexpr std::uint64_t first_ring_bytes = 144 * 1024;
constexpr std::uint64_t first_lease_bytes = 40 * 1024;

std::uint32_t slot_stride(std::size_t message_size) {
  std::size_t room = message_size == 0 ? slots_geometry::usual_room : message_size;
  if (room > slots_geometry::largest_room) room = 48;  // every message goes into chunks
  std::size_t lines = (sizeof(slot_head) + room + 63) / 64;
  if (lines > 8 && lines % 2 == 0) ++lines;  // an even stride would crowd the words of all slots into few cache sets
  return static_cast<std::uint32_t>(lines * 64);
}

}  // namespace

std::uint64_t slots_geometry::ring_bytes(unsigned ring) const { return round_to_pages(slots_in(ring) * stride); }

std::uint64_t slots_geometry::ring_at(unsigned ring) const {
  std::uint64_t at_byte = rings_at;
  for (unsigned r = 0; r < ring; ++r) at_byte += ring_bytes(r);
  return at_byte;
}

slots_geometry slots_geometry::plan(std::size_t message_size, std::uint64_t max_items, std::uint64_t max_bytes,
                                    std::uint64_t max_deliveries) {
  slots_geometry g{};
  g.max_items = max_items;
  g.max_bytes = std::clamp<std::uint64_t>(max_bytes, chunk_bytes, std::uint64_t{1} << 42);
  g.max_deliveries = std::min<std::uint64_t>(max_deliveries, slot_word::most_redeliveries);
  g.stride = slot_stride(message_size);
  g.room = g.stride - static_cast<std::uint32_t>(sizeof(slot_head));

  // One slot of a ring stays free, to be sealed.
  std::uint64_t slots = std::bit_floor(std::min(first_ring_bytes, g.max_bytes) / g.stride);
  slots = std::clamp<std::uint64_t>(slots, 2, 1024);
  const std::uint64_t wanted = max_items == 0 || max_items >= slots ? 0 : std::bit_ceil(max_items + 1);
  g.first_slots = static_cast<std::uint32_t>(wanted == 0 ? slots : std::min(slots, std::max<std::uint64_t>(wanted, 2)));
  std::uint64_t bytes = g.ring_bytes(0);
  for (g.rings = 1; g.rings < most_rings; ++g.rings) {
    if (max_items != 0 && g.slots_in(g.rings - 1) > max_items) break;
    bytes += g.ring_bytes(g.rings);
    if (bytes > g.max_bytes) break;
  }

  g.lease_stride = (static_cast<std::uint32_t>(sizeof(lease_head)) + g.room + 63) / 64 * 64;
  g.first_leases = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(std::bit_floor(first_lease_bytes / g.lease_stride), 4, 64));
  for (g.lease_levels = 1; g.lease_levels < most_levels; ++g.lease_levels)
    if ((g.leases_in(g.lease_levels + 1) - g.first_leases) * g.lease_stride > g.max_bytes / 4) break;

  g.chunks = static_cast<std::uint32_t>((g.max_bytes + chunk_bytes - 1) / chunk_bytes);
  g.leases_at = g.ring_at(g.rings);
  g.chunk_table_at = g.leases_at + round_to_pages(g.level_at(g.lease_levels) - g.leases_at);
  g.chunks_at = g.chunk_table_at + round_to_pages(std::uint64_t{g.chunks} * sizeof(chunk_entry));
  g.size = g.chunks_at + std::uint64_t{g.chunks} * chunk_bytes;
  return g;
}

slots_layout::slots_layout(memory mapped, const slots_geometry& geometry)
    : mapping_(std::move(mapped)),
      geometry_(geometry),
      first_shift_(static_cast<unsigned>(std::countr_zero(geometry.first_slots))),
      shared_(reinterpret_cast<slots_shared*>(mapping_.data() + slots_shared::at)),
      lease_data_(mapping_.data() + geometry.leases_at),
      chunk_table_(reinterpret_cast<chunk_entry*>(mapping_.data() + geometry.chunk_table_at)),
      chunk_data_(mapping_.data() + geometry.chunks_at) {
  for (unsigned r = 0; r < geometry.rings; ++r) ring_data_[r] = mapping_.data() + geometry.ring_at(r);
}

lease_head& slots_layout::lease(std::uint32_t index) const {
  // Levels lie one behind the other, so the table is one array.
  return *reinterpret_cast<lease_head*>(lease_data_ + std::size_t{index} * geometry_.lease_stride);
}

}  // namespace cloister::detail
