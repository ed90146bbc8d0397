// The AMD GPUs, as the amdgpu driver and KFD describe them in sysfs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace halod {

struct Gpu {
  std::string card;         ///< "card1", its name below /sys/class/drm
  std::string render_node;  ///< "renderD128"; empty = none
  uint32_t pci_vendor = 0;  ///< 0x1002
  uint32_t pci_device = 0;  ///< 0x1586 is Strix Halo's
  std::string gfx_target;   ///< "gfx1151"; empty when KFD does not list it
  /// Memory set aside by the firmware, and system memory that the GPU may map.
  std::optional<uint64_t> vram_total_bytes, vram_used_bytes, gtt_total_bytes, gtt_used_bytes;
  std::string dpm_level;  ///< "auto", "high", "low", "manual", …; empty = unknown
  /// Versions of the firmware that is loaded: "mes" → 0x83. Empty when the kernel does not say.
  std::map<std::string, uint64_t> firmware;

  bool is_strix_halo() const { return gfx_target == "gfx1151" || pci_device == 0x1586; }
};

/// "110501" → "gfx1151"; empty for 0. Thread: any.
std::string gfx_target_name(uint64_t gfx_target_version);

/// The AMD GPUs by card; empty when there is none or the driver is not loaded. Thread: any.
std::vector<Gpu> read_gpus(const std::filesystem::path& root);

}  // namespace halod
