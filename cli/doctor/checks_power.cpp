// Settings that hold the clocks down.
#include <fmt/format.h>

#include "cli/doctor/checks.h"

namespace halod::cli {

Finding check_power_profile(const Subject& subject) {
  const std::string& profile = subject.machine.power.platform_profile;
  if (profile.empty()) return skipped("the firmware offers no platform profile");
  if (profile == "performance" || profile == "balanced-performance") return ok(profile);
  return warn(profile,
              "the firmware limits the power: sudo powerprofilesctl set performance, or sudo tuned-adm "
              "profile throughput-performance, or echo performance | sudo tee "
              "/sys/firmware/acpi/platform_profile");
}

Finding check_dpm_level(const Subject& subject) {
  const Gpu& gpu = *subject.machine.gpu();
  if (gpu.dpm_level.empty()) return skipped("power_dpm_force_performance_level cannot be read");
  if (gpu.dpm_level == "auto") return ok("auto");
  const std::string remedy = fmt::format(
      "echo auto | sudo tee /sys/class/drm/{}/device/power_dpm_force_performance_level", gpu.card);
  if (gpu.dpm_level == "low") return fail("low: the GPU stays at its lowest clock", remedy);
  if (gpu.dpm_level == "high" || gpu.dpm_level == "profile_peak")
    return ok(fmt::format("{}: full clock, at full idle power", gpu.dpm_level));
  return warn(fmt::format("{}: the clock is set by hand", gpu.dpm_level), remedy);
}

Finding check_cpu_governor(const Subject& subject) {
  const PowerSettings& power = subject.machine.power;
  if (power.cpu_governor.empty()) return skipped("this machine offers no frequency scaling");
  const std::string evidence = fmt::format("{} ({})", power.cpu_governor, power.cpu_driver);
  // In amd-pstate's active mode and intel_pstate's, "powersave" is the governor that scales with the load.
  const bool scales_by_itself = power.cpu_driver == "amd-pstate-epp" || power.cpu_driver == "intel_pstate";
  if (power.cpu_governor != "powersave" || scales_by_itself) return ok(evidence);
  return warn(evidence, "the CPU stays at its lowest clock: sudo cpupower frequency-set -g schedutil");
}

}  // namespace halod::cli
