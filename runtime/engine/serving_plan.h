// How much of the machine's memory a model may serve with, decided before anything is loaded.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "base/machine/memory.h"
#include "runtime/backend/backend.h"
#include "runtime/engine/wire.h"
#include "runtime/weights/checkpoint.h"
#include "runtime/weights/model_config.h"

namespace halod {

struct ServingPlan {
  int64_t context_length = 0;
  int64_t max_sequences = 0;
  int64_t prefill_chunk = 0;
  int64_t n_kv_pages = 0;

  int64_t kv_cache_tokens() const { return n_kv_pages * kKvPageTokens; }
};

/// Where no number is asked for: the context is the model's own, at most this.
inline constexpr int64_t kDefaultContextLength = 32768;
inline constexpr int64_t kDefaultMaxSequences = 8;
inline constexpr int64_t kDefaultPrefillChunk = 512;

struct ServingDemand {
  const wire::LoadModel& request;
  const ModelConfig& config;
  uint64_t weight_bytes = 0;
  uint64_t kv_page_bytes = 0;
};

/// What serving `file` on `backend` demands, by its tensor table: no weight is read. Refers to the first two.
ServingDemand serving_demand(const wire::LoadModel& request, const ModelConfig& config,
                             const Checkpoint& file, const Backend& backend);

/// What a model takes with everything that was asked for, or that is the default: the context of every
/// sequence at its full length.
struct ServingNeed {
  int64_t context_length = 0;
  int64_t max_sequences = 0;
  uint64_t weight_bytes = 0;
  uint64_t kv_cache_bytes = 0;
  uint64_t scratch_bytes = 0;

  uint64_t total_bytes() const { return weight_bytes + kv_cache_bytes + scratch_bytes; }
};
/// Errors: kInvalidArgument naming the field.
Result<ServingNeed> serving_need(const ServingDemand& demand);

/// What a model may take of a machine.
struct MemoryBudget {
  uint64_t available_bytes = 0;
  uint64_t kept_free_bytes = 0;  ///< of these, for everything else: max(1 GiB, 5 %) of the machine's memory

  uint64_t usable_bytes() const {
    return available_bytes > kept_free_bytes ? available_bytes - kept_free_bytes : 0;
  }
};
MemoryBudget memory_budget(const MachineMemory& memory);

/// The longest context for which `n_sequences` of them fit; at most the model's own, 0 when none fits.
/// `need` is that of the same demand.
int64_t longest_context(const ServingDemand& demand, const ServingNeed& need, const MemoryBudget& budget,
                        int64_t n_sequences);

/// Activations of a step of so many rows, from above.
uint64_t estimated_scratch_bytes(const ModelConfig& config, int64_t n_rows, int64_t n_logit_rows);

/// Numbers that were asked for are kept or refused; those left open (0) are made to fit: first the pool of
/// all sequences, then the context. Errors: kInvalidArgument naming the field; kOutOfMemory with the bytes
/// needed and available and a context that would fit.
Result<ServingPlan> plan_serving(const ServingDemand& demand, const MachineMemory& memory);

}  // namespace halod
