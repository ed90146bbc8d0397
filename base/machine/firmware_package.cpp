#include "base/machine/firmware_package.h"

#include <algorithm>
#include <fstream>

#include "base/machine/text_file.h"

namespace halod {
namespace {

namespace fs = std::filesystem;

// The one with amdgpu's files first: distributions split linux-firmware.
constexpr std::string_view kPackages[] = {"firmware-amd-graphics", "linux-firmware-amdgpu", "linux-firmware"};

/// Paragraphs of "Field: value" lines; removed packages stay in the file with another status.
std::optional<std::string> dpkg_version(const fs::path& root, std::string_view package) {
  std::ifstream status(root / "var/lib/dpkg/status");
  bool in_package = false, installed = false;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("Package: ")) {
      in_package = std::string_view(line).substr(9) == package;
      installed = false;
    } else if (in_package && line.starts_with("Status: ")) {
      installed = line.ends_with(" installed");
    } else if (in_package && installed && line.starts_with("Version: ")) {
      return line.substr(9);
    }
  }
  return std::nullopt;
}

/// Folders "linux-firmware-amdgpu-20251125-2".
std::optional<std::string> pacman_version(const fs::path& root, std::string_view package) {
  const std::string prefix = std::string(package) + "-";
  for (const fs::path& folder : list_folder(root / "var/lib/pacman/local", prefix)) {
    const std::string version = folder.filename().string().substr(prefix.size());
    if (!version.empty() && version.front() >= '0' && version.front() <= '9') return version;
  }
  return std::nullopt;
}

}  // namespace

std::string FirmwarePackage::release() const {
  // An epoch may stand before it: "1:20251125-2".
  const size_t colon = version.find(':');
  const std::string_view text = std::string_view(version).substr(colon == std::string::npos ? 0 : colon + 1);
  const auto end = std::ranges::find_if(text, [](char c) { return c < '0' || c > '9'; });
  return end - text.begin() == 8 ? std::string(text.substr(0, 8)) : "";
}

std::optional<FirmwarePackage> find_firmware_package(const fs::path& root) {
  for (const std::string_view package : kPackages) {
    auto version = dpkg_version(root, package);
    if (!version) version = pacman_version(root, package);
    if (version) return FirmwarePackage{std::string(package), *version};
  }
  return std::nullopt;
}

}  // namespace halod
