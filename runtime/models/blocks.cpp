#include "runtime/models/blocks.h"

#include <fmt/format.h>

#include <cmath>

namespace halod {

std::string layer_tensor(int64_t layer_idx, const std::string& suffix) {
  return fmt::format("blk.{}.{}", layer_idx, suffix);
}

MatrixView<float> packed(const MatrixView<float>& buffer, int64_t cols) {
  HALOD_ASSERT(buffer.row_stride == buffer.cols && cols <= buffer.cols);
  return {buffer.data, buffer.rows, cols};
}

AttentionBlock::AttentionBlock(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx,
                               const AttentionParts& parts)
    : config_(config), layer_idx_(layer_idx), parts_(parts) {
  const int64_t q_size = config.n_heads * config.head_dim, kv_size = config.n_kv_heads * config.head_dim;
  norm_ = loader.vector(layer_tensor(layer_idx, "attn_norm.weight"), config.hidden_size);
  if (parts.has_head_norms || parts.has_projection_norms) {
    q_norm_ = loader.vector(layer_tensor(layer_idx, "attn_q_norm.weight"),
                            parts.has_head_norms ? config.head_dim : q_size);
    k_norm_ = loader.vector(layer_tensor(layer_idx, "attn_k_norm.weight"),
                            parts.has_head_norms ? config.head_dim : kv_size);
  }
  q_ = loader.matrix(layer_tensor(layer_idx, "attn_q.weight"),
                     config.has_gated_attention ? 2 * q_size : q_size, config.hidden_size);
  k_ = loader.matrix(layer_tensor(layer_idx, "attn_k.weight"), kv_size, config.hidden_size);
  v_ = loader.matrix(layer_tensor(layer_idx, "attn_v.weight"), kv_size, config.hidden_size);
  o_ = loader.matrix(layer_tensor(layer_idx, "attn_output.weight"), config.hidden_size, q_size);
  if (config.has_attention_bias) load_biases(loader);
  if (config.has_attention_sinks)
    sinks_ = loader.vector(layer_tensor(layer_idx, "attn_sinks.weight"), config.n_heads);
}

void AttentionBlock::load_biases(TensorLoader& loader) {
  // Biases are added within attention(), which comes after these norms.
  if (parts_.has_projection_norms) {
    throw ErrorException(
        {ErrorCode::kUnsupported,
         fmt::format("{} has norms over whole projections and biases of them; halod does not "
                     "compute both",
                     layer_tensor(layer_idx_, "attn_q")),
         layer_tensor(layer_idx_, "attn_q.bias")});
  }
  q_bias_ = loader.vector(layer_tensor(layer_idx_, "attn_q.bias"), q_->rows());
  k_bias_ = loader.vector(layer_tensor(layer_idx_, "attn_k.bias"), k_->rows());
  v_bias_ = loader.vector(layer_tensor(layer_idx_, "attn_v.bias"), v_->rows());
  const std::string output = layer_tensor(layer_idx_, "attn_output.bias");
  if (loader.has(output)) o_bias_ = loader.vector(output, o_->rows());
}

void AttentionBlock::forward(Step& step) const {
  Backend& backend = step.backend;
  backend.rms_norm(step.hidden, *norm_, config_.rms_norm_eps, step.normed);
  const PlacedWeight* projections[] = {q_.get(), k_.get(), v_.get()};
  const MatrixView<float> gate = config_.has_gated_attention ? packed(step.gate, step.q.cols) : step.gate;
  const MatrixView<float> wide = config_.has_gated_attention ? packed(step.wide, 2 * step.q.cols) : step.wide;
  const MatrixView<float> outs[] = {config_.has_gated_attention ? wide : step.q, step.k, step.v};
  backend.linear(step.normed, projections, outs);
  if (parts_.has_projection_norms) {
    backend.rms_norm(step.q, *q_norm_, config_.rms_norm_eps, step.q);
    backend.rms_norm(step.k, *k_norm_, config_.rms_norm_eps, step.k);
  }
  backend.attention({.q = step.q,
                     .gated_q = config_.has_gated_attention ? wide : MatrixView<float>(),
                     .gate = gate,
                     .k = step.k,
                     .v = step.v,
                     .q_bias = q_bias_.get(),
                     .k_bias = k_bias_.get(),
                     .v_bias = v_bias_.get(),
                     .q_norm = parts_.has_head_norms ? q_norm_.get() : nullptr,
                     .k_norm = parts_.has_head_norms ? k_norm_.get() : nullptr,
                     .norm_epsilon = config_.rms_norm_eps,
                     .scale = 1.0F / std::sqrt(static_cast<float>(config_.head_dim)),
                     .rope_pairing = config_.rope.pairing,
                     .window = config_.window_of_layer(layer_idx_),
                     .sinks = sinks_.get(),
                     .layer_idx = config_.place_of_layer(layer_idx_),
                     .n_heads = config_.n_heads,
                     .n_kv_heads = config_.n_kv_heads,
                     .head_dim = config_.head_dim,
                     .out = step.attended},
                    step.kv);
  backend.linear_add(step.attended, *o_, o_bias_.get(), step.hidden);
}

uint64_t AttentionBlock::weight_bytes_per_token() const {
  return q_->bytes() + k_->bytes() + v_->bytes() + o_->bytes();
}

DenseFfnBlock::DenseFfnBlock(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx,
                             const std::string& norm)
    : epsilon_(config.rms_norm_eps), activation_(config.expert_activation) {
  const int64_t hidden = config.hidden_size, width = config.intermediate_size;
  norm_ = loader.vector(layer_tensor(layer_idx, norm), hidden);
  if (has_gate(activation_)) gate_ = loader.matrix(layer_tensor(layer_idx, "ffn_gate.weight"), width, hidden);
  up_ = loader.matrix(layer_tensor(layer_idx, "ffn_up.weight"), width, hidden);
  down_ = loader.matrix(layer_tensor(layer_idx, "ffn_down.weight"), hidden, width);
}

void DenseFfnBlock::forward(Step& step) const {
  step.backend.dense_ffn({.input = {step.hidden, *norm_, epsilon_, step.normed},
                          .gate = gate_ ? *gate_ : *up_,
                          .up = *up_,
                          .down = *down_,
                          .activation = activation_});
}

uint64_t DenseFfnBlock::weight_bytes_per_token() const {
  return (gate_ ? gate_->bytes() : 0) + up_->bytes() + down_->bytes();
}

MoeBlock::MoeBlock(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx,
                   const std::string& norm)
    : config_(config) {
  const int64_t hidden = config.hidden_size;
  norm_ = loader.vector(layer_tensor(layer_idx, norm), hidden);
  router_ = loader.matrix(layer_tensor(layer_idx, "ffn_gate_inp.weight"), config.n_experts, hidden);
  load_experts(loader, layer_idx);
  if (config.router_gating == RouterGating::kSigmoid)
    selection_bias_ = loader.vector(layer_tensor(layer_idx, "exp_probs_b.bias"), config.n_experts);
  if (config.has_expert_bias) load_biases(loader, layer_idx);
  if (config.shared_expert_intermediate_size > 0) load_shared_expert(loader, layer_idx);
}

void MoeBlock::load_experts(TensorLoader& loader, int64_t layer_idx) {
  const auto experts = [&](const char* name, int64_t rows, int64_t cols) {
    return loader.experts(layer_tensor(layer_idx, name), config_.n_experts, rows, cols);
  };
  int64_t hidden = config_.hidden_size;
  const int64_t width = config_.moe_intermediate_size, latent = config_.expert_latent_size;
  if (latent > 0) {
    latent_down_ = loader.matrix(layer_tensor(layer_idx, "ffn_latent_down.weight"), latent, hidden);
    latent_up_ = loader.matrix(layer_tensor(layer_idx, "ffn_latent_up.weight"), hidden, latent);
    latent_.emplace(LatentExperts{*latent_down_, *latent_up_});
    hidden = latent;
  }
  if (!has_gate(config_.expert_activation)) {
    gate_ = experts("ffn_up_exps.weight", width, hidden);
  } else if (config_.has_fused_experts) {
    // Kernels begin at multiples of 16 rows, and the second half begins at `width`.
    if (width % 16 != 0) {
      const std::string name = layer_tensor(layer_idx, "ffn_gate_up_exps.weight");
      throw ErrorException({ErrorCode::kUnsupported,
                            fmt::format("tensor '{}' holds gate and up of {} rows each; only multiples of 16 "
                                        "are supported in one tensor",
                                        name, width),
                            name});
    }
    gate_ = experts("ffn_gate_up_exps.weight", 2 * width, hidden);
  } else {
    gate_ = experts("ffn_gate_exps.weight", width, hidden);
    up_ = experts("ffn_up_exps.weight", width, hidden);
  }
  down_ = experts("ffn_down_exps.weight", hidden, width);
}

void MoeBlock::load_shared_expert(TensorLoader& loader, int64_t layer_idx) {
  const int64_t hidden = config_.hidden_size, width = config_.shared_expert_intermediate_size;
  const auto matrix = [&](const char* name, int64_t rows, int64_t cols) {
    return loader.matrix(layer_tensor(layer_idx, name), rows, cols);
  };
  if (has_gate(config_.expert_activation)) shared_gate_ = matrix("ffn_gate_shexp.weight", width, hidden);
  shared_up_ = matrix("ffn_up_shexp.weight", width, hidden);
  shared_down_ = matrix("ffn_down_shexp.weight", hidden, width);
  if (config_.has_shared_expert_gate)
    shared_scale_ = loader.row(layer_tensor(layer_idx, "ffn_gate_inp_shexp.weight"), hidden);
  shared_.emplace(SharedExpert{shared_gate_ ? *shared_gate_ : *shared_up_, *shared_up_, *shared_down_,
                               shared_scale_.get()});
}

void MoeBlock::load_biases(TensorLoader& loader, int64_t layer_idx) {
  const auto table = [&](const char* name, int64_t width) {
    return loader.table(layer_tensor(layer_idx, name), config_.n_experts, width);
  };
  router_bias_ = loader.vector(layer_tensor(layer_idx, "ffn_gate_inp.bias"), config_.n_experts);
  gate_bias_ = table("ffn_gate_exps.bias", config_.moe_intermediate_size);
  up_bias_ = table("ffn_up_exps.bias", config_.moe_intermediate_size);
  down_bias_ = table("ffn_down_exps.bias", config_.hidden_size);
  biases_.emplace(ExpertBiases{*router_bias_, *gate_bias_, *up_bias_, *down_bias_});
}

void MoeBlock::forward(Step& step) const {
  step.backend.moe({.input = {step.hidden, *norm_, config_.rms_norm_eps, step.normed},
                    .router = *router_,
                    .gate = *gate_,
                    .up = up_ ? *up_ : *gate_,
                    .down = *down_,
                    .n_experts_per_token = config_.n_experts_per_token,
                    .gating = config_.router_gating,
                    .weights_scale = config_.expert_weights_scale,
                    .selection_bias = selection_bias_.get(),
                    .biases = biases_ ? &*biases_ : nullptr,
                    .activation = config_.expert_activation,
                    .shared = shared_ ? &*shared_ : nullptr,
                    .latent = latent_ ? &*latent_ : nullptr});
}

uint64_t MoeBlock::weight_bytes_per_token() const {
  const uint64_t experts = gate_->bytes() + (up_ ? up_->bytes() : 0) + down_->bytes();
  uint64_t others = router_->bytes();
  for (const auto* weight : {&shared_gate_, &shared_up_, &shared_down_, &latent_down_, &latent_up_})
    others += *weight ? (*weight)->bytes() : 0;
  return others + experts / static_cast<uint64_t>(gate_->n_experts()) *
                      static_cast<uint64_t>(config_.n_experts_per_token);
}

std::unique_ptr<Block> make_ffn_block(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx,
                                      const std::string& norm) {
  if (config.is_moe_layer(layer_idx)) return std::make_unique<MoeBlock>(loader, config, layer_idx, norm);
  return std::make_unique<DenseFfnBlock>(loader, config, layer_idx, norm);
}

}  // namespace halod
