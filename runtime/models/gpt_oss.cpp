// gpt-oss-20b and -120b: https://huggingface.co/docs/transformers/model_doc/gpt_oss
//
// Sinks, windows, biases and the experts' activation are the configuration's; only the norm before the
// experts has a name of its own.
#include <memory>

#include "runtime/models/architectures.h"
#include "runtime/models/blocks.h"

namespace halod {

DecoderLayer make_gpt_oss_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx) {
  DecoderLayer layer;
  layer.push_back(std::make_unique<AttentionBlock>(loader, config, layer_idx, AttentionParts{}));
  layer.push_back(std::make_unique<MoeBlock>(loader, config, layer_idx, "post_attention_norm.weight"));
  return layer;
}

}  // namespace halod
