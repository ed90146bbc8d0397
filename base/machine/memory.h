// How much memory there is, for whoever is about to take a lot of it.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/error.h"

namespace halod {

struct MachineMemory {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;  ///< without swapping
};

/// MemTotal and MemAvailable of /proc/meminfo, or less where a limit of this process's control group (version
/// 2) or of one above it leaves less. `root` stands before /proc and /sys, for recorded machines. Errors: kIo
/// when the kernel does not state them. Thread: any.
Result<MachineMemory> read_machine_memory(const std::filesystem::path& root = "/");

/// Anonymous memory that this process has touched; 0 where the kernel does not say. Thread: any.
uint64_t read_process_anonymous_bytes(const std::filesystem::path& root = "/");

}  // namespace halod
