// The operating system that halod runs on.
#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace halod {

struct KernelVersion {
  uint32_t major = 0, minor = 0, patch = 0;
  friend auto operator<=>(const KernelVersion&, const KernelVersion&) = default;
};
/// "6.18.4-200.fc43.x86_64" → 6.18.4; nothing when it begins with no version. Thread: any.
std::optional<KernelVersion> parse_kernel_version(std::string_view release);

struct Kernel {
  std::string release;                 ///< as `uname -r` prints it; empty = unknown
  std::vector<std::string> arguments;  ///< of the running kernel
  std::string distribution;            ///< "Fedora Linux 43 (Workstation Edition)"; empty = unknown
  std::string distribution_id;         ///< "fedora", "debian", "ubuntu", …
  bool is_ostree = false;              ///< an image that only rpm-ostree or bootc may change

  std::optional<KernelVersion> version() const { return parse_kernel_version(release); }
  /// The value of the last `name=value` argument, empty for a bare `name`; nothing when it is not given.
  std::optional<std::string> argument(std::string_view name) const;
};

/// Thread: any.
Kernel read_kernel(const std::filesystem::path& root);

}  // namespace halod
