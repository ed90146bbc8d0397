#include "runtime/backend/backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "runtime/backend/cpu/cpu_backend.h"

namespace halod {

int default_cpu_threads() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::set<std::pair<std::string, std::string>> cores;
  std::string physical_id;
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with("physical id")) physical_id = line;
    if (line.starts_with("core id")) cores.emplace(physical_id, line);
  }
  const int n_logical = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return cores.empty() ? n_logical : std::min(n_logical, static_cast<int>(cores.size()));
}

Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options) {
  if (options.kind == "hip") {
    return Error{ErrorCode::kUnsupported, "backend 'hip' is not part of this build yet; use 'auto' or 'cpu'",
                 "backend"};
  }
  if (options.kind != "auto" && options.kind != "cpu") {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("backend '{}' is not one of auto, cpu, hip", options.kind), "backend"};
  }
  constexpr int kMaxThreads = 1024;
  if (options.n_threads < 0 || options.n_threads > kMaxThreads) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{} threads asked for; it takes 0 (one per physical core) to {}",
                             options.n_threads, kMaxThreads),
                 "threads"};
  }
  return std::unique_ptr<Backend>(std::make_unique<CpuBackend>(
      options.n_threads > 0 ? options.n_threads : default_cpu_threads(), options.exact));
}

}  // namespace halod
