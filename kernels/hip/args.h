// The arguments of every kernel: plain structs that the host fills and the device gets by value. All pointers
// are the device's.
//
// Shapes: matrices are row-major and contiguous. "slot" is a pair of (token, rank among the token's experts),
// token * n_per_token
// + rank.
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod::hip {

/// Rows of activations as the matrix kernels read them; kernels/ops/activations.h says the same of the CPU's.
/// A kernel for T rows at once reads up to the next multiple of T, so there must be memory; what it holds
/// does not matter.
struct ActivationGroup {
  float scale;   ///< of 32 codes
  int32_t sums;  ///< low 16 bits: sum of the first 16 codes; high 16 bits: of the second 16
};
struct ActivationRows {
  const float* values;  ///< [n, cols]
  /// The 8-bit form, cols a multiple of 32: values ~= scale * code. Only for weights whose kernels need it.
  const int8_t* codes;            ///< [n, cols]
  const ActivationGroup* groups;  ///< [n, cols / 32]
};
/// The same, to be written. codes == nullptr: only the values are wanted.
struct ActivationResult {
  float* values;
  int8_t* codes;
  ActivationGroup* groups;
};

/// One or several matrices of [rows, cols] in the layout of weight_layout.h.
struct WeightRows {
  const unsigned char* data;
  uint64_t expert_bytes;  ///< from one expert's matrix to the next
  int32_t row_bytes;
  int32_t rows;
  int32_t cols;
  int32_t format;  ///< halod::Format
};

/// Where a batch row's token stands.
struct StepRow {
  int32_t position;    ///< in its sequence
  int32_t first_page;  ///< of its sequence, in the step's list of pages
};

/// y = x / sqrt(mean(x^2) + epsilon) * weight, and its 8-bit form; weight == nullptr: y = x. Grid: (rows).
struct RmsNormArgs {
  const float* x;  ///< [rows, cols]; y.values may be x
  const float* weight;
  float epsilon;
  int32_t cols;
  ActivationResult y;
};

/// out[t] = row tokens[t] of the matrix. Grid: (n_tokens).
struct EmbedArgs {
  WeightRows weight;
  const int32_t* tokens;
  float* out;  ///< [n_tokens, cols]
};

/// out[i] = x[rows[i]]. Grid: (rows wanted).
struct GatherArgs {
  const float* x;
  const int32_t* rows;
  int32_t cols;
  float* out;
};

/// y[m] (+)= x W[m]^T + bias for up to three matrices that read the same x, and up to T rows. Grid: (row
/// tiles of all matrices).
struct LinearArgs {
  WeightRows weights[3];
  float* y[3];            ///< [n_tokens, weights[m].rows]
  int32_t first_tile[4];  ///< of each matrix; [n_matrices] is the number of tiles
  int32_t n_matrices;
  int32_t n_tokens;  ///< 1 … T
  int32_t add;       ///< += instead of =
  ActivationRows x;
  const float* bias;  ///< [weights[0].rows], of one matrix alone; nullptr = none
};

/// Adds biases, norms and rotates q and k, and stores k and v. Grid: (heads / 4, rows).
struct AttentionPrepareArgs {
  float* q;             ///< [rows, n_heads * head_dim], changed in place
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
  int32_t n_rotated;         ///< leading values of a head
  int32_t pairs_neighbours;  ///< turns 2i and 2i + 1 together instead of i and i + n_rotated / 2
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
  int32_t n_chunks;  ///< n_kv_heads * (chunks of up to G query heads per KV head)
};

/// How a token's logits become the shares of the experts that it chooses: their scores, divided by their sum.
enum class Gating : int32_t {
  kSoftmax,          ///< the softmax over all experts
  kSoftmaxOfChosen,  ///< the softmax over the chosen ones alone
  kSigmoid,          ///< each expert's own sigmoid
};

/// What becomes of gate and up before the down-projection.
enum class GatedActivation : int32_t {
  kSwiglu,         ///< silu(gate) * up
  kClampedSwiglu,  ///< gpt-oss' (kernels/hip/activations.h)
};

/// x = rms_norm(hidden); logits = x router^T + bias; the last block of a token chooses its experts. Grid:
/// (router rows / 8, tokens).
struct RouterArgs {
  const float* hidden;  ///< [n_tokens, cols]
  const float* norm;    ///< [cols]
  WeightRows router;    ///< [n_experts, cols]
  const float* bias;    ///< [n_experts]; nullptr = none
  ActivationResult x;   ///< the normalised rows
  float* logits;        ///< [n_tokens, n_experts]
  uint32_t* counters;   ///< [n_tokens], zeros
  int32_t* experts;     ///< [n_tokens, n_per_token], best first
  float* weights;       ///< the same shape, sum weights_scale
  float epsilon;
  int32_t n_per_token;
  Gating gating;
  float weights_scale;
};

/// h = activation(x gate^T + bias, x up^T + bias), and its 8-bit form. Grid: (width / 32, n_slots / T).
struct GateUpArgs {
  WeightRows weights[2];   ///< gate, up: [width, cols] per expert
  const float* biases[2];  ///< [n_experts, width] each; both nullptr = none
  ActivationRows x;        ///< [n_tokens, cols]
  const int32_t* experts;  ///< [n_slots]; nullptr: expert 0, and a slot is a token
  int32_t n_per_token;
  int32_t n_slots;
  GatedActivation activation;
  ActivationResult h;  ///< [n_slots, width]
};

/// residual[t] += sum over the token's slots of weight[slot] * (h[slot] down^T + bias). Grid: (rows / tile,
/// n_tokens).
struct ExpertsDownArgs {
  WeightRows down;    ///< [hidden_size, width] per expert
  const float* bias;  ///< [n_experts, hidden_size]; nullptr = none
  ActivationRows h;   ///< [n_slots, width]
  const int32_t* experts;
  const float* weights;
  int32_t n_per_token;
  float* residual;  ///< [n_tokens, hidden_size]
};

/// The largest of each row and its lowest index; NaN when any value is. Grid: (kArgmaxBlocks, rows).
struct ArgmaxResult {
  float value;
  int32_t index;
};
struct ArgmaxArgs {
  const float* x;  ///< [rows, cols]
  int32_t cols;
  ArgmaxResult* partials;  ///< [rows, kArgmaxBlocks]
  uint32_t* counters;      ///< [rows], zeros
  ArgmaxResult* best;      ///< [rows]
};

// -- prompts

/// Which weights a kernel takes: all of a launch are of one kind.
enum class WeightKind : uint8_t { kQuantised, kFloats };

/// Slots in the order of their experts, ties in their own order. offsets[e] is the first place of expert e,
/// offsets[n_experts] = n_slots. Grid: (n_experts).
struct GroupSlotsArgs {
  const int32_t* experts;  ///< [n_slots]
  int32_t n_slots;
  int32_t n_experts;
  int32_t* offsets;  ///< [n_experts + 1]
  int32_t* order;    ///< [n_slots]
};

/// Rows that go through a matrix together: those of one expert after the other.
struct RowGroups {
  const int32_t* offsets;  ///< of GroupSlotsArgs; nullptr: one matrix, and the rows are 0 … n_rows - 1
  const int32_t* order;    ///< [n_rows]
  int32_t n_experts;       ///< 1 … kMaxExperts
  int32_t n_rows;
  int32_t rows_per_x;  ///< row i reads row i / rows_per_x of x
};

/// y[m][i] (+)= x[i / rows_per_x] W[m]^T + bias for up to three matrices of one kind that read the same x.
/// Bit for bit what `linear` computes. Grid: (row tiles of all matrices, tiles of rows of x:
/// prompt_row_tiles()).
struct PromptLinearArgs {
  WeightRows weights[3];
  float* y[3];            ///< [n_rows, weights[m].rows]
  int32_t first_tile[4];  ///< of each matrix; [n_matrices] is the number of tiles
  int32_t n_matrices;
  int32_t add;  ///< += instead of =
  ActivationRows x;
  RowGroups groups;
  const float* bias;  ///< [weights[0].rows], of one matrix alone; nullptr = none
};

/// h[i] = activation(x gate^T + bias, x up^T + bias), and its 8-bit form: bit for bit what `gate_up`
/// computes. Grid: (width / 32, tiles of rows).
struct PromptGateUpArgs {
  WeightRows weights[2];   ///< gate, up: of one kind, [width, cols] per expert
  const float* biases[2];  ///< [n_experts, width] each; both nullptr = none
  GatedActivation activation;
  ActivationRows x;
  RowGroups groups;
  ActivationResult h;  ///< [n_rows, width]
};

/// residual[t] += sum over the token's slots of weight[slot] * (y[slot] + bias), in the order of the ranks.
/// Grid: (cols / 256, n_tokens).
struct ExpertsSumArgs {
  const float* y;          ///< [n_slots, cols]
  const float* bias;       ///< [n_experts, cols]; nullptr = none
  const int32_t* experts;  ///< [n_slots]; read where there is a bias
  const float* weights;    ///< [n_slots]
  int32_t n_per_token;
  int32_t cols;
  float* residual;  ///< [n_tokens, cols]
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
  int32_t heads_at_once;  ///< 1, 2, 4 or 8 query heads of a KV head in one block
  int32_t window;         ///< a row sees so many keys, its own included; 0 = all
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
};

// What the host must know of the kernels' cutting of the work.

inline constexpr int kLinearTileRows = 16;  ///< weight rows of a block of `linear`
inline constexpr int kRouterTileRows = 8;   ///< experts of a block of `router`
inline constexpr int kGateUpTileRows =
    32;                                   ///< of a block of `gate_up`: one group of the next matrix's columns
inline constexpr int kDownTileRows = 16;  ///< of a block of `experts_down`
inline constexpr int kPrepareHeads = 4;   ///< heads of a block of `attention_prepare`
inline constexpr int kMaxLinearTokens = 8;  ///< rows of x that share one read of the weights
inline constexpr int kMaxGateUpTokens = 4;  ///< of a dense layer; eight would not fit the scalar registers
inline constexpr int kArgmaxBlocks = 32;
inline constexpr int kMaxExperts = 1024;
inline constexpr int kMaxHeadDim = 256;
inline constexpr int kMaxHeadsPerChunk = 8;
inline constexpr int kPageTokens = 32;

/// Attention is cut by the number of keys alone, so that a row's result does not depend on the batch: as many
/// splits as there are pages for four waves each, at most 32 (what the combining block then reads stays under
/// 140 kB of a head chunk).
inline constexpr int kMaxSplits = 32;
inline constexpr int kSplitWaves = 4;
constexpr int pages_per_split(int n_pages) {
  const int at_least = (n_pages + kMaxSplits - 1) / kMaxSplits;
  return (at_least + kSplitWaves - 1) / kSplitWaves * kSplitWaves;
}
constexpr int n_splits(int n_keys) {
  const int n_pages = (n_keys + kPageTokens - 1) / kPageTokens;
  const int per_split = pages_per_split(n_pages);
  return (n_pages + per_split - 1) / per_split;
}
constexpr int64_t partial_floats(int heads_per_chunk, int head_dim) {
  return int64_t{heads_per_chunk} * (head_dim + 2);
}

// A prompt's matrix product is cut into tiles: 16 * row_fragments rows of x against 16 * weight_fragments
// weight rows per wave. A block's eight waves are four that share a tile's columns (every fourth group of 32
// each) times two tiles of weight rows (prompt_tile.h says why four).

inline constexpr int kPromptClasses = 4;
inline constexpr int kPromptWeightTiles = 2;
inline constexpr int kPromptWaves = kPromptClasses * kPromptWeightTiles;
inline constexpr int kFragment = 16;
/// Columns of a step through a tile: one group of 32 for each of the four waves.
inline constexpr int kPromptDepth = kPromptClasses * 32;
/// Bytes from one row of codes to the next in shared memory: 16 more than there are, so that the 16 lanes of
/// a fragment read from different banks.
inline constexpr int kPromptPitch = kPromptDepth + 16;

constexpr int prompt_row_tiles(int n_rows, int n_experts, int tile_rows) {
  // Every expert may leave one tile unfilled; blocks beyond the last tile return at once.
  const int unfilled = n_experts < n_rows ? n_experts : n_rows;
  return n_experts > 1 ? n_rows / tile_rows + unfilled : (n_rows + tile_rows - 1) / tile_rows;
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
/// Rows of a tile: each wave takes 16 rows of one head.
constexpr int prompt_attention_rows(int heads_at_once) { return kAttentionWaves / heads_at_once * kFragment; }

// Shared memory that each kernel takes, in bytes; the kernels' own order of take() gives the same sums.

constexpr int shared_round(int n_bytes) { return (n_bytes + 15) / 16 * 16; }
constexpr int rms_norm_shared_bytes() { return shared_round(8 * 4); }
constexpr int attention_shared_bytes(int heads, int head_dim) {
  return shared_round(heads * head_dim * 4) * 2 + shared_round(kSplitWaves * heads * kPageTokens * 4) +
         shared_round(kSplitWaves * heads * 4) * 2 + shared_round(kMaxSplits * heads * 4) + shared_round(4);
}
constexpr int router_shared_bytes(int cols, int n_experts) {
  return shared_round(cols * 4) + shared_round(cols) + shared_round(cols / 32 * 8) + shared_round(8 * 4) +
         shared_round(n_experts * 4) + shared_round(4);
}
constexpr int gate_up_shared_bytes(int n_tokens) { return shared_round(2 * n_tokens * kGateUpTileRows * 4); }
constexpr int prompt_stage_bytes(int tile_rows) {
  return shared_round(tile_rows * kPromptPitch) + 2 * shared_round(kPromptClasses * tile_rows * 4);
}
constexpr int prompt_shared_bytes(int row_fragments, int weight_fragments) {
  const int stages = 2 * prompt_stage_bytes(kFragment * row_fragments);
  const int joined = 2 * kPromptWeightTiles * row_fragments * weight_fragments * kFragment * kFragment * 4;
  return stages > joined ? stages : joined;
}
constexpr int group_slots_shared_bytes() { return shared_round(2 * 8 * 4); }
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
constexpr int argmax_shared_bytes() { return shared_round(8 * 8) + shared_round(4); }

/// The page of one KV head holds keys, then values, f16:
///   keys    [head_dim / 8][32 tokens][8]: a lane is a token, and reads 8 of its values by one load
///   values  [32 tokens][head_dim]: a lane is 8 columns of a token
constexpr int64_t kv_head_page_bytes(int64_t head_dim) { return 2 * kPageTokens * head_dim * 2; }

}  // namespace halod::hip
