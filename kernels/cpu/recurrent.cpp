// The convolution and the state of recurrent layers. Columns of the state are independent: sixteen or
// thirty-two at a time go over all tokens, and their part of the state (16 kB at head size 128) stays in the
// first-level cache.
#include "kernels/cpu/simd.h"
#include "kernels/cpu/tables.h"

namespace halod::HALOD_ISA {
namespace {

template <int n_vectors>
void scan_columns(const DeltaRuleArgs& args, int64_t column) {
  const int64_t n = args.head_dim;
  for (int64_t t = 0; t < args.n_tokens; ++t) {
    const float *q = args.q + t * args.stride, *k = args.k + t * args.stride;
    float *v = args.v + t * args.stride + column, *state = args.state + column;
    const F32x16 decay = broadcast(args.decay[t * args.gate_stride]),
                 beta = broadcast(args.beta[t * args.gate_stride]);
    F32x16 predicted[n_vectors], out[n_vectors], delta[n_vectors];
    for (int i = 0; i < n_vectors; ++i) predicted[i] = out[i] = zero_f32();
    for (int64_t row = 0; row < n; ++row) {
      const F32x16 key = broadcast(k[row]);
      for (int i = 0; i < n_vectors; ++i) {
        const F32x16 decayed = load(state + row * n + i * kLanes) * decay;
        store(state + row * n + i * kLanes, decayed);
        predicted[i] = fma(key, decayed, predicted[i]);
      }
    }
    for (int i = 0; i < n_vectors; ++i) delta[i] = beta * (load(v + i * kLanes) - predicted[i]);
    for (int64_t row = 0; row < n; ++row) {
      const F32x16 key = broadcast(k[row]), query = broadcast(q[row]);
      for (int i = 0; i < n_vectors; ++i) {
        const F32x16 updated = fma(key, delta[i], load(state + row * n + i * kLanes));
        store(state + row * n + i * kLanes, updated);
        out[i] = fma(query, updated, out[i]);
      }
    }
    for (int i = 0; i < n_vectors; ++i) store(v + i * kLanes, out[i]);
  }
}

template <int n_vectors>
void scan_ssm_columns(const SsmScanArgs& args, int64_t column) {
  const F32x16 skip = broadcast(args.skip);
  for (int64_t t = 0; t < args.n_tokens; ++t) {
    const float *b = args.b + t * args.stride, *c = args.c + t * args.stride;
    float *x = args.x + t * args.stride + column, *state = args.state + column;
    const F32x16 decay = broadcast(args.decay[t * args.gate_stride]),
                 dt = broadcast(args.dt[t * args.gate_stride]);
    F32x16 value[n_vectors], out[n_vectors];
    for (int i = 0; i < n_vectors; ++i) {
      const F32x16 input = load(x + i * kLanes);
      value[i] = dt * input;
      out[i] = skip * input;
    }
    for (int64_t row = 0; row < args.state_size; ++row) {
      const F32x16 write = broadcast(b[row]), read = broadcast(c[row]);
      for (int i = 0; i < n_vectors; ++i) {
        float* cells = state + row * args.head_dim + i * kLanes;
        const F32x16 updated = fma(write, value[i], load(cells) * decay);
        store(cells, updated);
        out[i] = fma(read, updated, out[i]);
      }
    }
    for (int i = 0; i < n_vectors; ++i) store(x + i * kLanes, out[i]);
  }
}

}  // namespace

void delta_rule(const DeltaRuleArgs& args) {
  int64_t column = 0;
  for (; column + 2 * kLanes <= args.head_dim; column += 2 * kLanes) scan_columns<2>(args, column);
  for (; column < args.head_dim; column += kLanes) scan_columns<1>(args, column);
}

void ssm_scan(const SsmScanArgs& args) {
  int64_t column = 0;
  for (; column + 2 * kLanes <= args.head_dim; column += 2 * kLanes) scan_ssm_columns<2>(args, column);
  for (; column < args.head_dim; column += kLanes) scan_ssm_columns<1>(args, column);
}

void causal_conv(const CausalConvArgs& args) {
  const int64_t n_past = args.n_taps - 1;
  for (int64_t t = 0; t < args.n_tokens; ++t) {
    float* x = args.x + t * args.x_stride;
    for (int64_t c = 0; c < args.n_channels; c += kLanes) {
      const F32x16 newest = load(x + c);
      F32x16 total = args.bias ? load(args.bias + c) : zero_f32();
      for (int64_t tap = 0; tap < n_past; ++tap) {
        float* past = args.state + tap * args.state_stride + c;
        total = fma(load(args.weight + tap * args.weight_stride + c), load(past), total);
        store(past, tap + 1 < n_past ? load(past + args.state_stride) : newest);
      }
      total = fma(load(args.weight + n_past * args.weight_stride + c), newest, total);
      store(x + c, total / (broadcast(1.0F) + exp(zero_f32() - total)));
    }
  }
}

}  // namespace halod::HALOD_ISA
