// Nemotron-H (8B, 47B, 56B) and, with experts, Nemotron-3 Nano (30B-A3B):
// https://huggingface.co/docs/transformers/model_doc/nemotron_h
//
// A layer is one block and not two; every kind has its norm under the same name. Attention has no positions:
// the recurrent layers between know the order.
#include <memory>

#include "runtime/models/architectures.h"
#include "runtime/models/blocks.h"
#include "runtime/models/mamba2.h"

namespace halod {

DecoderLayer make_nemotron_h_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx) {
  DecoderLayer layer;
  if (config.mixer(layer_idx) == Mixer::kMamba2) {
    layer.push_back(std::make_unique<Mamba2Block>(loader, config, layer_idx));
  } else if (config.mixer(layer_idx) == Mixer::kAttention) {
    layer.push_back(std::make_unique<AttentionBlock>(loader, config, layer_idx, AttentionParts{}));
  } else {
    layer.push_back(make_ffn_block(loader, config, layer_idx, "attn_norm.weight"));
  }
  return layer;
}

}  // namespace halod
