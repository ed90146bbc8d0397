// Which release of linux-firmware is installed.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace halod {

struct FirmwarePackage {
  std::string name;     ///< "firmware-amd-graphics"
  std::string version;  ///< the packager's: "20251125-1"

  /// linux-firmware's own release, "20251125"; empty when the version begins with no date.
  std::string release() const;
};

/// From the databases of dpkg and pacman, which are text. RPM's is not: nothing there. Thread: any.
std::optional<FirmwarePackage> find_firmware_package(const std::filesystem::path& root);

}  // namespace halod
