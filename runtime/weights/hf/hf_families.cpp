#include "runtime/weights/hf/hf_families.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>
#include <iterator>
#include <numbers>
#include <utility>

#include "runtime/weights/gguf_reader.h"

namespace halod {
namespace {

namespace json = boost::json;
using Kind = HfKey::Kind;

// -- config.json

constexpr HfKey kQwen3Keys[] = {
    {"hidden_size", "embedding_length"},
    {"num_hidden_layers", "block_count"},
    {"max_position_embeddings", "context_length"},
    {"num_attention_heads", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv"},
    {"head_dim", "attention.key_length", Kind::kInteger, "128"},
    {"intermediate_size", "feed_forward_length"},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", Kind::kReal},
};
constexpr HfKey kQwen3MoeKeys[] = {
    {"hidden_size", "embedding_length"},
    {"num_hidden_layers", "block_count"},
    {"max_position_embeddings", "context_length"},
    {"num_attention_heads", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv"},
    {"head_dim", "attention.key_length"},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", Kind::kReal},
    {"num_experts", "expert_count"},
    {"num_experts_per_tok", "expert_used_count"},
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"norm_topk_prob", "expert_weights_norm", Kind::kBoolean, "false"},
};
/// Llama and Qwen2: heads are hidden_size / num_attention_heads wide unless config.json says otherwise.
constexpr HfKey kLlamaKeys[] = {
    {"hidden_size", "embedding_length"},
    {"num_hidden_layers", "block_count"},
    {"max_position_embeddings", "context_length"},
    {"num_attention_heads", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv"},
    {"head_dim", "attention.key_length"},
    {"intermediate_size", "feed_forward_length"},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", Kind::kReal},
};

constexpr HfExpectation kQwen2Expectations[] = {{"hidden_act", "\"silu\""}, {"use_sliding_window", "false"}};
constexpr HfExpectation kQwen3Expectations[] = {
    {"hidden_act", "\"silu\""}, {"use_sliding_window", "false"}, {"attention_bias", "false"}};
constexpr HfExpectation kQwen3MoeExpectations[] = {{"hidden_act", "\"silu\""},
                                                   {"use_sliding_window", "false"},
                                                   {"attention_bias", "false"},
                                                   {"decoder_sparse_step", "1"},
                                                   {"mlp_only_layers", "[]"}};
constexpr HfExpectation kLlamaExpectations[] = {
    {"hidden_act", "\"silu\""}, {"attention_bias", "false"}, {"mlp_bias", "false"}};

// -- modules. "model." is what stands outside of the layers.

constexpr HfModule kDecoder[] = {
    {"model.embed_tokens", "token_embd"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
    {"input_layernorm", "attn_norm"},
    {"post_attention_layernorm", "ffn_norm"},
};
constexpr HfModule kAttention[] = {
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
};
constexpr HfModule kBiasedAttention[] = {
    {"self_attn.q_proj", "attn_q", true},
    {"self_attn.k_proj", "attn_k", true},
    {"self_attn.v_proj", "attn_v", true},
    {"self_attn.o_proj", "attn_output"},
};
constexpr HfModule kLlamaAttention[] = {
    {.name = "self_attn.q_proj", .gguf = "attn_q", .pairs_neighbours = true},
    {.name = "self_attn.k_proj", .gguf = "attn_k", .pairs_neighbours = true},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
};
constexpr HfModule kHeadNorms[] = {
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
};
constexpr HfModule kMlp[] = {
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
};
constexpr HfModule kExpertModules[] = {
    {"mlp.gate", "ffn_gate_inp"},
    {"mlp.experts.*.gate_proj", "ffn_gate_exps"},
    {"mlp.experts.*.up_proj", "ffn_up_exps"},
    {"mlp.experts.*.down_proj", "ffn_down_exps"},
};

using Modules = std::span<const HfModule>;
constexpr Modules kQwen3Modules[] = {kDecoder, kAttention, kHeadNorms, kMlp};
constexpr Modules kQwen3MoeModules[] = {kDecoder, kAttention, kHeadNorms, kExpertModules};
constexpr Modules kQwen2Modules[] = {kDecoder, kBiasedAttention, kMlp};
constexpr Modules kLlamaModules[] = {kDecoder, kLlamaAttention, kMlp};

constexpr HfFamily kFamilies[] = {
    {"qwen3", "qwen3", kQwen3Keys, kQwen3Expectations, kQwen3Modules},
    {"qwen3_moe", "qwen3moe", kQwen3MoeKeys, kQwen3MoeExpectations, kQwen3MoeModules},
    {"qwen2", "qwen2", kLlamaKeys, kQwen2Expectations, kQwen2Modules},
    {"llama", "llama", kLlamaKeys, kLlamaExpectations, kLlamaModules},
};

constexpr std::string_view kLayerPrefix = "model.layers.";
constexpr std::string_view kBlockPrefix = "blk.";
constexpr std::string_view kExpertsPart = ".experts.";

const HfModule* find_module(const HfFamily& family, std::string_view name, std::string_view HfModule::*by) {
  for (const Modules& modules : family.modules) {
    const auto row = std::ranges::find(modules, name, by);
    if (row != modules.end()) return &*row;
  }
  return nullptr;
}

/// Takes "12." off the front of `text`.
std::optional<int64_t> take_number(std::string_view& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto n_read = static_cast<size_t>(end - text.data());
  // A leading zero would make a second name of the same tensor.
  if (error != std::errc() || number < 0 || n_read == text.size() || text[n_read] != '.' ||
      (n_read > 1 && text.front() == '0'))
    return std::nullopt;
  text.remove_prefix(n_read + 1);
  return number;
}

constexpr std::string_view kLlama3Rope = "llama3";

/// Until transformers 4 rope_theta and rope_scaling, since 5 rope_parameters with both.
std::optional<JsonObject> rope_parameters(const JsonObject& config) {
  auto rope = config.object("rope_parameters");
  return rope ? rope : config.object("rope_scaling");
}

std::string_view rope_type_key(const JsonObject& rope) {
  return rope.contains("rope_type") ? "rope_type" : "type";
}

double rope_theta(const JsonObject& config) {
  constexpr double kDefaultTheta = 10000;  // of every family's code
  auto theta = config.real("rope_theta");
  const auto rope = rope_parameters(config);
  if (!theta && rope) theta = rope->real("rope_theta");
  return theta.value_or(kDefaultTheta);
}

class ConfigTranslator {
 public:
  ConfigTranslator(const JsonObject& config, const HfFamily& family)
      : config_(config), family_(family), metadata_(config.file_name()) {}

  Metadata translate(std::string model_name) {
    metadata_.insert("general.architecture", std::string(family_.architecture));
    metadata_.set_name_in_file("general.architecture", "model_type");
    metadata_.insert("general.name", std::move(model_name));
    for (const HfKey& key : family_.keys) translate(key);
    translate_rope();
    for (const HfExpectation& expectation : family_.expectations) check(expectation);
    return std::move(metadata_);
  }

 private:
  std::string gguf_key(std::string_view suffix) const {
    return fmt::format("{}.{}", family_.architecture, suffix);
  }

  void insert(std::string_view gguf, MetadataValue value, std::string_view name) {
    metadata_.set_name_in_file(gguf_key(gguf), std::string(name));
    metadata_.insert(gguf_key(gguf), std::move(value));
  }

  void translate(const HfKey& key) {
    metadata_.set_name_in_file(gguf_key(key.gguf), std::string(key.name));
    std::optional<MetadataValue> value;
    if (key.kind == Kind::kInteger) {
      if (const auto number = config_.integer(key.name)) value = *number;
    } else if (key.kind == Kind::kReal) {
      if (const auto number = config_.real(key.name)) value = *number;
    } else if (const auto flag = config_.boolean(key.name)) {
      value = *flag;
    }
    if (!value && !key.fallback.empty()) {
      const json::value fallback = json::parse(key.fallback);
      value = key.kind == Kind::kBoolean ? MetadataValue(fallback.get_bool())
                                         : MetadataValue(fallback.get_int64());
    }
    if (value) metadata_.insert(gguf_key(key.gguf), *std::move(value));
  }

  void translate_rope() {
    insert("rope.freq_base", rope_theta(config_), "rope_theta");
    const auto rope = rope_parameters(config_);
    if (!rope) return;
    const std::string_view type_key = rope_type_key(*rope);
    const std::string type = rope->string(type_key).value_or("default");
    if (type == "default") return;
    if (type == kLlama3Rope && family_.architecture == "llama") return;  // the tensor says it
    for (const auto& [key, value] : rope->fields()) check_rope_key(*rope, key);
    insert("rope.scaling.type", type, rope->full_key(type_key));
    if (const auto factor = rope->real("factor"))
      insert("rope.scaling.factor", *factor, rope->full_key("factor"));
    if (const auto n = rope->integer("original_max_position_embeddings")) {
      insert("rope.scaling.original_context_length", *n, rope->full_key("original_max_position_embeddings"));
    }
  }

  /// What has no place in the metadata must be what the readers of GGUF files take without being told.
  static void check_rope_key(const JsonObject& rope, std::string_view key) {
    for (const std::string_view known :
         {"rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings"}) {
      if (key == known) return;
    }
    constexpr std::pair<std::string_view, double> kDefaults[] = {{"beta_fast", 32}, {"beta_slow", 1}};
    for (const auto& [name, value] : kDefaults) {
      if (key == name && rope.real(key).value_or(value) == value) return;
    }
    if (rope.contains(key)) rope.fail_unsupported(key, "is not supported for this kind of scaling");
  }

  void check(const HfExpectation& expectation) const {
    const json::value* value = config_.find(expectation.name);
    if (value == nullptr || *value == json::parse(expectation.value)) return;
    config_.fail_unsupported(expectation.name, fmt::format("is {}; only {} is supported for model type '{}'",
                                                           printable(json::serialize(*value)),
                                                           expectation.value, family_.model_type));
  }

  const JsonObject& config_;
  const HfFamily& family_;
  Metadata metadata_;
};

}  // namespace

const HfFamily* find_hf_family(std::string_view model_type) {
  const auto row = std::ranges::find(kFamilies, model_type, &HfFamily::model_type);
  return row == std::end(kFamilies) ? nullptr : &*row;
}

std::string hf_family_names() {
  std::string names;
  for (const HfFamily& family : kFamilies)
    names += (names.empty() ? "" : ", ") + std::string(family.model_type);
  return names;
}

std::optional<HfTensorName> parse_hf_tensor_name(const HfFamily& family, std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  HfTensorName parsed{.parameter = std::string(name.substr(dot + 1))};
  std::string_view module = name.substr(0, dot);
  std::string block;
  std::string without_idx;
  if (module.starts_with(kLayerPrefix)) {
    module.remove_prefix(kLayerPrefix.size());
    const auto layer_idx = take_number(module);
    if (!layer_idx) return std::nullopt;
    block = fmt::format("{}{}.", kBlockPrefix, *layer_idx);
    if (const size_t at = module.find(kExpertsPart); at != std::string_view::npos) {
      std::string_view rest = module.substr(at + kExpertsPart.size());
      parsed.expert_idx = take_number(rest);
      if (!parsed.expert_idx) return std::nullopt;
      without_idx = fmt::format("{}{}*.{}", module.substr(0, at), kExpertsPart, rest);
      module = without_idx;
    }
  }
  const HfModule* row = find_module(family, module, &HfModule::name);
  if (row == nullptr || (parsed.parameter == "bias" && !row->has_bias)) return std::nullopt;
  // "model.norm" stands outside of the layers, "input_layernorm" in one.
  const bool is_outside = module.starts_with("model.") || module == "lm_head";
  if (is_outside != block.empty()) return std::nullopt;
  parsed.gguf_stem = block + std::string(row->gguf);
  parsed.pairs_neighbours = row->pairs_neighbours;
  return parsed;
}

std::string hf_tensor_name(const HfFamily& family, std::string_view gguf_name) {
  std::string_view rest = gguf_name;
  std::string layer;
  if (rest.starts_with(kBlockPrefix)) {
    rest.remove_prefix(kBlockPrefix.size());
    const auto layer_idx = take_number(rest);
    if (!layer_idx) return std::string(gguf_name);
    layer = fmt::format("{}{}.", kLayerPrefix, *layer_idx);
  }
  const size_t dot = rest.rfind('.');
  if (dot == std::string_view::npos) return std::string(gguf_name);
  const HfModule* row = find_module(family, rest.substr(0, dot), &HfModule::gguf);
  if (row == nullptr) return std::string(gguf_name);
  std::string module(row->name);
  if (const size_t star = module.find('*'); star != std::string::npos) module.replace(star, 1, "0");
  return fmt::format("{}{}{}", layer, module, rest.substr(dot));
}

std::vector<float> llama3_rope_divisors(const JsonObject& config, int64_t head_dim) {
  const auto rope = rope_parameters(config);
  if (!rope || rope->string(rope_type_key(*rope)) != kLlama3Rope) return {};
  const auto positive = [&](std::string_view key) {
    const double value = rope->real(key).value_or(0);
    if (!(value > 0 && value <= 1e9)) rope->fail_corrupt(key, fmt::format("is {}, wanted above 0", value));
    return value;
  };
  const double factor = positive("factor"), low = positive("low_freq_factor"),
               high = positive("high_freq_factor");
  const double context = positive("original_max_position_embeddings");
  if (high <= low)
    rope->fail_corrupt("high_freq_factor", fmt::format("is {}, not above the low one {}", high, low));
  // Meta's: wavelengths below context / high stay, those above context / low are stretched by the factor, and
  // between them the frequency is mixed of both.
  std::vector<float> divisors;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double wavelength =
        2 * std::numbers::pi *
        std::pow(rope_theta(config), 2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    const double share = std::clamp((context / wavelength - low) / (high - low), 0.0, 1.0);
    divisors.push_back(static_cast<float>(1 / ((1 - share) / factor + share)));
  }
  return divisors;
}

Metadata translate_hf_config(const JsonObject& config, const HfFamily& family, std::string model_name) {
  return ConfigTranslator(config, family).translate(std::move(model_name));
}

}  // namespace halod
