#include <cmath>
#include <vector>

#include "kernels/ops/reference.h"

namespace halod::reference {

void causal_conv(const CausalConvArgs& args) {
  for (int64_t t = 0; t < args.n_tokens; ++t) {
    for (int64_t c = 0; c < args.n_channels; ++c) {
      float& x = args.x[t * args.x_stride + c];
      const auto weight = [&](int64_t tap) {
        return static_cast<double>(args.weight[tap * args.weight_stride + c]);
      };
      double total = weight(args.n_taps - 1) * static_cast<double>(x);
      for (int64_t tap = 0; tap < args.n_taps - 1; ++tap) {
        float& past = args.state[tap * args.state_stride + c];
        total += weight(tap) * static_cast<double>(past);
        past = tap + 1 < args.n_taps - 1 ? args.state[(tap + 1) * args.state_stride + c] : x;
      }
      if (args.bias) total += static_cast<double>(args.bias[c]);
      x = static_cast<float>(total / (1.0 + std::exp(-total)));
    }
  }
}

void delta_rule(const DeltaRuleArgs& args) {
  const int64_t n = args.head_dim;
  for (int64_t t = 0; t < args.n_tokens; ++t) {
    const float *q = args.q + t * args.stride, *k = args.k + t * args.stride;
    float* v = args.v + t * args.stride;
    const auto decay = static_cast<double>(args.decay[t * args.gate_stride]);
    const auto beta = static_cast<double>(args.beta[t * args.gate_stride]);
    for (int64_t column = 0; column < n; ++column) {
      const auto state = [&](int64_t row) -> float& { return args.state[row * n + column]; };
      double predicted = 0;
      for (int64_t row = 0; row < n; ++row)
        predicted += decay * static_cast<double>(state(row)) * static_cast<double>(k[row]);
      const double delta = beta * (static_cast<double>(v[column]) - predicted);
      double out = 0;
      for (int64_t row = 0; row < n; ++row) {
        state(row) =
            static_cast<float>(decay * static_cast<double>(state(row)) + delta * static_cast<double>(k[row]));
        out += static_cast<double>(state(row)) * static_cast<double>(q[row]);
      }
      v[column] = static_cast<float>(out);
    }
  }
}

void delta_gates(const DeltaGatesArgs& args) {
  for (int64_t h = 0; h < args.n_heads; ++h) {
    const double step = static_cast<double>(args.alpha[h]) + static_cast<double>(args.dt_bias[h]);
    const double softplus = step > 30 ? step : std::log1p(std::exp(step));
    args.decay[h] = static_cast<float>(std::exp(static_cast<double>(args.a[h]) * softplus));
    args.beta[h] = static_cast<float>(1.0 / (1.0 + std::exp(-static_cast<double>(args.beta_logits[h]))));
  }
}

}  // namespace halod::reference
