#include "base/machine/rocm.h"

#include <vector>

#include "base/machine/text_file.h"

namespace halod {
namespace {

namespace fs = std::filesystem;

/// Relative to the root. ROCm's own packages first: an installation beside the distribution's is meant.
std::vector<std::string> library_folders(const fs::path& root) {
  std::vector<std::string> folders = {"opt/rocm/lib", "opt/rocm/lib64"};
  for (const fs::path& version : list_folder(root / "opt", "rocm-"))
    folders.push_back("opt/" + version.filename().string() + "/lib");
  for (const char* folder :
       {"usr/lib64", "usr/lib/x86_64-linux-gnu", "usr/lib", "usr/local/lib64", "usr/local/lib"})
    folders.emplace_back(folder);
  return folders;
}

}  // namespace

std::optional<RocmRuntime> find_rocm_runtime(const fs::path& root) {
  for (const std::string& folder : library_folders(root)) {
    const auto libraries = list_folder(root / folder, "libamdhip64.so");
    if (libraries.empty()) continue;
    const fs::path version_file = (root / folder).parent_path() / ".info/version";
    return RocmRuntime{.library = "/" + folder + "/" + libraries.front().filename().string(),
                       .version = read_line(version_file).value_or("")};
  }
  return std::nullopt;
}

}  // namespace halod
