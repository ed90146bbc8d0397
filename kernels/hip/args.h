// The arguments of every kernel: plain structs that the host fills and the device gets by value. All pointers
// are the device's.
//
// Shapes: matrices are row-major and contiguous. "slot" is a pair of (token, rank among the token's experts),
// token * n_per_token
// + rank.
#pragma once

#include <cstdint>

namespace halod::hip {

// Launches are compared byte by byte (runtime/backend/hip/graph_device.cpp), and what padding holds is left
// to the compiler: there is none, a `filler` is a value like any other.
#if !defined(__CUDACC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
#endif

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
  float* out;            ///< [n_tokens, cols]
  const int32_t* order;  ///< [cols]: where each of its columns goes; nullptr: in their order
};

/// out[i] = x[rows[i]]. Grid: (rows wanted).
struct GatherArgs {
  const float* x;
  const int32_t* rows;
  int32_t cols;
  int32_t filler = 0;
  float* out;
};

/// y[i] = x[i / rows_per_x] in the order of columns of row i's expert, and its 8-bit form. Grid: (rows).
struct GatherColumnsArgs {
  const float* x;
  const int32_t* order;    ///< [n_experts, cols]: which column of x; nullptr: as they are
  const int32_t* experts;  ///< [rows]; nullptr: expert 0
  int32_t rows_per_x;
  int32_t cols;
  ActivationResult y;
};

/// Matrices of one launch: a recurrent layer has q, k and v in one, a gate, beta and alpha.
inline constexpr int kMaxMatrices = 4;

/// y[m] (+)= x W[m]^T + bias for up to four matrices that read the same x, and up to T rows. Grid: (row
/// tiles of all matrices).
struct LinearArgs {
  WeightRows weights[kMaxMatrices];
  float* y[kMaxMatrices];                ///< [n_tokens, weights[m].rows]
  int32_t first_tile[kMaxMatrices + 1];  ///< of each matrix; [n_matrices] is the number of tiles
  int32_t n_matrices;
  int32_t n_tokens;  ///< 1 … T
  int32_t add;       ///< += instead of =
  ActivationRows x;
  const float* bias;  ///< [weights[0].rows], of one matrix alone; nullptr = none
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
  kSquaredRelu,    ///< relu(gate)^2: there is no up
};
constexpr bool has_up(GatedActivation activation) { return activation != GatedActivation::kSquaredRelu; }

/// x = rms_norm(hidden); logits = x router^T + bias; the last block of a token chooses its experts. One block
/// more, where there is one, weighs the shared expert. Grid: (router_blocks(), tokens).
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
  const float*
      selection_bias;       ///< [n_experts] added to kSigmoid's scores for the choice alone; nullptr = none
  WeightRows shared_scale;  ///< [1, cols]; data == nullptr: none
  /// [cols] which value of x each column of router and shared_scale meets; nullptr: in their order.
  const int32_t* orders[2];
  float* shared_weights;  ///< [n_tokens]: sigmoid(x shared_scale^T)
};

/// h = activation(x gate^T + bias, x up^T + bias), and its 8-bit form; without an up, its weights are not
/// read and may be the gate's. Grid: (width / 32, n_slots / T); with a shared expert, T = 1, n_tokens more in
/// y, and the larger of both widths in x.
struct GateUpArgs {
  WeightRows weights[4];   ///< gate, up: [width, cols] per expert; then those of the shared expert
  ActivationRows x[4];     ///< what each is multiplied with: [n_slots / slots_per_x, cols], [n_tokens, cols]
  const float* biases[2];  ///< [n_experts, width] each; both nullptr = none
  const int32_t* experts;  ///< [n_slots]; nullptr: expert 0, and a slot is a token
  int32_t slots_per_x;
  int32_t n_slots;
  GatedActivation activation;
  int32_t filler = 0;
  ActivationResult h;         ///< [n_slots, width]
  ActivationResult shared_h;  ///< [n_tokens, the shared expert's width]
};

/// y[t] (+)= sum over the token's slots of weight[slot] * (h[slot] down^T + bias), and then the shared
/// expert's share. Grid: (rows / tile, n_tokens).
struct ExpertsDownArgs {
  WeightRows down[2];  ///< [hidden_size, width] per expert; of the shared one, data == nullptr: there is none
  const float* bias;   ///< [n_experts, hidden_size]; nullptr = none
  ActivationRows h[2];  ///< [n_slots, width]; [n_tokens, width]
  const int32_t* experts;
  const float* weights[2];  ///< [n_slots]; [n_tokens], nullptr = ones
  int32_t n_per_token;
  int32_t add;  ///< += instead of =
  float* y;     ///< [n_tokens, hidden_size]
};

/// The largest of each row and its lowest index; NaN when any value is. Grid: (kArgmaxBlocks, rows).
struct ArgmaxResult {
  float value;
  int32_t index;
};
struct ArgmaxArgs {
  const float* x;  ///< [rows, cols]
  int32_t cols;
  int32_t filler = 0;
  ArgmaxResult* partials;  ///< [rows, kArgmaxBlocks]
  uint32_t* counters;      ///< [rows], zeros
  ArgmaxResult* best;      ///< [rows]
};

/// The k best of each row, in argmax's order: best first, equal ones by lower index, NaN before all. Places
/// that no value is left for hold {-infinity, cols}. Grid: (kTopKBlocks, rows).
struct TopKArgs {
  const float* x;  ///< [rows, cols]
  int32_t cols;
  int32_t k;               ///< 1 … kMaxTopK
  ArgmaxResult* partials;  ///< [rows, kTopKBlocks, k]
  uint32_t* counters;      ///< [rows], zeros
  ArgmaxResult* best;      ///< [rows, k]
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
  int32_t filler = 0;
};

/// y[m][i] (+)= x[i / rows_per_x] W[m]^T + bias for up to four matrices of one kind that read the same x.
/// Bit for bit what `linear` computes. Grid: (row tiles of all matrices, tiles of rows of x:
/// prompt_row_tiles()).
struct PromptLinearArgs {
  WeightRows weights[kMaxMatrices];
  float* y[kMaxMatrices];                ///< [n_rows, weights[m].rows]
  int32_t first_tile[kMaxMatrices + 1];  ///< of each matrix; [n_matrices] is the number of tiles
  int32_t n_matrices;
  int32_t add;  ///< += instead of =
  int32_t filler = 0;
  ActivationRows x;
  RowGroups groups;
  const float* bias;  ///< [weights[0].rows], of one matrix alone; nullptr = none
};

/// h[i] = activation(x gate^T + bias, x up^T + bias), and its 8-bit form: bit for bit what `gate_up`
/// computes. Grid: (width / prompt_gate_up_columns(), tiles of rows).
struct PromptGateUpArgs {
  WeightRows weights[2];   ///< gate, up: of one kind, [width, cols] per expert
  const float* biases[2];  ///< [n_experts, width] each; both nullptr = none
  GatedActivation activation;
  int32_t filler = 0;
  ActivationRows x;
  RowGroups groups;
  ActivationResult h;  ///< [n_rows, width]
};

/// sum[t] (+)= sum over the token's slots of weight[slot] * (y[slot] + bias), in the order of the ranks, and
/// then the shared expert's share. Grid: (cols / 256, n_tokens).
struct ExpertsSumArgs {
  const float* y;               ///< [n_slots, cols]
  const float* bias;            ///< [n_experts, cols]; nullptr = none
  const int32_t* experts;       ///< [n_slots]; read where there is a bias
  const float* weights;         ///< [n_slots]
  const float* shared_y;        ///< [n_tokens, cols]; nullptr = none
  const float* shared_weights;  ///< [n_tokens]; nullptr = ones
  int32_t n_per_token;
  int32_t cols;
  int32_t add;  ///< += instead of =
  int32_t filler = 0;
  float* sum;  ///< [n_tokens, cols]
};

// What the host must know of the kernels' cutting of the work.

inline constexpr int kLinearTileRows = 16;  ///< weight rows of a block of `linear`
inline constexpr int kRouterTileRows = 8;   ///< experts of a block of `router`
inline constexpr int kGateUpTileRows =
    32;                                   ///< of a block of `gate_up`: one group of the next matrix's columns
inline constexpr int kDownTileRows = 16;  ///< of a block of `experts_down`
inline constexpr int kMaxLinearTokens = 8;  ///< rows of x that share one read of the weights
inline constexpr int kMaxGateUpTokens = 4;  ///< of a dense layer; eight would not fit the scalar registers
inline constexpr int kArgmaxBlocks = 32;
inline constexpr int kTopKBlocks = 32;
/// Model cards recommend 20 (Qwen3), 40 and 64 (Gemma 3).
inline constexpr int kMaxTopK = 64;
inline constexpr int kMaxExperts = 1024;
inline constexpr int kPageTokens = 32;

constexpr int router_blocks(int n_experts, bool has_shared_scale) {
  return (n_experts + kRouterTileRows - 1) / kRouterTileRows + (has_shared_scale ? 1 : 0);
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

/// Columns of h that a block of `prompt_gate_up` makes: both its weight tiles are of the same columns, or of
/// 32 each.
constexpr int prompt_gate_up_columns(GatedActivation activation) {
  return has_up(activation) ? kGateUpTileRows : kPromptWeightTiles * kGateUpTileRows;
}
constexpr int prompt_row_tiles(int n_rows, int n_experts, int tile_rows) {
  // Every expert may leave one tile unfilled; blocks beyond the last tile return at once.
  const int unfilled = n_experts < n_rows ? n_experts : n_rows;
  return n_experts > 1 ? n_rows / tile_rows + unfilled : (n_rows + tile_rows - 1) / tile_rows;
}

// Shared memory that each kernel takes, in bytes; the kernels' own order of take() gives the same sums.

constexpr int shared_round(int n_bytes) { return (n_bytes + 15) / 16 * 16; }
constexpr int rms_norm_shared_bytes() { return shared_round(8 * 4); }
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
constexpr int argmax_shared_bytes() { return shared_round(8 * 8) + shared_round(4); }
/// Of a row that a block of `top_k` has.
constexpr int top_k_share(int cols) { return (cols + kTopKBlocks - 1) / kTopKBlocks; }
constexpr int top_k_shared_bytes(int cols, int k) {
  return shared_round(2 * 8 * 8) + shared_round(4) + shared_round(top_k_share(cols) * 4) +
         shared_round(kTopKBlocks * k * 8);
}

#if !defined(__CUDACC__)
#pragma GCC diagnostic pop
#endif

}  // namespace halod::hip
