// Qwen2 and Qwen2.5, dense: https://huggingface.co/docs/transformers/model_doc/qwen2
#include <memory>

#include "runtime/models/architectures.h"
#include "runtime/models/blocks.h"

namespace halod {

DecoderLayer make_qwen2_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx) {
  DecoderLayer layer;
  layer.push_back(std::make_unique<AttentionBlock>(loader, config, layer_idx, AttentionParts{}));
  layer.push_back(std::make_unique<DenseFfnBlock>(loader, config, layer_idx));
  return layer;
}

}  // namespace halod
