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
  if (config.rope.n_dims > 0) add("rope.dimension_count", config.rope.n_dims);
  if (config.sliding_window > 0) add("attention.sliding_window", config.sliding_window);
  if (config.is_moe()) {
    add("expert_count", config.n_experts);
    add("expert_used_count", config.n_experts_per_token);
    add("expert_feed_forward_length", config.moe_intermediate_size);
  }
  if (config.router_gating == RouterGating::kSigmoid) add("expert_gating_func", int64_t{2});
  if (!config.mixers.empty()) {
    const RecurrentConfig& recurrent = config.recurrent;
    add("expert_shared_feed_forward_length", config.shared_expert_intermediate_size);
    add("full_attention_interval", static_cast<int64_t>(config.mixers.size()));
    add("ssm.conv_kernel", recurrent.conv_kernel);
    add("ssm.state_size", recurrent.head_dim);
    add("ssm.group_count", recurrent.n_key_heads);
    add("ssm.time_step_rank", recurrent.n_value_heads);
    add("ssm.inner_size", recurrent.value_size());
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

void SyntheticModel::add(int64_t layer_idx, std::string_view name, Format format,
                         std::vector<int64_t> shape) {
  writer_.add_tensor(fmt::format("blk.{}.{}", layer_idx, name), format, std::move(shape));
}

void SyntheticModel::add_layer(int64_t layer_idx) {
  const ModelConfig& config = options_.shape.config;
  const bool is_important = is_important_layer(layer_idx, options_.n_layers);
  const LayerFormats formats = {options_.recipe.format,
                                is_important ? options_.recipe.important_format : options_.recipe.format};
  add(layer_idx, "attn_norm.weight", Format::kF32, {config.hidden_size});
  const auto period = static_cast<int64_t>(config.mixers.size());
  if (period > 0 && config.mixers[static_cast<size_t>(layer_idx % period)] == Mixer::kGatedDeltaNet) {
    add_delta_net(layer_idx, formats);
  } else {
    add_attention(layer_idx, formats);
  }
  const bool has_post_norm = config.architecture == "gpt-oss" || !config.mixers.empty();
  add(layer_idx, has_post_norm ? "post_attention_norm.weight" : "ffn_norm.weight", Format::kF32,
      {config.hidden_size});
  if (config.is_moe()) return add_experts(layer_idx, formats);
  add(layer_idx, "ffn_gate.weight", formats.usual, {config.intermediate_size, config.hidden_size});
  add(layer_idx, "ffn_up.weight", formats.usual, {config.intermediate_size, config.hidden_size});
  add(layer_idx, "ffn_down.weight", formats.important, {config.hidden_size, config.intermediate_size});
}

void SyntheticModel::add_attention(int64_t layer_idx, const LayerFormats& formats) {
  const ModelConfig& config = options_.shape.config;
  const int64_t hidden = config.hidden_size, q_dim = config.n_heads * config.head_dim,
                kv_dim = config.n_kv_heads * config.head_dim;
  add(layer_idx, "attn_q.weight", formats.usual, {config.has_gated_attention ? 2 * q_dim : q_dim, hidden});
  add(layer_idx, "attn_k.weight", formats.usual, {kv_dim, hidden});
  add(layer_idx, "attn_v.weight", formats.important, {kv_dim, hidden});
  if (config.has_attention_bias) {
    add(layer_idx, "attn_q.bias", Format::kF32, {q_dim});
    add(layer_idx, "attn_k.bias", Format::kF32, {kv_dim});
    add(layer_idx, "attn_v.bias", Format::kF32, {kv_dim});
    if (config.architecture == "gpt-oss") add(layer_idx, "attn_output.bias", Format::kF32, {hidden});
  }
  const bool is_minimax = config.architecture == "minimax-m2";
  if (is_minimax || config.architecture.starts_with("qwen3")) {
    add(layer_idx, "attn_q_norm.weight", Format::kF32, {is_minimax ? q_dim : config.head_dim});
    add(layer_idx, "attn_k_norm.weight", Format::kF32, {is_minimax ? kv_dim : config.head_dim});
  }
  if (config.has_attention_sinks) add(layer_idx, "attn_sinks.weight", Format::kF32, {config.n_heads});
  add(layer_idx, "attn_output.weight", formats.usual, {hidden, q_dim});
}

void SyntheticModel::add_delta_net(int64_t layer_idx, const LayerFormats& formats) {
  const RecurrentConfig& recurrent = options_.shape.config.recurrent;
  const int64_t hidden = options_.shape.config.hidden_size, n_heads = recurrent.n_value_heads;
  add(layer_idx, "attn_qkv.weight", formats.usual, {recurrent.conv_channels(), hidden});
  add(layer_idx, "attn_gate.weight", formats.usual, {recurrent.value_size(), hidden});
  if (recurrent.tiles_value_heads) {
    // As converters leave them: of so few rows nobody makes blocks.
    add(layer_idx, "ssm_beta.weight", Format::kF32, {n_heads, hidden});
    add(layer_idx, "ssm_alpha.weight", Format::kF32, {n_heads, hidden});
  } else {
    add(layer_idx, "ssm_ba.weight", formats.usual, {2 * n_heads, hidden});
  }
  add(layer_idx, "ssm_conv1d.weight", Format::kF32, {recurrent.conv_channels(), recurrent.conv_kernel});
  add(layer_idx, "ssm_dt.bias", Format::kF32, {n_heads});
  add(layer_idx, "ssm_a", Format::kF32, {n_heads});
  add(layer_idx, "ssm_norm.weight", Format::kF32, {recurrent.head_dim});
  add(layer_idx, "ssm_out.weight", formats.important, {hidden, recurrent.value_size()});
}

void SyntheticModel::add_experts(int64_t layer_idx, const LayerFormats& formats) {
  const ModelConfig& config = options_.shape.config;
  const int64_t hidden = config.hidden_size, width = config.moe_intermediate_size, n = config.n_experts;
  const Format format = options_.recipe.experts.value_or(formats.usual);
  add(layer_idx, "ffn_gate_inp.weight", Format::kF32, {n, hidden});
  if (config.has_fused_experts) {
    add(layer_idx, "ffn_gate_up_exps.weight", format, {n, 2 * width, hidden});
  } else {
    add(layer_idx, "ffn_gate_exps.weight", format, {n, width, hidden});
    add(layer_idx, "ffn_up_exps.weight", format, {n, width, hidden});
  }
  add(layer_idx, "ffn_down_exps.weight", options_.recipe.experts.value_or(formats.important),
      {n, hidden, width});
  if (config.router_gating == RouterGating::kSigmoid) add(layer_idx, "exp_probs_b.bias", Format::kF32, {n});
  if (config.has_expert_bias) {
    add(layer_idx, "ffn_gate_inp.bias", Format::kF32, {n});
    add(layer_idx, "ffn_gate_exps.bias", Format::kF32, {n, width});
    add(layer_idx, "ffn_up_exps.bias", Format::kF32, {n, width});
    add(layer_idx, "ffn_down_exps.bias", Format::kF32, {n, hidden});
  }
  if (const int64_t shared = config.shared_expert_intermediate_size; shared > 0) {
    add(layer_idx, "ffn_gate_inp_shexp.weight", Format::kF32, {hidden});
    add(layer_idx, "ffn_gate_shexp.weight", formats.usual, {shared, hidden});
    add(layer_idx, "ffn_up_shexp.weight", formats.usual, {shared, hidden});
    add(layer_idx, "ffn_down_shexp.weight", formats.important, {hidden, shared});
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
