#include "bench/synthetic_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bench/random_weights.h"
#include "bench/synthetic_vocabulary.h"

namespace halod {
namespace {

// llama.cpp's use_more_bits: the first and last eighth of the layers, and every third one between.
bool is_important_layer(int64_t layer_idx, int64_t n_layers) {
  return layer_idx < n_layers / 8 || layer_idx >= 7 * n_layers / 8 || (layer_idx - n_layers / 8) % 3 == 2;
}

}  // namespace

std::span<const FormatRecipe> format_recipes() {
  static const std::vector<FormatRecipe> kRecipes = [] {
    std::vector<FormatRecipe> recipes = {
        {"Q4_K_M", Format::kQ4_K, Format::kQ6_K, Format::kQ6_K, {}},
        {"Q3_K_M", Format::kQ3_K, Format::kQ4_K, Format::kQ6_K, {}},
        {"IQ4_XS", Format::kIQ4_XS, Format::kQ5_K, Format::kQ6_K, {}},
        {"MXFP4_MOE", Format::kQ8_0, Format::kQ8_0, Format::kQ8_0, Format::kMXFP4},
    };
    for (const FormatTraits& row : all_formats()) {
      if (row.ggml_type == kNoGgmlType) continue;
      if (std::ranges::find(recipes, row.name, &FormatRecipe::name) == recipes.end())
        recipes.push_back({row.name, row.format, row.format, row.format, {}});
    }
    return recipes;
  }();
  return kRecipes;
}

const FormatRecipe* find_format_recipe(std::string_view name) {
  const auto recipes = format_recipes();
  const auto row = std::ranges::find(recipes, name, &FormatRecipe::name);
  return row == recipes.end() ? nullptr : &*row;
}

SyntheticModel::SyntheticModel(const SyntheticModelOptions& options) : options_(options) {
  HALOD_ASSERT(options.n_layers > 0);
  add_metadata();
  add_tensors();
}

void SyntheticModel::add_metadata() {
  const ModelConfig& config = options_.shape.config;
  const auto add = [&](const char* suffix, const MetadataValue& value) {
    writer_.add_metadata(fmt::format("{}.{}", config.architecture, suffix), value);
  };
  writer_.add_metadata("general.architecture", config.architecture);
  writer_.add_metadata("general.type", "model");
  writer_.add_metadata("general.name", config.name);
  writer_.add_metadata("general.quantization_version", int64_t{2});
  add("block_count", options_.n_layers);
  add("context_length", config.context_length);
  add("embedding_length", config.hidden_size);
  add("feed_forward_length", config.is_moe() ? config.moe_intermediate_size : config.intermediate_size);
  add("attention.head_count", config.n_heads);
  add("attention.head_count_kv", config.n_kv_heads);
  add("attention.key_length", config.head_dim);
  add("attention.value_length", config.head_dim);
  add("attention.layer_norm_rms_epsilon", double{config.rms_norm_eps});
  add("rope.freq_base", double{config.rope_theta});
  if (config.sliding_window > 0) add("attention.sliding_window", config.sliding_window);
  if (config.is_moe()) {
    add("expert_count", config.n_experts);
    add("expert_used_count", config.n_experts_per_token);
    add("expert_feed_forward_length", config.moe_intermediate_size);
  }
  add_synthetic_vocabulary(writer_, config.vocab_size);
}

void SyntheticModel::add_tensors() {
  const ModelConfig& config = options_.shape.config;
  const FormatRecipe& recipe = options_.recipe;
  // A tied embedding is also the output, and gets the output's bits.
  const Format embedding_format = options_.shape.has_tied_output ? recipe.output_format : recipe.format;
  writer_.add_tensor("token_embd.weight", embedding_format, {config.vocab_size, config.hidden_size});
  writer_.add_tensor("output_norm.weight", Format::kF32, {config.hidden_size});
  if (!options_.shape.has_tied_output) {
    writer_.add_tensor("output.weight", recipe.output_format, {config.vocab_size, config.hidden_size});
  }
  for (int64_t layer_idx = 0; layer_idx < options_.n_layers; ++layer_idx) add_layer(layer_idx);
}

void SyntheticModel::add_layer(int64_t layer_idx) {
  const ModelConfig& config = options_.shape.config;
  const Format format = options_.recipe.format;
  const Format important =
      is_important_layer(layer_idx, options_.n_layers) ? options_.recipe.important_format : format;
  const auto add = [&](const char* name, Format tensor_format, std::vector<int64_t> shape) {
    writer_.add_tensor(fmt::format("blk.{}.{}.weight", layer_idx, name), tensor_format, std::move(shape));
  };
  const auto add_bias = [&](const char* name, std::vector<int64_t> shape) {
    writer_.add_tensor(fmt::format("blk.{}.{}.bias", layer_idx, name), Format::kF32, std::move(shape));
  };
  const bool is_gpt_oss = config.architecture == "gpt-oss";
  const int64_t hidden = config.hidden_size;
  const int64_t q_dim = config.n_heads * config.head_dim;
  const int64_t kv_dim = config.n_kv_heads * config.head_dim;
  add("attn_norm", Format::kF32, {hidden});
  add("attn_q", format, {q_dim, hidden});
  add("attn_k", format, {kv_dim, hidden});
  add("attn_v", important, {kv_dim, hidden});
  if (config.has_attention_bias) {
    add_bias("attn_q", {q_dim});
    add_bias("attn_k", {kv_dim});
    add_bias("attn_v", {kv_dim});
    if (is_gpt_oss) add_bias("attn_output", {hidden});
  }
  if (config.architecture.starts_with("qwen3")) {
    add("attn_q_norm", Format::kF32, {config.head_dim});
    add("attn_k_norm", Format::kF32, {config.head_dim});
  }
  if (config.has_attention_sinks) add("attn_sinks", Format::kF32, {config.n_heads});
  add("attn_output", format, {hidden, q_dim});
  add(is_gpt_oss ? "post_attention_norm" : "ffn_norm", Format::kF32, {hidden});
  if (config.is_moe()) {
    add("ffn_gate_inp", Format::kF32, {config.n_experts, hidden});
    const Format experts = options_.recipe.experts.value_or(format);
    add("ffn_gate_exps", experts, {config.n_experts, config.moe_intermediate_size, hidden});
    add("ffn_up_exps", experts, {config.n_experts, config.moe_intermediate_size, hidden});
    add("ffn_down_exps", options_.recipe.experts.value_or(important),
        {config.n_experts, hidden, config.moe_intermediate_size});
    if (config.has_expert_bias) {
      add_bias("ffn_gate_inp", {config.n_experts});
      add_bias("ffn_gate_exps", {config.n_experts, config.moe_intermediate_size});
      add_bias("ffn_up_exps", {config.n_experts, config.moe_intermediate_size});
      add_bias("ffn_down_exps", {config.n_experts, hidden});
    }
  } else {
    add("ffn_gate", format, {config.intermediate_size, hidden});
    add("ffn_up", format, {config.intermediate_size, hidden});
    add("ffn_down", important, {hidden, config.intermediate_size});
  }
}

uint64_t SyntheticModel::active_bytes_per_token() const {
  const ModelConfig& config = options_.shape.config;
  uint64_t sum = 0;
  for (const TensorInfo& tensor : writer_.tensors()) {
    if (tensor.name == "token_embd.weight" && !options_.shape.has_tied_output) {
      sum += tensor.size_bytes / static_cast<uint64_t>(config.vocab_size);
    } else if (tensor.shape.size() == 3) {
      sum += tensor.size_bytes / static_cast<uint64_t>(config.n_experts) *
             static_cast<uint64_t>(config.n_experts_per_token);
    } else {
      sum += tensor.size_bytes;
    }
  }
  return sum;
}

Result<> SyntheticModel::write(const std::filesystem::path& path,
                               const WriteProgressCallback& progress) const {
  // All pools at once: a few hundred KB per tensor, and chunks of different tensors are written side by side.
  std::map<std::string, RandomWeights, std::less<>> weights;
  for (const TensorInfo& tensor : writer_.tensors()) weights.try_emplace(tensor.name, tensor, options_.seed);
  const TensorRowsSource source = [&](const TensorInfo& tensor, int64_t first_row, int64_t n_rows,
                                      std::span<std::byte> out) {
    weights.find(tensor.name)->second.fill(first_row, n_rows, out);
  };
  return writer_.write(path, source, options_.n_threads, progress);
}

}  // namespace halod
