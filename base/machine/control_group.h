// Where the kernel says what this process is limited to.
#pragma once

#include <filesystem>
#include <vector>

namespace halod {

/// The folders of this process's control group (version 2) and of those above it, innermost first; a
/// container that sees its own group only has that as the one folder. Whether files of limits are in them
/// depends on the controllers. `root` stands before /proc and /sys. Thread: any.
std::vector<std::filesystem::path> control_group_folders(const std::filesystem::path& root = "/");

}  // namespace halod
