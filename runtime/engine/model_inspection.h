// What can be said of a model file before any of its weights is read: by the same checks and the same plan
// that a load begins with.
#pragma once

#include <optional>
#include <vector>

#include "base/error.h"
#include "base/machine/memory.h"
#include "runtime/backend/backend.h"
#include "runtime/engine/serving_plan.h"
#include "runtime/engine/wire.h"
#include "runtime/weights/checkpoint.h"
#include "runtime/weights/model_summary.h"

namespace halod {

/// How a model's demand and a machine's memory meet.
struct MemoryInspection {
  ServingNeed need;  ///< with the full context of every sequence
  MemoryBudget budget;
  uint64_t kv_bytes_per_token = 0;     ///< kept, and read once per token that is decoded after it
  std::optional<ServingPlan> plan;     ///< what the engine would do; perhaps with less KV than `need`
  std::optional<Error> refusal;        ///< why it would not: kOutOfMemory, both numbers, a remedy
  int64_t longest_context = 0;         ///< that fits need.max_sequences times; 0 = none
  int64_t longest_single_context = 0;  ///< that fits once
};

struct ModelInspection {
  ModelSummary summary;
  std::vector<Error> problems;             ///< why this build cannot run it; empty when it can
  std::optional<MemoryInspection> memory;  ///< none where there are problems
};

/// `file` may have been opened by open_to_inspect(). `request` as for a load; its path is for messages.
/// Errors: kInvalidArgument when the request asks for what no machine could do (serving_plan.h);
/// kCorruptFile when the metadata contradicts itself. Thread: any.
Result<ModelInspection> inspect_model(const Checkpoint& file, const wire::LoadModel& request,
                                      const Backend& backend, const MachineMemory& memory);

}  // namespace halod
