#include "runtime/models/mamba2.h"

namespace halod {

int64_t mamba2_projection_size(const RecurrentConfig& recurrent) {
  return recurrent.value_size() + recurrent.conv_channels() + recurrent.n_value_heads;
}

Mamba2Block::Mamba2Block(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx)
    : config_(config), layer_idx_(layer_idx) {
  const RecurrentConfig& recurrent = config.recurrent;
  const int64_t hidden = config.hidden_size, n_channels = recurrent.conv_channels(),
                value_size = recurrent.value_size(), n_heads = recurrent.n_value_heads,
                n_groups = recurrent.n_key_heads;
  const auto name = [&](const char* suffix) { return layer_tensor(layer_idx, suffix); };
  norm_ = loader.vector(name("attn_norm.weight"), hidden);
  in_ = loader.matrix(name("ssm_in.weight"), mamba2_projection_size(recurrent), hidden);
  conv_ = loader.transposed_table(name("ssm_conv1d.weight"), n_channels, recurrent.conv_kernel);
  if (loader.has(name("ssm_conv1d.bias"))) conv_bias_ = loader.vector(name("ssm_conv1d.bias"), n_channels);
  dt_bias_ = loader.vector(name("ssm_dt.bias"), n_heads);
  a_ = loader.table(name("ssm_a"), n_heads, 1);
  skip_ = loader.table(name("ssm_d"), n_heads, 1);
  group_norm_ = loader.table(name("ssm_norm.weight"), n_groups, value_size / n_groups);
  out_ = loader.matrix(name("ssm_out.weight"), hidden, value_size);
}

void Mamba2Block::forward(Step& step) const {
  Backend& backend = step.backend;
  const RecurrentConfig& recurrent = config_.recurrent;
  const int64_t value_size = recurrent.value_size(), n_channels = recurrent.conv_channels();
  const MatrixView<float> projected = packed(step.wide, mamba2_projection_size(recurrent)),
                          out = packed(step.gate, value_size);
  backend.rms_norm(step.hidden, *norm_, config_.rms_norm_eps, step.normed);
  const PlacedWeight* weights[] = {in_.get()};
  backend.linear(step.normed, weights, {&projected, 1});
  backend.mamba2({.gate = projected.cols_at(0, value_size),
                  .channels = projected.cols_at(value_size, n_channels),
                  .dt = projected.cols_at(value_size + n_channels, recurrent.n_value_heads),
                  .out = out,
                  .conv = *conv_,
                  .conv_bias = conv_bias_.get(),
                  .dt_bias = *dt_bias_,
                  .a = *a_,
                  .skip = *skip_,
                  .norm = *group_norm_,
                  .norm_epsilon = config_.rms_norm_eps,
                  .n_groups = recurrent.n_key_heads,
                  .n_heads = recurrent.n_value_heads,
                  .head_dim = recurrent.head_dim,
                  .state_size = recurrent.key_dim,
                  .conv_kernel = recurrent.conv_kernel,
                  .layer_idx = config_.place_of_layer(layer_idx_)},
                 *step.states);
  backend.linear_add(out, *out_, nullptr, step.hidden);
}

}  // namespace halod
