// The AMD GPUs, as the amdgpu driver and KFD describe them in sysfs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
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

/// The memory of the one GPU that halod would use (preferred_gpu()).
struct GpuMemory {
  uint64_t vram_total_bytes = 0, vram_used_bytes = 0;  ///< set aside by the firmware
  uint64_t gtt_total_bytes = 0, gtt_used_bytes = 0;    ///< system memory that the GPU may map
  uint64_t ttm_pages_limit = 0;  ///< of 4 KiB: what the kernel lets all GPUs map; 0 = it does not say
};

/// "110501" → "gfx1151"; empty for 0. Thread: any.
std::string gfx_target_name(uint64_t gfx_target_version);

/// Of the driver: "amdgpu 6.12.12" where it was built beside the kernel and has a version of its own, else
/// that of the kernel that it came with, "kernel 6.14.0-24"; "unknown" where neither can be read. Thread:
/// any.
std::string amdgpu_driver_version(const std::filesystem::path& root);

/// The AMD GPUs by card; empty when there is none or the driver is not loaded. Thread: any.
std::vector<Gpu> read_gpus(const std::filesystem::path& root);

/// The one that halod would use: the first Strix Halo, or else the first; nullptr when there is none.
const Gpu* preferred_gpu(std::span<const Gpu> gpus);

/// The same numbers as read_gpus() and read_gpu_memory_limits(), for who asks again and again: a few small
/// files that neither wake a sleeping GPU (as power_dpm_force_performance_level does) nor wait for its
/// firmware. Nothing where there is no AMD GPU. Thread: any.
std::optional<GpuMemory> read_gpu_memory(const std::filesystem::path& root);

}  // namespace halod
