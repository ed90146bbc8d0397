#include "base/machine/iommu.h"

#include "base/machine/text_file.h"

namespace halod {
namespace {

namespace fs = std::filesystem;

struct ArgumentRow {
  std::string_view name;
  std::string_view value;
  IommuMode mode;
};

// The first row that matches decides: "off" says more than "pt".
constexpr ArgumentRow kArguments[] = {
    {"amd_iommu", "off", IommuMode::kOff},     {"iommu", "off", IommuMode::kOff},
    {"iommu", "pt", IommuMode::kPassThrough},  {"iommu.passthrough", "1", IommuMode::kPassThrough},
    {"iommu", "nopt", IommuMode::kTranslated}, {"iommu.passthrough", "0", IommuMode::kTranslated},
};

}  // namespace

std::string_view to_string(IommuMode mode) {
  switch (mode) {
    case IommuMode::kOff:
      return "off";
    case IommuMode::kPassThrough:
      return "pass-through";
    case IommuMode::kTranslated:
      return "translated";
    case IommuMode::kUnknown:
      break;
  }
  return "unknown";
}

Iommu read_iommu(const fs::path& root, const Kernel& kernel) {
  for (const ArgumentRow& row : kArguments) {
    if (kernel.argument(row.name) == row.value)
      return {row.mode, "kernel argument " + std::string(row.name) + "=" + std::string(row.value)};
  }
  std::error_code ec;
  if (!fs::is_directory(root / "sys/class/iommu", ec)) return {};
  if (list_folder(root / "sys/class/iommu", "").empty())
    return {IommuMode::kOff, "/sys/class/iommu is empty"};
  // Any translated group means that translation is this kernel's default; devices that demand identity exist
  // beside it.
  Iommu found;
  for (const fs::path& group : list_folder(root / "sys/kernel/iommu_groups", "")) {
    const std::string type = read_line(group / "type").value_or("");
    if (type.starts_with("DMA"))
      return {IommuMode::kTranslated, "/sys/kernel/iommu_groups/*/type is " + type};
    if (type == "identity") found = {IommuMode::kPassThrough, "/sys/kernel/iommu_groups/*/type is identity"};
  }
  return found;
}

}  // namespace halod
