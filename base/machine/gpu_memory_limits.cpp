#include "base/machine/gpu_memory_limits.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/machine/text_file.h"

namespace halod {

namespace {
constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kForTheSystem = 8;
}  // namespace

GpuMemoryLimits read_gpu_memory_limits(const std::filesystem::path& root) {
  GpuMemoryLimits limits;
  limits.ttm_pages_limit = read_number(root / "sys/module/ttm/parameters/pages_limit");
  limits.ttm_page_pool_size = read_number(root / "sys/module/ttm/parameters/page_pool_size");
  if (const auto text = read_line(root / "sys/module/amdgpu/parameters/gttsize")) {
    const auto number = parse_number(*text);
    if (text->starts_with('-')) limits.amdgpu_gttsize_mib = -1;
    if (number) limits.amdgpu_gttsize_mib = static_cast<int64_t>(*number);
  }
  return limits;
}

std::string GttArguments::to_string() const {
  return fmt::format("ttm.pages_limit={} amdgpu.gttsize={}", ttm_pages(), gttsize_mib());
}

uint64_t installed_memory_bytes(uint64_t total_bytes, uint64_t vram_bytes) {
  constexpr uint64_t kModule = 16 * kGiB;
  return (total_bytes + vram_bytes + kModule - 1) / kModule * kModule;
}

GttArguments recommended_gtt(uint64_t installed_bytes, uint64_t vram_bytes) {
  // The usual half GiB of the firmware comes out of the eight.
  const uint64_t vram_gib = vram_bytes / kGiB;
  const uint64_t taken = kForTheSystem + vram_gib;
  return {std::max<uint64_t>(installed_bytes / kGiB, taken + 1) - taken};
}

std::string how_to_map_more(uint64_t gtt_total_bytes, uint64_t vram_total_bytes,
                            uint64_t memory_total_bytes) {
  const uint64_t installed = installed_memory_bytes(memory_total_bytes, vram_total_bytes);
  const GttArguments recommended = recommended_gtt(installed, vram_total_bytes);
  if (recommended.bytes() <= gtt_total_bytes) return "";
  return fmt::format("let the GPU map {} GiB instead of {:.1f} GiB with the kernel arguments {}",
                     recommended.gib, static_cast<double>(gtt_total_bytes) / (1 << 30),
                     recommended.to_string());
}

}  // namespace halod
