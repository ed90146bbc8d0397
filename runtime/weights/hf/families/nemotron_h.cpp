// Nemotron-H and Nemotron-3 Nano: https://huggingface.co/docs/transformers/model_doc/nemotron_h
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/hf/families/families.h"
#include "runtime/weights/hf/families/rows.h"

namespace halod {
namespace {

using namespace hf_rows;

constexpr std::string_view kPattern = "hybrid_override_pattern", kBlockTypes = "layers_block_type";
constexpr char kMamba = 'M', kAttentionLayer = '*', kMoe = 'E', kDense = '-';

constexpr HfKey kNemotronKeys[] = {
    kHiddenSize,
    kLayers,
    kContext,
    kHeads,
    {"layer_norm_epsilon", "attention.layer_norm_rms_epsilon", Kind::kReal},
    {"conv_kernel", "ssm.conv_kernel", Kind::kInteger, "4"},
    {"ssm_state_size", "ssm.state_size", Kind::kInteger, "128"},
    {"n_groups", "ssm.group_count", Kind::kInteger, "8"},
    {"mamba_num_heads", "ssm.time_step_rank", Kind::kInteger, "128"},
    {"n_routed_experts", "expert_count"},
    kExpertsPerToken,
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"moe_shared_expert_intermediate_size", "expert_shared_feed_forward_length"},
    {"moe_latent_size", "moe_latent_size"},
    {"n_group", "expert_group_count"},
    {"norm_topk_prob", "expert_weights_norm", Kind::kBoolean, "true"},
    {"routed_scaling_factor", "expert_weights_scale", Kind::kReal}};
constexpr HfExpectation kNemotronExpectations[] = {{"mamba_hidden_act", "\"silu\""},
                                                   {"mlp_hidden_act", "\"relu2\""},
                                                   {"attention_bias", "false"},
                                                   {"mlp_bias", "false"},
                                                   {"use_bias", "false"},
                                                   {"mamba_proj_bias", "false"},
                                                   {"n_shared_experts", "1"}};

constexpr HfModule kNemotronModules[] = {
    {"model.embeddings", "token_embd"},
    {"model.norm_f", "output_norm"},
    {"lm_head", "output"},
    {"norm", "attn_norm"},
    {"mixer.in_proj", "ssm_in"},
    {"mixer.conv1d", "ssm_conv1d", true, HfForm::kFlat},
    {.name = "mixer.dt_bias", .gguf = "ssm_dt.bias", .is_parameter = true},
    {.name = "mixer.A_log", .gguf = "ssm_a", .form = HfForm::kNegatedExp, .is_parameter = true},
    {.name = "mixer.D", .gguf = "ssm_d", .is_parameter = true},
    {"mixer.norm", "ssm_norm"},
    {"mixer.out_proj", "ssm_out"},
    {"mixer.q_proj", "attn_q"},
    {"mixer.k_proj", "attn_k"},
    {"mixer.v_proj", "attn_v"},
    {"mixer.o_proj", "attn_output"},
    {"mixer.up_proj", "ffn_up"},
    {"mixer.down_proj", "ffn_down"},
    {"mixer.gate", "ffn_gate_inp"},
    {.name = "mixer.gate.e_score_correction_bias", .gguf = "exp_probs_b.bias", .is_parameter = true},
    {"mixer.experts.*.up_proj", "ffn_up_exps"},
    {"mixer.experts.*.down_proj", "ffn_down_exps"},
    {"mixer.shared_experts.up_proj", "ffn_up_shexp"},
    {"mixer.shared_experts.down_proj", "ffn_down_shexp"},
    {"mixer.fc1_latent_proj", "ffn_latent_down"},
    {"mixer.fc2_latent_proj", "ffn_latent_up"},
};
constexpr Modules kNemotronGroups[] = {kNemotronModules};
constexpr std::string_view kIgnoredOfNemotron[] = {"mtp."};

/// The letters of the layers, which newer files spell out. Of others: as they are.
std::string layer_letters(const JsonObject& config) {
  if (const auto pattern = config.string(kPattern)) return *pattern;
  constexpr std::pair<std::string_view, char> kNames[] = {
      {"mamba", kMamba}, {"attention", kAttentionLayer}, {"moe", kMoe}, {"mlp", kDense}};
  std::string letters;
  for (const auto& type : config.array(kBlockTypes)) {
    const auto row = std::ranges::find_if(
        kNames, [&](const auto& name) { return type.is_string() && type.get_string() == name.first; });
    letters += row == std::end(kNames) ? '?' : row->second;
  }
  return letters;
}

bool has_experts(const JsonObject& config) { return layer_letters(config).find(kMoe) != std::string::npos; }
bool has_none(const JsonObject& config) { return !has_experts(config); }

int64_t extent(const JsonObject& config, std::string_view key, int64_t otherwise) {
  constexpr int64_t kMax = 1 << 24;
  const int64_t value = config.integer(key).value_or(otherwise);
  if (value < 1 || value > kMax)
    config.fail_corrupt(key, fmt::format("is {}, allowed are 1 to {}", value, kMax));
  return value;
}

/// Steps of time are bounded below by 0 and not above; JSON has no number for that, and null stands for it.
void check_time_step_limit(const JsonObject& config) {
  const auto limit = config.array("time_step_limit");
  if (limit.empty()) return;
  const auto is_zero = [](const auto& value) {
    return value.is_number() && value.template to_number<double>() == 0;
  };
  const bool is_open = limit.size() == 2 && is_zero(limit[0]) && !limit[1].is_number();
  if (!is_open)
    config.fail_unsupported("time_step_limit", "bounds steps of time; only 0 to Infinity is supported");
}

void translate_nemotron(const JsonObject& config, const HfInsert& insert) {
  const std::string letters = layer_letters(config);
  const std::string_view key = config.contains(kPattern) ? kPattern : kBlockTypes;
  const int64_t n_layers = config.required_integer("num_hidden_layers");
  if (static_cast<int64_t>(letters.size()) != n_layers)
    config.fail_corrupt(
        key, fmt::format("names {} layers, but num_hidden_layers is {}", letters.size(), n_layers));
  const bool is_moe = has_experts(config);
  const int64_t n_kv_heads = extent(config, "num_key_value_heads", 8),
                width = extent(config, is_moe ? "moe_intermediate_size" : "intermediate_size", 0);
  std::vector<int64_t> kv_heads, widths;
  for (size_t i = 0; i < letters.size(); ++i) {
    const char letter = letters[i];
    if (letter != kMamba && letter != kAttentionLayer && letter != (is_moe ? kMoe : kDense)) {
      config.fail_unsupported(
          key, fmt::format("has '{}' for layer {}; supported are M, * and either E or - in one model",
                           printable(std::string_view(&letter, 1)), i));
    }
    kv_heads.push_back(letter == kAttentionLayer ? n_kv_heads : 0);
    widths.push_back(letter == kMoe || letter == kDense ? width : 0);
  }
  insert("attention.head_count_kv", MetadataArray(std::move(kv_heads)), "num_key_value_heads");
  insert("feed_forward_length", MetadataArray(std::move(widths)), key);
  const std::string_view head_dim = config.contains("head_dim") ? "head_dim" : "attention_head_dim";
  insert("attention.key_length", extent(config, head_dim, 128), head_dim);
  insert("ssm.inner_size", extent(config, "mamba_num_heads", 128) * extent(config, "mamba_head_dim", 64),
         "mamba_head_dim");
  check_time_step_limit(config);
}

constexpr HfFamily family(std::string_view architecture, bool (*describes)(const JsonObject&)) {
  return {.model_type = "nemotron_h",
          .architecture = architecture,
          .keys = kNemotronKeys,
          .expectations = kNemotronExpectations,
          .modules = kNemotronGroups,
          .translate = translate_nemotron,
          .model_prefix = "backbone.",
          .ignored = kIgnoredOfNemotron,
          .describes = describes};
}

}  // namespace

constinit const HfFamily kNemotronHMoeFamily = family("nemotron_h_moe", has_experts);
constinit const HfFamily kNemotronHFamily = family("nemotron_h", has_none);

}  // namespace halod
