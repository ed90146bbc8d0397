// Qwen3-Next and Qwen3.5's mixtures of experts: https://huggingface.co/docs/transformers/model_doc/qwen3_next
#include <fmt/format.h>

#include "runtime/weights/hf/families/families.h"
#include "runtime/weights/hf/families/rows.h"
#include "runtime/weights/hf/hf_config.h"

namespace halod {
namespace {

using namespace hf_rows;

constexpr HfKey kDeltaKeys[] = {kHiddenSize,
                                kLayers,
                                kContext,
                                kHeads,
                                kKvHeads,
                                {"head_dim", "attention.key_length", Kind::kInteger, "256"},
                                kEpsilon,
                                {"num_experts", "expert_count"},
                                kExpertsPerToken,
                                {"moe_intermediate_size", "expert_feed_forward_length"},
                                {"shared_expert_intermediate_size", "expert_shared_feed_forward_length"},
                                {"norm_topk_prob", "expert_weights_norm", Kind::kBoolean, "true"},
                                {"full_attention_interval", "full_attention_interval", Kind::kInteger, "4"},
                                {"linear_conv_kernel_dim", "ssm.conv_kernel", Kind::kInteger, "4"},
                                {"linear_key_head_dim", "ssm.state_size", Kind::kInteger, "128"},
                                {"linear_num_key_heads", "ssm.group_count", Kind::kInteger, "16"},
                                {"linear_num_value_heads", "ssm.time_step_rank", Kind::kInteger, "32"}};
constexpr HfExpectation kDeltaExpectations[] = {kSilu,
                                                {"attention_bias", "false"},
                                                {"attn_output_gate", "true"},
                                                {"decoder_sparse_step", "1"},
                                                {"mlp_only_layers", "[]"}};

constexpr HfModule kDeltaModules[] = {
    {"model.embed_tokens", "token_embd"},
    {.name = "model.norm", .gguf = "output_norm", .form = HfForm::kPlusOne},
    {"lm_head", "output"},
    {.name = "input_layernorm", .gguf = "attn_norm", .form = HfForm::kPlusOne},
    {.name = "post_attention_layernorm", .gguf = "post_attention_norm", .form = HfForm::kPlusOne},
    {.name = "self_attn.q_norm", .gguf = "attn_q_norm", .form = HfForm::kPlusOne},
    {.name = "self_attn.k_norm", .gguf = "attn_k_norm", .form = HfForm::kPlusOne},
    {.name = "linear_attn.conv1d", .gguf = "ssm_conv1d", .form = HfForm::kFlat},
    {.name = "linear_attn.A_log", .gguf = "ssm_a", .form = HfForm::kNegatedExp, .is_parameter = true},
    {.name = "linear_attn.dt_bias", .gguf = "ssm_dt.bias", .is_parameter = true},
    {"linear_attn.norm", "ssm_norm"},
    {"linear_attn.out_proj", "ssm_out"},
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_expert.up_proj", "ffn_up_shexp"},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp"},
    {.name = "mlp.shared_expert_gate", .gguf = "ffn_gate_inp_shexp", .form = HfForm::kFlat},
};
constexpr HfModule kInterleavedInputs[] = {
    {.name = "linear_attn.in_proj_qkvz", .gguf = "attn_qkv", .form = HfForm::kQueriesKeysValues},
    {.name = "linear_attn.in_proj_qkvz", .gguf = "attn_gate", .form = HfForm::kGates},
    {"linear_attn.in_proj_ba", "ssm_ba"},
};
constexpr HfModule kSeparateInputs[] = {
    {"linear_attn.in_proj_qkv", "attn_qkv"},
    {"linear_attn.in_proj_z", "attn_gate"},
    {"linear_attn.in_proj_b", "ssm_beta"},
    {"linear_attn.in_proj_a", "ssm_alpha"},
};
/// All experts in one tensor: gate's rows, then up's. Quantised ones have a tensor each, as kExperts.
constexpr HfModule kStackedExperts[] = {
    {.name = "mlp.experts.gate_up_proj", .gguf = "ffn_gate_up_exps.weight", .is_parameter = true},
    {.name = "mlp.experts.down_proj", .gguf = "ffn_down_exps.weight", .is_parameter = true},
};
constexpr Modules kNextModules[] = {kDeltaModules, kAttention, kInterleavedInputs, kExperts};
constexpr Modules k35Modules[] = {kDeltaModules, kAttention, kSeparateInputs, kExperts, kStackedExperts};

void translate_delta(const JsonObject& config, const HfInsert& insert) {
  constexpr int64_t kDefaultDim = 128, kDefaultHeads = 32, kMax = 1 << 16;
  const int64_t key_dim = config.integer("linear_key_head_dim").value_or(kDefaultDim),
                value_dim = config.integer("linear_value_head_dim").value_or(kDefaultDim),
                n_heads = config.integer("linear_num_value_heads").value_or(kDefaultHeads);
  if (value_dim != key_dim) {
    config.fail_unsupported("linear_value_head_dim",
                            fmt::format("is {}, but linear_key_head_dim is {}; only one size of both is "
                                        "supported",
                                        value_dim, key_dim));
  }
  for (const auto& [key, value] :
       {std::pair("linear_value_head_dim", value_dim), std::pair("linear_num_value_heads", n_heads)}) {
    if (value < 1 || value > kMax)
      config.fail_corrupt(key, fmt::format("is {}, allowed are 1 to {}", value, kMax));
  }
  insert("ssm.inner_size", value_dim * n_heads, "linear_num_value_heads");
  const int64_t interval = config.integer("full_attention_interval").value_or(4);
  if (interval >= 1) check_layer_types(config, interval, "full_attention", "linear_attention");
}

void translate_35(const JsonObject& config, const HfInsert& insert) {
  translate_delta(config, insert);
  // As trained; it is the converter to GGUF that puts them in turns.
  insert("ssm.tiles_value_heads", false, "linear_num_value_heads");
}

constexpr std::string_view kIgnoredOfNext[] = {"mtp."};
constexpr std::string_view kIgnoredOf35[] = {"mtp.", "model.visual."};

constexpr HfFamily family35(std::string_view model_type, std::string_view model_prefix) {
  return {.model_type = model_type,
          .architecture = "qwen35moe",
          .keys = kDeltaKeys,
          .expectations = kDeltaExpectations,
          .modules = k35Modules,
          .partial_rotary_factor = 0.25,
          .translate = translate_35,
          .model_prefix = model_prefix,
          .ignored = kIgnoredOf35};
}

}  // namespace

constinit const HfFamily kQwen3NextFamily = {.model_type = "qwen3_next",
                                             .architecture = "qwen3next",
                                             .keys = kDeltaKeys,
                                             .expectations = kDeltaExpectations,
                                             .modules = kNextModules,
                                             .partial_rotary_factor = 0.25,
                                             .translate = translate_delta,
                                             .ignored = kIgnoredOfNext};
constinit const HfFamily kQwen35MoeFamily = family35("qwen3_5_moe", "model.language_model.");
constinit const HfFamily kQwen35MoeTextFamily = family35("qwen3_5_moe_text", "model.");

}  // namespace halod
