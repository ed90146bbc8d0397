// What the machine has, for those who show it again and again.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

#include "base/machine/gpu.h"

namespace halod {

/// Reads when asked, and the machine at most once a second. Thread: the io thread.
class MachineStatus {
 public:
  /// `root` stands before /sys, for recorded machines.
  explicit MachineStatus(std::filesystem::path root = "/") : root_(std::move(root)) {}

  /// Nothing where there is no AMD GPU.
  const std::optional<GpuMemory>& gpu_memory();

 private:
  std::filesystem::path root_;
  std::optional<GpuMemory> gpu_memory_;
  std::chrono::steady_clock::time_point stale_at_{};
};

}  // namespace halod
