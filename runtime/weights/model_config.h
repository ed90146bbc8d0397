// What a model is, in Hugging Face config.json's words (GGUF keys in the comments).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "runtime/weights/checkpoint.h"

namespace halod {

/// Which values of a head rotary embedding turns together.
enum class RopePairing : uint8_t {
  kHalves,      ///< i and i + n/2, as in Hugging Face's checkpoints
  kNeighbours,  ///< 2i and 2i + 1: GGUF's llama, whose converter permutes the rows
};

/// How the rotary frequencies were stretched beyond the context of the training.
enum class RopeScaling : uint8_t {
  kNone,
  kLinear,  ///< all divided by the factor
  kYarn,    ///< Peng et al. 2023, "YaRN", by parts
};

struct RopeConfig {
  int64_t n_dims = 0;  // <arch>.rope.dimension_count: leading values of a head; 0 = no
                       // rotation
  RopePairing pairing = RopePairing::kHalves;  // by architecture
  RopeScaling scaling = RopeScaling::kNone;    // <arch>.rope.scaling.type
  float factor = 1;                            // <arch>.rope.scaling.factor
  int64_t original_context_length = 0;         // <arch>.rope.scaling.original_context_length; kYarn
  float beta_fast = 32;                        // <arch>.rope.scaling.yarn_beta_fast
  float beta_slow = 1;                         // <arch>.rope.scaling.yarn_beta_slow
  bool rounds_correction_range = true;         // by architecture
};

/// How the router's logits become the experts' shares.
enum class RouterGating : uint8_t { kSoftmax, kSoftmaxOfChosen, kSigmoid };

/// What an expert computes between its matrices.
enum class ExpertActivation : uint8_t {
  kSwiglu,         ///< silu(gate) * up
  kClampedSwiglu,  ///< gpt-oss': bounded, with another slope
  kSquaredRelu,    ///< relu(up)^2: there is no gate
};
inline bool has_gate(ExpertActivation activation) { return activation != ExpertActivation::kSquaredRelu; }

/// What mixes the tokens in a layer.
enum class Mixer : uint8_t {
  kAttention,
  kGatedDeltaNet,
  kMamba2,
  kNone,  ///< a feed-forward layer of its own
};

/// Of layers with a recurrent state.
struct RecurrentConfig {
  int64_t conv_kernel = 0;  // <arch>.ssm.conv_kernel
  int64_t head_dim = 0;  // of values. Gated delta nets: <arch>.ssm.state_size; Mamba-2: <arch>.ssm.inner_size
                         // over the heads
  int64_t key_dim = 0;   // Mamba-2: <arch>.ssm.state_size; 0: head_dim
  int64_t n_key_heads = 0;    // <arch>.ssm.group_count
  int64_t n_value_heads = 0;  // <arch>.ssm.time_step_rank
  bool tiles_value_heads =
      false;  // value head j goes with key head j % n_key_heads, not with j / their ratio

  int64_t value_size() const { return n_value_heads * head_dim; }
  /// Of the keys of all heads; queries are as many.
  int64_t key_size() const { return n_key_heads * (key_dim > 0 ? key_dim : head_dim); }
  /// Queries, keys and values side by side; Mamba-2's C, B and x.
  int64_t conv_channels() const { return 2 * key_size() + value_size(); }
};

/// Plain values; read_model_config checks their ranges and that the model's tensors agree with them when
/// loaded.
struct ModelConfig {
  std::string architecture;           // general.architecture: "qwen3moe"
  std::string name;                   // general.name
  int64_t vocab_size = 0;             // from token_embd.weight
  int64_t hidden_size = 0;            // <arch>.embedding_length
  int64_t n_layers = 0;               // <arch>.block_count, without n_unused_layers
  int64_t n_unused_layers = 0;        // <arch>.nextn_predict_layers: at the end, for guessing ahead
  int64_t n_heads = 0;                // <arch>.attention.head_count
  int64_t n_kv_heads = 0;             // <arch>.attention.head_count_kv
  int64_t head_dim = 0;               // <arch>.attention.key_length; hidden_size / n_heads only when absent
  int64_t intermediate_size = 0;      // <arch>.feed_forward_length; dense models
  int64_t n_experts = 0;              // <arch>.expert_count; 0 = dense
  int64_t n_experts_per_token = 0;    // <arch>.expert_used_count
  int64_t moe_intermediate_size = 0;  // <arch>.expert_feed_forward_length
  int64_t context_length = 0;         // <arch>.context_length
  float rope_theta = 0;               // <arch>.rope.freq_base
  float rms_norm_eps = 0;             // <arch>.attention.layer_norm_rms_epsilon
  RopeConfig rope = {};
  bool has_attention_bias = false;   // attn_q.bias, attn_k.bias and attn_v.bias are there
  bool has_attention_sinks = false;  // attn_sinks.weight is there
  int64_t sliding_window = 0;        // <arch>.attention.sliding_window: keys, a token's own included; 0 = all
  int64_t sliding_period = 0;        // of so many layers the last sees everything; 0: all layers do
  RouterGating router_gating = RouterGating::kSoftmax;
  float expert_weights_scale = 1;  // <arch>.expert_weights_scale
  bool has_expert_bias = false;    // of the router and of the experts' matrices
  ExpertActivation expert_activation = ExpertActivation::kSwiglu;  // of dense layers too

  bool has_column_orders = false;  // of weights: Checkpoint::column_order
  bool has_fused_experts = false;  // ffn_gate_up_exps stands for ffn_gate_exps and ffn_up_exps
  int64_t expert_latent_size = 0;  // <arch>.moe_latent_size: what the experts read and write; 0 = hidden_size
  int64_t n_leading_dense_layers = 0;           // <arch>.leading_dense_block_count: before those with experts
  bool has_gated_attention = false;             // attn_q gives each head's query and a gate of its result
  bool has_shared_expert_gate = false;          // ffn_gate_inp_shexp: how much of the shared expert is added
  int64_t shared_expert_intermediate_size = 0;  // <arch>.expert_shared_feed_forward_length; 0 = none
  std::vector<Mixer> mixers = {};               // by layer; empty: attention everywhere
  RecurrentConfig recurrent = {};

  bool is_moe() const { return n_experts > 0; }
  bool is_moe_layer(int64_t layer_idx) const { return is_moe() && layer_idx >= n_leading_dense_layers; }
  /// Keys that a layer's attention sees at most; 0 = all.
  int64_t window_of_layer(int64_t layer_idx) const {
    return sliding_period > 0 && layer_idx % sliding_period < sliding_period - 1 ? sliding_window : 0;
  }
  Mixer mixer(int64_t layer_idx) const {
    return mixers.empty() ? Mixer::kAttention : mixers[static_cast<size_t>(layer_idx)];
  }
  /// Among the layers with the same kind of mixer: where in the KV cache or in the states a layer's part is.
  int64_t place_of_layer(int64_t layer_idx) const;
  int64_t n_layers_with(Mixer wanted) const;
  /// Whether a sequence has more of a past than keys and values: what cannot be cut off at a token.
  bool has_recurrent_state() const { return n_recurrent_layers() > 0; }
  int64_t n_recurrent_layers() const {
    return n_layers_with(Mixer::kGatedDeltaNet) + n_layers_with(Mixer::kMamba2);
  }
};

/// Reads the keys above. Errors: kCorruptFile naming file, key and value when one is missing or absurd;
/// kUnsupported when the file asks for something that would be computed wrongly by this build.
Result<ModelConfig> read_model_config(const Checkpoint& file);

}  // namespace halod
