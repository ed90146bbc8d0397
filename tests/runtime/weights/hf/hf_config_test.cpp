// What families' configurations say that GGUF's words say otherwise, and what they must not say.
#include "runtime/weights/hf/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

#include "runtime/weights/hf/hf_families.h"

namespace halod {
namespace {

JsonObject config_of(const std::string& text) {
  return {"config.json", std::make_shared<const boost::json::value>(boost::json::parse(text))};
}

const HfFamily& family_of(const std::string& model_type, const JsonObject& config = config_of("{}")) {
  return *find_hf_family(model_type, text_config(config));
}

/// Of a model type with these keys and nothing else.
Metadata translated(const std::string& model_type, const std::string& keys) {
  const JsonObject config = config_of("{" + keys + "}");
  return translate_hf_config(text_config(config), family_of(model_type, config), "name");
}

Error error_of(const std::string& model_type, const std::string& keys) {
  try {
    translated(model_type, keys);
  } catch (const ErrorException& exception) {
    return exception.error();
  }
  return {};
}

/// Of two layers, whatever they are.
const std::string kNemotron =
    R"("num_hidden_layers": 2, "intermediate_size": 64, "moe_intermediate_size": 32)";
constexpr const char* kYarn = R"("rope_scaling": {"rope_type": "yarn", "factor": 32.0, "truncate": false,
    "original_max_position_embeddings": 4096})";

TEST(AFamilysConfiguration, IsRefusedNamingTheKeyThatWouldBeComputedWrongly) {
  struct Case {
    const char* model_type;
    std::string keys;
    const char* field;
    ErrorCode code = ErrorCode::kUnsupported;
  };
  const Case cases[] = {
      {"gpt_oss", R"("hidden_size": 8)", "rope_scaling", ErrorCode::kCorruptFile},
      {"gpt_oss", R"("rope_scaling": {"rope_type": "yarn", "factor": 32.0})", "rope_scaling.truncate"},
      {"gpt_oss", std::string(kYarn) + R"(, "swiglu_limit": 8.0)", "swiglu_limit"},
      {"gpt_oss", std::string(kYarn) + R"(, "layer_types": ["full_attention", "full_attention"])",
       "layer_types"},
      {"gpt_oss", std::string(kYarn) + R"(, "layer_types": [1])", "layer_types"},
      {"qwen3", kYarn, "rope_scaling.truncate"},
      {"qwen3", R"("partial_rotary_factor": 0.5)", "partial_rotary_factor"},
      {"llama", R"("rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5})",
       "rope_parameters.partial_rotary_factor"},
      {"mistral", R"("sliding_window": 4096)", "sliding_window"},
      {"mixtral", R"("sliding_window": 4096)", "sliding_window"},
      {"minimax_m2", R"("attn_type_list": [1, 0])", "attn_type_list"},
      {"minimax_m2", R"("scoring_func": "softmax")", "scoring_func"},
      {"minimax_m2", R"("qk_norm_type": "per_head")", "qk_norm_type"},
      {"minimax_m2", R"("shared_intermediate_size": 512)", "shared_intermediate_size"},
      {"qwen3_next", R"("linear_value_head_dim": 64)", "linear_value_head_dim"},
      {"qwen3_next", R"("linear_key_head_dim": 0, "linear_value_head_dim": 0)", "linear_value_head_dim",
       ErrorCode::kCorruptFile},
      {"qwen3_next", R"("linear_num_value_heads": 1000000000000)", "linear_num_value_heads",
       ErrorCode::kCorruptFile},
      {"qwen3_next", R"("partial_rotary_factor": 1.5)", "partial_rotary_factor", ErrorCode::kCorruptFile},
      {"qwen3_next", R"("layer_types": ["full_attention"])", "layer_types"},
      {"qwen3_next", R"("mlp_only_layers": [3])", "mlp_only_layers"},
      {"glm4_moe", R"("hidden_act": "gelu")", "hidden_act"},
      {"glm4_moe", R"("hidden_size": 64)", "num_hidden_layers", ErrorCode::kCorruptFile},
      {"glm4_moe", R"("num_hidden_layers": 2, "num_nextn_predict_layers": 9223372036854775807)",
       "num_nextn_predict_layers", ErrorCode::kCorruptFile},
      {"nemotron_h", R"("mlp_hidden_act": "silu")", "mlp_hidden_act"},
      {"nemotron_h", kNemotron + R"(, "hybrid_override_pattern": "MEM")", "hybrid_override_pattern",
       ErrorCode::kCorruptFile},
      {"nemotron_h", kNemotron + R"(, "hybrid_override_pattern": "E-")", "hybrid_override_pattern"},
      {"nemotron_h", kNemotron + R"(, "layers_block_type": ["mamba", "window"])", "layers_block_type"},
      {"nemotron_h", R"("num_hidden_layers": 2, "hybrid_override_pattern": "ME", "moe_intermediate_size": 0)",
       "moe_intermediate_size", ErrorCode::kCorruptFile},
      {"nemotron_h", kNemotron + R"(, "hybrid_override_pattern": "ME", "time_step_limit": [0.0, 100.0])",
       "time_step_limit"},
      {"qwen3_5_moe", R"("text_config": {"linear_value_head_dim": 64})", "text_config.linear_value_head_dim"},
      {"qwen3_5_moe", R"("text_config": {"hidden_act": "gelu"})", "text_config.hidden_act"},
  };
  for (const Case& c : cases) {
    const Error error = error_of(c.model_type, c.keys);
    EXPECT_EQ(error.field, c.field) << c.model_type << ": " << c.keys << ": " << error.message;
    EXPECT_EQ(error.code, c.code) << error.message;
    EXPECT_THAT(error.message, testing::HasSubstr("config.json: "));
  }
}

TEST(AFamilysConfiguration, SaysHowMuchOfAHeadIsTurned) {
  const auto dims = [](const std::string& model_type, const std::string& architecture,
                       const std::string& keys) {
    return translated(model_type, keys).integer(architecture + ".rope.dimension_count").value();
  };
  EXPECT_EQ(dims("qwen3_next", "qwen3next", R"("head_dim": 128)"), 32) << "a quarter";
  EXPECT_EQ(dims("qwen3_next", "qwen3next", R"("partial_rotary_factor": 0.5)"), 128) << "of 256";
  EXPECT_EQ(
      dims("qwen3_5_moe", "qwen35moe",
           R"("text_config": {"head_dim": 256, "rope_parameters": {"rope_type": "default", "rope_theta": 1e7,
                    "partial_rotary_factor": 0.25, "mrope_section": [11, 11, 10], "mrope_interleaved": true}})"),
      64);
  EXPECT_EQ(dims("minimax_m2", "minimax-m2", R"("head_dim": 128, "rotary_dim": 64)"), 64);
  EXPECT_EQ(dims("glm4_moe", "glm4moe", R"("head_dim": 128, "num_hidden_layers": 2)"), 64);
  EXPECT_EQ(
      dims("glm4_moe", "glm4moe", R"("hidden_size": 256, "num_attention_heads": 4, "num_hidden_layers": 2)"),
      32)
      << "half of what the heads leave for each";
  EXPECT_EQ(dims("minimax_m2", "minimax-m2",
                 R"("head_dim": 128, "rope_parameters": {"rope_theta": 5e6, "partial_rotary_factor": 0.5})"),
            64);
}

TEST(AFamilysConfiguration, IsThatOfModelsWithExpertsWhereALayerHasThem) {
  const auto architecture = [](const std::string& pattern) {
    return family_of("nemotron_h", config_of(R"({"hybrid_override_pattern": ")" + pattern + "\"}"))
        .architecture;
  };
  EXPECT_EQ(architecture("MEM*"), "nemotron_h_moe");
  EXPECT_EQ(architecture("M-M*"), "nemotron_h");
}

TEST(AFamilysConfiguration, HasItsOwnBaseOfRotationWhereItSaysNone) {
  const auto base = [](const std::string& model_type, const std::string& architecture,
                       const std::string& keys) {
    return translated(model_type, keys).real(architecture + ".rope.freq_base").value();
  };
  EXPECT_EQ(base("gpt_oss", "gpt-oss", kYarn), 150000);
  EXPECT_EQ(base("minimax_m2", "minimax-m2", ""), 5e6);
  EXPECT_EQ(base("llama", "llama", ""), 10000);
  EXPECT_EQ(base("llama", "llama", R"("rope_theta": 5e5)"), 5e5);
}

std::string names_of(const char* model_type, const char* tensor) {
  std::string names;
  for (const HfTensorName& name : parse_hf_tensor_name(family_of(model_type), tensor)) {
    names += (names.empty() ? "" : " ") + name.gguf_stem + "/" + name.parameter;
    if (name.expert_idx) names += "/" + std::to_string(*name.expert_idx);
  }
  return names;
}

TEST(ATensorsName, IsThatOfTheGgufTensorsThatItGoesInto) {
  EXPECT_EQ(names_of("mixtral", "model.layers.3.block_sparse_moe.experts.7.w2.weight"),
            "blk.3.ffn_down_exps/weight/7");
  EXPECT_EQ(names_of("minimax_m2", "model.layers.3.block_sparse_moe.e_score_correction_bias"),
            "blk.3.exp_probs_b.bias/");
  EXPECT_EQ(names_of("qwen3_next", "model.layers.0.linear_attn.in_proj_qkvz.qweight"),
            "blk.0.attn_qkv/qweight blk.0.attn_gate/qweight");
  EXPECT_EQ(names_of("qwen3_next", "model.layers.0.linear_attn.A_log"), "blk.0.ssm_a/");
  EXPECT_EQ(names_of("qwen3_next", "model.layers.0.linear_attn.A_log.weight"), "");
  EXPECT_EQ(names_of("qwen3_5_moe", "model.language_model.layers.1.mlp.experts.gate_up_proj"),
            "blk.1.ffn_gate_up_exps.weight/");
  EXPECT_EQ(names_of("qwen3_5_moe", "model.language_model.norm.weight"), "output_norm/weight");
  EXPECT_EQ(names_of("gpt_oss", "model.layers.1.mlp.experts.gate_up_proj_blocks"),
            "blk.1.ffn_gate_exps/blocks blk.1.ffn_up_exps/blocks");
  EXPECT_EQ(names_of("gpt_oss", "model.layers.1.mlp.experts.down_proj_bias"), "blk.1.ffn_down_exps/bias");
  EXPECT_EQ(names_of("gpt_oss", "model.layers.1.mlp.experts.down_proj"), "") << "a copy in BF16, transposed";
  EXPECT_EQ(names_of("gpt_oss", "model.layers.1.self_attn.q_proj_weight"), "");
  EXPECT_EQ(names_of("qwen3", "model.layers.1.self_attn.q_proj.bias"), "");
  EXPECT_EQ(names_of("glm4_moe", "model.layers.1.mlp.gate.e_score_correction_bias"),
            "blk.1.exp_probs_b.bias/");
  EXPECT_EQ(names_of("glm4_moe", "model.layers.1.mlp.gate.weight"), "blk.1.ffn_gate_inp/weight");
  EXPECT_EQ(names_of("glm4_moe", "model.layers.46.embed_tokens.weight"), "blk.46.nextn.embed_tokens/weight");
  EXPECT_EQ(names_of("nemotron_h", "backbone.layers.5.mixer.experts.7.up_proj.weight"),
            "blk.5.ffn_up_exps/weight/7");
  EXPECT_EQ(names_of("nemotron_h", "backbone.layers.5.norm.weight"), "blk.5.attn_norm/weight");
  EXPECT_EQ(hf_tensor_name(family_of("nemotron_h"), "output_norm.weight"), "backbone.norm_f.weight");
  EXPECT_EQ(hf_tensor_name(family_of("gpt_oss"), "blk.2.ffn_up_exps.weight"),
            "model.layers.2.mlp.experts.gate_up_proj_blocks");
  EXPECT_EQ(hf_tensor_name(family_of("qwen3_5_moe"), "blk.2.ssm_a"),
            "model.language_model.layers.2.linear_attn.A_log");
  EXPECT_EQ(hf_tensor_name(family_of("qwen3_5_moe"), "output_norm.weight"),
            "model.language_model.norm.weight");
  EXPECT_TRUE(is_ignored_hf_tensor(family_of("qwen3_5_moe"), "model.visual.blocks.0.norm1.weight"));
  EXPECT_FALSE(is_ignored_hf_tensor(family_of("qwen3"), "model.visual.blocks.0.norm1.weight"));
}

}  // namespace
}  // namespace halod
