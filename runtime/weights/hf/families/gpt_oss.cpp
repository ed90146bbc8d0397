// gpt-oss-20b and -120b: https://huggingface.co/docs/transformers/model_doc/gpt_oss
#include "runtime/weights/hf/families/families.h"
#include "runtime/weights/hf/families/rows.h"
#include "runtime/weights/hf/hf_config.h"

namespace halod {
namespace {

using namespace hf_rows;

constexpr HfKey kGptOssKeys[] = {kHiddenSize,
                                 kLayers,
                                 kContext,
                                 kHeads,
                                 kKvHeads,
                                 {"head_dim", "attention.key_length", Kind::kInteger, "64"},
                                 kEpsilon,
                                 {"sliding_window", "attention.sliding_window", Kind::kInteger, "128"},
                                 {"intermediate_size", "expert_feed_forward_length"},
                                 {"num_local_experts", "expert_count"},
                                 kExpertsPerToken};
constexpr HfExpectation kGptOssExpectations[] = {
    kSilu, {"attention_bias", "true"}, {"swiglu_limit", "7.0"}, {"swiglu_alpha", "1.702"}};

constexpr HfModule kGptOssModules[] = {
    {"model.embed_tokens", "token_embd"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
    {"input_layernorm", "attn_norm"},
    {"post_attention_layernorm", "post_attention_norm"},
    {"self_attn.q_proj", "attn_q", true},
    {"self_attn.k_proj", "attn_k", true},
    {"self_attn.v_proj", "attn_v", true},
    {"self_attn.o_proj", "attn_output", true},
    {.name = "self_attn.sinks", .gguf = "attn_sinks.weight", .is_parameter = true},
    {"mlp.router", "ffn_gate_inp", true},
    {"mlp.experts.gate_up_proj_", "ffn_gate_exps", true, HfForm::kEvenRows},
    {"mlp.experts.gate_up_proj_", "ffn_up_exps", true, HfForm::kOddRows},
    {"mlp.experts.down_proj_", "ffn_down_exps", true},
};
constexpr Modules kGptOssGroups[] = {kGptOssModules};

void translate_gpt_oss(const JsonObject& config, const HfInsert&) {
  check_layer_types(config, 2, "full_attention", "sliding_attention");
  // transformers' own default is YaRN, with numbers that belong to one model.
  if (!rope_parameters(config)) config.fail_corrupt("rope_scaling", "is missing");
}

}  // namespace

constinit const HfFamily kGptOssFamily = {.model_type = "gpt_oss",
                                          .architecture = "gpt-oss",
                                          .keys = kGptOssKeys,
                                          .expectations = kGptOssExpectations,
                                          .modules = kGptOssGroups,
                                          .rope_theta = 150'000,
                                          .truncates_yarn = false,
                                          .translate = translate_gpt_oss};

}  // namespace halod
