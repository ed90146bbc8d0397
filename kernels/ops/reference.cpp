#include "kernels/ops/reference.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/quant/half.h"

namespace halod::reference {

void matmul(const MatmulArgs& args) {
  const FormatTraits& format = traits(args.weight.format);
  const int64_t cols = args.weight.cols;
  std::vector<float> weights(static_cast<size_t>(cols));
  for (int64_t r = args.first_row; r < args.first_row + args.n_rows; ++r) {
    format.dequantize(args.weight.data + r * format.row_bytes(cols), cols, weights.data());
    for (int64_t t = 0; t < args.n_tokens; ++t) {
      const float* x = args.x.values.row_data(args.x_row(t));
      double total = 0;
      for (int64_t i = 0; i < cols; ++i)
        total += static_cast<double>(weights[static_cast<size_t>(i)]) * static_cast<double>(x[i]);
      float& y = args.y(args.y_row(t), r - args.y_origin);
      y = static_cast<float>(args.accumulate ? static_cast<double>(y) + total : total);
    }
  }
}

void quantize_activations(const QuantizeActivationsArgs& args) {
  const int64_t n_groups = args.values.cols / kActivationGroup;
  for (int64_t row = 0; row < args.values.rows; ++row) {
    for (int64_t g = 0; g < n_groups; ++g) {
      const float* x = args.values.row_data(row) + g * kActivationGroup;
      float largest = 0;
      for (int64_t i = 0; i < kActivationGroup; ++i) largest = std::max(largest, std::fabs(x[i]));
      const float inverse = largest > 0 ? 127.0F / largest : 0.0F;
      const int64_t group = row * n_groups + g;
      int32_t sums[2] = {};
      for (int64_t i = 0; i < kActivationGroup; ++i) {
        const float code = std::clamp(std::nearbyint(x[i] * inverse), -127.0F, 127.0F);
        args.codes[group * kActivationGroup + i] = static_cast<int8_t>(code);
        sums[i / 16] += static_cast<int32_t>(code);
      }
      args.scales[group] = largest / 127.0F;
      args.scaled_sums[group] = args.scales[group] * static_cast<float>(sums[0] + sums[1]);
      args.negated_sums16[2 * group] = -sums[0];
      args.negated_sums16[2 * group + 1] = -sums[1];
    }
  }
}

namespace {

double kv_element(const std::byte* data, int64_t i, KvType type) {
  if (type == KvType::kF32) {
    float value;
    std::memcpy(&value, data + 4 * i, 4);
    return static_cast<double>(value);
  }
  uint16_t bits;
  std::memcpy(&bits, data + 2 * i, 2);
  return static_cast<double>(f16_to_f32(bits));
}

void put_kv_element(std::byte* data, int64_t i, KvType type, float value) {
  if (type == KvType::kF32) {
    std::memcpy(data + 4 * i, &value, 4);
    return;
  }
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(data + 2 * i, &bits, 2);
}

void attend_token(const AttentionKernelArgs& args) {
  const int64_t page_values = kAttentionPageTokens * args.head_dim;
  std::vector<double> weights(static_cast<size_t>(args.n_keys));
  for (int64_t h = 0; h < args.n_heads; ++h) {
    const float* q = args.q + h * args.head_dim;
    double largest =
        args.sinks ? static_cast<double>(args.sinks[h]) : -std::numeric_limits<double>::infinity();
    for (int64_t j = args.first_key; j < args.n_keys; ++j) {
      const std::byte* page = args.pages[static_cast<size_t>(j / kAttentionPageTokens)];
      double dot = 0;
      for (int64_t d = 0; d < args.head_dim; ++d) {
        dot += static_cast<double>(q[d]) *
               kv_element(page, d * kAttentionPageTokens + j % kAttentionPageTokens, args.type);
      }
      weights[static_cast<size_t>(j)] = dot * static_cast<double>(args.scale);
      largest = std::max(largest, weights[static_cast<size_t>(j)]);
    }
    double total = args.sinks ? std::exp(static_cast<double>(args.sinks[h]) - largest) : 0;
    for (int64_t j = args.first_key; j < args.n_keys; ++j) {
      double& weight = weights[static_cast<size_t>(j)];
      total += weight = std::exp(weight - largest);
    }
    for (int64_t d = 0; d < args.head_dim; ++d) {
      double value = 0;
      for (int64_t j = args.first_key; j < args.n_keys; ++j) {
        const std::byte* page = args.pages[static_cast<size_t>(j / kAttentionPageTokens)];
        value += weights[static_cast<size_t>(j)] *
                 kv_element(page, page_values + (j % kAttentionPageTokens) * args.head_dim + d, args.type);
      }
      args.out[h * args.head_dim + d] = static_cast<float>(value / total);
    }
  }
}

}  // namespace

void attention(const AttentionKernelArgs& args) {
  AttentionKernelArgs token = args;
  for (int64_t t = 0; t < args.n_tokens; ++t) {
    attend_token(token);
    token.q += args.q_stride;
    token.out += args.out_stride;
    ++token.n_keys;
  }
}

void kv_store(const KvStoreArgs& args) {
  const int64_t page_values = kAttentionPageTokens * args.head_dim;
  for (int64_t d = 0; d < args.head_dim; ++d) {
    put_kv_element(args.page, d * kAttentionPageTokens + args.slot, args.type, args.k[d]);
    put_kv_element(args.page, page_values + args.slot * args.head_dim + d, args.type, args.v[d]);
  }
}

void rms_norm(const RmsNormArgs& args) {
  double squares = 0;
  for (int64_t i = 0; i < args.n; ++i)
    squares += static_cast<double>(args.x[i]) * static_cast<double>(args.x[i]);
  const double scale =
      1.0 / std::sqrt(squares / static_cast<double>(args.n) + static_cast<double>(args.epsilon));
  for (int64_t i = 0; i < args.n; ++i) {
    args.y[i] =
        static_cast<float>(static_cast<double>(args.x[i]) * scale * static_cast<double>(args.weight[i]));
  }
}

void rope(const RopeArgs& args) {
  const int64_t half = args.n / 2;
  for (int64_t i = 0; i < half; ++i) {
    float& first = args.x[args.pairs_neighbours ? 2 * i : i];
    float& second = args.x[args.pairs_neighbours ? 2 * i + 1 : half + i];
    const double a = static_cast<double>(first), b = static_cast<double>(second);
    const double c = static_cast<double>(args.cosines[i]), s = static_cast<double>(args.sines[i]);
    first = static_cast<float>(a * c - b * s);
    second = static_cast<float>(a * s + b * c);
  }
}

void swiglu(const SwigluArgs& args) {
  for (int64_t i = 0; i < args.n; ++i) {
    const double gate = static_cast<double>(args.gate[i]);
    args.gate[i] = static_cast<float>(gate / (1.0 + std::exp(-gate)) * static_cast<double>(args.up[i]));
  }
}

void clamped_swiglu(const ClampedSwigluArgs& args) {
  const double alpha = static_cast<double>(args.alpha), limit = static_cast<double>(args.limit);
  for (int64_t i = 0; i < args.n; ++i) {
    const double gate = std::min(static_cast<double>(args.gate[i]), limit);
    const double up = std::clamp(static_cast<double>(args.up[i]), -limit, limit);
    args.gate[i] = static_cast<float>(gate / (1.0 + std::exp(-alpha * gate)) * (up + 1.0));
  }
}

void squared_relu(const SquaredReluArgs& args) {
  for (int64_t i = 0; i < args.n; ++i) {
    const double x = std::max(static_cast<double>(args.x[i]), 0.0);
    args.x[i] = static_cast<float>(x * x);
  }
}

void sigmoid_gate(const SigmoidGateArgs& args) {
  for (int64_t i = 0; i < args.n; ++i) {
    const double gate = static_cast<double>(args.gate[i]);
    args.x[i] = static_cast<float>(static_cast<double>(args.x[i]) / (1.0 + std::exp(-gate)));
  }
}

void weighted_sum(const WeightedSumArgs& args) {
  for (int64_t i = 0; i < args.n; ++i) {
    double total = 0;
    for (int64_t k = 0; k < args.n_terms; ++k)
      total += static_cast<double>(args.weights[k]) * static_cast<double>(args.x[k][i]);
    args.y[i] = static_cast<float>(static_cast<double>(args.y[i]) + total);
  }
}

namespace {

/// What the experts are chosen by, before any bias.
std::vector<double> router_scores(const RouterTopKArgs& args) {
  std::vector<double> scores(args.logits, args.logits + args.n_experts);
  if (args.gating == RouterTopKArgs::Gating::kSigmoid) {
    for (double& score : scores) score = 1.0 / (1.0 + std::exp(-score));
  } else if (args.gating == RouterTopKArgs::Gating::kSoftmax) {
    const double largest = *std::ranges::max_element(scores);
    double all = 0;
    for (double& score : scores) all += score = std::exp(score - largest);
    for (double& score : scores) score /= all;
  }
  return scores;
}

}  // namespace

void router_top_k(const RouterTopKArgs& args) {
  const size_t n = static_cast<size_t>(args.n_experts), n_chosen = static_cast<size_t>(args.n_chosen);
  std::array<int32_t, 1024> order;
  HALOD_ASSERT(n <= order.size() && n_chosen <= n);
  const std::vector<double> scores = router_scores(args);
  // All scores ascend with the logits, which tell apart what rounding makes equal.
  const auto rank = [&](int32_t expert) {
    if (args.selection_bias == nullptr) return static_cast<double>(args.logits[expert]);
    return scores[static_cast<size_t>(expert)] + static_cast<double>(args.selection_bias[expert]);
  };
  std::iota(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), 0);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n_chosen),
                    order.begin() + static_cast<std::ptrdiff_t>(n),
                    [&](int32_t a, int32_t b) { return rank(a) != rank(b) ? rank(a) > rank(b) : a < b; });
  std::array<double, 1024> weights;
  double chosen = 0;
  for (size_t k = 0; k < n_chosen; ++k) {
    const double score = scores[static_cast<size_t>(order[k])];
    weights[k] = args.gating == RouterTopKArgs::Gating::kSoftmaxOfChosen
                     ? std::exp(score - static_cast<double>(args.logits[order[0]]))
                     : score;
    chosen += weights[k];
  }
  // As llama.cpp (6.1e-5, the smallest normal f16), which the converters' users compare with.
  const double denominator = std::max(chosen, 6.103515625e-5);
  for (size_t k = 0; k < n_chosen; ++k) {
    args.experts[k] = order[k];
    args.weights[k] = static_cast<float>(weights[k] / denominator * static_cast<double>(args.weights_scale));
  }
}

}  // namespace halod::reference
