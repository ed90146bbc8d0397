#include "base/machine/gpu.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/machine/gpu_memory_limits.h"
#include "base/machine/text_file.h"

namespace halod {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kAmd = 0x1002;

/// A line "name value" of a KFD node.
uint64_t kfd_property(const fs::path& node, std::string_view name) {
  const auto value = find_value(node / "properties", fmt::format("{} ", name));
  return value ? parse_number(*value).value_or(0) : 0;
}

std::string find_gfx_target(const fs::path& root, const Gpu& gpu) {
  for (const fs::path& node : list_folder(root / "sys/class/kfd/kfd/topology/nodes", "")) {
    const uint64_t version = kfd_property(node, "gfx_target_version");
    if (version == 0) continue;  // a CPU
    const bool same_node =
        gpu.render_node == fmt::format("renderD{}", kfd_property(node, "drm_render_minor"));
    if (same_node || kfd_property(node, "device_id") == gpu.pci_device) return gfx_target_name(version);
  }
  return "";
}

/// "MES feature version: 1, firmware version: 0x00000083", which root can read on kernels without fw_version.
void add_debugfs_firmware(const fs::path& root, Gpu& gpu) {
  if (!gpu.render_node.starts_with("renderD")) return;
  const fs::path file = root / "sys/kernel/debug/dri" / gpu.render_node.substr(7) / "amdgpu_firmware_info";
  static constexpr std::string_view kVersion = "firmware version: ";
  for (const std::string& line : read_lines(file)) {
    const size_t name_end = line.find(" feature version");
    const size_t version = line.find(kVersion);
    if (name_end == std::string::npos || version == std::string::npos) continue;
    std::string name = line.substr(0, name_end);
    std::ranges::transform(name, name.begin(), [](unsigned char c) {
      return c == ' ' ? '_' : static_cast<char>(std::tolower(c));
    });
    if (const auto number = parse_number(std::string_view(line).substr(version + kVersion.size())))
      gpu.firmware[name] = *number;
  }
}

void add_firmware(const fs::path& root, const fs::path& device, Gpu& gpu) {
  static constexpr std::string_view kSuffix = "_fw_version";
  for (const fs::path& file : list_folder(device / "fw_version", "")) {
    std::string name = file.filename().string();
    if (!name.ends_with(kSuffix)) continue;
    name.resize(name.size() - kSuffix.size());
    // 0: this GPU has no such unit.
    if (const auto version = read_number(file); version && *version != 0) gpu.firmware[name] = *version;
  }
  if (gpu.firmware.empty()) add_debugfs_firmware(root, gpu);
}

/// What identifies the AMD GPUs, and their memory.
std::vector<Gpu> find_gpus(const fs::path& root) {
  std::vector<Gpu> gpus;
  for (const fs::path& card : list_folder(root / "sys/class/drm", "card")) {
    const std::string name = card.filename().string();
    if (name.find('-') != std::string::npos) continue;  // a connector: card1-HDMI-A-1
    const fs::path device = card / "device";
    if (read_number(device / "vendor") != kAmd) continue;
    Gpu gpu{.card = name, .pci_vendor = static_cast<uint32_t>(kAmd)};
    gpu.pci_device = static_cast<uint32_t>(read_number(device / "device").value_or(0));
    if (const auto nodes = list_folder(device / "drm", "renderD"); !nodes.empty())
      gpu.render_node = nodes.front().filename().string();
    gpu.gfx_target = find_gfx_target(root, gpu);
    gpu.vram_total_bytes = read_number(device / "mem_info_vram_total");
    gpu.vram_used_bytes = read_number(device / "mem_info_vram_used");
    gpu.gtt_total_bytes = read_number(device / "mem_info_gtt_total");
    gpu.gtt_used_bytes = read_number(device / "mem_info_gtt_used");
    gpus.push_back(std::move(gpu));
  }
  return gpus;
}

}  // namespace

const Gpu* preferred_gpu(std::span<const Gpu> gpus) {
  const auto found = std::ranges::find_if(gpus, &Gpu::is_strix_halo);
  if (found != gpus.end()) return &*found;
  return gpus.empty() ? nullptr : &gpus.front();
}

std::string gfx_target_name(uint64_t version) {
  if (version == 0) return "";
  return fmt::format("gfx{}{:x}{:x}", version / 10000, version / 100 % 100, version % 100);
}

std::string amdgpu_driver_version(const fs::path& root) {
  if (const auto own = read_line(root / "sys/module/amdgpu/version")) return fmt::format("amdgpu {}", *own);
  const auto release = read_line(root / "proc/sys/kernel/osrelease");
  return release ? fmt::format("kernel {}", *release) : "unknown";
}

std::vector<Gpu> read_gpus(const fs::path& root) {
  std::vector<Gpu> gpus = find_gpus(root);
  for (Gpu& gpu : gpus) {
    const fs::path device = root / "sys/class/drm" / gpu.card / "device";
    gpu.dpm_level = read_line(device / "power_dpm_force_performance_level").value_or("");
    add_firmware(root, device, gpu);
  }
  return gpus;
}

std::optional<GpuMemory> read_gpu_memory(const fs::path& root) {
  const std::vector<Gpu> gpus = find_gpus(root);
  const Gpu* gpu = preferred_gpu(gpus);
  if (!gpu) return std::nullopt;
  return GpuMemory{.vram_total_bytes = gpu->vram_total_bytes.value_or(0),
                   .vram_used_bytes = gpu->vram_used_bytes.value_or(0),
                   .gtt_total_bytes = gpu->gtt_total_bytes.value_or(0),
                   .gtt_used_bytes = gpu->gtt_used_bytes.value_or(0),
                   .ttm_pages_limit = read_gpu_memory_limits(root).ttm_pages_limit.value_or(0)};
}

}  // namespace halod
