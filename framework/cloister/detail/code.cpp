// SPDX-License-Identifier: BSD-3-Clause
// Naming code by module and offset. A reference is looked up, never trusted: the module must be loaded here with the same build id, and
// the offset must lie in one of its executable segments.
#include <cloister/detail/body.hpp>

#include <cloister/error.hpp>

#include <elf.h>
#include <link.h>
#include <algorithm>
#include <cstring>

namespace cloister::detail {
namespace {

std::string build_id_of(const dl_phdr_info& module) {
  for (int i = 0; i < module.dlpi_phnum; ++i) {
    const auto& segment = module.dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const auto* at = reinterpret_cast<const char*>(module.dlpi_addr + segment.p_vaddr);
    const auto* end = at + segment.p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      ElfW(Nhdr) note;
      std::memcpy(&note, at, sizeof note);
      const char* name = at + sizeof note;
      const char* text = name + ((note.n_namesz + 3U) & ~3U);
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0) {
        static constexpr char digits[] = "0123456789abcdef";
        std::string id;
        for (unsigned b = 0; b < note.n_descsz; ++b) {
          const auto byte = static_cast<unsigned char>(text[b]);
          id += digits[byte >> 4];
          id += digits[byte & 15];
        }
        return id;
      }
      at = text + ((note.n_descsz + 3U) & ~3U);
    }
  }
  return {};
}

bool in_code(const dl_phdr_info& module, std::uint64_t offset) {
  return std::any_of(module.dlpi_phdr, module.dlpi_phdr + module.dlpi_phnum, [&](const auto& s) {
    return s.p_type == PT_LOAD && (s.p_flags & PF_X) != 0 && offset >= s.p_vaddr && offset < s.p_vaddr + s.p_memsz;
  });
}

struct search {
  std::uint64_t address = 0;      // locate_code
  const code_ref* ref = nullptr;  // find_code
  code_ref found;
  const void* code = nullptr;
  bool done = false;
};

int visit(dl_phdr_info* module, std::size_t, void* of) {
  auto& s = *static_cast<search*>(of);
  if (s.ref == nullptr) {
    const std::uint64_t offset = s.address - module->dlpi_addr;
    if (s.address < module->dlpi_addr || !in_code(*module, offset)) return 0;
    s.found = {build_id_of(*module), offset};
    s.done = true;
    return 1;
  }
  if (build_id_of(*module) != s.ref->build_id) return 0;
  if (!in_code(*module, s.ref->offset)) return 0;
  s.code = reinterpret_cast<const void*>(module->dlpi_addr + s.ref->offset);
  s.done = true;
  return 1;
}

}  // namespace

code_ref locate_code(const void* code) {
  search s;
  s.address = reinterpret_cast<std::uint64_t>(code);
  ::dl_iterate_phdr(visit, &s);
  if (!s.done) throw failure(errc::invalid, "process start: the body's code is in no module of this program");
  if (s.found.build_id.empty())
    throw failure(errc::invalid,
                  "process start: the body's code is in a module that was linked without a build id (-Wl,--build-id)");
  return s.found;
}

const void* find_code(const code_ref& ref) {
  search s;
  s.ref = &ref;
  if (!ref.build_id.empty()) ::dl_iterate_phdr(visit, &s);  // else any module without one would do
  if (!s.done)
    throw failure(errc::not_started,
                  "process start: the body's code (build id '" + ref.build_id +
                      "') is not in this process: a library that was loaded later, or a file that was replaced by another build");
  return s.code;
}

}  // namespace cloister::detail
