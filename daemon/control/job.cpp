#include "daemon/control/job.h"

#include <algorithm>
#include <array>

namespace halod {
namespace {

constexpr std::array<std::string_view, 4> kKinds{"load", "unload", "swap", "rescan"};
constexpr std::array<std::string_view, 5> kStates{"waiting", "running", "done", "cancelled", "failed"};
constexpr std::array<std::string_view, 2> kPolicies{"drain", "pause"};

}  // namespace

std::string_view to_string(JobKind kind) { return kKinds.at(static_cast<size_t>(kind)); }
std::string_view to_string(JobState state) { return kStates.at(static_cast<size_t>(state)); }
std::string_view to_string(DrainPolicy policy) { return kPolicies.at(static_cast<size_t>(policy)); }

std::optional<DrainPolicy> drain_policy_from(std::string_view name) {
  for (size_t i = 0; i < kPolicies.size(); ++i) {
    if (kPolicies.at(i) == name) return static_cast<DrainPolicy>(i);
  }
  return std::nullopt;
}

double Job::fraction() const {
  if (state == JobState::kDone) return 1;
  if (tuned_fraction) return *tuned_fraction;
  if (bytes_total == 0) return 0;
  return std::min(1.0, static_cast<double>(bytes_done) / static_cast<double>(bytes_total));
}

}  // namespace halod
