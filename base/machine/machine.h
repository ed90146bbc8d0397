// Everything that halod reads about the machine it runs on, in one place.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/machine/accounts.h"
#include "base/machine/device_nodes.h"
#include "base/machine/firmware_package.h"
#include "base/machine/gpu.h"
#include "base/machine/gpu_memory_limits.h"
#include "base/machine/iommu.h"
#include "base/machine/kernel.h"
#include "base/machine/memory.h"
#include "base/machine/power.h"
#include "base/machine/rocm.h"

namespace halod {

/// A machine at one moment. What it does not state is empty: only `memory` says why.
struct Machine {
  std::filesystem::path root;
  Kernel kernel;
  Iommu iommu;
  std::vector<Gpu> gpus;
  GpuMemoryLimits gpu_memory_limits;
  std::optional<FirmwarePackage> firmware_package;
  PowerSettings power;
  Accounts accounts;
  std::vector<DeviceNode> device_nodes;
  std::optional<RocmRuntime> rocm;
  Result<MachineMemory> memory = MachineMemory{};

  /// The running machine, and not a recorded one.
  bool is_live() const { return root == "/"; }
  /// The GPU that halod would use: the first Strix Halo, or else the first; nullptr when there is none.
  const Gpu* gpu() const;
};

/// `root` stands before /proc, /sys, /dev, /etc and so on. Never fails: what is missing stays empty. Blocks
/// on small files only. Thread: any.
Machine read_machine(const std::filesystem::path& root = "/");

}  // namespace halod
