// The architectures that halod knows, by their GGUF name. Each family's factory is defined in the file of its
// name; a declaration and a row here make it known.
#pragma once

#include <string_view>

#include "runtime/models/decoder_model.h"

namespace halod {

/// Makes layer `layer_idx`; throws ErrorException. `config` outlives the layer.
using LayerFactory = DecoderLayer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx);

LayerFactory make_glm4_moe_layer;
LayerFactory make_gpt_oss_layer;
LayerFactory make_llama_layer;
LayerFactory make_minimax_m2_layer;
LayerFactory make_nemotron_h_layer;
LayerFactory make_qwen2_layer;
LayerFactory make_qwen3_layer;
LayerFactory make_qwen3moe_layer;
LayerFactory make_qwen3next_layer;

struct Architecture {
  std::string_view name;
  LayerFactory* make_layer;
};

inline constexpr Architecture kArchitectures[] = {
    {"glm4moe", make_glm4_moe_layer},      {"gpt-oss", make_gpt_oss_layer},
    {"llama", make_llama_layer},           {"minimax-m2", make_minimax_m2_layer},
    {"nemotron_h", make_nemotron_h_layer}, {"nemotron_h_moe", make_nemotron_h_layer},
    {"qwen2", make_qwen2_layer},           {"qwen3", make_qwen3_layer},
    {"qwen3moe", make_qwen3moe_layer},     {"qwen3next", make_qwen3next_layer},
    {"qwen35moe", make_qwen3next_layer},
};

}  // namespace halod
