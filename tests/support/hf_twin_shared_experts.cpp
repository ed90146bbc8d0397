// GLM-4.5 and Nemotron-H, and what converters to GGUF make of them.
#include <fmt/format.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/support/hf_family_writer.h"

namespace halod::test {
namespace {

/// Nemotron-H: one block a layer, by the letters of its pattern.
class NemotronWriter {
 public:
  NemotronWriter(HfTwin& twin, bool is_moe)
      : is_moe_(is_moe),
        pattern_(is_moe ? "MEM*E" : "M-M*-"),
        twin_(twin),
        writer_(twin, "nemotron_h", is_moe ? "nemotron_h_moe" : "nemotron_h") {}

  void write() {
    writer_.prefix = "backbone.";
    set_metadata();
    set_config();
    twin_.add("backbone.embeddings.weight", "token_embd.weight", twin_.random({kVocab, kHidden}, 1));
    twin_.add_gguf("output.weight", twin_.plain_linear("lm_head", kVocab, kHidden, 3));
    writer_.norm("backbone.norm_f", "output_norm", kHidden);
    for (size_t i = 0; i < pattern_.size(); ++i) {
      const std::string hf = writer_.hf_layer(static_cast<int64_t>(i)),
                        gguf = FamilyWriter::gguf_layer(static_cast<int64_t>(i));
      writer_.norm(hf + "norm", gguf + "attn_norm", kHidden);
      layer(pattern_[i], hf + "mixer.", gguf);
    }
    twin_.add_hf("mtp.layers.0.norm.weight", twin_.random({8}, 1));  // what is left out
  }

 private:
  static constexpr int64_t kMambaHeads = 4, kMambaDim = 32, kGroups = 2, kState = 16, kTaps = 4,
                           kInner = kMambaHeads * kMambaDim, kChannels = kInner + 2 * kGroups * kState,
                           kShared = 160;

  void set_metadata() {
    for (const auto& [key, value] : std::initializer_list<std::pair<const char*, int64_t>>{
             {"embedding_length", kHidden},
             {"block_count", static_cast<int64_t>(pattern_.size())},
             {"context_length", 512},
             {"attention.head_count", kHeads},
             {"attention.key_length", kHeadDim},
             {"ssm.conv_kernel", kTaps},
             {"ssm.state_size", kState},
             {"ssm.group_count", kGroups},
             {"ssm.time_step_rank", kMambaHeads},
             {"ssm.inner_size", kInner}})
      writer_.set(key, value);
    writer_.set("attention.layer_norm_rms_epsilon", 1e-5);
    std::vector<int64_t> kv_heads, widths;
    for (const char letter : pattern_) {
      kv_heads.push_back(letter == '*' ? kKvHeads : 0);
      widths.push_back(letter == 'E' || letter == '-' ? kWidth : 0);
    }
    writer_.set("attention.head_count_kv", MetadataArray(kv_heads));
    writer_.set("feed_forward_length", MetadataArray(widths));
    if (!is_moe_) return;
    writer_.set("expert_count", kExperts);
    writer_.set("expert_used_count", kExpertsPerToken);
    writer_.set("expert_feed_forward_length", kWidth);
    writer_.set("expert_shared_feed_forward_length", kShared);
    writer_.set("expert_weights_scale", 2.5);
  }

  void set_config() {
    // Python's Infinity, which is no JSON; the dense width is also in models with experts.
    std::string config = fmt::format(
        R"({{"model_type": "nemotron_h", "hidden_size": {}, "num_hidden_layers": {}, "hybrid_override_pattern": "{}",
        "max_position_embeddings": 512, "num_attention_heads": {}, "num_key_value_heads": {}, "head_dim": {},
        "layer_norm_epsilon": 1e-5, "tie_word_embeddings": false, "vocab_size": {}, "conv_kernel": {},
        "ssm_state_size": {}, "n_groups": {}, "mamba_num_heads": {}, "mamba_head_dim": {},
        "mamba_hidden_act": "silu", "mlp_hidden_act": "relu2", "time_step_limit": [0.0, Infinity],
        "partial_rotary_factor": 1.0, "rope_theta": 10000, "use_conv_bias": true)",
        kHidden, pattern_.size(), pattern_, kHeads, kKvHeads, kHeadDim, kVocab, kTaps, kState, kGroups,
        kMambaHeads, kMambaDim);
    config += fmt::format(R"(, "intermediate_size": {})", is_moe_ ? kWidth + 32 : kWidth);
    if (is_moe_) {
      config += fmt::format(
          R"(, "n_routed_experts": {}, "num_experts_per_tok": {}, "n_shared_experts": 1, "n_group": 1,
          "topk_group": 1, "norm_topk_prob": true, "routed_scaling_factor": 2.5, "moe_intermediate_size": {},
          "moe_shared_expert_intermediate_size": {})",
          kExperts, kExpertsPerToken, kWidth, kShared);
    }
    twin_.set_config(config + "}");
  }

  void layer(char letter, const std::string& hf, const std::string& gguf) {
    switch (letter) {
      case 'M':
        return mamba(hf, gguf);
      case '*':
        writer_.linear(hf + "q_proj", gguf + "attn_q", kHeads * kHeadDim, kHidden, 1.2F);
        writer_.linear(hf + "k_proj", gguf + "attn_k", kKvHeads * kHeadDim, kHidden, 1.2F);
        writer_.linear(hf + "v_proj", gguf + "attn_v", kKvHeads * kHeadDim, kHidden);
        return writer_.linear(hf + "o_proj", gguf + "attn_output", kHidden, kHeads * kHeadDim);
      case '-':
        writer_.linear(hf + "up_proj", gguf + "ffn_up", kWidth, kHidden, 1.2F);
        return writer_.linear(hf + "down_proj", gguf + "ffn_down", kHidden, kWidth);
      default:
        return experts(hf, gguf);
    }
  }

  void mamba(const std::string& hf, const std::string& gguf) {
    writer_.linear(hf + "in_proj", gguf + "ssm_in", kInner + kChannels + kMambaHeads, kHidden, 1.3F);
    const TwinTensor conv = twin_.random({kChannels, kTaps}, 0.5F);
    twin_.add_hf(hf + "conv1d.weight", conv.reshaped({kChannels, 1, kTaps}));
    twin_.add_gguf(gguf + "ssm_conv1d.weight", conv, false);
    writer_.bias(hf + "conv1d", gguf + "ssm_conv1d", kChannels);
    twin_.add(hf + "dt_bias", gguf + "ssm_dt.bias", twin_.random({kMambaHeads}, 0.7F, -1));
    TwinTensor a = twin_.random({kMambaHeads}, 1, -0.6F);
    twin_.add_hf(hf + "A_log", a);
    for (float& value : a.values) value = -std::exp(value);
    twin_.add_gguf(gguf + "ssm_a", a.reshaped({kMambaHeads, 1}), false);
    const TwinTensor d = twin_.random({kMambaHeads}, 0.3F, 1);
    twin_.add_hf(hf + "D", d);
    twin_.add_gguf(gguf + "ssm_d", d.reshaped({kMambaHeads, 1}), false);
    const TwinTensor norm = twin_.random({kInner}, 0.15F, 1);
    twin_.add_hf(hf + "norm.weight", norm);
    twin_.add_gguf(gguf + "ssm_norm.weight", norm.reshaped({kGroups, kInner / kGroups}), false);
    writer_.linear(hf + "out_proj", gguf + "ssm_out", kHidden, kInner, 1.2F);
  }

  void experts(const std::string& hf, const std::string& gguf) {
    twin_.add_gguf(gguf + "ffn_gate_inp.weight", twin_.plain_linear(hf + "gate", kExperts, kHidden, 1.5F));
    twin_.add(hf + "gate.e_score_correction_bias", gguf + "exp_probs_b.bias",
              twin_.random({kExperts}, 0.15F));
    std::vector<TwinTensor> ups, downs;
    for (int64_t e = 0; e < kExperts; ++e) {
      const std::string expert = fmt::format("{}experts.{}.", hf, e);
      ups.push_back(twin_.linear(expert + "up_proj", kWidth, kHidden, 1.2F));
      downs.push_back(twin_.linear(expert + "down_proj", kHidden, kWidth));
    }
    twin_.add_gguf(gguf + "ffn_up_exps.weight", stacked(ups));
    twin_.add_gguf(gguf + "ffn_down_exps.weight", stacked(downs));
    writer_.linear(hf + "shared_experts.up_proj", gguf + "ffn_up_shexp", kShared, kHidden);
    writer_.linear(hf + "shared_experts.down_proj", gguf + "ffn_down_shexp", kHidden, kShared);
  }

  bool is_moe_;
  std::string pattern_;
  HfTwin& twin_;
  FamilyWriter writer_;
};

}  // namespace

void write_nemotron_h(HfTwin& twin, bool is_moe) { NemotronWriter(twin, is_moe).write(); }

void write_glm4_moe(HfTwin& twin) {
  // One dense, one with experts, and one that guesses ahead, which config.json does not count.
  constexpr int64_t kGlmLayers = 2, kSharedExperts = 2;
  FamilyWriter writer(twin, "glm4_moe", "glm4moe");
  writer.set_sizes(1e6, true, kGlmLayers + 1);
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, int64_t>>{{"feed_forward_length", kWidth},
                                                              {"rope.dimension_count", kHeadDim / 2},
                                                              {"leading_dense_block_count", 1},
                                                              {"nextn_predict_layers", 1},
                                                              {"expert_shared_count", kSharedExperts},
                                                              {"expert_gating_func", 2}})
    writer.set(key, value);
  writer.set("expert_weights_scale", 2.5);
  twin.set_config(writer.config(
      1e6,
      fmt::format(R"(, "intermediate_size": {}, "moe_intermediate_size": {}, "n_routed_experts": {},
        "num_experts_per_tok": {}, "n_shared_experts": {}, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1,
        "num_nextn_predict_layers": 1, "norm_topk_prob": true, "routed_scaling_factor": 2.5,
        "attention_bias": true, "use_qk_norm": true)",
                  kWidth, kWidth, kExperts, kExpertsPerToken, kSharedExperts),
      kGlmLayers));
  writer.outside();
  for (int64_t i = 0; i < kGlmLayers + 1; ++i) {
    const std::string hf = writer.hf_layer(i), gguf = FamilyWriter::gguf_layer(i);
    writer.norms(i, "post_attention_norm");
    writer.attention(i, true);
    writer.head_norms(i, kHeadDim, kHeadDim);
    if (i == 0) {
      writer.dense(i);
      continue;
    }
    writer.experts(i, "mlp", "gate_proj", "up_proj", "down_proj");
    twin.add(hf + "mlp.gate.e_score_correction_bias", gguf + "exp_probs_b.bias",
             twin.random({kExperts}, 0.2F, 4));
    constexpr int64_t kShared = kSharedExperts * kWidth;
    writer.linear(hf + "mlp.shared_experts.gate_proj", gguf + "ffn_gate_shexp", kShared, kHidden, 1.3F);
    writer.linear(hf + "mlp.shared_experts.up_proj", gguf + "ffn_up_shexp", kShared, kHidden, 1.3F);
    writer.linear(hf + "mlp.shared_experts.down_proj", gguf + "ffn_down_shexp", kHidden, kShared, 1.5F);
  }
  const std::string hf = writer.hf_layer(kGlmLayers), gguf = FamilyWriter::gguf_layer(kGlmLayers) + "nextn.";
  writer.linear(hf + "eh_proj", gguf + "eh_proj", kHidden, 2 * kHidden);
  writer.norm(hf + "enorm", gguf + "enorm", kHidden);
  writer.norm(hf + "hnorm", gguf + "hnorm", kHidden);
  writer.norm(hf + "shared_head.norm", gguf + "shared_head_norm", kHidden);
  twin.add(hf + "embed_tokens.weight", gguf + "embed_tokens.weight", twin.random({kVocab, kHidden}, 1));
  twin.add(hf + "shared_head.head.weight", gguf + "shared_head_head.weight",
           twin.random({kVocab, kHidden}, 1));
}

}  // namespace halod::test
