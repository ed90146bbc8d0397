#include "runtime/engine/model_inspection.h"

#include "runtime/weights/model_config.h"

namespace halod {
namespace {

Result<MemoryInspection> inspect_memory(const ServingDemand& demand, const MachineMemory& memory) {
  const auto need = serving_need(demand);
  if (!need) return need.error();
  MemoryInspection found;
  found.need = *need;
  found.budget = memory_budget(memory);
  found.kv_bytes_per_token = demand.kv_page_bytes / static_cast<uint64_t>(kKvPageTokens);
  if (const auto plan = plan_serving(demand, memory)) {
    found.plan = *plan;
  } else {
    found.refusal = plan.error();
  }
  found.longest_context = longest_context(demand, *need, found.budget, need->max_sequences);
  found.longest_single_context = longest_context(demand, *need, found.budget, 1);
  return found;
}

}  // namespace

Result<ModelInspection> inspect_model(const Checkpoint& file, const wire::LoadModel& request,
                                      const Backend& backend, const MachineMemory& memory) {
  ModelInspection inspection;
  auto summary = summarise_model(file);
  if (!summary) return summary.error();
  inspection.summary = std::move(*summary);
  const auto config = read_model_config(file);
  const auto formats = file.check_formats();
  if (!config && config.error().code == ErrorCode::kUnsupported)
    inspection.problems.push_back(config.error());
  // A tensor that the configuration misses may be one of those that cannot be read.
  if (!config && config.error().code != ErrorCode::kUnsupported && formats) return config.error();
  if (!formats) inspection.problems.push_back(formats.error());
  if (!inspection.problems.empty()) return inspection;
  auto found = inspect_memory(serving_demand(request, *config, file, backend), memory);
  if (!found) return found.error();
  inspection.memory = std::move(*found);
  return inspection;
}

}  // namespace halod
