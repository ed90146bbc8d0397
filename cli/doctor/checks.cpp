#include "cli/doctor/checks.h"

#include <array>

namespace halod::cli {
namespace {

constexpr std::array kChecks = {
    Check{"gpu", "GPU", Needs::kGpu, check_gpu},
    Check{"kernel", "kernel", Needs::kGpu, check_kernel},
    Check{"firmware", "linux-firmware", Needs::kGpu, check_firmware},
    Check{"mes", "MES firmware", Needs::kGpu, check_mes},
    Check{"iommu", "IOMMU", Needs::kGpu, check_iommu},
    Check{"gtt", "GPU memory (GTT)", Needs::kGpu, check_gtt},
    Check{"ttm", "TTM limit", Needs::kGpu, check_ttm},
    Check{"carve_out", "memory set aside", Needs::kGpu, check_carve_out},
    Check{"groups", "groups", Needs::kGpu, check_groups},
    Check{"device_nodes", "device nodes", Needs::kGpu, check_device_nodes},
    Check{"rocm", "ROCm runtime", Needs::kGpu, check_rocm},
    Check{"dpm_level", "GPU clock policy", Needs::kGpu, check_dpm_level},
    Check{"power_profile", "power profile", Needs::kNothing, check_power_profile},
    Check{"cpu_governor", "CPU governor", Needs::kNothing, check_cpu_governor},
    Check{"memory", "free memory", Needs::kNothing, check_memory},
    Check{"bandwidth", "memory bandwidth", Needs::kLiveMachine, check_bandwidth},
    Check{"self_test", "kernel self-test", Needs::kLiveMachine, check_self_test},
    Check{"disk", "model disk", Needs::kLiveMachine, check_disk},
    Check{"service", "halod service", Needs::kLiveMachine, check_service},
};

Finding run_check(const Check& check, const Subject& subject) {
  if (check.needs == Needs::kGpu && subject.machine.gpus.empty())
    return skipped(check.run == check_gpu ? "no AMD GPU here: halod computes on the CPU"
                                          : "needs an AMD GPU");
  if (check.needs == Needs::kLiveMachine && !subject.machine.is_live())
    return skipped("NOT MEASURED: " + subject.machine.root.string() + " is a recorded machine");
  return check.run(subject);
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kWarn:
      return "warn";
    case Verdict::kFail:
      return "fail";
    case Verdict::kSkipped:
      break;
  }
  return "skipped";
}

std::span<const Check> all_checks() { return kChecks; }

std::vector<CheckResult> run_checks(const Subject& subject, const std::function<void(const Check&)>& before) {
  std::vector<CheckResult> results;
  for (const Check& check : kChecks) {
    before(check);
    results.push_back({&check, run_check(check, subject)});
  }
  return results;
}

}  // namespace halod::cli
