#include "bench/model_shapes.h"

#include <algorithm>
#include <array>

namespace halod {
namespace {

// Source: Qwen/Qwen3-30B-A3B, config.json.
ModelConfig qwen3_30b_a3b() {
  return {.architecture = "qwen3moe",
          .name = "synthetic Qwen3-30B-A3B",
          .vocab_size = 151936,
          .hidden_size = 2048,
          .n_layers = 48,
          .n_heads = 32,
          .n_kv_heads = 4,
          .head_dim = 128,
          .n_experts = 128,
          .n_experts_per_token = 8,
          .moe_intermediate_size = 768,
          .context_length = 40960,
          .rope_theta = 1e6f,
          .rms_norm_eps = 1e-6f};
}

// Source: Qwen/Qwen3-0.6B, config.json.
ModelConfig qwen3_0_6b() {
  return {.architecture = "qwen3",
          .name = "synthetic Qwen3-0.6B",
          .vocab_size = 151936,
          .hidden_size = 1024,
          .n_layers = 28,
          .n_heads = 16,
          .n_kv_heads = 8,
          .head_dim = 128,
          .intermediate_size = 3072,
          .context_length = 40960,
          .rope_theta = 1e6f,
          .rms_norm_eps = 1e-6f};
}

// As small as the K-quants' blocks of 256 allow, with q_dim (512) unlike hidden_size, and grouped heads.
ModelConfig tiny(bool is_moe) {
  ModelConfig config{.architecture = is_moe ? "qwen3moe" : "qwen3",
                     .name = is_moe ? "synthetic tiny MoE" : "synthetic tiny dense",
                     .vocab_size = 320,
                     .hidden_size = 256,
                     .n_layers = 2,
                     .n_heads = 8,
                     .n_kv_heads = 2,
                     .head_dim = 64,
                     .context_length = 1024,
                     .rope_theta = 1e6f,
                     .rms_norm_eps = 1e-6f};
  if (is_moe) {
    config.n_experts = 8;
    config.n_experts_per_token = 2;
    config.moe_intermediate_size = 256;
  } else {
    config.intermediate_size = 512;
  }
  return config;
}

}  // namespace

std::span<const ModelShape> model_shapes() {
  static const std::array<ModelShape, 4> kShapes = {{
      {.name = "30b-a3b", .config = qwen3_30b_a3b(), .default_layers = 4},
      {.name = "0.6b", .config = qwen3_0_6b(), .default_layers = 28, .has_tied_output = true},
      {.name = "tiny-moe", .config = tiny(true), .default_layers = 2},
      {.name = "tiny-dense", .config = tiny(false), .default_layers = 2, .has_tied_output = true},
  }};
  return kShapes;
}

const ModelShape* find_model_shape(std::string_view name) {
  const auto shapes = model_shapes();
  const auto row = std::ranges::find(shapes, name, &ModelShape::name);
  return row == shapes.end() ? nullptr : &*row;
}

}  // namespace halod
