#include "daemon/control/machine_status.h"

namespace halod {

namespace {
/// Whoever reads faster sees the same numbers: six properties are six questions, and a client may ask in a
/// loop.
constexpr std::chrono::seconds kLifetime{1};
}  // namespace

const std::optional<GpuMemory>& MachineStatus::gpu_memory() {
  const auto now = std::chrono::steady_clock::now();
  if (now < stale_at_) return gpu_memory_;
  gpu_memory_ = read_gpu_memory(root_);
  stale_at_ = now + kLifetime;
  return gpu_memory_;
}

}  // namespace halod
