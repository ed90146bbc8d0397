#include "base/machine/power.h"

#include "base/machine/text_file.h"

namespace halod {

PowerSettings read_power_settings(const std::filesystem::path& root) {
  const std::filesystem::path frequency = root / "sys/devices/system/cpu/cpu0/cpufreq";
  return {.platform_profile = read_line(root / "sys/firmware/acpi/platform_profile").value_or(""),
          .cpu_governor = read_line(frequency / "scaling_governor").value_or(""),
          .cpu_driver = read_line(frequency / "scaling_driver").value_or("")};
}

}  // namespace halod
