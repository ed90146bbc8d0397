#include "base/machine/control_group.h"

#include "base/machine/text_file.h"

namespace halod {

namespace fs = std::filesystem;

std::vector<fs::path> control_group_folders(const fs::path& root) {
  const fs::path mount = root / "sys/fs/cgroup";
  std::vector<fs::path> folders;
  const auto group = find_value(root / "proc/self/cgroup", "0::/");
  for (fs::path folder = mount / group.value_or("");; folder = folder.parent_path()) {
    if (!folder.has_filename()) continue;  // what an empty group leaves: a slash at the end
    folders.push_back(folder);
    if (folder == mount || !folder.has_relative_path()) return folders;
  }
}

}  // namespace halod
