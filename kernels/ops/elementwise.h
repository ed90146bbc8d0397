// The row-wise operations between the matrix products.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/ops/variant.h"

namespace halod {

/// y[i] = x[i] / sqrt(mean_i(x[i]^2) + epsilon) * weight[i]; one row. y may be x.
/// Source: Zhang & Sennrich 2019, eq. 4.
struct RmsNormArgs {
  const float* x;
  const float* weight;
  float* y;
  int64_t n;  ///< a multiple of 16
  float epsilon;
};

/// Rotates the first n values of one head in place, pair i by position * inverse_frequencies[i]. Pairs are
/// (x[i], x[i + n/2]), NeoX's way, or neighbours, (x[2i], x[2i + 1]).
/// cosines and sines of the position are given, because every head of a token shares them.
struct RopeArgs {
  float* x;
  const float* cosines;  ///< [n / 2]
  const float* sines;    ///< [n / 2]
  int64_t n;             ///< even
  bool pairs_neighbours = false;
};

/// gate[i] = silu(gate[i]) * up[i], silu(x) = x / (1 + e^-x).
struct SwigluArgs {
  float* gate;
  const float* up;
  int64_t n;
};

/// gate[i] = g * sigmoid(alpha * g) * (u + 1), g = min(gate[i], limit), u = up[i] within +-limit.
/// Source: gpt-oss' reference implementation, torch/model.py.
struct ClampedSwigluArgs {
  float* gate;
  const float* up;
  int64_t n;
  float alpha = 1.702F;
  float limit = 7.0F;
};

/// x[i] = max(x[i], 0)^2.
/// Source: So et al. 2021, "Primer", section 3.2.
struct SquaredReluArgs {
  float* x;
  int64_t n;
};

/// x[i] *= sigmoid(gate[i]).
struct SigmoidGateArgs {
  float* x;
  const float* gate;
  int64_t n;
};

/// y[i] += sum_k weights[k] * x[k][i], in the order of k.
struct WeightedSumArgs {
  const float* const* x;  ///< [n_terms] rows
  const float* weights;   ///< [n_terms]
  int64_t n_terms;
  float* y;
  int64_t n;
};

/// The best n_chosen experts (lower index wins ties), and the shares of the result that they get: their
/// scores divided by their sum, times weights_scale.
struct RouterTopKArgs {
  enum class Gating : uint8_t {
    kSoftmax,          ///< scores: the softmax over all experts
    kSoftmaxOfChosen,  ///< the softmax over the chosen ones alone
    kSigmoid,          ///< each expert's own sigmoid
  };
  const float* logits;  ///< [n_experts]
  int64_t n_experts;    ///< at most 1024
  int64_t n_chosen;
  int32_t* experts;  ///< [n_chosen], best first
  float* weights;    ///< [n_chosen]
  Gating gating = Gating::kSoftmax;
  const float* selection_bias = nullptr;  ///< [n_experts] added to the scores for the choice alone
  float weights_scale = 1;
};

std::span<const KernelVariant<RmsNormArgs>> rms_norm_variants();
std::span<const KernelVariant<RopeArgs>> rope_variants();
std::span<const KernelVariant<SwigluArgs>> swiglu_variants();
std::span<const KernelVariant<SigmoidGateArgs>> sigmoid_gate_variants();
std::span<const KernelVariant<ClampedSwigluArgs>> clamped_swiglu_variants();
std::span<const KernelVariant<SquaredReluArgs>> squared_relu_variants();
std::span<const KernelVariant<WeightedSumArgs>> weighted_sum_variants();
std::span<const KernelVariant<RouterTopKArgs>> router_top_k_variants();

}  // namespace halod
