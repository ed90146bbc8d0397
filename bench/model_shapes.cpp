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

ModelConfig tiny_llama() {
  ModelConfig config = tiny(false);
  config.architecture = "llama";
  config.name = "synthetic tiny Llama";
  return config;
}

ModelConfig tiny_qwen2() {
  ModelConfig config = tiny(false);
  config.architecture = "qwen2";
  config.name = "synthetic tiny Qwen2";
  config.has_attention_bias = true;
  return config;
}

ModelConfig tiny_gpt_oss() {
  ModelConfig config = tiny(true);
  config.architecture = "gpt-oss";
  config.name = "synthetic tiny gpt-oss";
  config.has_attention_bias = config.has_attention_sinks = config.has_expert_bias = true;
  config.sliding_window = 24;
  config.sliding_period = 2;
  return config;
}

// Norms over whole projections, half of a head rotated.
ModelConfig tiny_minimax_m2() {
  ModelConfig config = tiny(true);
  config.architecture = "minimax-m2";
  config.name = "synthetic tiny MiniMax-M2";
  config.rope.n_dims = 32;
  config.router_gating = RouterGating::kSigmoid;
  return config;
}

// A recurrent layer, then one of gated attention. The shared expert is narrower than the others.
ModelConfig tiny_qwen3next() {
  ModelConfig config = tiny(true);
  config.architecture = "qwen3next";
  config.name = "synthetic tiny Qwen3-Next";
  config.rope.n_dims = 16;
  config.has_gated_attention = config.has_fused_experts = true;
  config.shared_expert_intermediate_size = 64;
  config.mixers = {Mixer::kGatedDeltaNet, Mixer::kAttention};
  config.recurrent = {.conv_kernel = 4, .head_dim = 64, .n_key_heads = 2, .n_value_heads = 4};
  return config;
}

// As the real ones, heads of 256 in attention and of 128 in recurrent layers.
ModelConfig tiny_qwen35moe() {
  ModelConfig config = tiny_qwen3next();
  config.architecture = "qwen35moe";
  config.name = "synthetic tiny Qwen3.5 MoE";
  config.n_heads = 2;
  config.n_kv_heads = 1;
  config.head_dim = 256;
  config.rope.n_dims = 64;
  config.has_fused_experts = false;
  config.shared_expert_intermediate_size = 512;
  config.recurrent = {
      .conv_kernel = 4, .head_dim = 128, .n_key_heads = 2, .n_value_heads = 4, .tiles_value_heads = true};
  return config;
}

}  // namespace

std::span<const ModelShape> model_shapes() {
  static const std::array<ModelShape, 10> kShapes = {{
      {.name = "30b-a3b", .config = qwen3_30b_a3b(), .default_layers = 4},
      {.name = "0.6b", .config = qwen3_0_6b(), .default_layers = 28, .has_tied_output = true},
      {.name = "tiny-moe", .config = tiny(true), .default_layers = 2},
      {.name = "tiny-dense", .config = tiny(false), .default_layers = 2, .has_tied_output = true},
      {.name = "tiny-llama", .config = tiny_llama(), .default_layers = 2},
      {.name = "tiny-qwen2", .config = tiny_qwen2(), .default_layers = 2},
      {.name = "tiny-gpt-oss", .config = tiny_gpt_oss(), .default_layers = 2},
      {.name = "tiny-minimax-m2", .config = tiny_minimax_m2(), .default_layers = 2},
      {.name = "tiny-qwen3next", .config = tiny_qwen3next(), .default_layers = 2},
      {.name = "tiny-qwen35moe", .config = tiny_qwen35moe(), .default_layers = 2},
  }};
  return kShapes;
}

const ModelShape* find_model_shape(std::string_view name) {
  const auto shapes = model_shapes();
  const auto row = std::ranges::find(shapes, name, &ModelShape::name);
  return row == shapes.end() ? nullptr : &*row;
}

}  // namespace halod
