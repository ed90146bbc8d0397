#include "bench/paper_model.h"

#include <algorithm>

namespace halod {
namespace {

// Bits per weight, scales included.
constexpr double kQ4K = 4.5, kQ5_0 = 5.5, kQ6K = 6.5625, kQ8_0 = 8.5, kMxfp4 = 4.25, kF32 = 32, kF16 = 16;
constexpr double kHalfQ6K = (kQ4K + kQ6K) / 2;           // Q4_K_M: every second layer's down and v
constexpr double kGptq128 = 4 + 16.0 / 128 + 4.0 / 128;  // codes, an f16 scale and a zero per 128
constexpr int64_t kLaunchesAroundTheLayers = 4;          // embedding, last norm, head, argmax
constexpr double kF16Bytes = 2;

/// n_layers of a top-k mixture of SwiGLU experts.
WeightGroup experts(std::string_view what, int64_t n_layers, double n_experts, double n_chosen, double hidden,
                    double inter, double bits, double n_matrices) {
  const double per_expert = n_matrices * hidden * inter * static_cast<double>(n_layers);
  return {what, n_experts * per_expert, n_chosen * per_expert, bits};
}

WeightGroup dense(std::string_view what, double n_params, double bits) {
  return {what, n_params, n_params, bits};
}

// Source: Qwen/Qwen3-30B-A3B, config.json.
constexpr double kQwenVocab = 151936, kQwenHidden = 2048;
constexpr double kQwenQ = kQwenHidden * 32 * 128, kQwenKv = kQwenHidden * 4 * 128;

PaperModel qwen3_30b_q4_k_m() {
  return {
      .name = "30b-a3b-q4_k_m",
      .title = "Qwen3-30B-A3B, Q4_K_M",
      .weights = {dense("attention q, k, o", 48 * (2 * kQwenQ + kQwenKv), kQ4K),
                  dense("attention v", 48 * kQwenKv, kHalfQ6K), dense("router", 48 * kQwenHidden * 128, kF32),
                  experts("experts gate, up", 48, 128, 8, kQwenHidden, 768, kQ4K, 2),
                  experts("experts down", 48, 128, 8, kQwenHidden, 768, kHalfQ6K, 1),
                  dense("output", kQwenVocab * kQwenHidden, kQ6K)},
      .attention = {{.n_layers = 48, .n_heads = 32, .n_kv_heads = 4, .head_dim = 128}},
      .n_layers = 48,
      .published_tok_per_s = 86};
}

PaperModel qwen3_30b_gptq() {
  return {.name = "30b-a3b-gptq",
          .title = "Qwen3-30B-A3B, GPTQ 4-bit g128",
          .weights = {dense("attention", 48 * (2 * kQwenQ + 2 * kQwenKv), kGptq128),
                      dense("router", 48 * kQwenHidden * 128, kF16),
                      experts("experts", 48, 128, 8, kQwenHidden, 768, kGptq128, 3),
                      dense("output, f16 as published", kQwenVocab * kQwenHidden, kF16)},
          .attention = {{.n_layers = 48, .n_heads = 32, .n_kv_heads = 4, .head_dim = 128}},
          .n_layers = 48,
          .published_tok_per_s = 91};
}

// Source: openai/gpt-oss-120b, config.json; attention and head as the usual GGUF files have them.
PaperModel gpt_oss_120b() {
  constexpr double kHidden = 2880;
  return {.name = "gpt-oss-120b",
          .title = "gpt-oss-120b, MXFP4 experts, Q8_0 elsewhere",
          .weights = {dense("attention", 36 * kHidden * (2 * 64 * 64 + 2 * 8 * 64), kQ8_0),
                      dense("router", 36 * kHidden * 128, kF32),
                      experts("experts", 36, 128, 4, kHidden, 2880, kMxfp4, 3),
                      dense("output", 201088 * kHidden, kQ8_0)},
          .attention = {{.n_layers = 18, .n_heads = 64, .n_kv_heads = 8, .head_dim = 64},
                        {.n_layers = 18, .n_heads = 64, .n_kv_heads = 8, .head_dim = 64, .window = 128}},
          .n_layers = 36,
          .published_tok_per_s = 56.6};
}

// Source: Qwen/Qwen3-Next-80B-A3B-Instruct, config.json: every fourth layer attends, the others are gated
// delta nets.
PaperModel qwen3_next_80b() {
  constexpr double kHidden = 2048;
  constexpr double kAttention = kHidden * (16 * 256 * 2 + 2 * 2 * 256 + 16 * 256);  // q and its gate, k, v, o
  constexpr double kDeltaNet = kHidden * (2 * 16 * 128 + 2 * 32 * 128 + 64 + 32 * 128);  // q k v z, b a, o
  return {.name = "qwen3-next-80b",
          .title = "Qwen3-Next-80B-A3B, Q4_K_M",
          .weights = {dense("attention", 12 * kAttention, kQ4K), dense("delta nets", 36 * kDeltaNet, kQ4K),
                      dense("router", 48 * kHidden * 512, kF32),
                      experts("experts gate, up", 48, 513, 11, kHidden, 512, kQ4K, 2),
                      experts("experts down", 48, 513, 11, kHidden, 512, kHalfQ6K, 1),
                      dense("output", kQwenVocab * kHidden, kQ6K)},
          .attention = {{.n_layers = 12, .n_heads = 16, .n_kv_heads = 2, .head_dim = 256}},
          .state_bytes = 36.0 * 32 * 128 * 128 * 4,
          .n_layers = 48,
          .published_tok_per_s = 54.9};
}

// Source: nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B as its model card and ports describe it: 23 blocks of
// Mamba-2, 23 of experts without a gate, 6 of attention; Mamba-2's own widths, as the family's smaller models
// have them. Rows of 2688 and 1856 columns hold no whole blocks of 256: files named Q4_K_M have Q5_0 and Q8_0
// there in place of Q4_K and Q6_K.
PaperModel nemotron_3_nano() {
  constexpr double kHidden = 2688, kInner = 64 * 64, kHalfQ8_0 = (kQ5_0 + kQ8_0) / 2;
  constexpr double kQ = kHidden * 32 * 128, kKv = kHidden * 2 * 128;
  return {
      .name = "nemotron-3-nano",
      .title = "Nemotron-3-Nano-30B-A3B, Q4_K_M",
      .weights = {dense("Mamba-2 in", 23 * kHidden * (2 * kInner + 2 * 8 * 128 + 64), kQ5_0),
                  dense("Mamba-2 out", 23 * kInner * kHidden, kQ4K),
                  dense("attention q, k", 6 * (kQ + kKv), kQ5_0), dense("attention v", 6 * kKv, kHalfQ8_0),
                  dense("attention o", 6 * kQ, kQ4K), dense("router", 23 * kHidden * 128, kF32),
                  // The shared one is as wide as two.
                  experts("experts up", 23, 130, 8, kHidden, 1856, kQ5_0, 1),
                  experts("experts down", 23, 130, 8, kHidden, 1856, kHalfQ8_0, 1),
                  dense("output", 131072 * kHidden, kQ8_0)},
      .attention = {{.n_layers = 6, .n_heads = 32, .n_kv_heads = 2, .head_dim = 128}},
      .state_bytes = 23.0 * kInner * 128 * 4,
      .n_layers = 52,
      .n_layer_launches = 23 * 6 + 23 * 3 + 6 * 5};
}

int64_t keys_seen(const AttentionGroup& group, int64_t depth) {
  return group.window > 0 ? std::min(group.window, depth) : depth;
}

double launch_seconds(const PaperModel& model, const PaperMachine& machine, double launches_per_layer) {
  const double in_layers = model.n_layer_launches > 0
                               ? static_cast<double>(model.n_layer_launches)
                               : static_cast<double>(model.n_layers) * launches_per_layer;
  return machine.launch_s * (in_layers + kLaunchesAroundTheLayers);
}

}  // namespace

std::span<const PaperModel> paper_models() {
  static const std::vector<PaperModel> kModels = {qwen3_30b_q4_k_m(), qwen3_30b_gptq(), gpt_oss_120b(),
                                                  qwen3_next_80b(), nemotron_3_nano()};
  return kModels;
}

const PaperModel* find_paper_model(std::string_view name) {
  const auto models = paper_models();
  const auto row = std::ranges::find(models, name, &PaperModel::name);
  return row == models.end() ? nullptr : &*row;
}

DecodePrediction predict_decode(const PaperModel& model, const PaperMachine& machine, int64_t depth,
                                double launches_per_layer) {
  DecodePrediction prediction{.kv_bytes = 2 * model.state_bytes,
                              .launch_s = launch_seconds(model, machine, launches_per_layer)};
  for (const WeightGroup& group : model.weights)
    prediction.weight_bytes += group.n_active_params * group.bits / 8;
  for (const AttentionGroup& group : model.attention) {
    prediction.kv_bytes += static_cast<double>(2 * group.n_layers * group.n_kv_heads * group.head_dim *
                                               keys_seen(group, depth)) *
                           kF16Bytes;
  }
  const double read_s = (prediction.weight_bytes + prediction.kv_bytes) / machine.bytes_per_s;
  prediction.tok_per_s = 1 / (read_s + prediction.launch_s);
  return prediction;
}

PrefillPrediction predict_prefill(const PaperModel& model, const PaperMachine& machine, int64_t n_tokens,
                                  double launches_per_layer) {
  PrefillPrediction prediction;
  const auto n = static_cast<double>(n_tokens);
  for (const WeightGroup& group : model.weights) {
    const bool is_output = group.what.starts_with("output");  // wanted for the last token only
    prediction.flops += 2 * group.n_active_params * (is_output ? 1 : n);
    prediction.bytes += group.n_params * group.bits / 8;
  }
  for (const AttentionGroup& group : model.attention) {
    // Query i sees i keys, or the window: two products of head_dim each.
    const auto window = static_cast<double>(group.window > 0 ? std::min(group.window, n_tokens) : n_tokens);
    const double n_pairs = window * (n - window) + window * window / 2;
    prediction.flops += 4 * n_pairs * static_cast<double>(group.n_layers * group.n_heads * group.head_dim);
  }
  const double seconds =
      std::max(prediction.flops / machine.flops_per_s, prediction.bytes / machine.bytes_per_s) +
      launch_seconds(model, machine, launches_per_layer);
  prediction.tok_per_s = n / seconds;
  return prediction;
}

}  // namespace halod
