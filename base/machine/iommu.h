// Whether the GPU's memory accesses are translated on their way: that costs prefill speed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/machine/kernel.h"

namespace halod {

enum class IommuMode : uint8_t {
  kUnknown,
  kOff,          ///< disabled by a kernel argument, or the firmware offers none
  kPassThrough,  ///< devices see physical addresses
  kTranslated,   ///< each access goes through the IOMMU's page tables
};
std::string_view to_string(IommuMode mode);  ///< "unknown", "off", "pass-through", "translated"

struct Iommu {
  IommuMode mode = IommuMode::kUnknown;
  std::string reason;  ///< what says so: "kernel argument iommu=pt"
};

/// By the kernel's arguments, then by what /sys/class/iommu and the groups' types say. Thread: any.
Iommu read_iommu(const std::filesystem::path& root, const Kernel& kernel);

}  // namespace halod
