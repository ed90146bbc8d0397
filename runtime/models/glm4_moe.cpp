// GLM-4.5, 4.6 and 4.5-Air: https://huggingface.co/docs/transformers/model_doc/glm4_moe
//
// Dense layers first, then experts beside one that every token goes to. The large models norm queries and
// keys, Air does not, and no key says so.
#include <memory>

#include "runtime/models/architectures.h"
#include "runtime/models/blocks.h"

namespace halod {

DecoderLayer make_glm4_moe_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx) {
  const AttentionParts parts{.has_head_norms = loader.has(layer_tensor(layer_idx, "attn_q_norm.weight"))};
  DecoderLayer layer;
  layer.push_back(std::make_unique<AttentionBlock>(loader, config, layer_idx, parts));
  layer.push_back(make_ffn_block(loader, config, layer_idx, "post_attention_norm.weight"));
  return layer;
}

}  // namespace halod
