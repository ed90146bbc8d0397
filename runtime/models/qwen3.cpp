// Qwen3, dense (Qwen3-0.6B … 32B): https://huggingface.co/docs/transformers/model_doc/qwen3
#include <memory>

#include "runtime/models/architectures.h"
#include "runtime/models/blocks.h"

namespace halod {

DecoderLayer make_qwen3_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx) {
  DecoderLayer layer;
  layer.push_back(
      std::make_unique<AttentionBlock>(loader, config, layer_idx, AttentionParts{.has_head_norms = true}));
  layer.push_back(std::make_unique<DenseFfnBlock>(loader, config, layer_idx));
  return layer;
}

}  // namespace halod
