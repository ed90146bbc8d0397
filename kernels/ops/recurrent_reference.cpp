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

namespace {

double softplus(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }

}  // namespace

void delta_gates(const DeltaGatesArgs& args) {
  for (int64_t h = 0; h < args.n_heads; ++h) {
    const double step = static_cast<double>(args.alpha[h]) + static_cast<double>(args.dt_bias[h]);
    args.decay[h] = static_cast<float>(std::exp(static_cast<double>(args.a[h]) * softplus(step)));
    args.beta[h] = static_cast<float>(1.0 / (1.0 + std::exp(-static_cast<double>(args.beta_logits[h]))));
  }
}

void ssm_scan(const SsmScanArgs& args) {
  for (int64_t t = 0; t < args.n_tokens; ++t) {
    const float *b = args.b + t * args.stride, *c = args.c + t * args.stride;
    float* x = args.x + t * args.stride;
    const auto decay = static_cast<double>(args.decay[t * args.gate_stride]),
               dt = static_cast<double>(args.dt[t * args.gate_stride]);
    for (int64_t column = 0; column < args.head_dim; ++column) {
      const auto value = static_cast<double>(x[column]);
      double out = static_cast<double>(args.skip) * value;
      for (int64_t row = 0; row < args.state_size; ++row) {
        float& state = args.state[row * args.head_dim + column];
        state =
            static_cast<float>(decay * static_cast<double>(state) + static_cast<double>(b[row]) * dt * value);
        out += static_cast<double>(state) * static_cast<double>(c[row]);
      }
      x[column] = static_cast<float>(out);
    }
  }
}

void ssm_gates(const SsmGatesArgs& args) {
  for (int64_t h = 0; h < args.n_heads; ++h) {
    const double dt = softplus(static_cast<double>(args.dt_logits[h]) + static_cast<double>(args.dt_bias[h]));
    args.dt[h] = static_cast<float>(dt);
    args.decay[h] = static_cast<float>(std::exp(static_cast<double>(args.a[h]) * dt));
  }
}

}  // namespace halod::reference
