// A model file opened for positioned reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "base/error.h"

namespace halod {

/// Owns one read-only descriptor of a regular file. Thread: const methods from any thread.
class OpenFile {
 public:
  /// Errors: kNotFound, kIo (also for what is not a regular file).
  static Result<std::shared_ptr<const OpenFile>> open(const std::filesystem::path& path);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  /// The last component of the path, as messages show it.
  const std::string& name() const { return name_; }
  /// Bytes when it was opened.
  uint64_t size() const { return size_; }

  /// Fills `out` from `offset`. Errors: kCorruptFile when the file ends before, kIo.
  Result<> read_exactly(uint64_t offset, std::span<std::byte> out) const;

  /// Asks the system to bring these bytes into its page cache meanwhile. Never waits for the disk, never
  /// fails: it is advice; what lies past the end is ignored.
  void prefetch(uint64_t offset, uint64_t n_bytes) const;

 private:
  OpenFile(int descriptor, std::string name, uint64_t size)
      : descriptor_(descriptor), name_(std::move(name)), size_(size) {}
  int descriptor_;
  std::string name_;
  uint64_t size_;
};

}  // namespace halod
