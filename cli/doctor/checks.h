// The checks of haloctl doctor: one function and one row each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/machine/machine.h"
#include "cli/control_client.h"
#include "cli/doctor/finding.h"

namespace halod::cli {

/// What the checks look at. Borrowed for the run.
struct Subject {
  const Machine& machine;
  const Reply<std::unique_ptr<ControlClient>>& server;
  Identity caller;                      ///< who runs the doctor
  std::filesystem::path bench_program;  ///< halo-bench; empty = not known
  std::filesystem::path models_folder;  ///< empty = the usual places
};

/// What there must be for a check to mean something; without it the row is skipped, and says why.
enum class Needs : uint8_t {
  kNothing,
  kGpu,          ///< an AMD GPU
  kLiveMachine,  ///< not a recorded one: something is measured or asked
};

struct Check {
  std::string_view name;   ///< stable, for JSON: "gtt"
  std::string_view title;  ///< for people: "GPU memory (GTT)"
  Needs needs = Needs::kNothing;
  Finding (*run)(const Subject& subject) = nullptr;
};

/// In the order of the report.
std::span<const Check> all_checks();

struct CheckResult {
  const Check* check = nullptr;
  Finding finding;
};

/// Runs every check; `before` is called with each one first, because some take seconds. Thread: one.
std::vector<CheckResult> run_checks(const Subject& subject, const std::function<void(const Check&)>& before);

// checks_kernel.cpp
Finding check_kernel(const Subject& subject);
Finding check_firmware(const Subject& subject);
Finding check_mes(const Subject& subject);
Finding check_iommu(const Subject& subject);
// checks_gpu.cpp
Finding check_gpu(const Subject& subject);
Finding check_gtt(const Subject& subject);
Finding check_ttm(const Subject& subject);
Finding check_carve_out(const Subject& subject);
Finding check_rocm(const Subject& subject);
// checks_access.cpp
Finding check_groups(const Subject& subject);
Finding check_device_nodes(const Subject& subject);
// checks_power.cpp
Finding check_power_profile(const Subject& subject);
Finding check_dpm_level(const Subject& subject);
Finding check_cpu_governor(const Subject& subject);
// checks_measured.cpp
Finding check_memory(const Subject& subject);
Finding check_bandwidth(const Subject& subject);
Finding check_self_test(const Subject& subject);
Finding check_disk(const Subject& subject);
Finding check_service(const Subject& subject);

}  // namespace halod::cli
