// What a model file holds and what decoding reads of it, from its tensor table alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/weights/checkpoint.h"
#include "runtime/weights/model_config.h"

namespace halod {

/// All tensors of one kind in one format.
struct TensorGroup {
  std::string kind;    ///< "experts", "attention", "embedding", "guessing ahead" …
  std::string format;  ///< "Q4_K"; of what is expanded when it is loaded, "FP8 as BF16"
  bool supported = true;
  int64_t n_tensors = 0;
  uint64_t bytes = 0;
  uint64_t bytes_per_token =
      0;  ///< that decoding one token reads: of the experts, those that it is routed to
};

/// Also for architectures that halod does not run: parameters are counted and not interpreted.
struct ModelSummary {
  std::string architecture;          // general.architecture; empty when it is missing
  std::string name;                  // general.name; may be empty
  int64_t context_length = 0;        // <arch>.context_length; 0 = not known
  int64_t n_experts = 0;             // <arch>.expert_count; 0 = dense
  int64_t n_experts_per_token = 0;   // <arch>.expert_used_count
  uint64_t n_parameters = 0;         ///< all
  uint64_t n_active_parameters = 0;  ///< without the experts that a token is not routed to, and unused layers
  uint64_t tensor_bytes = 0;
  uint64_t weight_bytes_per_token = 0;
  std::vector<TensorGroup> groups;  ///< those with most bytes first
};

/// Bytes of the tensors that the model is computed from: all but those of its unused layers.
uint64_t used_tensor_bytes(const Checkpoint& file, const ModelConfig& config);

/// Errors: kCorruptFile when one of the keys above is there and of another kind. Thread: any.
Result<ModelSummary> summarise_model(const Checkpoint& file);

}  // namespace halod
