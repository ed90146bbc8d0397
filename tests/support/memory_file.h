// A file that exists only in memory: for tests that open thousands of variants of one.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

namespace halod {

/// Opened through path() by this process only. Disappears on destruction.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("halod-test", MFD_CLOEXEC)) {
    if (descriptor_ < 0) throw std::runtime_error("memfd_create failed");
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

  /// Replaces the content.
  void set_content(std::string_view content) const {
    if (ftruncate(descriptor_, 0) != 0 ||
        pwrite(descriptor_, content.data(), content.size(), 0) != static_cast<ssize_t>(content.size())) {
      throw std::runtime_error("cannot write a memory file");
    }
  }

 private:
  int descriptor_;
};

}  // namespace halod
