// How much system memory the kernel lets the GPU map, and the kernel arguments that change it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace halod {

/// Module parameters as the running kernel holds them. A TTM page has 4 KiB.
struct GpuMemoryLimits {
  std::optional<uint64_t> ttm_pages_limit;
  std::optional<uint64_t> ttm_page_pool_size;  ///< pages that TTM keeps for itself once they are freed
  std::optional<int64_t> amdgpu_gttsize_mib;   ///< -1 = the driver decides

  std::optional<uint64_t> ttm_limit_bytes() const {
    return ttm_pages_limit ? std::optional(*ttm_pages_limit * 4096) : std::nullopt;
  }
};

/// Thread: any.
GpuMemoryLimits read_gpu_memory_limits(const std::filesystem::path& root);

/// A limit in the two forms that the kernel takes.
struct GttArguments {
  uint64_t gib = 0;

  uint64_t ttm_pages() const { return gib * 262144; }
  uint64_t gttsize_mib() const { return gib * 1024; }
  uint64_t bytes() const { return gib << 30; }
  /// "ttm.pages_limit=31457280 amdgpu.gttsize=122880". Recent kernels go by the first alone, older ones need
  /// both.
  std::string to_string() const;
};

/// The memory modules' size: what the kernel sees and what the firmware set aside for the GPU, with the
/// little that neither states, rounded up to 16 GiB.
uint64_t installed_memory_bytes(uint64_t total_bytes, uint64_t vram_bytes);

/// All of the memory that is not set aside for the GPU already, but 8 GiB for the system: 120 GiB of 128, 56
/// of
/// 64. At least 1 GiB. Thread: any.
GttArguments recommended_gtt(uint64_t installed_bytes, uint64_t vram_bytes);

/// What lets a GPU map more of the machine's memory: "let the GPU map 120 GiB instead of 15.5 GiB with the
/// kernel arguments …". Empty where it may map all that is recommended already. Thread: any.
std::string how_to_map_more(uint64_t gtt_total_bytes, uint64_t vram_total_bytes, uint64_t memory_total_bytes);

}  // namespace halod
