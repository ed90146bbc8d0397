// GLM-4.5, 4.6 and 4.5-Air: https://huggingface.co/docs/transformers/model_doc/glm4_moe
#include <fmt/format.h>

#include "runtime/weights/hf/families/families.h"
#include "runtime/weights/hf/families/rows.h"

namespace halod {
namespace {

using namespace hf_rows;

constexpr HfKey kGlmKeys[] = {kHiddenSize,
                              kContext,
                              kHeads,
                              kKvHeads,
                              kHeadDim,
                              kEpsilon,
                              kMlpSize,
                              {"n_routed_experts", "expert_count"},
                              kExpertsPerToken,
                              {"moe_intermediate_size", "expert_feed_forward_length"},
                              {"n_shared_experts", "expert_shared_count", Kind::kInteger, "1"},
                              {"first_k_dense_replace", "leading_dense_block_count", Kind::kInteger, "1"},
                              {"n_group", "expert_group_count"},
                              {"norm_topk_prob", "expert_weights_norm", Kind::kBoolean, "true"},
                              {"routed_scaling_factor", "expert_weights_scale", Kind::kReal}};
// Whether there are biases and norms of heads, the tensors say.
constexpr HfExpectation kGlmExpectations[] = {kSilu};
constexpr HfModule kGlmModules[] = {
    {"model.embed_tokens", "token_embd"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
    {"input_layernorm", "attn_norm"},
    {"post_attention_layernorm", "post_attention_norm"},
    {"self_attn.q_proj", "attn_q", true},
    {"self_attn.k_proj", "attn_k", true},
    {"self_attn.v_proj", "attn_v", true},
    {"self_attn.o_proj", "attn_output"},
    {.name = "mlp.gate.e_score_correction_bias", .gguf = "exp_probs_b.bias", .is_parameter = true},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_experts.up_proj", "ffn_up_shexp"},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp"},
};
/// Of the last layers, which guess ahead and are left out.
constexpr HfModule kGuessingModules[] = {
    {"eh_proj", "nextn.eh_proj"},
    {"embed_tokens", "nextn.embed_tokens"},
    {"enorm", "nextn.enorm"},
    {"hnorm", "nextn.hnorm"},
    {"shared_head.head", "nextn.shared_head_head"},
    {"shared_head.norm", "nextn.shared_head_norm"},
};
constexpr Modules kGlmGroups[] = {kGlmModules, kHeadNorms, kMlp, kExperts, kGuessingModules};

/// GGUF counts the layers that guess ahead among all, config.json does not.
void translate_glm(const JsonObject& config, const HfInsert& insert) {
  constexpr int64_t kMaxLayers = 4096;
  const int64_t n_layers = config.required_integer("num_hidden_layers"),
                n_guessing = config.integer("num_nextn_predict_layers").value_or(0);
  for (const auto& [key, value] :
       {std::pair("num_hidden_layers", n_layers), std::pair("num_nextn_predict_layers", n_guessing)}) {
    if (value < 0 || value > kMaxLayers)
      config.fail_corrupt(key, fmt::format("is {}, allowed are 0 to {}", value, kMaxLayers));
  }
  insert("block_count", n_layers + n_guessing, "num_hidden_layers");
  insert("nextn_predict_layers", n_guessing, "num_nextn_predict_layers");
}

}  // namespace

constinit const HfFamily kGlm4MoeFamily = {.model_type = "glm4_moe",
                                           .architecture = "glm4moe",
                                           .keys = kGlmKeys,
                                           .expectations = kGlmExpectations,
                                           .modules = kGlmGroups,
                                           .partial_rotary_factor = 0.5,
                                           .translate = translate_glm};

}  // namespace halod
