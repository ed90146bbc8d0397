// What the checks of experts expect: the layer by the reference, slot by slot.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops/reference.h"
#include "runtime/backend/hip/check_inputs.h"

namespace halod::hip {

/// The products of n_rows rows of x with a matrix: [n_rows, weights.rows].
inline std::vector<float> expected_product(const WeightMatrix& weights, const float* x, int64_t n_rows) {
  std::vector<float> y(static_cast<size_t>(n_rows * weights.rows));
  reference::matmul({.weight = weights,
                     .n_rows = weights.rows,
                     .x = {.values = {x, n_rows, weights.cols}},
                     .n_tokens = n_rows,
                     .y = {y.data(), n_rows, weights.rows}});
  return y;
}

/// Which expert each slot goes to, and how many slots a token has.
struct CheckSlots {
  std::span<const int32_t> experts;
  int n_per_token;
};

/// silu(x gate^T) * (x up^T) of each slot: [n_slots, width].
inline std::vector<float> expected_gate_up(const CheckSlots& slots, const CheckWeights& gate,
                                           const CheckWeights& up, CheckActivations& x) {
  const std::vector<float> for_gate = x.values_for(gate.format()), for_up = x.values_for(up.format());
  std::vector<float> expected;
  for (size_t slot = 0; slot < slots.experts.size(); ++slot) {
    const WeightMatrix of_gate = gate.blocks(slots.experts[slot]), of_up = up.blocks(slots.experts[slot]);
    const auto from = static_cast<int64_t>(slot) / slots.n_per_token * of_gate.cols;
    std::vector<float> values = expected_product(of_gate, for_gate.data() + from, 1);
    const std::vector<float> factors = expected_product(of_up, for_up.data() + from, 1);
    reference::swiglu({values.data(), factors.data(), of_gate.rows});
    expected.insert(expected.end(), values.begin(), values.end());
  }
  return expected;
}

struct ExpectedDown {
  std::vector<float> products;  ///< [n_slots, hidden_size]
  std::vector<float> residual;  ///< [n_tokens, hidden_size]
};
/// `before` plus each token's products with down, by their shares.
inline ExpectedDown expected_down(const CheckSlots& slots, const CheckWeights& down, CheckActivations& h,
                                  std::span<const float> shares, std::vector<float> before) {
  const std::vector<float> values = h.values_for(down.format());
  ExpectedDown expected = {{}, std::move(before)};
  for (size_t slot = 0; slot < slots.experts.size(); ++slot) {
    const WeightMatrix weights = down.blocks(slots.experts[slot]);
    const std::vector<float> y =
        expected_product(weights, values.data() + static_cast<int64_t>(slot) * weights.cols, 1);
    expected.products.insert(expected.products.end(), y.begin(), y.end());
    const float* terms[] = {y.data()};
    float* residual =
        expected.residual.data() + static_cast<int64_t>(slot) / slots.n_per_token * weights.rows;
    reference::weighted_sum({terms, shares.data() + slot, 1, residual, weights.rows});
  }
  return expected;
}

}  // namespace halod::hip
