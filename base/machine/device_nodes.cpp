#include "base/machine/device_nodes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/machine/text_file.h"

namespace halod {

bool may_open(const DeviceNode& node, const Identity& identity) {
  if (identity.uid == 0) return true;
  // The first class that applies decides, even when a later one would allow more.
  const uint32_t shift = identity.uid == node.uid ? 6 : identity.in(node.gid) ? 3 : 0;
  return (node.mode >> shift & 06U) == 06U;
}

std::vector<DeviceNode> read_device_nodes(const std::filesystem::path& root, const Accounts& accounts) {
  std::vector<std::string> paths = {"/dev/kfd"};
  for (const auto& node : list_folder(root / "dev/dri", "renderD"))
    paths.push_back("/dev/dri/" + node.filename().string());
  std::vector<DeviceNode> nodes;
  for (const std::string& path : paths) {
    const std::filesystem::path file = root / path.substr(1);
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) continue;
    nodes.push_back({.path = path,
                     .uid = status.st_uid,
                     .gid = status.st_gid,
                     .group = accounts.group_name(status.st_gid),
                     .mode = status.st_mode & 0777U,
                     .opens_for_caller = ::faccessat(AT_FDCWD, file.c_str(), R_OK | W_OK, AT_EACCESS) == 0});
  }
  return nodes;
}

}  // namespace halod
