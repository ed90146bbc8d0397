// The bytes of a download so far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "base/error.h"
#include "cli/pull/checksum.h"
#include "cli/pull/selection.h"

namespace halod::cli {

/// Called with the bytes read so far.
using ReadProgress = std::function<void(uint64_t)>;

/// Whether the file at `path` is `file`, by size and checksum. Errors: kIo.
Result<bool> holds(const std::filesystem::path& path, const HubFile& file, const ReadProgress& on_read);

/// A file that grows at its end, with the checksum of what is in it. Held by one process at a time. Thread:
/// one.
class PartialFile {
 public:
  /// Goes on with the file at `path` if there is one, reading it for the checksum. Errors: kIo; kQueueFull
  /// when another process has it.
  static Result<PartialFile> open(std::filesystem::path path, const HubFile& file,
                                  const ReadProgress& on_read);
  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&&) = delete;
  ~PartialFile();

  uint64_t size() const { return size_; }
  /// Errors: kIo, naming a full disk.
  Result<> append(std::span<const std::byte> bytes);
  /// Back to nothing. Errors: kIo.
  Result<> restart();
  /// Whether the checksum is the file's. Nothing may be appended afterwards but by restart().
  bool is_right();
  /// To the disk, and to its name. Errors: kIo.
  Result<> move_to(const std::filesystem::path& target);

 private:
  PartialFile(std::filesystem::path path, const HubFile& file, int fd);

  std::filesystem::path path_;
  const HubFile* file_;
  int fd_;
  uint64_t size_ = 0;
  Checksum checksum_;
};

}  // namespace halod::cli
