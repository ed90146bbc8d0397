#include "base/machine/disk.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>

#include "base/machine/text_file.h"

namespace halod {

namespace fs = std::filesystem;

namespace {

bool holds(const std::string& mount_point, const fs::path& folder) {
  const std::string path = folder.string() + "/";
  return mount_point == "/" || path.starts_with(mount_point + "/");
}

}  // namespace

Result<Disk> read_disk(const fs::path& root, const fs::path& folder) {
  const fs::path seen = root / folder.relative_path();
  struct statvfs space {};
  if (::statvfs(seen.c_str(), &space) != 0)
    return Error{ErrorCode::kIo, fmt::format("{}: {}", folder.string(), std::strerror(errno))};
  Disk disk{.total_bytes = uint64_t{space.f_blocks} * space.f_frsize,
            .available_bytes = uint64_t{space.f_bavail} * space.f_frsize};
  std::error_code ec;
  const fs::path resolved = root == "/" ? fs::canonical(folder, ec) : folder;
  for (const std::string& line : read_lines(root / "proc/self/mounts")) {
    const auto fields = words_of(line);  // device mount-point type …
    // Later mounts cover earlier ones at the same place.
    if (fields.size() < 3 || fields[1].size() < disk.mount_point.size() || !holds(fields[1], resolved))
      continue;
    disk.device = fields[0];
    disk.mount_point = fields[1];
    disk.filesystem = fields[2];
  }
  return disk;
}

}  // namespace halod
