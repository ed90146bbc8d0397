// The recurrent layers of Qwen3-Next and Qwen3.5: convolution and gated delta rule.
//
// Floor of a decoded token: each layer's state is read and written once. Qwen3-Next has 32 heads of 128 x 128
// f32: 4.2 MB a layer and sequence both ways, beside 0.2 MB of the convolution's, so 159 MB for its 36
// layers, 0.75 ms at 212 GB/s. A token takes 7 operations per element: 3.7 million a layer, 0.9 per byte
// where the machine has 27.
//
// In a prompt the state stays in registers and tokens follow one another. Eight waves of a head do 256
// products each per token: 1,024 cycles of a CU's two SIMDs, about 1,200 with the sums and what lies before
// and after, 0.4 us; 32 heads run side by side on 32 of 40 CUs. 30 ms for 2048 tokens of 36 layers, a
// fifteenth of their other products'.
#include "kernels/hip/activations.h"
#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/dot.h"
#include "kernels/hip/recurrent_args.h"
#include "kernels/hip/recurrent_state.h"

namespace halod::hip {

// -- convolution

/// A thread per channel. Eight rows are loaded at once: in a prompt the loads' latency would be all
/// otherwise.
HALOD_KERNEL(causal_conv, CausalConvArgs, 256) {
  constexpr int kPast = kConvTaps - 1, kRows = 8;
  const StateSequence sequence = args.part.sequences[gpu::block_y()];
  const SequenceRows rows(args.part, sequence);
  const int channel = gpu::block_x() * 256 + gpu::thread();
  if (channel >= args.n_channels || rows.first >= rows.end) return;
  const auto n_channels = static_cast<size_t>(args.n_channels), stride = static_cast<size_t>(args.x_stride);
  float* state = args.state + static_cast<int64_t>(sequence.slot) * args.slot_floats + channel;
  float weight[kConvTaps], past[kPast];
#pragma unroll
  for (int tap = 0; tap < kConvTaps; ++tap) weight[tap] = args.weight[tap * n_channels + channel];
#pragma unroll
  for (int i = 0; i < kPast; ++i) past[i] = rows.is_start ? 0.0F : state[i * n_channels];

  const float bias = args.bias ? args.bias[channel] : 0.0F;
  float* x = args.x + static_cast<size_t>(rows.first) * stride + channel;
  const auto convolve = [&](float in) {
    float sum = weight[kPast] * in;
#pragma unroll
    for (int i = 0; i < kPast; ++i) sum = gpu::fma(weight[i], past[i], sum);
#pragma unroll
    for (int i = 0; i + 1 < kPast; ++i) past[i] = past[i + 1];
    past[kPast - 1] = in;
    if (args.bias) sum += bias;
    return sum * sigmoid(sum);
  };
  int n_left = rows.end - rows.first;
  for (; n_left >= kRows; n_left -= kRows) {
    float in[kRows];
#pragma unroll
    for (int i = 0; i < kRows; ++i) in[i] = x[i * stride];
#pragma unroll
    for (int i = 0; i < kRows; ++i) x[i * stride] = convolve(in[i]);
    x += kRows * stride;
  }
  for (; n_left > 0; --n_left) {
    *x = convolve(*x);
    x += stride;
  }
#pragma unroll
  for (int i = 0; i < kPast; ++i) state[i * n_channels] = past[i];
}

// -- gated delta rule

/// Where a block's parts lie in shared memory; recurrent_args.h adds up the same sizes.
template <int dim>
struct DeltaShared {
  float* q;  ///< [token][dim], as k and v
  float* k;
  float* v;  ///< then results
  float* decay;
  float* beta;

  HALOD_DEVICE DeltaShared() {
    gpu::SharedArena shared;
    q = shared.take<float>(kDeltaTokens * dim);
    k = shared.take<float>(kDeltaTokens * dim);
    v = shared.take<float>(kDeltaTokens * dim);
    decay = shared.take<float>(kDeltaTokens);
    beta = shared.take<float>(kDeltaTokens);
  }
};

/// S *= decay; S += k (beta (v - S^T k))^T; v = S^T q: of the lane's columns.
template <int dim>
HALOD_DEVICE void update_by_delta_rule(HeadState<dim>& state, const float* q, const float* k, float (&v)[2],
                                       float decay, float beta) {
  constexpr int kPieces = HeadState<dim>::kPieces;
  float keys[kPieces][4], sums[kStateColumns][4] = {};
#pragma unroll
  for (int p = 0; p < kPieces; ++p) {
    HeadState<dim>::load_rows(k, p, keys[p]);
#pragma unroll
    for (int c = 0; c < kStateColumns; ++c) {
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[c][j] = gpu::fma(state.values[c][p][j], keys[p][j], sums[c][j]);
    }
  }
  float delta[kStateColumns];
#pragma unroll
  for (int c = 0; c < kStateColumns; ++c) {
    delta[c] = beta * gpu::fma(-decay, sum_of_column(sums[c]), v[c]);
#pragma unroll
    for (int j = 0; j < 4; ++j) sums[c][j] = 0.0F;
  }
#pragma unroll
  for (int p = 0; p < kPieces; ++p) {
    float queries[4];
    HeadState<dim>::load_rows(q, p, queries);
#pragma unroll
    for (int c = 0; c < kStateColumns; ++c) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        state.values[c][p][j] = gpu::fma(keys[p][j], delta[c], decay * state.values[c][p][j]);
        sums[c][j] = gpu::fma(state.values[c][p][j], queries[j], sums[c][j]);
      }
    }
  }
#pragma unroll
  for (int c = 0; c < kStateColumns; ++c) v[c] = sum_of_column(sums[c]);
}

/// A wave brings one token's q and k at unit length, v and gates to shared memory.
template <int dim>
HALOD_DEVICE void prepare_delta_token(const DeltaNetArgs& args, const DeltaShared<dim>& shared, int row,
                                      int t) {
  constexpr int kValues = dim / gpu::kWave;
  // Under the root, as the models' own normalisation has it.
  constexpr float kEpsilon = 1e-6F;
  const int head = gpu::block_x(), values_per_key = args.n_value_heads / args.n_key_heads;
  const int key_head = args.tiles_value_heads ? head % args.n_key_heads : head / values_per_key;
  const float* channels =
      args.qkv +
      static_cast<size_t>(row) * static_cast<size_t>((2 * args.n_key_heads + args.n_value_heads) * dim);
  const auto bring_unit = [&](const float* from, float factor, float* to) {
    float values[kValues], squares = 0.0F;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      values[i] = from[i * gpu::kWave + gpu::lane()];
      squares = gpu::fma(values[i], values[i], squares);
    }
    const float scale = factor / gpu::sqrt(gpu::wave_sum(squares) + kEpsilon);
#pragma unroll
    for (int i = 0; i < kValues; ++i) to[t * dim + i * gpu::kWave + gpu::lane()] = values[i] * scale;
  };
  bring_unit(channels + key_head * dim, 1.0F / gpu::sqrt(static_cast<float>(dim)), shared.q);
  bring_unit(channels + (args.n_key_heads + key_head) * dim, 1.0F, shared.k);
  const float* v = channels + (2 * args.n_key_heads + head) * dim;
#pragma unroll
  for (int i = 0; i < kValues; ++i)
    shared.v[t * dim + i * gpu::kWave + gpu::lane()] = v[i * gpu::kWave + gpu::lane()];
  if (gpu::lane() == 0) {
    const size_t at =
        static_cast<size_t>(row) * static_cast<size_t>(args.gate_stride) +
        static_cast<size_t>(head / args.gate_group * args.gate_group_stride + head % args.gate_group);
    shared.decay[t] = gpu::exp(args.a[head] * softplus(args.alpha[at] + args.dt_bias[head]));
    shared.beta[t] = sigmoid(args.beta[at]);
  }
}

/// A wave norms one token's result and gates it.
template <int dim>
HALOD_DEVICE void finish_delta_token(const DeltaNetArgs& args, const float* result, int row) {
  constexpr int kValues = dim / gpu::kWave;
  float values[kValues], squares = 0.0F;
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    values[i] = result[i * gpu::kWave + gpu::lane()];
    squares = gpu::fma(values[i], values[i], squares);
  }
  const float scale = 1.0F / gpu::sqrt(gpu::wave_sum(squares) / static_cast<float>(dim) + args.epsilon);
  const size_t first = (static_cast<size_t>(row) * static_cast<size_t>(args.n_value_heads) +
                        static_cast<size_t>(gpu::block_x())) *
                       static_cast<size_t>(dim);
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    const int column = i * gpu::kWave + gpu::lane();
    float* out = args.out.values + first + static_cast<size_t>(column);
    const float value = values[i] * scale * args.norm[column] * (*out * sigmoid(*out));
    *out = value;
    if (args.out.codes)
      quantise_group(value, args.out.codes + first + static_cast<size_t>(i * gpu::kWave),
                     args.out.groups + first / kGroupColumns + static_cast<size_t>(i));
  }
}

template <int dim>
HALOD_DEVICE void delta_net(const DeltaNetArgs& args) {
  constexpr int kWaves = dim / kStateWaveColumns;
  const StateSequence sequence = args.part.sequences[gpu::block_y()];
  const SequenceRows rows(args.part, sequence);
  if (rows.first >= rows.end) return;
  const DeltaShared<dim> shared;
  HeadState<dim> state(args.state + static_cast<int64_t>(sequence.slot) * args.slot_floats +
                           (gpu::block_x() * kWaves + gpu::wave()) * kStateWaveColumns * dim,
                       dim);
  state.load(rows.is_start);
  for (int first = rows.first; first < rows.end; first += kDeltaTokens) {
    const int n = rows.end - first < kDeltaTokens ? rows.end - first : kDeltaTokens;
    for (int t = gpu::wave(); t < n; t += kWaves) prepare_delta_token<dim>(args, shared, first + t, t);
    gpu::sync_shared();  // all tokens' q, k, v and gates, before any wave's columns meet them
    for (int t = 0; t < n; ++t) {
      float* columns = shared.v + t * dim + gpu::wave() * kStateWaveColumns + state_column();
      float v[2] = {columns[0], columns[1]};
      update_by_delta_rule(state, shared.q + t * dim, shared.k + t * dim, v, shared.decay[t], shared.beta[t]);
      if (!writes_state_column()) continue;
      columns[0] = v[0];
      columns[1] = v[1];
    }
    gpu::sync_shared();  // all columns of the results, before a wave norms them
    for (int t = gpu::wave(); t < n; t += kWaves)
      finish_delta_token<dim>(args, shared.v + t * dim, first + t);
    gpu::sync_shared();  // all results are read, before the next tokens' values overwrite them
  }
  state.store();
}

HALOD_KERNEL(delta_net_64, DeltaNetArgs, delta_threads(64)) { delta_net<64>(args); }
HALOD_KERNEL(delta_net_128, DeltaNetArgs, delta_threads(128)) { delta_net<128>(args); }

}  // namespace halod::hip
