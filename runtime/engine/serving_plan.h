// How much of the machine's memory a model may serve with, decided before anything is loaded.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "base/machine/memory.h"
#include "runtime/engine/wire.h"
#include "runtime/weights/model_config.h"

namespace halod {

struct ServingPlan {
  int64_t context_length = 0;
  int64_t max_sequences = 0;
  int64_t prefill_chunk = 0;
  int64_t n_kv_pages = 0;
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

/// Activations of a step of so many rows, from above.
uint64_t estimated_scratch_bytes(const ModelConfig& config, int64_t n_rows, int64_t n_logit_rows);

/// Numbers that were asked for are kept or refused; those left open (0) are made to fit: first the pool of
/// all sequences, then the context. max(1 GiB, 5 %) of the machine's memory stay free for everything else on
/// it. Errors: kInvalidArgument naming the field; kOutOfMemory with the bytes needed and available and a
/// context that would fit.
Result<ServingPlan> plan_serving(const ServingDemand& demand, const MachineMemory& memory);

}  // namespace halod
