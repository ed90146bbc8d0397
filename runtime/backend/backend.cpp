#include "runtime/backend/backend.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <string>
#include <utility>

#include "base/machine/cpus.h"
#include "runtime/backend/cpu/cpu_backend.h"
#include "runtime/backend/hip/graph_device.h"
#include "runtime/backend/hip/hip_backend.h"
#include "runtime/backend/hip/hip_device.h"

namespace halod {

std::string_view to_string(ModelFeature feature) {
  switch (feature) {
    case ModelFeature::kNeighbourRope:
      return "rotary embedding of neighbouring values";
    case ModelFeature::kBias:
      return "biases of projections";
    case ModelFeature::kSlidingWindow:
      return "sliding-window attention";
    case ModelFeature::kAttentionSinks:
      return "attention sinks";
    case ModelFeature::kRouterGating:
      return "this router's way to weigh experts";
    case ModelFeature::kSelectionBias:
      return "biases for the choice of experts";
    case ModelFeature::kExpertBias:
      return "biases of experts";
    case ModelFeature::kExpertActivation:
      return "this activation of experts";
    case ModelFeature::kPartialRope:
      return "rotary embedding over part of a head";
    case ModelFeature::kGatedAttention:
      return "gated attention";
    case ModelFeature::kSharedExpert:
      return "shared experts";
    case ModelFeature::kFusedExperts:
      return "experts' gate and up in one tensor";
    case ModelFeature::kRecurrentState:
      return "recurrent layers";
    case ModelFeature::kMamba2:
      return "Mamba-2 layers";
    case ModelFeature::kUngatedFfn:
      return "feed-forward layers without a gate";
    case ModelFeature::kLatentExperts:
      return "experts of another width than the layer";
    case ModelFeature::kColumnOrder:
      return "weights in activation order";
  }
  return "";
}

// Models are checked against supports() before they are loaded, so these are never reached.
void Backend::gated_delta_net(const GatedDeltaNetArgs&, RecurrentStates&) {
  HALOD_ASSERT(!"gated_delta_net");
}
void Backend::mamba2(const Mamba2Args&, RecurrentStates&) { HALOD_ASSERT(!"mamba2"); }

Result<std::unique_ptr<RecurrentStates>> Backend::allocate_states(const RecurrentShape&, int64_t) {
  return Error{ErrorCode::kUnsupported, fmt::format("backend {} has no recurrent layers", name()), "backend"};
}

int default_cpu_threads() { return read_allowed_cpus().n_threads(); }

namespace {

/// Errors: why there is no GPU to compute on.
Result<std::unique_ptr<Backend>> make_hip_backend(int n_threads, bool with_graphs) {
  auto device = hip::open_hip_device();
  if (!device) return device.error();
  if (with_graphs) device = hip::make_graph_device(std::move(*device));
  return hip::HipBackend::open(std::move(*device), n_threads);
}

}  // namespace

Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options) {
  if (options.kind != "auto" && options.kind != "cpu" && options.kind != "hip") {
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
  const int n_threads = options.n_threads > 0 ? options.n_threads : default_cpu_threads();
  if (options.kind == "hip" && options.exact) {
    return Error{ErrorCode::kUnsupported, "exact computation is the CPU's; use backend 'cpu'", "backend"};
  }
  if (options.kind != "cpu" && !options.exact) {
    auto gpu = make_hip_backend(n_threads, options.gpu_graphs);
    if (gpu) return gpu;
    if (options.kind == "hip") {
      Error error = gpu.error();
      error.message = fmt::format("backend 'hip': {}", error.message);
      return error;
    }
    spdlog::info("computing on the CPU: {}", gpu.error().message);
  }
  return std::unique_ptr<Backend>(std::make_unique<CpuBackend>(n_threads, options.exact));
}

}  // namespace halod
