// The GPU, and how much memory it may use. Strix Halo has one memory for all: the GPU maps system memory
// through GTT, and what the firmware sets aside is only taken away from the system.
#include <fmt/format.h>

#include <algorithm>

#include "cli/doctor/checks.h"
#include "cli/doctor/kernel_arguments.h"
#include "cli/format.h"

namespace halod::cli {
namespace {

struct MemoryPlan {
  uint64_t installed_bytes = 0;
  uint64_t visible_bytes = 0;  ///< to the kernel
  GttArguments recommended;
};

/// REQUIRES: machine.memory holds a value.
MemoryPlan plan_of(const Machine& machine) {
  const uint64_t vram = machine.gpu()->vram_total_bytes.value_or(0);
  const uint64_t visible = machine.memory->total_bytes;
  const uint64_t installed = installed_memory_bytes(visible, vram);
  return {installed, visible, recommended_gtt(installed, vram)};
}

/// The same judgement for GTT and TTM: each limits what a model may take.
Finding judge_limit(const Machine& machine, uint64_t limit_bytes, std::string_view unit_evidence) {
  const MemoryPlan plan = plan_of(machine);
  const std::string evidence = fmt::format("{}{} of {} installed", format_bytes(limit_bytes), unit_evidence,
                                           format_bytes(plan.installed_bytes));
  const std::string set = how_to_set_kernel_arguments(machine.kernel, plan.recommended.to_string());
  const std::string to_recommended =
      fmt::format("to let the GPU use {}: {}", format_bytes(plan.recommended.bytes()), set);
  // The kernel's own default is half of the memory: models that would fit are refused, those that fit run.
  if (limit_bytes < plan.recommended.bytes() / 2) return fail(evidence, to_recommended);
  if (limit_bytes < plan.recommended.bytes() / 10 * 9) return warn(evidence, to_recommended);
  // The system's own share; with less, loading a model that fits can take the whole machine down.
  if (limit_bytes + 3 * kGiB > plan.visible_bytes) {
    return warn(fmt::format("{}; that leaves {} to the system", evidence,
                            format_bytes(plan.visible_bytes - std::min(plan.visible_bytes, limit_bytes))),
                to_recommended);
  }
  return ok(evidence);
}

}  // namespace

Finding check_gpu(const Subject& subject) {
  const Gpu& gpu = *subject.machine.gpu();
  const std::string evidence =
      fmt::format("{} ({:04x}:{:04x}) as {}", gpu.gfx_target.empty() ? "unknown target" : gpu.gfx_target,
                  gpu.pci_vendor, gpu.pci_device, gpu.card);
  if (!gpu.is_strix_halo())
    return warn(evidence, "halod is made for gfx1151 (Strix Halo): other GPUs are not tested");
  if (gpu.gfx_target.empty())
    return fail(evidence,
                "/sys/class/kfd does not list it: compute needs amdgpu with KFD, so load the module "
                "amdgpu of an unmodified kernel, and pass /sys/class/kfd into containers");
  return ok(evidence);
}

Finding check_gtt(const Subject& subject) {
  const auto total = subject.machine.gpu()->gtt_total_bytes;
  if (!total || !subject.machine.memory) return skipped("mem_info_gtt_total cannot be read");
  return judge_limit(subject.machine, *total, "");
}

Finding check_ttm(const Subject& subject) {
  const GpuMemoryLimits& limits = subject.machine.gpu_memory_limits;
  if (!limits.ttm_limit_bytes() || !subject.machine.memory)
    return skipped("/sys/module/ttm/parameters/pages_limit cannot be read");
  return judge_limit(subject.machine, *limits.ttm_limit_bytes(),
                     fmt::format(" ({} pages)", *limits.ttm_pages_limit));
}

Finding check_carve_out(const Subject& subject) {
  const auto vram = subject.machine.gpu()->vram_total_bytes;
  if (!vram) return skipped("mem_info_vram_total cannot be read");
  const std::string evidence = fmt::format("{} by the firmware", format_bytes(*vram));
  if (*vram <= 2 * kGiB || !subject.machine.gpu()->is_strix_halo()) return ok(evidence);
  return warn(evidence,
              "the same memory is as fast through GTT and stays usable for the system: set the UMA "
              "frame buffer to 512 MiB in the firmware's setup, then run haloctl doctor again");
}

Finding check_rocm(const Subject& subject) {
  const auto& rocm = subject.machine.rocm;
  if (!rocm)
    return warn("no libamdhip64.so found",
                "without it halod computes on the CPU: install ROCm's HIP runtime "
                "(Fedora: rocm-hip; AMD's packages: rocm-hip-runtime)");
  return ok(rocm->version.empty() ? rocm->library : fmt::format("{}, {}", rocm->version, rocm->library));
}

}  // namespace halod::cli
