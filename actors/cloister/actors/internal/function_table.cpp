// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/actors/internal/function_table.hpp>

#include <cloister/detail/body.hpp>
#include <cloister/error.hpp>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>

namespace cloister::internal {

struct function_table::entry {
  std::uint64_t offset;
  std::uint32_t id_length;  // 0: there is none; stored last
  char build_id[52];
};

function_table::function_table(owned_fd fd, bool writes) : fd_(std::move(fd)) {
  static_assert(sizeof(entry) == 64);
  auto* at = ::mmap(nullptr, most * sizeof(entry), writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd_.get(), 0);
  if (at == MAP_FAILED) throw failure(errc::no_memory, std::string("pool: its functions: ") + std::strerror(errno));
  entries_ = static_cast<entry*>(at);
}

function_table::function_table(function_table&& other) noexcept
    : fd_(std::move(other.fd_)), entries_(std::exchange(other.entries_, nullptr)) {}

function_table::~function_table() {
  if (entries_ != nullptr) ::munmap(entries_, most * sizeof(entry));
}

function_table function_table::create() {
  owned_fd fd(::memfd_create("cloister functions", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) throw failure(errc::no_descriptors, std::string("pool: its functions: ") + std::strerror(errno));
  constexpr auto size = static_cast<off_t>(most * sizeof(entry));
  if (::ftruncate(fd.get(), size) != 0 || ::posix_fallocate(fd.get(), 0, size) != 0)
    throw failure(errc::no_memory, "pool: no memory for its functions");
  function_table table(std::move(fd), true);
  // From here on nobody gets another mapping that can be written.
  if (::fcntl(table.fd(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) != 0)
    throw failure(errc::no_memory, std::string("pool: its functions: ") + std::strerror(errno));
  return table;
}

function_table function_table::attach(owned_fd fd) { return {std::move(fd), false}; }

std::uint32_t function_table::add(const void* function) {
  const auto where = detail::locate_code(function);
  for (std::uint32_t i = 0; i < most; ++i) {
    auto& e = entries_[i];
    const auto length = std::atomic_ref(e.id_length).load(std::memory_order_acquire);
    if (length != 0) {
      if (e.offset == where.offset && std::string_view(e.build_id, length) == where.build_id) return i;
      continue;
    }
    if (where.build_id.size() > sizeof e.build_id) break;
    e.offset = where.offset;
    where.build_id.copy(e.build_id, sizeof e.build_id);
    std::atomic_ref(e.id_length).store(static_cast<std::uint32_t>(where.build_id.size()), std::memory_order_release);
    return i;
  }
  throw failure(errc::no_memory, "pool: no place for another plain function: it has " + std::to_string(most));
}

const void* function_table::find(std::uint32_t index) const {
  if (index < most) {
    auto& e = entries_[index];
    const auto length = *static_cast<volatile std::uint32_t*>(&e.id_length);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (length != 0 && length <= sizeof e.build_id) return detail::find_code({std::string(e.build_id, length), e.offset});
  }
  throw failure(errc::undecodable, "a task names a function that its pool does not have");
}

}  // namespace cloister::internal
