// Qwen3-Next (80B-A3B): https://huggingface.co/docs/transformers/model_doc/qwen3_next
// Qwen3.5 mixture of experts is the same; its configuration says how its value heads are ordered, and its
// beta and alpha are tensors of their own: https://huggingface.co/docs/transformers/model_doc/qwen3_5_moe
#include <memory>

#include "runtime/models/architectures.h"
#include "runtime/models/blocks.h"
#include "runtime/models/gated_delta_net.h"

namespace halod {

DecoderLayer make_qwen3next_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx) {
  DecoderLayer layer;
  if (config.mixer(layer_idx) == Mixer::kGatedDeltaNet) {
    layer.push_back(std::make_unique<GatedDeltaNetBlock>(loader, config, layer_idx));
  } else {
    layer.push_back(
        std::make_unique<AttentionBlock>(loader, config, layer_idx, AttentionParts{.has_head_norms = true}));
  }
  layer.push_back(std::make_unique<MoeBlock>(loader, config, layer_idx, "post_attention_norm.weight"));
  return layer;
}

}  // namespace halod
