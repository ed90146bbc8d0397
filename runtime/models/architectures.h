// One line per architecture; each is defined in the file of its name and registered in registry.cpp.
#pragma once

#include "runtime/models/decoder_model.h"

namespace halod {

DecoderLayer make_gpt_oss_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx);
DecoderLayer make_llama_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx);
DecoderLayer make_minimax_m2_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx);
DecoderLayer make_nemotron_h_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx);
DecoderLayer make_qwen2_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx);
DecoderLayer make_qwen3_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx);
DecoderLayer make_qwen3moe_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx);
DecoderLayer make_qwen3next_layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx);

}  // namespace halod
