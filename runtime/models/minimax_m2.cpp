// MiniMax-M2 (230B-A10B): https://huggingface.co/docs/transformers/model_doc/minimax_m2
//
// Queries and keys are normed over all heads together; the router's sigmoids and its bias of the choice are
// the configuration's.
#include <memory>

#include "runtime/models/architectures.h"
#include "runtime/models/blocks.h"

namespace halod {

DecoderLayer make_minimax_m2_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx) {
  DecoderLayer layer;
  layer.push_back(std::make_unique<AttentionBlock>(loader, config, layer_idx,
                                                   AttentionParts{.has_projection_norms = true}));
  layer.push_back(std::make_unique<MoeBlock>(loader, config, layer_idx));
  return layer;
}

}  // namespace halod
