// Which processors this process may compute on, for whoever starts threads.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

namespace halod {

/// One physical core: its hardware threads as the kernel numbers them; ascending, never empty.
using CoreThreads = std::vector<int>;

/// What this process was left of the machine, by taskset, systemd's CPUAffinity= and CPUQuota=, podman's
/// --cpuset-cpus and --cpus.
struct AllowedCpus {
  std::vector<CoreThreads>
      cores;  ///< with an allowed hardware thread, and only such threads; by their first one
  /// Seconds of computing in a second that the tightest control group (version 2) leaves.
  std::optional<double> quota;

  /// How many threads compute fastest: one per core, because a second hardware thread adds no memory
  /// bandwidth and shares the vector units; no more than the quota, because all wait for one that was
  /// stopped. >= 1.
  int n_threads() const;
};

/// `root` stands before /proc and /sys, for recorded machines. Where the kernel states no topology, each
/// processor is a core. Thread: any.
AllowedCpus read_allowed_cpus(const std::filesystem::path& root = "/");

}  // namespace halod
