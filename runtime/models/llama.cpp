// Llama 2 and 3, TinyLlama, Mistral; Mixtral, where the file has experts:
// https://huggingface.co/docs/transformers/model_doc/llama
#include <memory>

#include "runtime/models/architectures.h"
#include "runtime/models/blocks.h"

namespace halod {

DecoderLayer make_llama_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx) {
  DecoderLayer layer;
  layer.push_back(std::make_unique<AttentionBlock>(loader, config, layer_idx, AttentionParts{}));
  layer.push_back(make_ffn_block(loader, config, layer_idx));
  return layer;
}

}  // namespace halod
