// The token by token operations of recurrent layers. Each call goes over consecutive tokens of one sequence
// in order and leaves the state as after the last: cutting the tokens into calls changes no bit.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/ops/variant.h"

namespace halod {

/// Depthwise causal convolution, then SiLU, in place:
///   x[t][c] = silu(sum_j weight[j][c] * x[t - n_taps + 1 + j][c] + bias[c]); the last tap meets the token
///   itself.
struct CausalConvArgs {
  float* x;  ///< [n_tokens] rows, of which channels [0, n_channels)
  int64_t x_stride;
  int64_t n_tokens;
  int64_t n_channels;   ///< a multiple of 16
  const float* weight;  ///< [n_taps] rows
  int64_t weight_stride;
  int64_t n_taps;  ///< at least 2
  float* state;    ///< [n_taps - 1] rows: the inputs of the last tokens, oldest first
  int64_t state_stride;
  const float* bias = nullptr;  ///< [n_channels]; nullptr = none
};

/// One head of the gated delta rule, S a matrix [head_dim of keys][head_dim of values]:
///   S *= decay[t]; S += k (beta[t] (v - S^T k))^T; out = S^T q, in v's place.
/// Source: Yang et al. 2024, "Gated Delta Networks", eq. 10.
struct DeltaRuleArgs {
  const float* q;  ///< [n_tokens] rows of head_dim
  const float* k;
  float* v;  ///< values; then results
  int64_t stride;
  const float* decay;  ///< [n_tokens], gate_stride apart
  const float* beta;
  int64_t gate_stride;
  int64_t n_tokens;
  int64_t head_dim;  ///< a multiple of 16
  float* state;
};

/// What the gates of one token's heads are: decay = exp(a * softplus(alpha + dt_bias)), beta = sigmoid(beta).
struct DeltaGatesArgs {
  const float* alpha;  ///< [n_heads]; all others too
  const float* beta_logits;
  const float* a;
  const float* dt_bias;
  int64_t n_heads;
  float* decay;
  float* beta;
};

/// One head of Mamba-2's state space, S a matrix [state_size][head_dim]:
///   S = decay[t] S + b (dt[t] x)^T; out = S^T c + skip x, in x's place.
/// Source: Dao & Gu 2024, "Transformers are SSMs", eq. 1 with a scalar times the identity for A.
struct SsmScanArgs {
  const float* b;  ///< [n_tokens] rows of state_size
  const float* c;
  float* x;  ///< [n_tokens] rows of head_dim: values; then results
  int64_t stride;
  const float* decay;  ///< [n_tokens], gate_stride apart
  const float* dt;
  int64_t gate_stride;
  int64_t n_tokens;
  int64_t state_size;
  int64_t head_dim;  ///< a multiple of 16
  float skip;        ///< the paper's D
  float* state;
};

/// The steps of one token's heads: dt = softplus(dt + dt_bias), decay = exp(a * dt).
struct SsmGatesArgs {
  const float* dt_logits;  ///< [n_heads]; all others too
  const float* a;          ///< negative
  const float* dt_bias;
  int64_t n_heads;
  float* decay;
  float* dt;
};

std::span<const KernelVariant<CausalConvArgs>> causal_conv_variants();
std::span<const KernelVariant<DeltaRuleArgs>> delta_rule_variants();
std::span<const KernelVariant<DeltaGatesArgs>> delta_gates_variants();
std::span<const KernelVariant<SsmScanArgs>> ssm_scan_variants();
std::span<const KernelVariant<SsmGatesArgs>> ssm_gates_variants();

}  // namespace halod
