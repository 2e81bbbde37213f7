// SPDX-License-Identifier: BSD-3-Clause
// A filesystem that is soon full, for tests of what happens when memory cannot be had.
#pragma once

#include <cloister/fd.hpp>

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>
#include <filesystem>
#include <string>

namespace harness {

// A tmpfs of `bytes` in a directory of its own; empty path if this user may not mount.
class small_filesystem {
 public:
  explicit small_filesystem(std::size_t bytes) {
    std::string name = (std::filesystem::temp_directory_path() / "cloister-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) return;
    if (::mount("tmpfs", name.c_str(), "tmpfs", 0, ("size=" + std::to_string(bytes)).c_str()) == 0) path_ = name;
    else ::rmdir(name.c_str());
  }
  ~small_filesystem() {
    if (path_.empty()) return;
    ::umount2(path_.c_str(), MNT_DETACH);
    ::rmdir(path_.c_str());
  }
  small_filesystem(const small_filesystem&) = delete;
  small_filesystem& operator=(const small_filesystem&) = delete;
  const std::string& path() const { return path_; }
  cloister::owned_fd file() const { return cloister::owned_fd(::open((path_ + "/f").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)); }

 private:
  std::string path_;
};

}  // namespace harness
