// The parts that the families' layers have in common, written into both twins.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/support/hf_twin.h"

namespace halod::test {

inline constexpr int64_t kVocab = 96, kHidden = 64, kLayers = 2, kHeads = 4, kKvHeads = 2, kHeadDim = 32,
                         kWidth = 96, kExperts = 4, kExpertsPerToken = 2;

/// Rows of each head so that 2i and 2i + 1 are what was i and i + head_dim / 2.
inline std::vector<int64_t> permuted(int64_t n_heads, int64_t head_dim) {
  std::vector<int64_t> order;
  for (int64_t head = 0; head < n_heads; ++head) {
    for (int64_t i = 0; i < head_dim / 2; ++i) {
      order.push_back(head * head_dim + i);
      order.push_back(head * head_dim + head_dim / 2 + i);
    }
  }
  return order;
}

/// From first on, every step-th of n rows.
inline std::vector<int64_t> strided(int64_t n, int64_t first, int64_t step) {
  std::vector<int64_t> order;
  for (int64_t row = first; row < n; row += step) order.push_back(row);
  return order;
}

class FamilyWriter {
 public:
  FamilyWriter(HfTwin& twin, std::string model_type, std::string architecture)
      : twin_(twin), model_type_(std::move(model_type)), arch_(std::move(architecture)) {
    twin_.set("general.architecture", arch_);
  }

  void set(const std::string& suffix, const MetadataValue& value) { twin_.set(arch_ + "." + suffix, value); }

  /// Keys that every family has. Heads x head_dim is not the hidden size.
  void set_sizes(double theta, bool is_moe, int64_t n_layers = kLayers) {
    set("embedding_length", kHidden);
    set("block_count", n_layers);
    set("context_length", int64_t{512});
    set("attention.head_count", kHeads);
    set("attention.head_count_kv", kKvHeads);
    set("attention.key_length", kHeadDim);
    set("attention.layer_norm_rms_epsilon", 1e-5);
    set("rope.freq_base", theta);
    if (!is_moe) return set("feed_forward_length", kWidth);
    set("expert_count", kExperts);
    set("expert_used_count", kExpertsPerToken);
    set("expert_feed_forward_length", kWidth);
  }

  std::string config(double theta, const std::string& more, int64_t n_layers = kLayers) const {
    return fmt::format(R"({{"model_type": "{}", "hidden_size": {}, "num_hidden_layers": {},
      "max_position_embeddings": 512, "num_attention_heads": {}, "num_key_value_heads": {}, "head_dim": {},
      "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": {}, "tie_word_embeddings": {}, "vocab_size": {}{}}})",
                       model_type_, kHidden, n_layers, kHeads, kKvHeads, kHeadDim, theta,
                       twin_.options().ties_output, kVocab, more);
  }

  std::string prefix = "model.";
  bool norms_less_one = false;

  void norm(const std::string& hf, const std::string& gguf, int64_t n) {
    TwinTensor weights = twin_.random({n}, 0.15F, norms_less_one ? 0.0F : 1.0F);
    twin_.add_hf(hf + ".weight", weights);
    if (norms_less_one) {
      for (float& value : weights.values) value += 1;
    }
    twin_.add_gguf(gguf + ".weight", weights);
  }

  void outside() {
    const float deviation = twin_.options().ties_output ? 0.25F : 1.0F;
    twin_.add(prefix + "embed_tokens.weight", "token_embd.weight",
              twin_.random({kVocab, kHidden}, deviation));
    if (!twin_.options().ties_output)
      twin_.add_gguf("output.weight", twin_.plain_linear("lm_head", kVocab, kHidden, 3));
    norm(prefix + "norm", "output_norm", kHidden);
  }

  std::string hf_layer(int64_t i) const { return fmt::format("{}layers.{}.", prefix, i); }
  static std::string gguf_layer(int64_t i) { return fmt::format("blk.{}.", i); }

  void norms(int64_t i, const char* second = "ffn_norm") {
    norm(hf_layer(i) + "input_layernorm", gguf_layer(i) + "attn_norm", kHidden);
    norm(hf_layer(i) + "post_attention_layernorm", gguf_layer(i) + second, kHidden);
  }

  void linear(const std::string& hf, const std::string& gguf, int64_t rows, int64_t cols, float gain = 1) {
    twin_.add_gguf(gguf + ".weight", twin_.linear(hf, rows, cols, gain));
  }

  void bias(const std::string& hf, const std::string& gguf, int64_t n) {
    twin_.add(hf + ".bias", gguf + ".bias", twin_.random({n}, 0.3F));
  }

  void attention(int64_t i, bool has_bias = false, bool permutes = false,
                 int64_t q_rows = kHeads * kHeadDim) {
    const std::string hf = hf_layer(i) + "self_attn.", gguf = gguf_layer(i);
    TwinTensor q = twin_.linear(hf + "q_proj", q_rows, kHidden, 1.2F),
               k = twin_.linear(hf + "k_proj", kKvHeads * kHeadDim, kHidden, 1.2F);
    twin_.add_gguf(gguf + "attn_q.weight", permutes ? q.chosen(permuted(kHeads, kHeadDim)) : q);
    twin_.add_gguf(gguf + "attn_k.weight", permutes ? k.chosen(permuted(kKvHeads, kHeadDim)) : k);
    linear(hf + "v_proj", gguf + "attn_v", kKvHeads * kHeadDim, kHidden);
    linear(hf + "o_proj", gguf + "attn_output", kHidden, kHeads * kHeadDim);
    if (!has_bias) return;
    bias(hf + "q_proj", gguf + "attn_q", q_rows);
    bias(hf + "k_proj", gguf + "attn_k", kKvHeads * kHeadDim);
    bias(hf + "v_proj", gguf + "attn_v", kKvHeads * kHeadDim);
  }

  void head_norms(int64_t i, int64_t q_size, int64_t k_size) {
    norm(hf_layer(i) + "self_attn.q_norm", gguf_layer(i) + "attn_q_norm", q_size);
    norm(hf_layer(i) + "self_attn.k_norm", gguf_layer(i) + "attn_k_norm", k_size);
  }

  void dense(int64_t i) {
    const std::string hf = hf_layer(i) + "mlp.", gguf = gguf_layer(i);
    linear(hf + "gate_proj", gguf + "ffn_gate", kWidth, kHidden, 1.3F);
    linear(hf + "up_proj", gguf + "ffn_up", kWidth, kHidden, 1.3F);
    linear(hf + "down_proj", gguf + "ffn_down", kHidden, kWidth, 1.5F);
  }

  void experts(int64_t i, const std::string& block, const char* gate, const char* up, const char* down) {
    const std::string hf = hf_layer(i) + block + ".", gguf = gguf_layer(i);
    twin_.add_gguf(gguf + "ffn_gate_inp.weight", twin_.plain_linear(hf + "gate", kExperts, kHidden, 1.5F));
    std::vector<TwinTensor> gates, ups, downs;
    for (int64_t e = 0; e < kExperts; ++e) {
      const std::string expert = fmt::format("{}experts.{}.", hf, e);
      gates.push_back(twin_.linear(expert + gate, kWidth, kHidden, 1.3F));
      ups.push_back(twin_.linear(expert + up, kWidth, kHidden, 1.3F));
      downs.push_back(twin_.linear(expert + down, kHidden, kWidth, 1.5F));
    }
    twin_.add_gguf(gguf + "ffn_gate_exps.weight", stacked(gates));
    twin_.add_gguf(gguf + "ffn_up_exps.weight", stacked(ups));
    twin_.add_gguf(gguf + "ffn_down_exps.weight", stacked(downs));
  }

  HfTwin& twin() { return twin_; }

 private:
  HfTwin& twin_;
  std::string model_type_, arch_;
};

void write_glm4_moe(HfTwin& twin);
/// Nemotron-H, or with experts Nemotron-3 Nano.
void write_nemotron_h(HfTwin& twin, bool is_moe);
/// Qwen3-Next, or Qwen3.5, by the model type.
void write_delta_nets(HfTwin& twin, const std::string& model_type);

}  // namespace halod::test
