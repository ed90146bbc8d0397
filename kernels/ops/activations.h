// Rows of activations as the matrix kernels read them.
#pragma once

#include <cstdint>
#include <span>

#include "base/tensor_view.h"
#include "kernels/ops/variant.h"

namespace halod {

/// Activations are rounded to 8 bits in groups of this many consecutive values, each with its own f32 scale.
inline constexpr int64_t kActivationGroup = 32;

/// `n` rows of `cols` values. The f32 form is always there; the 8-bit form where codes != nullptr:
///   values[t, i] ~= scales[t, i / 32] * codes[t, i],  codes in [-127, 127].
/// The negated code sums let a kernel with unsigned weight codes subtract the weights' offset for free, by
/// starting its accumulator there.
struct Activations {
  MatrixView<const float> values;           ///< [n, cols]
  const int8_t* codes = nullptr;            ///< [n, cols]
  const float* scales = nullptr;            ///< [n, cols / 32]
  const float* scaled_sums = nullptr;       ///< [n, cols / 32]: scale * sum of the group's codes
  const int32_t* negated_sums16 = nullptr;  ///< [n, cols / 16]: -(sum of 16 codes)

  int64_t n_rows() const { return values.rows; }
  int64_t cols() const { return values.cols; }
};

/// Fills the 8-bit form of n rows. cols is a multiple of 32. Rounds to nearest even; scale = max|x| / 127 per
/// group. Thread: any, on disjoint rows.
struct QuantizeActivationsArgs {
  MatrixView<const float> values;
  int8_t* codes;
  float* scales;
  float* scaled_sums;
  int32_t* negated_sums16;
};

using QuantizeActivationsVariant = KernelVariant<QuantizeActivationsArgs>;
std::span<const QuantizeActivationsVariant> quantize_activations_variants();

}  // namespace halod
