#include "runtime/engine/model_loading.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "runtime/engine/serving_plan.h"
#include "runtime/weights/gguf_file.h"
#include "runtime/weights/model_config.h"

namespace halod {

Result<LoadedModel> load_model_for_serving(const wire::LoadModel& request, const ResidentMemory& residents,
                                           const LoadCallbacks& callbacks) {
  const auto file = GgufFile::open(request.path);
  if (!file) return file.error();
  const auto config = read_model_config(*file);
  if (!config) return config.error();
  LoadedModel loaded;
  auto backend = make_backend({.kind = request.backend, .n_threads = static_cast<int>(request.n_threads)});
  if (!backend) return backend.error();
  loaded.backend = std::move(*backend);
  auto memory = read_machine_memory();
  if (!memory) return memory.error();
  // Pages that a resident model was promised but has not touched yet still count as available to the kernel.
  const uint64_t touched = std::min(read_process_anonymous_bytes(), residents.promised_bytes);
  memory->available_bytes -= std::min(memory->available_bytes, residents.promised_bytes - touched);
  memory->available_bytes = std::min(memory->available_bytes, loaded.backend->available_bytes());
  const auto plan = plan_serving(serving_demand(request, *config, *file, *loaded.backend), *memory);
  if (!plan) return plan.error();
  spdlog::info("{}: context {} of the model's {}, {} sequences, KV cache of {} tokens", request.path,
               plan->context_length, config->context_length, plan->max_sequences, plan->kv_cache_tokens());

  loaded.engine_options = {.context_length = plan->context_length,
                           .max_sequences = plan->max_sequences,
                           .prefill_chunk = plan->prefill_chunk};
  auto model = load_model(*file, *loaded.backend,
                          {.n_kv_pages = plan->n_kv_pages,
                           .max_batch_tokens = max_batch_tokens(loaded.engine_options),
                           .max_logit_rows = plan->max_sequences},
                          callbacks);
  if (!model) return model.error();
  loaded.model = std::move(*model);
  loaded.backend_name = loaded.backend->name();
  loaded.device_name = loaded.backend->device_name();
  return loaded;
}

}  // namespace halod
