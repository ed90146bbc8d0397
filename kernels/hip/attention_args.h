// The arguments of the attention kernels, and how they cut the keys: as args.h, for the parts of it that are
// attention's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/hip/args.h"

namespace halod::hip {

// No padding, as in args.h.
#if !defined(__CUDACC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
#endif

/// Adds biases, norms and rotates q and k, and stores k and v. Grid: (heads / 4, rows).
struct AttentionPrepareArgs {
  float* q;             ///< [rows, n_heads * head_dim]: the result
  const float* q_from;  ///< [rows, n_heads * q_stride], each head's first values; may be q
  const float* k;       ///< [rows, n_kv_heads * head_dim]
  const float* v;       ///< the same shape
  const float* q_bias;  ///< [n_heads * head_dim]; nullptr = none
  const float* k_bias;  ///< [n_kv_heads * head_dim]; nullptr = none
  const float* v_bias;  ///< the same
  const float* q_norm;  ///< [head_dim]; nullptr = none
  const float* k_norm;
  const float* rope;  ///< [rows, n_rotated]: cosines, then sines
  const StepRow* rows;
  const uint32_t* pages;
  unsigned char* kv;  ///< this layer's pages
  float epsilon;
  int32_t n_heads;
  int32_t n_kv_heads;
  int32_t head_dim;
  int32_t q_stride;          ///< from one head of q_from to the next
  int32_t n_rotated;         ///< leading values of a head
  int32_t pairs_neighbours;  ///< turns 2i and 2i + 1 together instead of i and i + n_rotated / 2
  int32_t filler = 0;
};

/// One query row against its sequence's keys, cut into splits; the last split of a (row, head chunk) to
/// finish combines them. Grid: (splits of the longest row, rows * n_chunks).
struct SplitAttentionArgs {
  const float* q;
  const StepRow* rows;
  const uint32_t* pages;
  const unsigned char* kv;
  float* partials;  ///< [rows * n_chunks][kMaxSplits][G][head_dim + 2]: sums, then maximum and total weight
  uint32_t* counters;    ///< [rows * n_chunks], zeros
  ActivationResult out;  ///< [rows, n_heads * head_dim]
  float scale;
  int32_t n_heads;
  int32_t n_kv_heads;
  int32_t head_dim;
  int32_t n_chunks;    ///< n_kv_heads * (chunks of up to G query heads per KV head)
  int32_t window;      ///< a row sees so many keys, its own included; 0 = all
  const float* sinks;  ///< [n_heads] one more logit in each head's softmax, without a value; nullptr = none
  /// [rows, n_heads * 2 * head_dim] each head's query, then logits; the result is times their sigmoid;
  /// nullptr = none.
  const float* gated_q;
};

// -- attention on the matrix unit (attention_tile.h)

/// Neighbouring rows of one sequence.
struct AttentionTile {
  int32_t first_row;
  int32_t n_rows;  ///< 1 … prompt_attention_rows()
};

/// Causal attention of many rows of each sequence. Grid: (tiles, n_kv_heads * chunks of heads_at_once heads).
struct PromptAttentionArgs {
  const float* q;
  const StepRow* rows;
  const AttentionTile* tiles;
  const uint32_t* pages;
  const unsigned char* kv;
  ActivationResult out;  ///< [rows, n_heads * head_dim]
  float scale;
  int32_t n_heads;
  int32_t n_kv_heads;
  int32_t heads_at_once;  ///< 1, 2, 4 or (of heads up to 128) 8 query heads of a KV head in one block
  int32_t window;         ///< a row sees so many keys, its own included; 0 = all
  int32_t filler = 0;
  const float* sinks;    ///< [n_heads] one more logit in each head's softmax; nullptr = none
  const float* gated_q;  ///< as SplitAttentionArgs'
};

/// The same for single rows, bit for bit; the last split of a (row, head chunk) to finish merges them. Grid:
/// (splits of the longest row, rows wanted * n_chunks).
struct FlashDecodeArgs {
  const float* q;
  const StepRow* rows;
  const int32_t* row_ids;  ///< rows wanted
  const uint32_t* pages;
  const unsigned char* kv;
  float* partials;       ///< [rows wanted * n_chunks][n_splits][flash_partial_floats()]
  uint32_t* counters;    ///< [rows wanted * n_chunks], zeros
  ActivationResult out;  ///< [rows, n_heads * head_dim]
  float scale;
  int32_t n_heads;
  int32_t n_kv_heads;
  int32_t n_chunks;  ///< n_kv_heads * (chunks of up to 16 query heads per KV head)
  int32_t n_splits;  ///< of the longest row
  int32_t window;
  const float* sinks;
  const float* gated_q;
};

/// The page of one KV head holds keys, then values, f16:
///   keys    [head_dim / 8][32 tokens][8]: a lane is a token, and reads 8 of its values by one load
///   values  [32 tokens][head_dim]: a lane is 8 columns of a token
constexpr int64_t kv_head_page_bytes(int64_t head_dim) { return 2 * kPageTokens * head_dim * 2; }

/// Where the logits of a head's gate begin in gated_q: behind its query.
constexpr size_t attention_gate(int row, int n_heads, int head, int head_dim) {
  return ((static_cast<size_t>(row) * static_cast<size_t>(n_heads) + static_cast<size_t>(head)) * 2 + 1) *
         static_cast<size_t>(head_dim);
}

inline constexpr int kPrepareHeads = 4;  ///< heads of a block of `attention_prepare`
inline constexpr int kMaxHeadDim = 256;
inline constexpr int kMaxHeadsPerChunk = 8;

/// The first key that a row sees. window == 0: all.
constexpr int first_seen_key(int position, int window) {
  return window > 0 && position >= window ? position + 1 - window : 0;
}

/// Attention by the vector unit is cut by the number of pages with keys that a row sees alone, so that its
/// result does not depend on the batch: as many splits as there are pages for four waves each, at most 32
/// (what the combining block then reads stays under 140 kB of a head chunk).
inline constexpr int kMaxSplits = 32;
inline constexpr int kSplitWaves = 4;
constexpr int pages_per_split(int n_pages) {
  const int at_least = (n_pages + kMaxSplits - 1) / kMaxSplits;
  return (at_least + kSplitWaves - 1) / kSplitWaves * kSplitWaves;
}
constexpr int splits_of_pages(int n_pages) {
  const int per_split = pages_per_split(n_pages);
  return (n_pages + per_split - 1) / per_split;
}
/// Of any row that sees at most so many pages: 129 pages are 17 splits, but 128 are 32.
constexpr int most_splits(int n_pages) {
  return n_pages < kMaxSplits * kSplitWaves ? splits_of_pages(n_pages) : kMaxSplits;
}
/// Pages with keys that a row sees, at most, where the batch's longest row has n_keys.
constexpr int most_pages_seen(int n_keys, int window) {
  const int n_pages = (n_keys + kPageTokens - 1) / kPageTokens;
  const int of_window = (window + kPageTokens - 2) / kPageTokens + 1;
  return window > 0 && of_window < n_pages ? of_window : n_pages;
}
constexpr int64_t partial_floats(int heads_per_chunk, int head_dim) {
  return int64_t{heads_per_chunk} * (head_dim + 2);
}

inline constexpr int kAttentionWaves = 8, kFlashDecodeWaves = 4;
/// Keys are cut by their own position alone: the first 4096 into splits of four pages, then each doubling
/// into 16, so that a context of 128k has 112.
inline constexpr int kShortSplits = 32, kSplitPages = 4, kSplitsPerDoubling = 16;
constexpr int split_first_page(int split) {
  if (split <= kShortSplits) return split * kSplitPages;
  const int doubling = (split - kShortSplits) / kSplitsPerDoubling;
  const int in_doubling = (split - kShortSplits) % kSplitsPerDoubling;
  constexpr int kShortPages = kShortSplits * kSplitPages;
  return (kShortPages << doubling) + in_doubling * ((kShortPages / kSplitsPerDoubling) << doubling);
}
constexpr int key_split(int page) {
  constexpr int kShortPages = kShortSplits * kSplitPages;
  if (page < kShortPages) return page / kSplitPages;
  int doubling = 0;
  while (page >= (2 * kShortPages) << doubling) ++doubling;
  return kShortSplits + doubling * kSplitsPerDoubling +
         (page - (kShortPages << doubling)) / ((kShortPages / kSplitsPerDoubling) << doubling);
}
constexpr int n_key_splits(int n_keys) { return key_split((n_keys - 1) / kPageTokens) + 1; }
/// Of a split: [16 heads][head_dim] sums, then [16 heads] of maximum and two halves of the total.
constexpr size_t flash_partial_floats(int head_dim) {
  return static_cast<size_t>(kFragment * (head_dim + 3));
}
/// Waves that take the same 16 rows of one head in a prompt, a part of the values' columns each: the sums of
/// a split and of all splits of 256 columns would be all registers that a lane has.
constexpr int prompt_head_waves(int head_dim) { return head_dim > 128 ? 2 : 1; }
constexpr int prompt_heads_at_once(int head_dim) { return kAttentionWaves / prompt_head_waves(head_dim); }
/// Rows of a tile, of whose rows so many waves take the same: heads_at_once * prompt_head_waves().
constexpr int prompt_attention_rows(int waves_of_a_row) {
  return kAttentionWaves / waves_of_a_row * kFragment;
}

// Shared memory, in bytes; the kernels' own order of take() gives the same sums.

constexpr int attention_shared_bytes(int heads, int head_dim) {
  return shared_round(heads * head_dim * 4) * 2 + shared_round(kSplitWaves * heads * kPageTokens * 4) +
         shared_round(kSplitWaves * heads * 4) * 2 + shared_round(kMaxSplits * heads * 4) + shared_round(4);
}
/// Keys of a page, and its values transposed: [octet of keys][head_dim][8], an octet 16 bytes longer than it
/// needs (attention_tile.h). At the end the waves' results lie in the same place.
constexpr int prompt_attention_octet_bytes(int head_dim) { return head_dim * 16 + 16; }
constexpr int prompt_attention_shared_bytes(int head_dim) {
  const int page = kPageTokens * head_dim * 2 + kPageTokens / 8 * prompt_attention_octet_bytes(head_dim);
  const int results = kAttentionWaves * kFragment * 33 * 4;
  return page > results ? page : results;
}
constexpr int flash_decode_shared_bytes(int head_dim) {
  return kPageTokens * head_dim * 2 + kPageTokens / 8 * prompt_attention_octet_bytes(head_dim) +
         shared_round(4);
}

#if !defined(__CUDACC__)
#pragma GCC diagnostic pop
#endif

}  // namespace halod::hip
