// Causal attention of a prompt's rows on the matrix unit: attention_tile.h says how.
//
// A block takes neighbouring rows of one sequence and up to eight query heads that share a KV head; each of
// its eight waves 16 rows of one head, of heads of 256 two waves the same. It walks the splits of their keys
// one after the other.
//
// Per page, head_dim 128 and wave: 2 * 2 * 16 * 32 * 128 = 262,144 operations by 32 wmma of 32 cycles: 1024
// cycles. The page's 16 kB come from memory once per block, 8 waves x 262,144 operations: 128 per byte, where
// the machine needs 275 (59.4 T / 216 G), so a page's blocks must share the caches, which neighbours in the
// grid do (tiles of the same pages). Shared memory: an A fragment of 32 bytes a lane per wmma, two lanes read
// the same: 8 cycles at 128 bytes per cycle and CU, of two SIMDs with a wmma of 32 cycles each: 16 of 32. It
// allows the matrix unit's whole rate, at half of its own. 16.5 kB per block.
//
// Two waves of a head of 256 both compute its scores, and half of its values' columns each: 48 wmma a wave
// and page in place of 32 if they shared them, which would take two barriers a page.
#include "kernels/hip/activations.h"
#include "kernels/hip/args.h"
#include "kernels/hip/attention_args.h"
#include "kernels/hip/attention_tile.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/dot.h"
#include "kernels/hip/normalise.h"

namespace halod::hip {

inline constexpr int kPromptAttentionThreads = kAttentionWaves * gpu::kWave;
/// Floats from one query's results to the next: one more than there are, so that a wave's lanes write to
/// different banks.
inline constexpr int kResultPitch = kGroupColumns + 1;

/// The wave's rows to their place, 32 columns at a time through the wave's part of shared memory.
/// first_column: of the head's.
template <int dim, int n_steps>
HALOD_DEVICE void write_rows(const AttentionSums<n_steps>& sums, const PromptAttentionArgs& args,
                             int first_row, int n_rows, int head, int first_column, float* results) {
  const float inverse = 1.0F / (sums.total + gpu::shfl_xor(sums.total, kFragment));
#pragma unroll
  for (int group = 0; group < n_steps * kFragment / kGroupColumns; ++group) {
#pragma unroll
    for (int d = 0; d < 2; ++d) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        results[gpu::lane() % kFragment * kResultPitch + d * kFragment + 2 * i + gpu::lane() / kFragment] =
            sums.values[2 * group + d].values[i] * inverse;
      }
    }
    gpu::sync_wave();  // all lanes' columns, before the wave takes them row by row
    const int column = first_column + group * kGroupColumns;
    for (int row = 0; row < n_rows; ++row) {
      float value = results[row * kResultPitch + gpu::lane()];
      if (args.gated_q)
        value *= sigmoid(args.gated_q[attention_gate(first_row + row, args.n_heads, head, dim) +
                                      static_cast<size_t>(column + gpu::lane())]);
      const size_t at = (static_cast<size_t>(first_row + row) * static_cast<size_t>(args.n_heads) +
                         static_cast<size_t>(head)) *
                            dim +
                        static_cast<size_t>(column);
      args.out.values[at + static_cast<size_t>(gpu::lane())] = value;
      if (args.out.codes) quantise_group(value, args.out.codes + at, args.out.groups + at / kGroupColumns);
    }
    gpu::sync_wave();  // all lanes have read them, before the next columns overwrite them
  }
}

template <int dim>
HALOD_DEVICE void prompt_attention(const PromptAttentionArgs& args) {
  const AttentionTile tile = args.tiles[gpu::block_x()];
  const int group = args.n_heads / args.n_kv_heads;
  const int chunks_per_group = (group + args.heads_at_once - 1) / args.heads_at_once;
  const int kv_head = gpu::block_y() / chunks_per_group;
  // The waves of a head have a part of its values' columns each, and all of its scores.
  constexpr int kHeadWaves = prompt_head_waves(dim), kColumns = dim / kHeadWaves;
  const int slot = gpu::wave() / kHeadWaves, head_column = gpu::wave() % kHeadWaves * kColumns;
  const int in_group = gpu::block_y() % chunks_per_group * args.heads_at_once + slot % args.heads_at_once;
  const bool has_head = in_group < group;  // a wave without one repeats the last and writes nothing
  const int head = kv_head * group + (has_head ? in_group : group - 1);
  const int first_in_tile = slot / args.heads_at_once * kFragment, left = tile.n_rows - first_in_tile;
  const int n_rows = !has_head || left < 0 ? 0 : (left < kFragment ? left : kFragment);

  const StepRow place = args.rows[tile.first_row];
  const int wanted = first_in_tile + gpu::lane() % kFragment;
  const int in_tile = wanted < tile.n_rows ? wanted : tile.n_rows - 1;
  const int row_columns = args.n_heads * dim;
  // Queries of 128 columns would take all registers beside the sums: they are read again for every page.
  constexpr int kSteps = kColumns / kFragment;
  const QueryTile<dim, kSteps, dim <= 64> queries(
      args.q + static_cast<size_t>(tile.first_row + in_tile) * static_cast<size_t>(row_columns) +
          static_cast<size_t>(head) * dim,
      place.position + in_tile, args.scale, args.window, head_column);

  unsigned char* keys = gpu::shared_memory();
  unsigned char* values = keys + kPageTokens * dim * 2;
  gpu::check_shared_memory(values + kPageTokens / 8 * prompt_attention_octet_bytes(dim));
  const int last_key = place.position + tile.n_rows - 1, last_page = last_key / kPageTokens;
  const int last_of_wave = place.position + first_in_tile + n_rows - 1;
  PageLoader<dim, kPromptAttentionThreads> loader;
  const auto load = [&](int page) {
    const size_t head_page =
        static_cast<size_t>(args.pages[place.first_page + page]) * static_cast<size_t>(args.n_kv_heads) +
        static_cast<size_t>(kv_head);
    loader.load(args.kv + head_page * static_cast<size_t>(kv_head_page_bytes(dim)),
                last_key + 1 - page * kPageTokens);
  };
  int page = first_seen_key(place.position, args.window) / kPageTokens;
  load(page);
  AttentionSums<kSteps> sums, of_split;
  int split = key_split(page), split_end = split_first_page(split + 1);
#pragma unroll 1
  for (; page <= last_page; ++page) {
    if (page == split_end) {
      sums.merge(of_split);
      of_split = {};
      split_end = split_first_page(++split + 1);
    }
    gpu::sync_shared();  // all waves have read the page before, which this one overwrites
    loader.store(keys, values);
    gpu::sync_shared();  // the whole page, before any wave reads it
    if (page < last_page) load(page + 1);
    if (n_rows > 0 && page * kPageTokens <= last_of_wave)
      queries.add_page(page * kPageTokens, keys, values, of_split);
  }
  gpu::sync_shared();  // all waves have read the last page, before results take its place
  sums.merge(of_split);
  if (args.sinks) sums.add_sink(args.sinks[head]);
  write_rows<dim>(sums, args, tile.first_row + first_in_tile, n_rows, head, head_column,
                  reinterpret_cast<float*>(gpu::shared_memory()) + gpu::wave() * kFragment * kResultPitch);
}

HALOD_KERNEL(prompt_attention_64, PromptAttentionArgs, 256) { prompt_attention<64>(args); }
HALOD_KERNEL(prompt_attention_128, PromptAttentionArgs, 256) { prompt_attention<128>(args); }
HALOD_KERNEL(prompt_attention_256, PromptAttentionArgs, 256) { prompt_attention<256>(args); }

}  // namespace halod::hip
