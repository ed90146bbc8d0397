// Whether the HIP runtime is installed. halod opens it at run time, so it may be missing.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace halod {

struct RocmRuntime {
  std::string library;  ///< "/opt/rocm/lib/libamdhip64.so.7"
  std::string version;  ///< "7.2.0"; empty = not stated
};

/// The first libamdhip64.so* in the places where ROCm's and the distributions' packages put it. Thread: any.
std::optional<RocmRuntime> find_rocm_runtime(const std::filesystem::path& root);

}  // namespace halod
