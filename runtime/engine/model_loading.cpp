#include "runtime/engine/model_loading.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/machine/gpu.h"
#include "base/machine/gpu_memory_limits.h"
#include "runtime/engine/serving_plan.h"
#include "runtime/models/model_features.h"
#include "runtime/weights/checkpoint.h"
#include "runtime/weights/model_config.h"

namespace halod {

namespace {

/// The first tensor in a format that the backend has no kernels for; nullptr: it has for all of them.
const TensorInfo* first_untaken(const Checkpoint& file, const Backend& backend) {
  for (const TensorInfo& tensor : file.tensors()) {
    if (!backend.takes_format(tensor.format)) return &tensor;
  }
  return nullptr;
}

/// Why the backend cannot compute this file; empty: it can.
std::string what_lacks(const Checkpoint& file, const ModelConfig& config, const Backend& backend) {
  if (const auto checked = check_features(config, backend); !checked) return checked.error().message;
  const TensorInfo* untaken = first_untaken(file, backend);
  if (untaken == nullptr) return {};
  return fmt::format("backend {} has no kernels for {}, the format of tensor '{}'", backend.name(),
                     traits(untaken->format).name, untaken->name);
}

/// `auto` means whatever computes this file: the CPU where the GPU lacks something that it needs.
Result<std::unique_ptr<Backend>> choose_backend(const wire::LoadModel& request, const Checkpoint& file,
                                                const ModelConfig& config) {
  BackendOptions options{.kind = request.backend,
                         .n_threads = static_cast<int>(request.n_threads),
                         .gpu_graphs = request.gpu_graphs == "on"};
  auto backend = make_backend(options);
  if (!backend || request.backend != "auto") return backend;
  const std::string reason = what_lacks(file, config, **backend);
  if (reason.empty()) return backend;
  spdlog::warn("{}: computing on the CPU: {}", request.path, reason);
  options.kind = "cpu";
  return make_backend(options);
}

/// The GPU may map less than there is: says how it may map more.
Error with_gpu_remedy(Error error, uint64_t memory_total_bytes) {
  for (const Gpu& gpu : read_gpus("/")) {
    if (!gpu.gtt_total_bytes) continue;
    const std::string remedy =
        how_to_map_more(*gpu.gtt_total_bytes, gpu.vram_total_bytes.value_or(0), memory_total_bytes);
    if (remedy.empty()) continue;
    error.message += fmt::format("; or {} (haloctl doctor says where)", remedy);
    break;
  }
  return error;
}

}  // namespace

Result<LoadedModel> load_model_for_serving(const wire::LoadModel& request, const ResidentMemory& residents,
                                           const LoadCallbacks& callbacks) {
  const auto opened = open_checkpoint(request.path);
  if (!opened) return opened.error();
  const Checkpoint& file = **opened;
  const auto config = read_model_config(file);
  if (!config) return config.error();
  LoadedModel loaded;
  auto backend = choose_backend(request, file, *config);
  if (!backend) return backend.error();
  loaded.backend = std::move(*backend);
  auto memory = read_machine_memory();
  if (!memory) return memory.error();
  // Pages that a resident model was promised but has not touched yet still count as available to the kernel.
  const uint64_t touched = std::min(read_process_anonymous_bytes(), residents.promised_bytes);
  memory->available_bytes -= std::min(memory->available_bytes, residents.promised_bytes - touched);
  const bool device_is_smaller = loaded.backend->available_bytes() < memory->available_bytes;
  if (device_is_smaller) memory->available_bytes = loaded.backend->available_bytes();
  const auto plan = plan_serving(serving_demand(request, *config, file, *loaded.backend), *memory);
  if (!plan) return device_is_smaller ? with_gpu_remedy(plan.error(), memory->total_bytes) : plan.error();
  spdlog::info("{}: context {} of the model's {}, {} sequences, KV cache of {} tokens", request.path,
               plan->context_length, config->context_length, plan->max_sequences, plan->kv_cache_tokens());

  loaded.engine_options = {.context_length = plan->context_length,
                           .max_sequences = plan->max_sequences,
                           .prefill_chunk = plan->prefill_chunk};
  auto model = load_model(file, *loaded.backend,
                          {.n_kv_pages = plan->n_kv_pages,
                           .max_batch_tokens = max_batch_tokens(loaded.engine_options),
                           .max_logit_rows = plan->max_sequences,
                           .max_sequences = plan->max_sequences},
                          callbacks);
  if (!model) return model.error();
  loaded.model = std::move(*model);
  loaded.backend_name = loaded.backend->name();
  loaded.device_name = loaded.backend->device_name();
  return loaded;
}

}  // namespace halod
