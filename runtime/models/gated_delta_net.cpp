#include "runtime/models/gated_delta_net.h"

namespace halod {

GatedDeltaNetBlock::GatedDeltaNetBlock(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx)
    : config_(config), layer_idx_(layer_idx) {
  const RecurrentConfig& recurrent = config.recurrent;
  const int64_t hidden = config.hidden_size, n_channels = recurrent.conv_channels(),
                value_size = recurrent.value_size(), n_heads = recurrent.n_value_heads;
  const auto name = [&](const char* suffix) { return layer_tensor(layer_idx, suffix); };
  norm_ = loader.vector(name("attn_norm.weight"), hidden);
  qkv_ = loader.matrix(name("attn_qkv.weight"), n_channels, hidden);
  gate_ = loader.matrix(name("attn_gate.weight"), value_size, hidden);
  if (loader.has(name("ssm_ba.weight"))) {
    beta_alpha_ = loader.matrix(name("ssm_ba.weight"), 2 * n_heads, hidden);
  } else {
    beta_ = loader.matrix(name("ssm_beta.weight"), n_heads, hidden);
    alpha_ = loader.matrix(name("ssm_alpha.weight"), n_heads, hidden);
  }
  // By tap, so that neighbouring channels lie together.
  conv_ = loader.transposed_table(name("ssm_conv1d.weight"), n_channels, recurrent.conv_kernel);
  dt_bias_ = loader.vector(name("ssm_dt.bias"), n_heads);
  a_ = loader.vector(name("ssm_a"), n_heads);
  head_norm_ = loader.vector(name("ssm_norm.weight"), recurrent.head_dim);
  out_ = loader.matrix(name("ssm_out.weight"), hidden, value_size);
}

void GatedDeltaNetBlock::forward(Step& step) const {
  Backend& backend = step.backend;
  const RecurrentConfig& recurrent = config_.recurrent;
  const MatrixView<float> qkv = packed(step.wide, recurrent.conv_channels()),
                          gate = packed(step.gate, recurrent.value_size());
  backend.rms_norm(step.hidden, *norm_, config_.rms_norm_eps, step.normed);
  if (beta_alpha_) {
    const PlacedWeight* weights[] = {qkv_.get(), gate_.get(), beta_alpha_.get()};
    const MatrixView<float> outs[] = {qkv, gate, step.beta_alpha};
    backend.linear(step.normed, weights, outs);
  } else {
    const PlacedWeight* weights[] = {qkv_.get(), gate_.get(), beta_.get(), alpha_.get()};
    const MatrixView<float> outs[] = {qkv, gate, step.beta, step.alpha};
    backend.linear(step.normed, weights, outs);
  }
  backend.gated_delta_net({.qkv = qkv,
                           .gate = gate,
                           .beta = step.beta,
                           .alpha = step.alpha,
                           .beta_alpha = beta_alpha_ ? step.beta_alpha : MatrixView<float>(),
                           .conv = *conv_,
                           .dt_bias = *dt_bias_,
                           .a = *a_,
                           .norm = *head_norm_,
                           .norm_epsilon = config_.rms_norm_eps,
                           .n_key_heads = recurrent.n_key_heads,
                           .n_value_heads = recurrent.n_value_heads,
                           .head_dim = recurrent.head_dim,
                           .conv_kernel = recurrent.conv_kernel,
                           .tiles_value_heads = recurrent.tiles_value_heads,
                           .layer_idx = config_.place_of_layer(layer_idx_)},
                          *step.states);
  backend.linear_add(gate, *out_, nullptr, step.hidden);
}

uint64_t GatedDeltaNetBlock::weight_bytes_per_token() const {
  uint64_t total = qkv_->bytes() + gate_->bytes() + out_->bytes();
  for (const auto* weight : {&beta_alpha_, &beta_, &alpha_}) total += *weight ? (*weight)->bytes() : 0;
  return total;
}

}  // namespace halod
