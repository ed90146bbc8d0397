// Qwen3 mixture of experts (Qwen3-30B-A3B, Qwen3-Coder-30B-A3B, Qwen3-235B-A22B):
// https://huggingface.co/docs/transformers/model_doc/qwen3_moe
#include <memory>

#include "runtime/models/architectures.h"
#include "runtime/models/blocks.h"

namespace halod {

DecoderLayer make_qwen3moe_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx) {
  DecoderLayer layer;
  layer.push_back(
      std::make_unique<AttentionBlock>(loader, config, layer_idx, AttentionParts{.has_head_norms = true}));
  layer.push_back(std::make_unique<MoeBlock>(loader, config, layer_idx));
  return layer;
}

}  // namespace halod
