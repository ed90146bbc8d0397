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

/// A layer's matrices of one kind, one per expert, and what is added to their products.
struct CheckLinear {
  const CheckWeights& weights;
  const CheckBiases& bias;
};

/// activation(x gate^T, x up^T) of each slot: [n_slots, width].
inline std::vector<float> expected_gate_up(const CheckSlots& slots, const CheckLinear& gate,
                                           const CheckLinear& up, GatedActivation activation,
                                           CheckActivations& x) {
  const std::vector<float> for_gate = x.values_for(gate.weights.format());
  const std::vector<float> for_up = x.values_for(up.weights.format());
  std::vector<float> expected;
  for (size_t slot = 0; slot < slots.experts.size(); ++slot) {
    const int32_t expert = slots.experts[slot];
    const WeightMatrix of_gate = gate.weights.blocks(expert), of_up = up.weights.blocks(expert);
    const auto from = static_cast<int64_t>(slot) / slots.n_per_token * of_gate.cols;
    std::vector<float> values = expected_product(of_gate, for_gate.data() + from, 1);
    std::vector<float> factors = expected_product(of_up, for_up.data() + from, 1);
    gate.bias.add_to(values, expert);
    up.bias.add_to(factors, expert);
    activate_rows(activation, values, factors);
    expected.insert(expected.end(), values.begin(), values.end());
  }
  return expected;
}

struct ExpectedDown {
  std::vector<float> products;  ///< [n_slots, hidden_size], without biases
  std::vector<float> residual;  ///< [n_tokens, hidden_size]
};
/// `before` plus each token's biased products with down, by their shares.
inline ExpectedDown expected_down(const CheckSlots& slots, const CheckLinear& down, CheckActivations& h,
                                  std::span<const float> shares, std::vector<float> before) {
  const std::vector<float> values = h.values_for(down.weights.format());
  ExpectedDown expected = {{}, std::move(before)};
  for (size_t slot = 0; slot < slots.experts.size(); ++slot) {
    const WeightMatrix weights = down.weights.blocks(slots.experts[slot]);
    std::vector<float> y =
        expected_product(weights, values.data() + static_cast<int64_t>(slot) * weights.cols, 1);
    expected.products.insert(expected.products.end(), y.begin(), y.end());
    down.bias.add_to(y, slots.experts[slot]);
    const float* terms[] = {y.data()};
    float* residual =
        expected.residual.data() + static_cast<int64_t>(slot) / slots.n_per_token * weights.rows;
    reference::weighted_sum({terms, shares.data() + slot, 1, residual, weights.rows});
  }
  return expected;
}

}  // namespace halod::hip
