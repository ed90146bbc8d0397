// Kernel, firmware and IOMMU: combinations of the first two decide whether the GPU computes or hangs.
#include <fmt/format.h>

#include "cli/child_program.h"
#include "cli/doctor/checks.h"
#include "cli/doctor/kernel_arguments.h"

namespace halod::cli {
namespace {

// Older ones reserve too little space for gfx1151's registers when they switch compute waves.
constexpr KernelVersion kFirstStableKernel{6, 18, 4};
// Makes ROCm hang or fault on Strix Halo (ROCm issue legacy-rocm-build#5724); it carries MES 0x83.
constexpr std::string_view kBrokenFirmware = "20251125";
constexpr uint64_t kBrokenMes = 0x83;
constexpr std::string_view kOtherFirmware =
    "install linux-firmware 20260110 or later (or go back to 20251111), rebuild the initramfs, then reboot";

bool needs_first_stable_kernel(const Machine& machine) {
  const auto version = machine.kernel.version();
  return machine.gpu()->is_strix_halo() && version && *version < kFirstStableKernel;
}

/// RPM's database is not text: only rpm itself can read it.
std::optional<FirmwarePackage> ask_rpm(const Machine& machine) {
  std::error_code ec;
  if (!machine.is_live() || !std::filesystem::exists("/usr/bin/rpm", ec)) return std::nullopt;
  for (const char* package : {"amd-gpu-firmware", "linux-firmware"}) {
    const auto output = run_program("/usr/bin/rpm", {"-q", "--qf", "%{VERSION}-%{RELEASE}", package},
                                    std::chrono::seconds(10));
    if (output && output->status == 0 && !output->out.empty()) return FirmwarePackage{package, output->out};
  }
  return std::nullopt;
}

}  // namespace

Finding check_kernel(const Subject& subject) {
  const Kernel& kernel = subject.machine.kernel;
  const std::string evidence = kernel.distribution.empty()
                                   ? kernel.release
                                   : fmt::format("{}, {}", kernel.release, kernel.distribution);
  if (!kernel.version()) return skipped("the kernel's version cannot be read");
  if (!needs_first_stable_kernel(subject.machine)) return ok(evidence);
  return fail(evidence,
              "install kernel 6.18.4 or later: older ones are unstable on gfx1151 under compute load");
}

Finding check_firmware(const Subject& subject) {
  auto package = subject.machine.firmware_package;
  if (!package) package = ask_rpm(subject.machine);
  if (!package) return skipped("the installed linux-firmware release cannot be found out; see MES firmware");
  const std::string evidence = fmt::format("{} {}", package->name, package->version);
  if (package->release() == kBrokenFirmware)
    return fail(evidence,
                fmt::format("{} breaks compute on Strix Halo: {}", kBrokenFirmware, kOtherFirmware));
  return ok(evidence);
}

Finding check_mes(const Subject& subject) {
  const auto& firmware = subject.machine.gpu()->firmware;
  const auto mes = firmware.find("mes");
  if (mes == firmware.end())
    return skipped("the kernel shows no firmware versions; as root, /sys/kernel/debug/dri has them");
  const auto kiq = firmware.find("mes_kiq");
  const std::string evidence = kiq == firmware.end()
                                   ? fmt::format("version {:#x}", mes->second)
                                   : fmt::format("version {:#x}, KIQ {:#x}", mes->second, kiq->second);
  if (mes->second != kBrokenMes || !subject.machine.gpu()->is_strix_halo()) return ok(evidence);
  // Later kernels cope with it, as far as anybody has reported.
  return needs_first_stable_kernel(subject.machine)
             ? fail(evidence, fmt::format("0x83 hangs the GPU with this kernel: {}", kOtherFirmware))
             : warn(evidence, fmt::format("0x83 has hung GPUs under compute load: {}", kOtherFirmware));
}

Finding check_iommu(const Subject& subject) {
  const Iommu& iommu = subject.machine.iommu;
  if (iommu.mode == IommuMode::kUnknown) return skipped("the kernel does not say");
  const std::string evidence = fmt::format("{} ({})", to_string(iommu.mode), iommu.reason);
  if (iommu.mode != IommuMode::kTranslated) return ok(evidence);
  return warn(evidence, "prefill is 5 to 12 % faster without translation: " +
                            how_to_set_kernel_arguments(subject.machine.kernel, "iommu=pt"));
}

}  // namespace halod::cli
