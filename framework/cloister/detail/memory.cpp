// SPDX-License-Identifier: BSD-3-Clause
// Making, sealing, mapping, reserving; what the kernel says, as an error of ours.
#include <cloister/detail/memory.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <limits>
#include <utility>

#ifndef MFD_NOEXEC_SEAL  // Linux 6.3
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace cloister::detail {
namespace {

// What an errno of memfd_create, ftruncate, fallocate or mmap means to a caller.
errc kind_of(int number) noexcept {
  switch (number) {
    case EMFILE:
    case ENFILE: return errc::no_descriptors;
    case ENOSPC:
    case ENOMEM:
    case EDQUOT:
    case EFBIG:
    case EAGAIN: return errc::no_memory;
    default: return errc::invalid;
  }
}

error system_error(std::string_view what, const std::string& doing, int number) {
  return {kind_of(number), std::string(what) + ": " + doing + ": " + std::strerror(number)};
}

// On some kernels a signal interrupts fallocate before its end, and it is then undone: with a fast timer it might never
// succeed. So the second attempt runs with signals blocked.
int allocate(int fd, std::size_t from, std::size_t bytes) noexcept {
  const auto once = [&] { return ::fallocate(fd, 0, static_cast<off_t>(from), static_cast<off_t>(bytes)) == 0 ? 0 : errno; };
  int failed = once();
  if (failed != EINTR) return failed;
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  do failed = once();
  while (failed == EINTR);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return failed;
}

int make_memfd(const std::string& name) noexcept {
  int fd = ::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  if (fd < 0 && errno == EINVAL) fd = ::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || fd > STDERR_FILENO) return fd;
  // A program may have closed its standard input or output: what is printed must not go into a mailbox.
  const int higher = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int why = errno;
  ::close(fd);
  errno = why;
  return higher;
}

constexpr int required_seals = F_SEAL_SHRINK | F_SEAL_GROW;

}  // namespace

std::size_t page_size() noexcept {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

std::size_t round_to_pages(std::size_t n) noexcept {
  const std::size_t mask = page_size() - 1;
  return n > std::numeric_limits<std::size_t>::max() - mask ? ~mask : (n + mask) & ~mask;
}

memory::memory(memory&& other) noexcept
    : fd_(std::move(other.fd_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      what_(std::move(other.what_)) {}

memory& memory::operator=(memory&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(what_, other.what_);
  return *this;
}

memory::~memory() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

result<memory> memory::create(std::string_view what, std::size_t max_bytes, std::size_t reserve_bytes) {
  const int fd = make_memfd("cloister " + std::string(what.substr(0, 200)));
  if (fd < 0) return system_error(what, "cannot make shared memory", errno);
  return prepare(owned_fd(fd), what, max_bytes, reserve_bytes, true);
}

result<memory> memory::adopt(owned_fd fd, std::string_view what, std::size_t max_bytes, std::size_t reserve_bytes) {
  return prepare(std::move(fd), what, max_bytes, reserve_bytes, false);
}

result<memory> memory::prepare(owned_fd fd, std::string_view what, std::size_t max_bytes, std::size_t reserve_bytes, bool seal) {
  memory m;
  m.what_ = what;
  m.size_ = round_to_pages(max_bytes);
  m.fd_ = std::move(fd);
  if (reserve_bytes == 0 || reserve_bytes > max_bytes || m.size_ > static_cast<std::size_t>(std::numeric_limits<off_t>::max()))
    return error{errc::invalid, m.what_ + ": cannot make shared memory of " + std::to_string(max_bytes) + " bytes"};
  // ftruncate beyond RLIMIT_FSIZE does not only fail, it sends SIGXFSZ.
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && m.size_ > limit.rlim_cur)
    return error{errc::no_memory, m.what_ + ": cannot make shared memory of " + std::to_string(max_bytes) +
                                      " bytes: the file size limit is " + std::to_string(limit.rlim_cur)};
  int failed = 0;
  do failed = ::ftruncate(m.fd_.get(), static_cast<off_t>(m.size_)) == 0 ? 0 : errno;
  while (failed == EINTR);
  if (failed != 0) return system_error(what, "cannot size shared memory", failed);
  if (auto r = m.reserve(0, reserve_bytes); !r) return r.error();
  if (seal && ::fcntl(m.fd_.get(), F_ADD_SEALS, required_seals | F_SEAL_SEAL) != 0)
    return system_error(what, "cannot seal shared memory", errno);
  if (auto r = m.map(); !r) return r.error();
  return m;
}

result<memory> memory::attach(owned_fd fd, std::string_view what) {
  memory m;
  m.what_ = what;
  m.fd_ = std::move(fd);
  const int seals = ::fcntl(m.fd_.get(), F_GET_SEALS);
  if (seals < 0 || (seals & required_seals) != required_seals)
    return error{errc::wrong_type, m.what_ + ": attach: the descriptor is not a sealed shared memory"};
  struct stat st {};
  if (::fstat(m.fd_.get(), &st) != 0) return system_error(what, "attach", errno);
  if (st.st_size < static_cast<off_t>(sizeof(object_header)))
    return error{errc::wrong_type, m.what_ + ": attach: the shared memory is too small to hold an object"};
  m.size_ = static_cast<std::size_t>(st.st_size);
  if (auto r = m.map(); !r) return r.error();
  return m;
}

result<void> memory::map() {
  void* at = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd_.get(), 0);
  if (at == MAP_FAILED) return system_error(what_, "cannot map " + std::to_string(size_) + " bytes", errno);
  data_ = static_cast<std::byte*>(at);
  ::madvise(at, size_, MADV_DONTDUMP);  // a core dump would write it all, and delay the proof of the process's death
  return {};
}

result<void> memory::reserve(std::size_t from, std::size_t bytes) {
  if (from > size_ || bytes > size_ - from) return error{errc::invalid, what_ + ": reserve beyond the end of the shared memory"};
  if (bytes == 0) return {};
  if (const int failed = allocate(fd_.get(), from, bytes); failed != 0)
    return error{failed == EINVAL ? errc::invalid : errc::no_memory,
                 what_ + ": cannot reserve " + std::to_string(bytes) + " bytes of shared memory: " + std::strerror(failed)};
  return {};
}

bool memory::try_reserve(std::size_t from, std::size_t bytes) noexcept {
  return from <= size_ && bytes <= size_ - from && (bytes == 0 || allocate(fd_.get(), from, bytes) == 0);
}

void memory::release(std::size_t from, std::size_t bytes) noexcept {
  if (from > size_ || bytes > size_ - from) return;
  const std::size_t mask = page_size() - 1;
  const std::size_t first = (from + mask) & ~mask;
  const std::size_t last = (from + bytes) & ~mask;
  if (first >= last) return;
  while (::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(first),
                     static_cast<off_t>(last - first)) != 0 &&
         errno == EINTR) {}
}

object_header object_header::make(object_kind kind, std::uint64_t id, std::array<std::uint64_t, 2> fingerprints, std::size_t size,
                                  std::string_view name) {
  object_header h{};
  h.magic = magic_value;
  h.version = current_version;
  h.kind = kind;
  h.id = id;
  h.size = size;
  h.fingerprints = fingerprints;
  std::copy_n(name.begin(), std::min(name.size(), h.name.size() - 1), h.name.begin());
  return h;
}

result<object_header> object_header::read(const memory& from, object_kind expected) {
  const std::string& what = from.what();
  if (from.size() < sizeof(object_header)) return error{errc::broken, what + ": attach: no room for an object header"};
  object_header h{};
  std::memcpy(&h, from.data(), sizeof h);
  if (h.magic != magic_value) return error{errc::wrong_type, what + ": attach: not an object of this library"};
  if (h.version != current_version)
    return error{errc::wrong_type,
                 what + ": attach: made by another version of the library (format " + std::to_string(h.version) + ")"};
  if (h.kind != expected) return error{errc::wrong_type, what + ": attach: another kind of object"};
  if (h.size != from.size() || h.name.back() != '\0') return error{errc::broken, what + ": attach: the object header is corrupted"};
  return h;
}

std::string_view object_header::name_view() const noexcept {
  return {name.data(), static_cast<std::size_t>(std::find(name.begin(), name.end(), '\0') - name.begin())};
}

}  // namespace cloister::detail
