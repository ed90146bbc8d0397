// The disk that holds a folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.h"

namespace halod {

struct Disk {
  std::string mount_point;  ///< "/var"
  std::string device;       ///< "/dev/nvme0n1p3"; a file system without one says its name: "tmpfs"
  std::string filesystem;   ///< "ext4"
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;  ///< to users without privileges
};

/// `folder` is absolute, as the machine sees it, below `root`. Errors: kIo when it does not exist. Thread:
/// any.
Result<Disk> read_disk(const std::filesystem::path& root, const std::filesystem::path& folder);

}  // namespace halod
