// The row-wise operations and the rounding of activations to 8 bits. All are a few microseconds per row; none
// is worth a clever idea.
#include "kernels/cpu/simd.h"
#include "kernels/cpu/tables.h"

namespace halod::HALOD_ISA {

void rms_norm(const RmsNormArgs& args) {
  F32x16 squares = zero_f32();
  for (int64_t i = 0; i < args.n; i += kLanes) {
    const F32x16 x = load(args.x + i);
    squares = fma(x, x, squares);
  }
  const F32x16 scale = broadcast(1.0F / std::sqrt(sum(squares) / static_cast<float>(args.n) + args.epsilon));
  for (int64_t i = 0; i < args.n; i += kLanes)
    store(args.y + i, load(args.x + i) * scale * load(args.weight + i));
}

void rope(const RopeArgs& args) {
  const int64_t half = args.n / 2;
  if (args.pairs_neighbours) {
    for (int64_t i = 0; i < half; ++i) {
      const float a = args.x[2 * i], b = args.x[2 * i + 1];
      args.x[2 * i] = a * args.cosines[i] - b * args.sines[i];
      args.x[2 * i + 1] = a * args.sines[i] + b * args.cosines[i];
    }
    return;
  }
  int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const F32x16 a = load(args.x + i), b = load(args.x + half + i);
    const F32x16 c = load(args.cosines + i), s = load(args.sines + i);
    store(args.x + i, fnma(b, s, a * c));
    store(args.x + half + i, fma(a, s, b * c));
  }
  for (; i < half; ++i) {
    const float a = args.x[i], b = args.x[half + i];
    args.x[i] = a * args.cosines[i] - b * args.sines[i];
    args.x[half + i] = a * args.sines[i] + b * args.cosines[i];
  }
}

namespace {

inline F32x16 silu_times(F32x16 gate, F32x16 up) {
  return gate / (broadcast(1.0F) + exp(zero_f32() - gate)) * up;
}

/// gate[i] = combine(gate[i], up[i]) for n values.
template <class Combine>
void combine_rows(float* gates, const float* ups, int64_t n, const Combine& combine) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(gates + i, combine(load(gates + i), load(ups + i)));
  if (i < n) {
    float gate[kLanes] = {}, up[kLanes] = {};
    const size_t n_bytes = static_cast<size_t>(n - i) * sizeof(float);
    std::memcpy(gate, gates + i, n_bytes);
    std::memcpy(up, ups + i, n_bytes);
    store(gate, combine(load(gate), load(up)));
    std::memcpy(gates + i, gate, n_bytes);
  }
}

}  // namespace

void swiglu(const SwigluArgs& args) { combine_rows(args.gate, args.up, args.n, silu_times); }

void clamped_swiglu(const ClampedSwigluArgs& args) {
  const F32x16 limit = broadcast(args.limit), one = broadcast(1.0F), minus_alpha = broadcast(-args.alpha);
  combine_rows(args.gate, args.up, args.n, [&](F32x16 gate, F32x16 up) {
    const F32x16 g = min(gate, limit), u = max(min(up, limit), zero_f32() - limit);
    return g / (one + exp(minus_alpha * g)) * (u + one);
  });
}

void squared_relu(const SquaredReluArgs& args) {
  combine_rows(args.x, args.x, args.n, [](F32x16 x, F32x16) {
    const F32x16 positive = max(x, zero_f32());
    return positive * positive;
  });
}

void sigmoid_gate(const SigmoidGateArgs& args) {
  combine_rows(args.x, args.gate, args.n,
               [](F32x16 x, F32x16 gate) { return x / (broadcast(1.0F) + exp(zero_f32() - gate)); });
}

void weighted_sum(const WeightedSumArgs& args) {
  int64_t i = 0;
  for (; i + kLanes <= args.n; i += kLanes) {
    F32x16 total = zero_f32();
    for (int64_t k = 0; k < args.n_terms; ++k)
      total = fma(broadcast(args.weights[k]), load(args.x[k] + i), total);
    store(args.y + i, load(args.y + i) + total);
  }
  for (; i < args.n; ++i) {
    float total = 0;
    for (int64_t k = 0; k < args.n_terms; ++k) total += args.weights[k] * args.x[k][i];
    args.y[i] += total;
  }
}

void quantize_activations(const QuantizeActivationsArgs& args) {
  const int64_t n_groups = args.values.cols / kActivationGroup;
  for (int64_t row = 0; row < args.values.rows; ++row) {
    const float* x = args.values.row_data(row);
    for (int64_t g = 0; g < n_groups; ++g) {
      const F32x16 lo = load(x + g * kActivationGroup), hi = load(x + g * kActivationGroup + kLanes);
      const float largest = max_lane(max(abs(lo), abs(hi)));
      // A group of zeros keeps scale 0 and codes 0; dividing by its zero would make NaN codes.
      const F32x16 inverse = broadcast(largest > 0 ? 127.0F / largest : 0.0F);
      const float scale = largest / 127.0F;
      const int64_t group = row * n_groups + g;
      int8_t* codes = args.codes + group * kActivationGroup;
      const F32x16 rounded_lo = round(lo * inverse), rounded_hi = round(hi * inverse);
      store_as_s8(codes, rounded_lo);
      store_as_s8(codes + kLanes, rounded_hi);
      // Sums of at most 16 x 127 are exact in f32.
      const float sum_lo = sum(rounded_lo), sum_hi = sum(rounded_hi);
      args.negated_sums16[2 * group] = -static_cast<int32_t>(sum_lo);
      args.negated_sums16[2 * group + 1] = -static_cast<int32_t>(sum_hi);
      args.scales[group] = scale;
      args.scaled_sums[group] = scale * (sum_lo + sum_hi);
    }
  }
}

}  // namespace halod::HALOD_ISA
