// What limits the machine's clocks by choice.
#pragma once

#include <filesystem>
#include <string>

namespace halod {

struct PowerSettings {
  std::string platform_profile;  ///< "performance", "balanced", "low-power", …; empty = the firmware has none
  std::string cpu_governor;  ///< "performance", "powersave", "schedutil", …; empty = no frequency scaling
  std::string cpu_driver;    ///< "amd-pstate-epp", "acpi-cpufreq", …
};

/// The governor and driver are those of the first CPU. Thread: any.
PowerSettings read_power_settings(const std::filesystem::path& root);

}  // namespace halod
