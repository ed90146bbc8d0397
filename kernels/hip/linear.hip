// y = x W^T + bias for up to four matrices that read the same x, one to eight rows of x: decode's matrix product.
//
// A block of 8 waves takes 16 weight rows, two per wave at once, so that each lane has at least two loads of
// 16 bytes on their way.
#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/dot.h"

namespace halod::hip {

template <int n_tokens>
HALOD_DEVICE void linear(const LinearArgs& args) {
  constexpr int kRows = 2;
  int m = 0;
  while (m + 1 < args.n_matrices && gpu::block_x() >= args.first_tile[m + 1]) ++m;
  const WeightRows& weights = args.weights[m];
  const int first_row = (gpu::block_x() - args.first_tile[m]) * kLinearTileRows + gpu::wave() * kRows;
  if (first_row >= weights.rows) return;

  const unsigned char* rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) rows[r] = weight_row(weights, 0, first_row + r);
  int x_rows[n_tokens];
  // Rows beyond the last are read too and their results dropped: cheaper than registers for clamped places.
#pragma unroll
  for (int t = 0; t < n_tokens; ++t) x_rows[t] = t;
  float sums[kRows][n_tokens] = {};
  dot_rows(weights, rows, args.x, x_rows, sums);

#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int t = 0; t < n_tokens; ++t) {
      float sum = gpu::wave_sum(sums[r][t]);
      if (gpu::lane() == 0 && t < args.n_tokens && first_row + r < weights.rows) {
        if (args.bias) sum += args.bias[first_row + r];
        float* y = args.y[m] + static_cast<size_t>(t) * weights.rows + first_row + r;
        *y = args.add ? *y + sum : sum;
      }
    }
  }
}

HALOD_KERNEL(linear_1, LinearArgs, 256) { linear<1>(args); }
HALOD_KERNEL(linear_2, LinearArgs, 256) { linear<2>(args); }
HALOD_KERNEL(linear_4, LinearArgs, 256) { linear<4>(args); }
HALOD_KERNEL(linear_8, LinearArgs, 256) { linear<8>(args); }

}  // namespace halod::hip
