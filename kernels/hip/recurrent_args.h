// The arguments of the kernels of recurrent layers: as args.h, for their part.
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

/// One sequence's rows within the step, for recurrent layers.
struct StateSequence {
  int32_t first_row;
  int32_t n_rows;
  int32_t n_past;  ///< 0: the state begins with zeros, whatever is in it
  int32_t slot;
};

/// The part of each sequence that a launch computes: a long prompt's launches follow one another.
struct SequencePart {
  const StateSequence* sequences;
  int32_t first;   ///< of a sequence's rows
  int32_t n_rows;  ///< at most
};

/// Depthwise causal convolution over kConvTaps tokens plus bias, then SiLU, in place. Grid: (channels / 256,
/// sequences).
struct CausalConvArgs {
  float* x;             ///< [rows] of n_channels, x_stride from one to the next
  const float* weight;  ///< [kConvTaps, n_channels]; the last tap meets the token itself
  float* state;  ///< this layer's of slot 0: [kConvTaps - 1, n_channels], the last tokens, oldest first
  int64_t slot_floats;  ///< from one slot to the next
  SequencePart part;
  int32_t n_channels;
  int32_t x_stride;
  const float* bias;  ///< [n_channels]; nullptr = none
};

/// The gated delta rule of one value head over a sequence's tokens, with what stands before and after it: q
/// and k to unit length (q times 1 / sqrt(head_dim)), decay = exp(a softplus(alpha + dt_bias)), beta's
/// sigmoid; RMS norm and times silu(z). Grid: (n_value_heads, sequences).
struct DeltaNetArgs {
  const float* qkv;  ///< [rows, (2 n_key_heads + n_value_heads) * head_dim], convolved
  /// Logits of value head h: [h / gate_group * gate_group_stride + h % gate_group] of a row of gate_stride.
  const float* beta;
  const float* alpha;
  const float* a;        ///< [n_value_heads], negative
  const float* dt_bias;  ///< [n_value_heads]
  const float* norm;     ///< [head_dim]
  ActivationResult out;  ///< [rows, n_value_heads * head_dim]: z before, the result after
  float* state;          ///< this layer's heads of slot 0: [n_value_heads][head_dim * head_dim]
  int64_t slot_floats;
  SequencePart part;
  float epsilon;  ///< of the norm
  int32_t gate_stride;
  int32_t gate_group;
  int32_t gate_group_stride;
  int32_t n_key_heads;
  int32_t n_value_heads;
  int32_t
      tiles_value_heads;  ///< value head h has key head h % n_key_heads instead of h / (values per key head)
  int32_t filler = 0;
};

inline constexpr int kConvTaps = 4;

// Where a head's state lies: a wave has 16 of its columns (values), all rows (keys). Lane l has columns
// 2 (l % 8) and the next, of which it holds every fourth group of four rows from 4 (l / 8) on. In memory it
// lies as it is loaded, [head][16 columns][column of the two][group][lane][4 rows], so that a wave reads 512
// bytes at once.

inline constexpr int kStateWaveColumns = 16;
inline constexpr int kStateLanes = 8;                                  ///< side by side in a wave's columns
inline constexpr int kStateColumns = kStateWaveColumns / kStateLanes;  ///< of a lane
inline constexpr int kStateRowLanes = 32 / kStateLanes;                ///< that share a column
inline constexpr int kStateRowMultiple = 4 * kStateRowLanes;           ///< of a column

inline constexpr int kDeltaTokens = 16;  ///< that go through shared memory together
constexpr int delta_threads(int head_dim) { return head_dim / kStateWaveColumns * 32; }
constexpr int delta_net_shared_bytes(int head_dim) {
  return 3 * shared_round(kDeltaTokens * head_dim * 4) + 2 * shared_round(kDeltaTokens * 4);
}

/// Mamba-2's scan of the heads of one group over a sequence's tokens, what stands before and after it
/// included: dt = softplus(dt + dt_bias), decay = exp(a dt); plus skip x, times silu(z). A block takes
/// kSsmColumns of a group's values. Grid: (n_groups * ssm_blocks(), sequences).
struct SsmScanArgs {
  /// Rows of `stride` values each, all parts of one matrix: the convolved x, B and C side by side, n_groups
  /// of state_size in B and C; the steps' logits, one a head; and z.
  const float* channels;
  const float* dt;
  const float* z;
  const float* a;        ///< [n_heads], negative
  const float* dt_bias;  ///< [n_heads]
  const float* skip;     ///< [n_heads]
  float* out;            ///< [rows, n_groups * group_size]
  float* state;          ///< this layer's heads of slot 0
  int64_t slot_floats;
  SequencePart part;
  int32_t stride;
  int32_t n_groups;
  int32_t group_size;  ///< values of a group's heads
  int32_t head_dim;    ///< a multiple of kStateWaveColumns
  int32_t state_size;  ///< a multiple of kStateRowMultiple
  int32_t filler = 0;
};

/// RMS norm of each group's part of a row, in place, and the row's 8-bit form. Grid: (rows).
struct GroupNormArgs {
  ActivationResult x;   ///< [rows, n_groups * group_size]
  const float* weight;  ///< [n_groups * group_size]
  float epsilon;
  int32_t n_groups;
  int32_t group_size;
  int32_t filler = 0;
};

inline constexpr int kSsmColumns = 4 * kStateWaveColumns;  ///< of a block, a head's or parts of several
inline constexpr int kSsmTokens = 16;                      ///< that go through shared memory together
constexpr int ssm_blocks(int group_size) { return (group_size + kSsmColumns - 1) / kSsmColumns; }
/// largest: rows of a state that the kernel is written for.
constexpr int ssm_scan_shared_bytes(int largest) {
  return 2 * shared_round(kSsmTokens * largest * 4) + shared_round(kSsmTokens * kSsmColumns * 4) +
         2 * shared_round(kSsmTokens * (kSsmColumns / kStateWaveColumns) * 4);
}
constexpr int group_norm_shared_bytes(int n_groups) { return shared_round(n_groups * 4); }

#if !defined(__CUDACC__)
#pragma GCC diagnostic pop
#endif

}  // namespace halod::hip
