// Attention of single rows on the matrix unit, with the bits of a prompt's (attention_tile.h): a block per
// split of a row's keys; the last one to finish merges all of them.
//
// The 16 columns of a product are up to 16 query heads that share the KV head. All four waves compute the
// scores of a page, and a quarter of the values' columns each: per page of 32 keys and head_dim 128 a wave
// has 16 + 4 wmma of 32 cycles for 16 kB. 20 WGPs then take 1.4 TB/s (as of heads of 256): memory decides.
// Floor: keys and values are read once, 4 * head_dim bytes a token and KV head. The partial results are
// (head_dim + 3) * 4 bytes a head and split, written and read: 6 % of the keys and values at eight heads and
// splits of 128 keys, less where they are longer.
#include "kernels/hip/activations.h"
#include "kernels/hip/args.h"
#include "kernels/hip/attention_args.h"
#include "kernels/hip/attention_tile.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/weight_layout.h"

namespace halod::hip {

inline constexpr int kFlashDecodeThreads = kFlashDecodeWaves * gpu::kWave;

/// The splits that a row's keys lie in.
struct SeenSplits {
  int first, end;
};

/// One head's results of all splits, and its sink's, times its gate, to 32 columns of the output row.
template <int dim>
HALOD_DEVICE void merge_splits(const float* partials, const SeenSplits& splits, int head, const float* sink,
                               const float* gate, int column, const ActivationResult& out,
                               size_t first_of_head) {
  float maximum = -gpu::infinity(), totals[2] = {}, sum = 0.0F;
  for (int s = splits.first; s < splits.end; ++s) {
    const float* partial = partials + static_cast<size_t>(s) * flash_partial_floats(dim);
    const float* of_head = partial + kFragment * dim + 3 * head;
    const MergeFactors factors = merge_maxima(maximum, of_head[0]);
#pragma unroll
    for (int i = 0; i < 2; ++i) totals[i] = merged(factors, totals[i], of_head[1 + i]);
    sum = merged(factors, sum, partial[head * dim + column + gpu::lane()]);
  }
  if (sink) {
    const MergeFactors factors = merge_maxima(maximum, *sink);
    totals[0] = merged(factors, totals[0], 1.0F);
    totals[1] = merged(factors, totals[1], 0.0F);
    sum = merged(factors, sum, 0.0F);
  }
  float value = sum * (1.0F / (totals[0] + totals[1]));
  if (gate) value *= sigmoid(gpu::load_float(gate + column + gpu::lane()));
  const size_t at = first_of_head + static_cast<size_t>(column);
  out.values[at + static_cast<size_t>(gpu::lane())] = value;
  if (out.codes) quantise_group(value, out.codes + at, out.groups + at / kGroupColumns);
}

template <int dim>
HALOD_DEVICE void flash_decode(const FlashDecodeArgs& args) {
  const int split = gpu::block_x(), row = args.row_ids[gpu::block_y() / args.n_chunks];
  const int chunk = gpu::block_y() % args.n_chunks, group = args.n_heads / args.n_kv_heads;
  const int chunks_per_group = args.n_chunks / args.n_kv_heads, kv_head = chunk / chunks_per_group;
  const int first_in_group = chunk % chunks_per_group * kFragment, left = group - first_in_group;
  const int n_heads = left < kFragment ? left : kFragment;
  const StepRow place = args.rows[row];
  const int first_page = first_seen_key(place.position, args.window) / kPageTokens;
  const SeenSplits splits = {key_split(first_page), n_key_splits(place.position + 1)};
  if (split < splits.first || split >= splits.end) return;

  constexpr int kSteps = dim / kFragment / kFlashDecodeWaves;
  const int in_fragment = gpu::lane() % kFragment, first_column = gpu::wave() * kSteps * kFragment;
  const size_t first_of_heads = (static_cast<size_t>(row) * static_cast<size_t>(args.n_heads) +
                                 static_cast<size_t>(kv_head * group + first_in_group)) *
                                dim;
  // Beyond the last head the last one again, whose results are dropped. Queries of 256 columns would take 128
  // registers: they are read again for every page.
  const QueryTile<dim, kSteps, dim <= 128> queries(
      args.q + first_of_heads +
          static_cast<size_t>((in_fragment < n_heads ? in_fragment : n_heads - 1) * dim),
      place.position, args.scale, args.window, first_column);

  gpu::SharedArena shared;
  auto* keys = shared.take<unsigned char>(kPageTokens * dim * 2);
  auto* values = shared.take<unsigned char>(kPageTokens / 8 * prompt_attention_octet_bytes(dim));
  auto* flag = shared.take<uint32_t>(1);
  PageLoader<dim, kFlashDecodeThreads> loader;
  const auto load = [&](int page) {
    const size_t head_page =
        static_cast<size_t>(args.pages[place.first_page + page]) * static_cast<size_t>(args.n_kv_heads) +
        static_cast<size_t>(kv_head);
    loader.load(args.kv + head_page * static_cast<size_t>(kv_head_page_bytes(dim)),
                place.position + 1 - page * kPageTokens);
  };
  const int n_pages = place.position / kPageTokens + 1, next_split = split_first_page(split + 1);
  const int end = next_split < n_pages ? next_split : n_pages;
  AttentionSums<kSteps> sums;
  int page = split_first_page(split);
  if (page < first_page) page = first_page;
  load(page);
#pragma unroll 1
  for (; page < end; ++page) {
    gpu::sync_shared();  // all waves have read the page before, which this one overwrites
    loader.store(keys, values);
    gpu::sync_shared();  // the whole page, before any wave reads it
    if (page + 1 < end) load(page + 1);
    queries.add_page(page * kPageTokens, keys, values, sums);
  }

  float* partials = args.partials + static_cast<size_t>(gpu::block_y()) * static_cast<size_t>(args.n_splits) *
                                        flash_partial_floats(dim);
  float* partial = partials + static_cast<size_t>(split) * flash_partial_floats(dim);
  if (in_fragment < n_heads) {
#pragma unroll
    for (int d = 0; d < kSteps; ++d) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        partial[in_fragment * dim + first_column + d * kFragment + 2 * i + gpu::lane() / kFragment] =
            sums.values[d].values[i];
      }
    }
    float* of_head = partial + kFragment * dim + 3 * in_fragment;
    if (gpu::wave() == 0) {
      of_head[1 + gpu::lane() / kFragment] = sums.total;
      if (gpu::lane() < kFragment) of_head[0] = sums.maximum;
    }
  }
  const auto n_splits = static_cast<uint32_t>(splits.end - splits.first);
  if (!gpu::arrive_last(args.counters + gpu::block_y(), n_splits, flag)) return;
  constexpr int kGroupsPerHead = dim / kGroupColumns;
  for (int i = gpu::wave(); i < n_heads * kGroupsPerHead; i += kFlashDecodeWaves) {
    const int head = i / kGroupsPerHead;
    const float* sink = args.sinks ? args.sinks + kv_head * group + first_in_group + head : nullptr;
    const float* gate =
        args.gated_q
            ? args.gated_q + attention_gate(row, args.n_heads, kv_head * group + first_in_group + head, dim)
            : nullptr;
    merge_splits<dim>(partials, splits, head, sink, gate, i % kGroupsPerHead * kGroupColumns, args.out,
                      first_of_heads + static_cast<size_t>(head * dim));
  }
}

HALOD_KERNEL(flash_decode_64, FlashDecodeArgs, 128) { flash_decode<64>(args); }
HALOD_KERNEL(flash_decode_128, FlashDecodeArgs, 128) { flash_decode<128>(args); }
HALOD_KERNEL(flash_decode_256, FlashDecodeArgs, 128) { flash_decode<256>(args); }

}  // namespace halod::hip
