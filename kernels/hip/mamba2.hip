// Mamba-2, the recurrent layers of Nemotron-H, after their convolution: scan, gate and norm.
//
// Floor of a decoded token: each layer's state is read and written once. Nemotron-3 Nano has 64 heads of 128
// x 64 f32: 4.2 MB a layer and sequence both ways, 96 MB for its 23 layers, 0.45 ms at 212 GB/s.
//
// In a prompt the state stays in registers, as the delta net's (recurrent.hip). Columns do not meet, so a
// block may take any 64 of a group's, whatever its heads' size. A token takes three instructions an element:
// 4 waves of 192 each, about 300 cycles of a CU's two SIMDs with what lies before and after; the 64 heads are
// 64 blocks for 40 CUs: 0.2 us a token and layer, 10 ms for 2048 tokens of 23 layers, a fiftieth of their
// products'.
#include "kernels/hip/activations.h"
#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/normalise.h"
#include "kernels/hip/recurrent_args.h"
#include "kernels/hip/recurrent_state.h"

namespace halod::hip {

/// Where a block's parts lie in shared memory; recurrent_args.h adds up the same sizes.
template <int most_rows>
struct SsmShared {
  static constexpr int kWaves = kSsmColumns / kStateWaveColumns;
  float* b;  ///< [token][most_rows], as c
  float* c;
  float* x;      ///< [token][kSsmColumns]; then results
  float* decay;  ///< [wave][token], as dt
  float* dt;

  HALOD_DEVICE SsmShared() {
    gpu::SharedArena shared;
    b = shared.take<float>(kSsmTokens * most_rows);
    c = shared.take<float>(kSsmTokens * most_rows);
    x = shared.take<float>(kSsmTokens * kSsmColumns);
    decay = shared.take<float>(kSsmTokens * kWaves) + gpu::wave() * kSsmTokens;
    dt = shared.take<float>(kSsmTokens * kWaves) + gpu::wave() * kSsmTokens;
  }
};

/// S *= decay; S += b (dt x)^T; x = S^T c + skip x: of the lane's columns.
template <int most_rows>
HALOD_DEVICE void update_by_scan(HeadState<most_rows>& state, const float* b, const float* c, float (&x)[2],
                                 float decay, float dt, float skip) {
  float sums[kStateColumns][4] = {}, steps[kStateColumns];
#pragma unroll
  for (int i = 0; i < kStateColumns; ++i) steps[i] = dt * x[i];
#pragma unroll
  for (int p = 0; p < HeadState<most_rows>::kPieces; ++p) {
    float in[4], out[4];
    HeadState<most_rows>::load_rows(b, p, in);
    HeadState<most_rows>::load_rows(c, p, out);
#pragma unroll
    for (int i = 0; i < kStateColumns; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        state.values[i][p][j] = gpu::fma(in[j], steps[i], decay * state.values[i][p][j]);
        sums[i][j] = gpu::fma(state.values[i][p][j], out[j], sums[i][j]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kStateColumns; ++i) x[i] = gpu::fma(skip, x[i], sum_of_column(sums[i]));
}

/// All threads bring the group's B and C of n tokens, zeros beyond the state's rows.
template <int most_rows>
HALOD_DEVICE void bring_keys(const SsmScanArgs& args, const SsmShared<most_rows>& shared, int group, int row,
                             int n) {
  const int value_size = args.n_groups * args.group_size, n_keys = args.n_groups * args.state_size;
  for (int i = gpu::thread(); i < n * most_rows; i += SsmShared<most_rows>::kWaves * gpu::kWave) {
    const int key = i % most_rows;
    const float* from = args.channels +
                        static_cast<size_t>(row + i / most_rows) * static_cast<size_t>(args.stride) +
                        value_size + group * args.state_size + key;
    const bool is_there = key < args.state_size;
    shared.b[i] = is_there ? from[0] : 0.0F;
    shared.c[i] = is_there ? from[n_keys] : 0.0F;
  }
}

template <int most_rows>
HALOD_DEVICE void ssm_scan(const SsmScanArgs& args) {
  // A wave goes through its columns of two tokens at once.
  constexpr int kTokensAtOnce = gpu::kWave / kStateWaveColumns;
  const StateSequence sequence = args.part.sequences[gpu::block_y()];
  const SequenceRows rows(args.part, sequence);
  if (rows.first >= rows.end) return;
  const SsmShared<most_rows> shared;
  const int n_blocks = ssm_blocks(args.group_size), group = gpu::block_x() / n_blocks;
  const int in_block = gpu::wave() * kStateWaveColumns;
  const int in_group = gpu::block_x() % n_blocks * kSsmColumns + in_block;
  // Of a group's last block some waves may have no columns; they still help to bring keys.
  const bool has_columns = in_group < args.group_size;
  const int column = group * args.group_size + (has_columns ? in_group : 0), head = column / args.head_dim;
  HeadState<most_rows> state(args.state + static_cast<int64_t>(sequence.slot) * args.slot_floats +
                                 static_cast<int64_t>(column) * args.state_size,
                             args.state_size);
  state.load(rows.is_start || !has_columns);
  const float a = args.a[head], dt_bias = args.dt_bias[head], skip = args.skip[head];
  const int token = gpu::lane() / kStateWaveColumns, lane_column = gpu::lane() % kStateWaveColumns;
  for (int first = rows.first; first < rows.end; first += kSsmTokens) {
    const int n = rows.end - first < kSsmTokens ? rows.end - first : kSsmTokens;
    const size_t stride = static_cast<size_t>(args.stride), row = static_cast<size_t>(first);
    bring_keys(args, shared, group, first, n);
    if (has_columns) {
      for (int t = token; t < n; t += kTokensAtOnce)
        shared.x[t * kSsmColumns + in_block + lane_column] =
            args.channels[(row + static_cast<size_t>(t)) * stride +
                          static_cast<size_t>(column + lane_column)];
      if (gpu::lane() < n) {
        const float dt = softplus(
            args.dt[(row + static_cast<size_t>(gpu::lane())) * stride + static_cast<size_t>(head)] + dt_bias);
        shared.dt[gpu::lane()] = dt;
        shared.decay[gpu::lane()] = gpu::exp(a * dt);
      }
    }
    gpu::sync_shared();  // all tokens' keys, values and steps, before any wave's columns meet them
    if (has_columns) {
      for (int t = 0; t < n; ++t) {
        float* columns = shared.x + t * kSsmColumns + in_block + state_column();
        float x[2] = {columns[0], columns[1]};
        update_by_scan(state, shared.b + t * most_rows, shared.c + t * most_rows, x, shared.decay[t],
                       shared.dt[t], skip);
        if (!writes_state_column()) continue;
        columns[0] = x[0];
        columns[1] = x[1];
      }
    }
    gpu::sync_shared();  // a wave's results, before its lanes gate them; the keys are read, too
    if (has_columns) {
      for (int t = token; t < n; t += kTokensAtOnce) {
        const size_t at = row + static_cast<size_t>(t), in_row = static_cast<size_t>(column + lane_column);
        const float z = args.z[at * stride + in_row];
        args.out[at * static_cast<size_t>(args.n_groups * args.group_size) + in_row] =
            shared.x[t * kSsmColumns + in_block + lane_column] * (z * sigmoid(z));
      }
    }
    // No barrier: a lane's next value goes where it has just read its own result.
  }
  if (has_columns) state.store();
}

HALOD_KERNEL(ssm_scan_128, SsmScanArgs, 128) { ssm_scan<128>(args); }
HALOD_KERNEL(ssm_scan_256, SsmScanArgs, 128) { ssm_scan<256>(args); }

/// A wave per group finds its scale; then all go over the row. Nemotron's eight groups are a block's waves.
HALOD_KERNEL(group_norm, GroupNormArgs, 256) {
  gpu::SharedArena shared;
  float* scales = shared.take<float>(args.n_groups);
  const int cols = args.n_groups * args.group_size;
  const ActivationResult row = result_row(args.x, gpu::block_x(), cols);
  for (int group = gpu::wave(); group < args.n_groups; group += kNormThreads / gpu::kWave) {
    const float* x = row.values + group * args.group_size;
    float squares = 0.0F;
    for (int i = gpu::lane(); i < args.group_size; i += gpu::kWave) squares = gpu::fma(x[i], x[i], squares);
    squares = gpu::wave_sum(squares);
    if (gpu::lane() == 0)
      scales[group] = 1.0F / gpu::sqrt(squares / static_cast<float>(args.group_size) + args.epsilon);
  }
  gpu::sync();  // all groups' scales, and all of the row read, before it is overwritten
  const int n_codes = (cols + kGroupColumns - 1) / kGroupColumns;
  for (int codes = gpu::wave(); codes < n_codes; codes += kNormThreads / gpu::kWave) {
    const int i = codes * kGroupColumns + gpu::lane();
    const float value = i < cols ? row.values[i] * scales[i / args.group_size] * args.weight[i] : 0.0F;
    if (i < cols) row.values[i] = value;
    if (row.codes) quantise_group(value, row.codes + codes * kGroupColumns, row.groups + codes);
  }
}

}  // namespace halod::hip
