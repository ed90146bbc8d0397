// Matrix products on float weights in the file's own layout: rows of F32, F16 or BF16, f32 activations and
// accumulation. Norm-like and router matrices are small; whole F16 models are bound by memory, so this stays
// simple, but for asking for the next rows: one row is too short a stream for hardware prefetchers.
#include <algorithm>

#include "kernels/cpu/simd.h"
#include "kernels/cpu/tables.h"
#include "kernels/cpu/tile_settings.h"

namespace halod::HALOD_ISA {
namespace {

template <Format format>
struct Element;
template <>
struct Element<Format::kF32> {
  using Type = float;
  static F32x16 load16(const float* p) { return load(p); }
};
template <>
struct Element<Format::kF16> {
  using Type = uint16_t;
  static F32x16 load16(const uint16_t* p) { return load_f16(p); }
};
template <>
struct Element<Format::kBF16> {
  using Type = uint16_t;
  static F32x16 load16(const uint16_t* p) { return load_bf16(p); }
};

/// Dot products of n_rows weight rows with n_tokens x rows; each pair has its own accumulator, so the block's
/// shape does not change results.
template <Format format, int n_rows, int n_tokens>
void dot_block(const MatmulArgs& args, int64_t first_row, int64_t first_token) {
  using Type = typename Element<format>::Type;
  const int64_t cols = args.weight.cols;
  const auto* w = reinterpret_cast<const Type*>(args.weight.data) + first_row * cols;
  const float* x[n_tokens];
  for (int t = 0; t < n_tokens; ++t) x[t] = args.x.values.row_data(args.x_row(first_token + t));
  F32x16 acc[n_rows][n_tokens];
  for (auto& row : acc) {
    for (auto& a : row) a = zero_f32();
  }
  const int64_t whole = cols / kLanes * kLanes;
  // Of 16 bits: they take as long to widen as to multiply, and hardware prefetchers alone fall behind. One
  // token is best read a little ahead; several, while the first four go by, the next rows.
  const bool asks = sizeof(Type) == 2 && first_token == 0;
  constexpr int64_t kPerLine = 64 / sizeof(Type), kNear = kNearBytes / (n_rows * sizeof(Type));
  const int64_t ahead = args.n_tokens == 1 ? std::min(kNear, cols) : cols;
  for (int64_t i = 0; i < whole; i += kLanes) {
    if (asks && i % kPerLine == 0) {
      const Type* at = i + ahead < cols ? w + i + ahead : w + n_rows * cols + (i + ahead - cols);
#pragma GCC unroll 4
      for (int r = 0; r < n_rows; ++r) __builtin_prefetch(at + r * cols);
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; ++r) {
      const F32x16 weight = Element<format>::load16(w + r * cols + i);
#pragma GCC unroll 4
      for (int t = 0; t < n_tokens; ++t) acc[r][t] = fma(weight, load(x[t] + i), acc[r][t]);
    }
  }
  for (int r = 0; r < n_rows; ++r) {
    for (int t = 0; t < n_tokens; ++t) {
      float total = sum(acc[r][t]);
      if (whole < cols) {
        Type weight_tail[kLanes] = {};
        float x_tail[kLanes] = {};
        std::memcpy(weight_tail, w + r * cols + whole, static_cast<size_t>(cols - whole) * sizeof(Type));
        std::memcpy(x_tail, x[t] + whole, static_cast<size_t>(cols - whole) * sizeof(float));
        total += sum(Element<format>::load16(weight_tail) * load(x_tail));
      }
      float& y = args.y(args.y_row(first_token + t), first_row + r - args.y_origin);
      y = args.accumulate ? y + total : total;
    }
  }
}

template <Format format, int n_rows>
void rows_block(const MatmulArgs& args, int64_t row) {
  int64_t token = 0;
  for (; token + 4 <= args.n_tokens; token += 4) dot_block<format, n_rows, 4>(args, row, token);
  for (; token < args.n_tokens; ++token) dot_block<format, n_rows, 1>(args, row, token);
}

template <Format format>
void matmul(const MatmulArgs& args) {
  const int64_t end = args.first_row + args.n_rows;
  int64_t row = args.first_row;
  for (; row + 4 <= end; row += 4) rows_block<format, 4>(args, row);
  for (; row < end; ++row) rows_block<format, 1>(args, row);
}

}  // namespace

void matmul_rows(const MatmulArgs& args) {
  switch (args.weight.format) {
    case Format::kF32:
      return matmul<Format::kF32>(args);
    case Format::kF16:
      return matmul<Format::kF16>(args);
    case Format::kBF16:
      return matmul<Format::kBF16>(args);
    default:
      HALOD_ASSERT(!"row kernels take float formats only");
  }
}

}  // namespace halod::HALOD_ISA
