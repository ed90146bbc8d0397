// How fast a model file can be read past the page cache: what loading will take.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "base/error.h"

namespace halod::cli {

struct DiskSpeed {
  uint64_t bytes = 0;
  double seconds = 0;
  double gb_per_s() const { return seconds > 0 ? static_cast<double>(bytes) / seconds / 1e9 : 0; }
};

/// The largest *.gguf in a folder or below it; nothing when there is none. Blocks on the disk.
std::optional<std::filesystem::path> largest_model_file(const std::filesystem::path& folder);

/// Reads up to `max_bytes` of a file with O_DIRECT. Errors: kUnsupported where the file system has no direct
/// reads (tmpfs, some overlays); kIo. Blocks on the disk.
Result<DiskSpeed> measure_disk_speed(const std::filesystem::path& file, uint64_t max_bytes);

}  // namespace halod::cli
