// What happens to single rows between the products: norm, rounding to 8 bits, embedding, gathering, argmax.
#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/dot.h"
#include "kernels/hip/normalise.h"

namespace halod::hip {

HALOD_KERNEL(rms_norm, RmsNormArgs, 256) {
  gpu::SharedArena shared;
  float* wave_sums = shared.take<float>(kNormThreads / gpu::kWave);
  const float* x = args.x + static_cast<size_t>(gpu::block_x()) * static_cast<size_t>(args.cols);
  const float scale = args.weight ? rms_scale(x, args.cols, args.epsilon, wave_sums) : 1.0F;
  normalise_row(x, args.weight, scale, args.cols, result_row(args.y, gpu::block_x(), args.cols));
}

template <Format format>
HALOD_DEVICE void expand_row(const unsigned char* row, int cols, float* out) {
  if constexpr (format == Format::kF32 || format == Format::kF16 || format == Format::kBF16) {
    constexpr int kColumns = WeightPiece<format>::kColumns;
    for (int piece = gpu::thread(); piece * kColumns < cols; piece += kNormThreads) {
      WeightPiece<format> weights;
      weights.load(row, piece);
#pragma unroll
      for (int i = 0; i < kColumns; ++i) {
        if (piece * kColumns + i < cols) out[piece * kColumns + i] = weights.values[i];
      }
    }
  } else {
    // A wave per group; its lanes all load the same codes and each keeps one.
    for (int group = gpu::wave(); group < cols / kGroupColumns; group += kNormThreads / gpu::kWave) {
      WeightGroup<format> weights;
      weights.load(row, cols, group);
      float value = 0.0F;
#pragma unroll
      for (int column = 0; column < kGroupColumns; ++column) {
        if (column == gpu::lane()) value = weights.value(column);
      }
      out[group * kGroupColumns + gpu::lane()] = value;
    }
  }
}

HALOD_KERNEL(embed, EmbedArgs, 256) {
  const int cols = args.weight.cols;
  const unsigned char* row = weight_row(args.weight, 0, args.tokens[gpu::block_x()]);
  float* out = args.out + static_cast<size_t>(gpu::block_x()) * static_cast<size_t>(cols);
  for_format(args.weight.format, [&](auto tag) { expand_row<decltype(tag)::kFormat>(row, cols, out); });
}

HALOD_KERNEL(gather, GatherArgs, 256) {
  const float* x = args.x + static_cast<size_t>(args.rows[gpu::block_x()]) * args.cols;
  float* out = args.out + static_cast<size_t>(gpu::block_x()) * args.cols;
  for (int i = gpu::thread(); i < args.cols; i += 256) out[i] = x[i];
}

// -- argmax

/// NaN before everything, then the larger value, then the lower index.
HALOD_DEVICE bool is_better(const ArgmaxResult& a, const ArgmaxResult& b) {
  const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
  if (a_nan != b_nan) return a_nan;
  if (!a_nan && a.value != b.value) return a.value > b.value;
  return a.index < b.index;
}

HALOD_DEVICE ArgmaxResult block_best(ArgmaxResult best, ArgmaxResult* of_waves) {
#pragma unroll
  for (int mask = gpu::kWave / 2; mask > 0; mask /= 2) {
    const ArgmaxResult other = {gpu::shfl_xor(best.value, mask), gpu::shfl_xor(best.index, mask)};
    if (is_better(other, best)) best = other;
  }
  if (gpu::lane() == 0) of_waves[gpu::wave()] = best;
  gpu::sync();  // the eight waves' best, before every thread compares them
  for (int w = 0; w < kNormThreads / gpu::kWave; ++w) {
    if (is_better(of_waves[w], best)) best = of_waves[w];
  }
  return best;
}

/// 32 blocks a row: one alone would read the 600 kB of a vocabulary of 150,000 for longer than the output
/// matrix takes per MB.
HALOD_KERNEL(argmax, ArgmaxArgs, 256) {
  gpu::SharedArena shared;
  ArgmaxResult* of_waves = shared.take<ArgmaxResult>(kNormThreads / gpu::kWave);
  uint32_t* flag = shared.take<uint32_t>(1);
  const float* x = args.x + static_cast<size_t>(gpu::block_y()) * args.cols;
  ArgmaxResult best = {-gpu::infinity(), args.cols};
  for (int i = gpu::block_x() * 256 + gpu::thread(); i < args.cols; i += kArgmaxBlocks * 256) {
    const ArgmaxResult here = {x[i], i};
    if (is_better(here, best)) best = here;
  }
  best = block_best(best, of_waves);
  ArgmaxResult* partials = args.partials + gpu::block_y() * kArgmaxBlocks;
  if (gpu::thread() == 0) partials[gpu::block_x()] = best;
  if (!gpu::arrive_last(args.counters + gpu::block_y(), kArgmaxBlocks, flag)) return;
  best = gpu::thread() < kArgmaxBlocks ? partials[gpu::thread()] : ArgmaxResult{-gpu::infinity(), args.cols};
  best = block_best(best, of_waves);
  if (gpu::thread() == 0) args.best[gpu::block_y()] = best;
}

}  // namespace halod::hip
