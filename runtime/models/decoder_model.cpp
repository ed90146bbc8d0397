#include "runtime/models/decoder_model.h"

#include <algorithm>
#include <utility>

#include "runtime/models/mamba2.h"

namespace halod {

DecoderModel::DecoderModel(TensorLoader& loader, ModelConfig config, const ModelOptions& options,
                           const DecoderLayerFactory& make_layer)
    : config_(std::move(config)), options_(options), backend_(loader.backend()) {
  embedding_ = loader.matrix("token_embd.weight", config_.vocab_size, config_.hidden_size);
  output_norm_ = loader.vector("output_norm.weight", config_.hidden_size);
  if (loader.has("output.weight"))
    output_ = loader.matrix("output.weight", config_.vocab_size, config_.hidden_size);
  for (int64_t layer_idx = 0; layer_idx < config_.n_layers; ++layer_idx) {
    layers_.push_back(make_layer(loader, config_, layer_idx));
  }
  for (int64_t i = 0; i < config_.n_unused_layers; ++i) loader.leave_out_layer(config_.n_layers + i);
  load_rotary(loader);
  loader.refuse_unused();
  weight_bytes_ = loader.weight_bytes();
  kv_ = backend_.allocate_kv(kv_shape(config_), options_.n_kv_pages).value();
  if (config_.has_recurrent_state())
    states_ = backend_.allocate_states(recurrent_shape(config_), options_.max_sequences).value();
  allocate_buffers();
  allocate_gate_buffers();
}

void DecoderModel::load_rotary(TensorLoader& loader) {
  const std::string divisors = "rope_freqs.weight";
  rotary_ =
      rotary_frequencies(config_, loader.has(divisors) ? loader.values(divisors, {config_.rope.n_dims / 2})
                                                       : std::vector<float>());
}

void DecoderModel::allocate_buffers() {
  const int64_t n = options_.max_batch_tokens;
  const int64_t q_size = config_.n_heads * config_.head_dim, kv_size = config_.n_kv_heads * config_.head_dim;
  hidden_ = backend_.allocate_activations(n, config_.hidden_size).value();
  normed_ = backend_.allocate_activations(n, config_.hidden_size).value();
  q_ = backend_.allocate_activations(n, q_size).value();
  k_ = backend_.allocate_activations(n, kv_size).value();
  v_ = backend_.allocate_activations(n, kv_size).value();
  attended_ = backend_.allocate_activations(n, q_size).value();
  logit_rows_ = backend_.allocate_activations(options_.max_logit_rows, config_.hidden_size).value();
}

void DecoderModel::allocate_gate_buffers() {
  const RecurrentConfig& recurrent = config_.recurrent;
  const int64_t n = options_.max_batch_tokens,
                q_size = config_.has_gated_attention ? config_.n_heads * config_.head_dim : 0;
  const bool has_mamba2 = config_.n_layers_with(Mixer::kMamba2) > 0;
  const int64_t wide =
      std::max(2 * q_size, has_mamba2 ? mamba2_projection_size(recurrent) : recurrent.conv_channels());
  if (wide == 0) return;
  wide_ = backend_.allocate_activations(n, wide).value();
  gate_ = backend_.allocate_activations(n, std::max(q_size, recurrent.value_size())).value();
  if (recurrent.n_value_heads == 0 || has_mamba2) return;  // Mamba-2's others are parts of `wide`
  beta_alpha_ = backend_.allocate_activations(n, 2 * recurrent.n_value_heads).value();
  beta_ = backend_.allocate_activations(n, recurrent.n_value_heads).value();
  alpha_ = backend_.allocate_activations(n, recurrent.n_value_heads).value();
}

uint64_t DecoderModel::weight_bytes_per_token() const {
  uint64_t total = output().bytes();
  for (const DecoderLayer& layer : layers_) {
    for (const auto& block : layer) total += block->weight_bytes_per_token();
  }
  return total;
}

void DecoderModel::forward(const Batch& batch, MatrixView<float> logits) {
  const auto n_tokens = static_cast<int64_t>(batch.tokens.size()),
             n_logits = static_cast<int64_t>(batch.logit_rows.size());
  HALOD_ASSERT(n_tokens > 0 && n_tokens <= options_.max_batch_tokens && n_logits <= options_.max_logit_rows);
  HALOD_ASSERT(batch.best.empty() || batch.best.size() == batch.logit_rows.size());

  std::vector<AttentionSequence> sequences;
  for (const SequenceSlice& slice : batch.sequences) {
    HALOD_ASSERT(slice.state_slot >= 0 && slice.state_slot < options_.max_sequences);
    sequences.push_back({slice.pages, slice.n_past, slice.n_new, slice.state_slot});
  }
  backend_.begin_step({.tokens = batch.tokens,
                       .sequences = sequences,
                       .logit_rows = batch.logit_rows,
                       .inverse_frequencies = rotary_.inverse,
                       .rope_magnitude = rotary_.magnitude});
  const MatrixView<float> hidden = hidden_.rows_at(0, n_tokens);
  backend_.embed(*embedding_, hidden);
  const auto first_rows = [&](const MatrixView<float>& buffer) {
    return buffer.rows > 0 ? buffer.rows_at(0, n_tokens) : buffer;
  };
  Step step{.backend = backend_,
            .kv = *kv_,
            .hidden = hidden,
            .normed = normed_.rows_at(0, n_tokens),
            .q = q_.rows_at(0, n_tokens),
            .k = k_.rows_at(0, n_tokens),
            .v = v_.rows_at(0, n_tokens),
            .attended = attended_.rows_at(0, n_tokens),
            .wide = first_rows(wide_),
            .gate = first_rows(gate_),
            .beta_alpha = first_rows(beta_alpha_),
            .beta = first_rows(beta_),
            .alpha = first_rows(alpha_),
            .states = states_.get()};
  for (const DecoderLayer& layer : layers_) {
    for (const auto& block : layer) block->forward(step);
  }

  if (n_logits > 0) {
    // Only the rows that somebody samples from: the output matrix is the largest of all.
    const MatrixView<float> rows = logit_rows_.rows_at(0, n_logits);
    backend_.gather_logit_rows(hidden, rows);
    backend_.rms_norm(rows, *output_norm_, config_.rms_norm_eps, rows);
    backend_.output(
        {.x = rows, .weight = output(), .logits = logits.rows_at(0, n_logits), .best = batch.best});
  }
  backend_.synchronize();
}

}  // namespace halod
