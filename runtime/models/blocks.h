// The blocks that decoder architectures share. A block owns its weights and reads and writes the step's
// buffers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "runtime/models/model.h"
#include "runtime/models/tensor_loader.h"

namespace halod {

/// What one step passes from block to block. All matrices have one row per batch token.
struct Step {
  Backend& backend;
  KvStorage& kv;
  MatrixView<float> hidden;  ///< [n_tokens, hidden_size]: the residual stream
  MatrixView<float> normed;  ///< [n_tokens, hidden_size]: a block's normalised input
  MatrixView<float> q, k,
      v;  ///< projections; [n_tokens, n_heads * head_dim], twice [n_tokens, n_kv_heads * head_dim]
  MatrixView<float> attended;  ///< [n_tokens, n_heads * head_dim]
  // Of models with gated attention or recurrent layers; columns as many as the widest block needs, the others
  // take packed().
  MatrixView<float> wide;         ///< queries with their gates; or a recurrent layer's q, k and v
  MatrixView<float> gate;         ///< of the result
  MatrixView<float> beta_alpha;   ///< [n_tokens, 2 * n_value_heads]
  MatrixView<float> beta, alpha;  ///< [n_tokens, n_value_heads]
  RecurrentStates* states = nullptr;
};

/// The buffer's rows of only so many columns each, one after the other in its memory.
MatrixView<float> packed(const MatrixView<float>& buffer, int64_t cols);

/// A part of a layer: reads and adds to step.hidden.
class Block {
 public:
  virtual ~Block() = default;
  virtual void forward(Step& step) const = 0;
  virtual uint64_t weight_bytes_per_token() const = 0;
};

/// What the attention of a family has beyond its projections; biases are where the configuration has them.
struct AttentionParts {
  bool has_head_norms = false;        ///< attn_q_norm and attn_k_norm, per head, before the rotation
  bool has_projection_norms = false;  ///< the same over all heads together
};

/// hidden += o(attention(q x, k x, v x)), x = rms_norm(hidden): grouped queries, rotary positions.
class AttentionBlock final : public Block {
 public:
  AttentionBlock(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx,
                 const AttentionParts& parts);
  void forward(Step& step) const override;
  uint64_t weight_bytes_per_token() const override;

 private:
  void load_biases(TensorLoader& loader);

  const ModelConfig& config_;
  int64_t layer_idx_;
  AttentionParts parts_;
  std::unique_ptr<PlacedVector> norm_, q_norm_, k_norm_, q_bias_, k_bias_, v_bias_, o_bias_, sinks_;
  std::unique_ptr<PlacedWeight> q_, k_, v_, o_;
};

/// hidden += down(silu(gate x) * (up x)), or down(relu(up x)^2) as the configuration has it; x =
/// rms_norm(hidden). `norm` is the name of the norm's weights within the layer.
class DenseFfnBlock final : public Block {
 public:
  DenseFfnBlock(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx,
                const std::string& norm = "ffn_norm.weight");
  void forward(Step& step) const override;
  uint64_t weight_bytes_per_token() const override;

 private:
  float epsilon_;
  ExpertActivation activation_;
  std::unique_ptr<PlacedVector> norm_;
  std::unique_ptr<PlacedWeight> gate_, up_, down_;  // gate_ is empty where the activation has none
};

/// hidden += the weighted sum of the chosen experts of x = rms_norm(hidden). `norm` as above.
class MoeBlock final : public Block {
 public:
  MoeBlock(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx,
           const std::string& norm = "ffn_norm.weight");
  void forward(Step& step) const override;
  uint64_t weight_bytes_per_token() const override;

 private:
  void load_experts(TensorLoader& loader, int64_t layer_idx);
  void load_biases(TensorLoader& loader, int64_t layer_idx);
  void load_shared_expert(TensorLoader& loader, int64_t layer_idx);

  const ModelConfig& config_;
  std::unique_ptr<PlacedVector> norm_;
  std::unique_ptr<PlacedWeight> router_, gate_, up_, down_;
  std::unique_ptr<PlacedVector> selection_bias_, router_bias_, gate_bias_, up_bias_, down_bias_;
  std::optional<ExpertBiases> biases_;
  std::unique_ptr<PlacedWeight> shared_gate_, shared_up_, shared_down_, shared_scale_;
  std::optional<SharedExpert> shared_;
  std::unique_ptr<PlacedWeight> latent_down_, latent_up_;
  std::optional<LatentExperts> latent_;
};

/// A mixture of experts where the layer has experts, else one feed-forward network.
std::unique_ptr<Block> make_ffn_block(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx,
                                      const std::string& norm = "ffn_norm.weight");

/// GGUF's name of a layer's tensor: "blk.3.attn_q.weight".
std::string layer_tensor(int64_t layer_idx, const std::string& suffix);

}  // namespace halod
