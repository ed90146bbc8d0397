// y = x W^T: activations against a quantised weight matrix.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/tensor_view.h"
#include "kernels/ops/activations.h"
#include "kernels/ops/variant.h"
#include "kernels/quant/formats.h"

namespace halod {

/// How a weight matrix lies in memory.
enum class WeightLayout : uint8_t {
  kRows,     ///< the file's own: rows of blocks
  kTiles16,  ///< 16 rows interleaved for integer dot products (kernels/cpu/tile_layout.h); the same number of
             ///< bits
};

/// One matrix (one expert). Borrowed.
struct WeightMatrix {
  Format format = Format::kF32;
  WeightLayout layout = WeightLayout::kRows;
  const std::byte* data = nullptr;
  int64_t rows = 0;  ///< out_features
  int64_t cols = 0;  ///< in_features
};

/// Rows [first_row, first_row + n_rows) of W against rows of x:
///   y[y_row(t), r - y_origin] (+)= sum_i x[x_row(t), i] * W[r, i]   for t in [0, n_tokens)
/// first_row is a multiple of 16, and so is n_rows unless it reaches the last row.
/// A result's bits depend on its weight row and its x row alone, never on n_tokens, n_rows or neighbours.
/// Thread: any, on disjoint outputs.
struct MatmulArgs {
  WeightMatrix weight;
  int64_t first_row = 0;
  int64_t n_rows = 0;
  Activations x;
  int64_t n_tokens = 0;
  const int32_t* x_rows = nullptr;  ///< [n_tokens] rows of x; nullptr = 0, 1, 2, …
  const int32_t* y_rows = nullptr;  ///< [n_tokens] rows of y; nullptr = 0, 1, 2, …
  MatrixView<float> y;              ///< column c is weight row y_origin + c
  int64_t y_origin = 0;             ///< for results that only live in a small buffer
  bool accumulate = false;          ///< += instead of =

  int64_t x_row(int64_t t) const { return x_rows ? x_rows[t] : t; }
  int64_t y_row(int64_t t) const { return y_rows ? y_rows[t] : t; }
};

struct MatmulVariant {
  std::string_view name;
  Isa isa;
  WeightLayout layout;
  bool needs_codes;  ///< reads the 8-bit form of x
  /// Rows with the same one, and the same layout, give the same bits, so that tuning may take any of them.
  std::string_view results;
  bool (*supports)(Format format, int64_t cols);
  void (*run)(const MatmulArgs& args);
  /// With fewer or more tokens it does what another row does: not worth trying.
  int64_t min_tokens = 1, max_tokens = INT64_MAX;
};

/// Every row, best first, the reference last. Thread: any.
std::span<const MatmulVariant> matmul_variants();
/// The first row that this CPU runs and that supports the matrix; `exact` takes the reference only. nullptr:
/// none.
const MatmulVariant* select_matmul(Format format, int64_t cols, bool exact);

/// Every row that this CPU runs, that supports the matrix and that gives the bits of `variant` from its
/// layout; that one first.
std::vector<const MatmulVariant*> matmul_equals(const MatmulVariant& variant, Format format, int64_t cols);

/// Bytes that a call reads of weights, and its floating point operations: the same for all variants.
int64_t matmul_weight_bytes(const MatmulArgs& args);
int64_t matmul_flops(const MatmulArgs& args);

}  // namespace halod
