// How a group of 32 columns of INT4 or INT8 (GPTQ, AWQ, compressed-tensors) is unpacked to codes, as
// weight_group.h does for the other formats: w = scale * (code - zero), scale and zero of 32, 64 or 128
// columns.
//
// The zero is not taken off the codes, which would not fit into bytes then, but off their product: like the
// CPU's (kernels/cpu/matmul_tiles_int.cpp), from whole numbers below 2^24, so that the difference is exact
// however much of it cancels. That costs what a minimum costs, one fma.
#pragma once

#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/weight_group.h"

namespace halod::hip {

template <Format format>
struct ScaleAndZero {
  static constexpr int kCodeOffset = 0, kScales = 1;
  static constexpr bool kHasMin = false, kHasRunMins = false, kHasZero = true;
  uint32_t quads[8];
  float scale, zero;

  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<format>();
    constexpr bool kIsInt8 = kShape.code_bytes_per_group == kGroupColumns;
    if constexpr (kIsInt8) {
      load_bytes(row, cols, group, quads);
    } else {
      load_nibbles(row + kPieceBytes * group, quads);
    }
    const int block = group / (kShape.block_columns / kGroupColumns);
    scale = load_half(row + kShape.scale_offset(cols) + 2 * block);
    const uint32_t pair = gpu::load_half_word(row + kShape.d_offset(cols) + block / 2 * 2);
    const auto code = static_cast<int>((pair >> (block % 2 * 8)) & 255U);
    zero = static_cast<float>(kIsInt8 ? code - 128 : code);  // INT8's codes are signed here
  }
  HALOD_DEVICE float dot(const GroupCodes& x, float sum) const {
    int dot = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) dot = gpu::dot4_ss(quads[i], x.quads[i], dot);
    return scaled(0, dot, x.scale, static_cast<float>(x.sums[0] + x.sums[1]), sum);
  }
  HALOD_DEVICE float scaled(int, int dot, float x_scale, float x_sum, float sum) const {
    return gpu::fma(gpu::fma(-zero, x_sum, static_cast<float>(dot)), scale * x_scale, sum);
  }
  HALOD_DEVICE float value(int column) const { return scale * (code_at(quads, column) - zero); }
};

template <>
struct WeightGroup<Format::kInt4G32> : ScaleAndZero<Format::kInt4G32> {};
template <>
struct WeightGroup<Format::kInt4G64> : ScaleAndZero<Format::kInt4G64> {};
template <>
struct WeightGroup<Format::kInt4G128> : ScaleAndZero<Format::kInt4G128> {};
template <>
struct WeightGroup<Format::kInt8G32> : ScaleAndZero<Format::kInt8G32> {};
template <>
struct WeightGroup<Format::kInt8G64> : ScaleAndZero<Format::kInt8G64> {};
template <>
struct WeightGroup<Format::kInt8G128> : ScaleAndZero<Format::kInt8G128> {};

}  // namespace halod::hip
