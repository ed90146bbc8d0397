// What the layers of each family are in a Hugging Face folder, and what converters to GGUF make of them.
#include <fmt/format.h>

#include <cmath>

#include "tests/support/hf_family_writer.h"

namespace halod::test {
namespace {

void write_dense(HfTwin& twin, const std::string& model_type) {
  const bool is_llama = model_type == "llama" || model_type == "mistral";
  FamilyWriter writer(twin, model_type, is_llama ? "llama" : model_type);
  writer.set_sizes(1e4, false);
  twin.set_config(
      writer.config(1e4, fmt::format(R"(, "intermediate_size": {}, "rope_scaling": null)", kWidth)));
  writer.outside();
  for (int64_t i = 0; i < kLayers; ++i) {
    writer.norms(i);
    writer.attention(i, model_type == "qwen2", is_llama);
    if (model_type == "qwen3") writer.head_norms(i, kHeadDim, kHeadDim);
    writer.dense(i);
  }
  if (twin.options().config_changes.empty() || !is_llama) return;
  // Llama 3's scaling, here of a training context of 64, so that it shows: GGUF has it as a tensor.
  TwinTensor divisors{.shape = {kHeadDim / 2}};
  for (int64_t i = 0; i < kHeadDim / 2; ++i) {
    const double wavelength = 2 * std::acos(-1.0) * std::pow(1e4, static_cast<double>(2 * i) / kHeadDim);
    const double smooth = (64 / wavelength - 1) / (4 - 1);
    divisors.values.push_back(static_cast<float>(wavelength < 64.0 / 4   ? 1.0
                                                 : wavelength > 64.0 / 1 ? 8.0
                                                                         : 1 / ((1 - smooth) / 8 + smooth)));
  }
  twin.add_gguf("rope_freqs.weight", divisors);
}

void write_mixtral(HfTwin& twin) {
  FamilyWriter writer(twin, "mixtral", "llama");
  writer.set_sizes(1e6, true);
  twin.set_config(writer.config(
      1e6, fmt::format(R"(, "intermediate_size": {}, "num_local_experts": {}, "num_experts_per_tok": {},
        "sliding_window": null)",
                       kWidth, kExperts, kExpertsPerToken)));
  writer.outside();
  for (int64_t i = 0; i < kLayers; ++i) {
    writer.norms(i);
    writer.attention(i, false, true);
    writer.experts(i, "block_sparse_moe", "w1", "w3", "w2");
  }
}

void write_qwen3_moe(HfTwin& twin) {
  FamilyWriter writer(twin, "qwen3_moe", "qwen3moe");
  writer.set_sizes(1e6, true);
  twin.set_config(writer.config(
      1e6, fmt::format(R"(, "moe_intermediate_size": {}, "num_experts": {}, "num_experts_per_tok": {},
        "norm_topk_prob": true)",
                       kWidth, kExperts, kExpertsPerToken)));
  writer.outside();
  for (int64_t i = 0; i < kLayers; ++i) {
    writer.norms(i);
    writer.attention(i);
    writer.head_norms(i, kHeadDim, kHeadDim);
    writer.experts(i, "mlp", "gate_proj", "up_proj", "down_proj");
  }
}

void write_minimax(HfTwin& twin) {
  FamilyWriter writer(twin, "minimax_m2", "minimax-m2");
  writer.set_sizes(5e6, true);
  writer.set("rope.dimension_count", int64_t{16});
  writer.set("expert_gating_func", int64_t{2});
  twin.set_config(writer.config(
      5e6, fmt::format(R"(, "intermediate_size": {}, "num_local_experts": {}, "num_experts_per_tok": {},
        "rotary_dim": 16, "scoring_func": "sigmoid", "use_qk_norm": true, "qk_norm_type": "per_layer",
        "use_routing_bias": true, "shared_intermediate_size": 0, "attn_type_list": [1, 1])",
                       kWidth, kExperts, kExpertsPerToken)));
  writer.outside();
  for (int64_t i = 0; i < kLayers; ++i) {
    writer.norms(i);
    writer.attention(i);
    writer.head_norms(i, kHeads * kHeadDim, kKvHeads * kHeadDim);
    writer.experts(i, "block_sparse_moe", "w1", "w3", "w2");
    twin.add(writer.hf_layer(i) + "block_sparse_moe.e_score_correction_bias",
             writer.gguf_layer(i) + "exp_probs_b.bias", twin.random({kExperts}, 0.25F, i > 0 ? 8.0F : 0.0F));
  }
}

/// Blocks of 32 codes with an exponent: both orders of the same.
void add_mxfp4(HfTwin& twin, const std::string& hf, const std::vector<std::pair<std::string, int64_t>>& gguf,
               int64_t rows, int64_t cols) {
  const int64_t n_blocks = kExperts * rows * cols / 32;
  std::string blocks, scales;
  std::vector<std::string> ggufs(gguf.size());
  for (int64_t block = 0; block < n_blocks; ++block) {
    uint8_t codes[32];
    for (uint8_t& code : codes) code = static_cast<uint8_t>(twin.generator()() % 16);
    const auto scale = static_cast<char>(122 + twin.generator()() % 3);
    scales.push_back(scale);
    for (int j = 0; j < 16; ++j) blocks.push_back(static_cast<char>(codes[2 * j] | codes[2 * j + 1] << 4));
    // Of two tensors, one row goes into each by turns.
    const int64_t row = block / (cols / 32);
    std::string& to = ggufs[static_cast<size_t>(row) % ggufs.size()];
    to.push_back(scale);
    for (int j = 0; j < 16; ++j) to.push_back(static_cast<char>(codes[j] | codes[j + 16] << 4));
  }
  twin.add_hf_bytes(hf + "_blocks", "U8", {kExperts, rows, cols / 32, 16}, blocks);
  twin.add_hf_bytes(hf + "_scales", "U8", {kExperts, rows, cols / 32}, scales);
  for (size_t i = 0; i < gguf.size(); ++i)
    twin.add_gguf_bytes(gguf[i].first, Format::kMXFP4, {kExperts, gguf[i].second, cols}, ggufs[i]);
}

void write_gpt_oss(HfTwin& twin) {
  constexpr int64_t kGptOssLayers = 4, kExpertWidth = kWidth;
  FamilyWriter writer(twin, "gpt_oss", "gpt-oss");
  writer.set_sizes(150000, true, kGptOssLayers);
  writer.set("attention.sliding_window", int64_t{12});
  writer.set("rope.scaling.type", std::string("yarn"));
  writer.set("rope.scaling.factor", 32.0);
  writer.set("rope.scaling.original_context_length", int64_t{4096});
  twin.set_config(writer.config(
      150000,
      fmt::format(R"(, "intermediate_size": {}, "num_local_experts": {}, "num_experts_per_tok": {},
        "sliding_window": 12, "attention_bias": true, "swiglu_limit": 7.0,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        "rope_scaling": {{"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": false,
          "original_max_position_embeddings": 4096}},
        "quantization_config": {{"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}})",
                  kExpertWidth, kExperts, kExpertsPerToken),
      kGptOssLayers));
  writer.outside();
  for (int64_t i = 0; i < kGptOssLayers; ++i) {
    const std::string hf = writer.hf_layer(i), gguf = writer.gguf_layer(i);
    writer.norms(i, "post_attention_norm");
    writer.attention(i, true);
    writer.bias(hf + "self_attn.o_proj", gguf + "attn_output", kHidden);
    twin.add(hf + "self_attn.sinks", gguf + "attn_sinks.weight", twin.random({kHeads}, 1, 0.5F));
    twin.add_gguf(gguf + "ffn_gate_inp.weight",
                  twin.plain_linear(hf + "mlp.router", kExperts, kHidden, 1.5F));
    writer.bias(hf + "mlp.router", gguf + "ffn_gate_inp", kExperts);
    add_mxfp4(twin, hf + "mlp.experts.gate_up_proj",
              {{gguf + "ffn_gate_exps.weight", kExpertWidth}, {gguf + "ffn_up_exps.weight", kExpertWidth}},
              2 * kExpertWidth, kHidden);
    add_mxfp4(twin, hf + "mlp.experts.down_proj", {{gguf + "ffn_down_exps.weight", kHidden}}, kHidden,
              kExpertWidth);
    const TwinTensor gate_up = twin.random({kExperts, 2 * kExpertWidth}, 0.5F);
    twin.add_hf(hf + "mlp.experts.gate_up_proj_bias", gate_up);
    const TwinTensor values = gate_up.reshaped({kExperts * 2 * kExpertWidth});
    for (const auto& [name, first] : {std::pair("ffn_gate_exps.bias", 0), std::pair("ffn_up_exps.bias", 1)}) {
      twin.add_gguf(gguf + name,
                    values.chosen(strided(values.shape[0], first, 2)).reshaped({kExperts, kExpertWidth}),
                    false);
    }
    twin.add(hf + "mlp.experts.down_proj_bias", gguf + "ffn_down_exps.bias",
             twin.random({kExperts, kHidden}, 0.2F), false);
  }
}

}  // namespace

void write_twin(const std::string& model_type, const TwinOptions& options,
                const std::filesystem::path& folder) {
  HfTwin twin(options);
  if (model_type == "glm4_moe") {
    write_glm4_moe(twin);
  } else if (model_type == "gpt_oss") {
    write_gpt_oss(twin);
  } else if (model_type == "minimax_m2") {
    write_minimax(twin);
  } else if (model_type == "mixtral") {
    write_mixtral(twin);
  } else if (model_type == "nemotron_h" || model_type == "nemotron_h, dense") {
    write_nemotron_h(twin, model_type == "nemotron_h");
  } else if (model_type == "qwen3_moe") {
    write_qwen3_moe(twin);
  } else if (model_type == "qwen3_next" || model_type == "qwen3_5_moe") {
    write_delta_nets(twin, model_type);
  } else {
    write_dense(twin, model_type);
  }
  twin.write(folder);
}

}  // namespace halod::test
