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

HALOD_KERNEL(gather_columns, GatherColumnsArgs, 256) {
  const int row = gpu::block_x(), expert = args.experts ? args.experts[row] : 0;
  const size_t cols = static_cast<size_t>(args.cols);
  normalise_row(args.x + static_cast<size_t>(row / args.rows_per_x) * cols, nullptr, 1.0F, args.cols,
                result_row(args.y, row, args.cols),
                args.order ? args.order + static_cast<size_t>(expert) * cols : nullptr);
}

template <Format format>
HALOD_DEVICE void expand_row(const unsigned char* row, int cols, const int32_t* order, float* out) {
  const auto place = [&](int column) { return order ? order[column] : column; };
  if constexpr (format == Format::kF32 || format == Format::kF16 || format == Format::kBF16) {
    constexpr int kColumns = WeightPiece<format>::kColumns;
    for (int piece = gpu::thread(); piece * kColumns < cols; piece += kNormThreads) {
      WeightPiece<format> weights;
      weights.load(row, piece);
#pragma unroll
      for (int i = 0; i < kColumns; ++i) {
        if (piece * kColumns + i < cols) out[place(piece * kColumns + i)] = weights.values[i];
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
      out[place(group * kGroupColumns + gpu::lane())] = value;
    }
  }
}

HALOD_KERNEL(embed, EmbedArgs, 256) {
  const int cols = args.weight.cols;
  const unsigned char* row = weight_row(args.weight, 0, args.tokens[gpu::block_x()]);
  float* out = args.out + static_cast<size_t>(gpu::block_x()) * static_cast<size_t>(cols);
  for_format(args.weight.format,
             [&](auto tag) { expand_row<decltype(tag)::kFormat>(row, cols, args.order, out); });
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

// -- the k best

/// The block's k best of the n values get(i), of which a thread has every 256th, one after the other: each
/// thread knows its own best one that is left, and looks for another when that was taken.
template <class Get>
HALOD_DEVICE void take_best(int n, const Get& get, const ArgmaxResult& nothing, int k, ArgmaxResult* of_waves,
                            ArgmaxResult* out) {
  ArgmaxResult taken = {gpu::as_float(0x7fc00000U), -1};  // before everything
  ArgmaxResult own = nothing;
  for (int rank = 0; rank < k; ++rank) {
    if (rank == 0 || own.index == taken.index) {
      own = nothing;
      for (int i = gpu::thread(); i < n; i += kNormThreads) {
        const ArgmaxResult here = get(i);
        if (is_better(taken, here) && is_better(here, own)) own = here;
      }
    }
    // Two places in turn: a wave that is ahead writes the one that nobody reads any more.
    taken = block_best(own, of_waves + rank % 2 * (kNormThreads / gpu::kWave));
    if (gpu::thread() == 0) out[rank] = taken;
    if (taken.index == nothing.index) {  // none is left, and all threads see it
      for (int i = rank + 1 + gpu::thread(); i < k; i += kNormThreads) out[i] = nothing;
      return;
    }
  }
}

/// A block keeps its share of the row in shared memory, where 64 searches cost less than one copy of the row
/// to the host, which would search it too.
HALOD_KERNEL(top_k, TopKArgs, 256) {
  const int share = top_k_share(args.cols), first = gpu::block_x() * share, left = args.cols - first;
  const int n = left < 0 ? 0 : left < share ? left : share, n_entries = kTopKBlocks * args.k;
  gpu::SharedArena shared;
  ArgmaxResult* of_waves = shared.take<ArgmaxResult>(2 * kNormThreads / gpu::kWave);
  uint32_t* flag = shared.take<uint32_t>(1);
  float* values = shared.take<float>(share);
  ArgmaxResult* entries = shared.take<ArgmaxResult>(n_entries);
  const ArgmaxResult nothing = {-gpu::infinity(), args.cols};
  const float* x = args.x + static_cast<size_t>(gpu::block_y()) * args.cols + first;
  // No barrier: a thread reads what it wrote itself.
  for (int i = gpu::thread(); i < n; i += kNormThreads) values[i] = x[i];
  ArgmaxResult* partials = args.partials + static_cast<size_t>(gpu::block_y()) * n_entries;
  take_best(
      n,
      [&](int i) {
        return ArgmaxResult{values[i], first + i};
      },
      nothing, args.k, of_waves, partials + gpu::block_x() * args.k);
  if (!gpu::arrive_last(args.counters + gpu::block_y(), kTopKBlocks, flag)) return;
  for (int i = gpu::thread(); i < n_entries; i += kNormThreads) entries[i] = partials[i];
  take_best(
      n_entries, [&](int i) { return entries[i]; }, nothing, args.k, of_waves,
      args.best + static_cast<size_t>(gpu::block_y()) * args.k);
}

}  // namespace halod::hip
