// Attention of the GPU backend: on the matrix unit where a kernel is written for the size of the heads, by
// the vector unit for all others. A model's rows all go one way, so that a row's bits do not tell whether it
// came in a prompt.
#include <algorithm>
#include <bit>

#include "kernels/hip/weight_layout.h"
#include "runtime/backend/hip/hip_backend.h"
#include "runtime/backend/hip/hip_kv.h"
#include "runtime/backend/hip/rounding.h"

namespace halod::hip {
namespace {

/// Rows of attention per launch: what their partial results take (0.5 MB a row at 32 heads of 128) stays
/// small.
constexpr int64_t kAttentionRows = 32;

/// What the partial results of a launch take at most: 8 rows of 4 KV heads of 128 at 128k keys, 31 at 4k.
constexpr int64_t kPartialBytes = 32 << 20;

/// As many as the longest row has, up to the next power of two, so that the launches of a sequence's tokens
/// stay the same for long (graph_device.h). Blocks of splits that a row does not have return at once.
int splits_per_launch(int n_keys) {
  return static_cast<int>(std::bit_ceil(static_cast<unsigned>(n_key_splits(n_keys))));
}

ActivationResult rows_of(const ActivationResult& out, int64_t row, int64_t cols) {
  return {out.values + row * cols, out.codes ? out.codes + row * cols : nullptr,
          out.groups + row * (cols / kGroupColumns)};
}

}  // namespace

void HipBackend::attention(const AttentionArgs& args, KvStorage& kv) {
  unsigned char* layer = static_cast<const HipKvStorage&>(kv).layer(args.layer_idx);
  const int64_t n_heads = args.n_heads + args.n_kv_heads;
  launch(*device_, KernelId::attention_prepare, {.x = divided_up(n_heads, kPrepareHeads), .y = step_.n_rows},
         0,
         AttentionPrepareArgs{.q = args.q.data,
                              .q_from = args.gated_q.data ? args.gated_q.data : args.q.data,
                              .k = args.k.data,
                              .v = args.v.data,
                              .q_bias = hip_vector(args.q_bias),
                              .k_bias = hip_vector(args.k_bias),
                              .v_bias = hip_vector(args.v_bias),
                              .q_norm = hip_vector(args.q_norm),
                              .k_norm = hip_vector(args.k_norm),
                              .rope = step_.rope,
                              .rows = step_.rows,
                              .pages = step_.pages,
                              .kv = layer,
                              .epsilon = args.norm_epsilon,
                              .n_heads = static_cast<int32_t>(args.n_heads),
                              .n_kv_heads = static_cast<int32_t>(args.n_kv_heads),
                              .head_dim = static_cast<int32_t>(args.head_dim),
                              .q_stride = static_cast<int32_t>((args.gated_q.data ? 2 : 1) * args.head_dim),
                              .n_rotated = step_.n_rotated,
                              .pairs_neighbours = args.rope_pairing == RopePairing::kNeighbours});
  // A group of 32 columns must lie in one head's chunk; smaller heads leave the rounding to the next product.
  const ActivationResult out = write(args.out, args.head_dim % kGroupColumns == 0);
  if (find_flash_attention(args.head_dim) == nullptr) return attend_by_vectors(args, layer, out);
  attend_by_tiles(args, layer, out);
  attend_by_rows(args, layer, out);
}

void HipBackend::attend_by_tiles(const AttentionArgs& args, const unsigned char* layer,
                                 const ActivationResult& out) {
  const int group = static_cast<int>(args.n_heads / args.n_kv_heads), dim = static_cast<int>(args.head_dim);
  const int most = prompt_heads_at_once(dim), at_once = kernel_capacity(std::min(group, most), most);
  const int waves_of_a_row = at_once * prompt_head_waves(dim);
  const std::vector<AttentionTile>& planned = step_.plan.tiles_for(waves_of_a_row);
  const AttentionTile* tiles = step_.tiles[static_cast<size_t>(&planned - step_.plan.tiles.data())];
  const int rows_per_tile = prompt_attention_rows(waves_of_a_row);
  const int64_t n_keys = args.window > 0 ? std::min<int64_t>(args.window, step_.longest) : step_.longest;
  const double per_row = 4.0 * static_cast<double>(args.n_heads * args.head_dim * n_keys);
  const auto n_tiles = static_cast<int64_t>(planned.size());
  const int64_t tiles_per_launch = rows_per_launch(per_row, rows_per_tile) / rows_per_tile;
  for (int64_t tile = 0; tile < n_tiles; tile += tiles_per_launch) {
    launch(
        *device_, find_flash_attention(dim)->prompt,
        {.x = std::min(tiles_per_launch, n_tiles - tile), .y = args.n_kv_heads * divided_up(group, at_once)},
        prompt_attention_shared_bytes(dim),
        PromptAttentionArgs{.q = args.q.data,
                            .rows = step_.rows,
                            .tiles = tiles + tile,
                            .pages = step_.pages,
                            .kv = layer,
                            .out = out,
                            .scale = args.scale,
                            .n_heads = static_cast<int32_t>(args.n_heads),
                            .n_kv_heads = static_cast<int32_t>(args.n_kv_heads),
                            .heads_at_once = at_once,
                            .window = static_cast<int32_t>(args.window),
                            .sinks = hip_vector(args.sinks),
                            .gated_q = args.gated_q.data});
  }
}

void HipBackend::attend_by_rows(const AttentionArgs& args, const unsigned char* layer,
                                const ActivationResult& out) {
  const auto n_rows = static_cast<int64_t>(step_.plan.rows.size());
  if (n_rows == 0) return;
  const int dim = static_cast<int>(args.head_dim), n_splits = splits_per_launch(step_.plan.longest_row);
  const int64_t n_chunks = args.n_kv_heads * divided_up(args.n_heads / args.n_kv_heads, kFragment);
  const int64_t row_floats = n_chunks * n_splits * static_cast<int64_t>(flash_partial_floats(dim));
  const int64_t rows_at_once = std::clamp<int64_t>(kPartialBytes / (row_floats * 4), 1, n_rows);
  float* partials = partials_.of<float>(rows_at_once * row_floats);
  uint32_t* counters = counters_.of<uint32_t>(rows_at_once * n_chunks);
  for (int64_t row = 0; row < n_rows; row += rows_at_once) {
    launch(*device_, find_flash_attention(dim)->decode,
           {.x = n_splits, .y = std::min(rows_at_once, n_rows - row) * n_chunks},
           flash_decode_shared_bytes(dim),
           FlashDecodeArgs{.q = args.q.data,
                           .rows = step_.rows,
                           .row_ids = step_.row_ids + row,
                           .pages = step_.pages,
                           .kv = layer,
                           .partials = partials,
                           .counters = counters,
                           .out = out,
                           .scale = args.scale,
                           .n_heads = static_cast<int32_t>(args.n_heads),
                           .n_kv_heads = static_cast<int32_t>(args.n_kv_heads),
                           .n_chunks = static_cast<int32_t>(n_chunks),
                           .n_splits = n_splits,
                           .window = static_cast<int32_t>(args.window),
                           .sinks = hip_vector(args.sinks),
                           .gated_q = args.gated_q.data});
  }
}

void HipBackend::attend_by_vectors(const AttentionArgs& args, const unsigned char* layer,
                                   const ActivationResult& out) {
  const int64_t n_rows = step_.n_rows;
  const int group = static_cast<int>(args.n_heads / args.n_kv_heads);
  const int heads = kernel_capacity(std::min(group, kMaxHeadsPerChunk), kMaxHeadsPerChunk);
  const int64_t n_chunks = args.n_kv_heads * divided_up(group, heads);
  const int dim = static_cast<int>(args.head_dim);
  const int64_t rows_at_once = std::min(kAttentionRows, n_rows), out_cols = args.n_heads * args.head_dim;
  float* partials = partials_.of<float>(rows_at_once * n_chunks * kMaxSplits * partial_floats(heads, dim));
  uint32_t* counters = counters_.of<uint32_t>(rows_at_once * n_chunks);
  for (int64_t row = 0; row < n_rows; row += rows_at_once) {
    launch(*device_, attention_kernel(heads),
           {.x = most_splits(most_pages_seen(step_.longest, static_cast<int>(args.window))),
            .y = std::min(rows_at_once, n_rows - row) * n_chunks},
           attention_shared_bytes(heads, dim),
           SplitAttentionArgs{.q = args.q.row_data(row),
                              .rows = step_.rows + row,
                              .pages = step_.pages,
                              .kv = layer,
                              .partials = partials,
                              .counters = counters,
                              .out = rows_of(out, row, out_cols),
                              .scale = args.scale,
                              .n_heads = static_cast<int32_t>(args.n_heads),
                              .n_kv_heads = static_cast<int32_t>(args.n_kv_heads),
                              .head_dim = dim,
                              .n_chunks = static_cast<int32_t>(n_chunks),
                              .window = static_cast<int32_t>(args.window),
                              .sinks = hip_vector(args.sinks),
                              .gated_q = args.gated_q.data ? args.gated_q.row_data(row) : nullptr});
  }
}

}  // namespace halod::hip
