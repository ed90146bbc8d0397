// RMS norm of one row by a block of 256 threads, and its 8-bit form: alone, and inside the router.
#pragma once

#include "kernels/hip/activations.h"
#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/dot.h"

namespace halod::hip {

inline constexpr int kNormThreads = 256;

/// 1 / sqrt(mean of squares + epsilon), the same in all threads. wave_sums: 8 floats of shared memory. All
/// 256 threads call it.
HALOD_DEVICE float rms_scale(const float* x, int cols, float epsilon, float* wave_sums) {
  float squares = 0.0F;
  for (int i = gpu::thread(); i < cols; i += kNormThreads) squares = gpu::fma(x[i], x[i], squares);
  squares = gpu::wave_sum(squares);
  if (gpu::lane() == 0) wave_sums[gpu::wave()] = squares;
  gpu::sync();  // the eight waves' sums, before every thread adds them up
  float total = 0.0F;
#pragma unroll
  for (int w = 0; w < kNormThreads / gpu::kWave; ++w) total += wave_sums[w];
  return 1.0F / gpu::sqrt(total / static_cast<float>(cols) + epsilon);
}

HALOD_DEVICE ActivationResult result_row(const ActivationResult& y, int row, int cols) {
  const auto first = static_cast<size_t>(row) * static_cast<size_t>(cols);
  if (!y.codes) return {y.values + first, nullptr, nullptr};
  return {y.values + first, y.codes + first, y.groups + first / kGroupColumns};
}

/// By the dialect's load, where the compiler may not know that the indices lie in global memory.
HALOD_DEVICE int load_index(const int32_t* indices, int i) {
  return static_cast<int>(gpu::load_word(reinterpret_cast<const unsigned char*>(indices + i)));
}

/// y = x * scale * weight, and its 8-bit form where y.codes is given (cols is a multiple of 32 then). Waves
/// take groups of 32. order: which of x * weight each value is; nullptr: the one in its place.
HALOD_DEVICE void normalise_row(const float* x, const float* weight, float scale, int cols,
                                const ActivationResult& y, const int32_t* order = nullptr) {
  const int n_groups = (cols + kGroupColumns - 1) / kGroupColumns;
  for (int group = gpu::wave(); group < n_groups; group += kNormThreads / gpu::kWave) {
    const int i = group * kGroupColumns + gpu::lane();
    const int from = order && i < cols ? load_index(order, i) : i;
    float value = i < cols ? x[from] : 0.0F;
    if (weight && i < cols) value = value * scale * weight[from];
    if (i < cols) y.values[i] = value;
    if (y.codes) quantise_group(value, y.codes + group * kGroupColumns, y.groups + group);
  }
}

}  // namespace halod::hip
