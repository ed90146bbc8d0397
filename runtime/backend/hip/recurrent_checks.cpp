// The checks of gated delta nets.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/hip/recurrent_args.h"
#include "kernels/ops/recurrent.h"
#include "runtime/backend/hip/check_inputs.h"
#include "runtime/backend/hip/kernel_checks.h"

namespace halod::hip {
namespace {

constexpr float kDeltaNetEpsilon = 1e-6F;
/// States go through some ten tokens, each with sums of a hundred terms in f32.
constexpr double kRecurrentBound = 1e-9;

double sigmoid_of(double x) { return 1.0 / (1.0 + std::exp(-x)); }

/// x * factor / sqrt(sum of squares + 1e-6).
void bring_to_length(std::span<float> x, double factor) {
  double squares = 0;
  for (const float value : x) squares += static_cast<double>(value) * static_cast<double>(value);
  const double scale = factor / std::sqrt(squares + 1e-6);
  for (float& value : x) value = static_cast<float>(static_cast<double>(value) * scale);
}

/// A recurrent layer of some sequences, whose rows lie one after the other, on the device and by the
/// reference.
class RecurrentCheck {
 public:
  RecurrentCheck(Device& device, const RecurrentCheckShape& shape)
      : device_(device),
        shape_(shape),
        dim_(shape.head_dim),
        n_channels_((2 * shape.n_key_heads + shape.n_value_heads) * dim_),
        value_size_(shape.n_value_heads * dim_) {
    for (const int n : shape.n_tokens) {
      first_rows_.push_back(n_rows_);
      n_rows_ += n;
    }
    longest_ = *std::max_element(shape.n_tokens.begin(), shape.n_tokens.end());
    x_ = check_values(int64_t{n_rows_} * n_channels_, 90);
    z_ = check_values(int64_t{n_rows_} * value_size_, 91);
    beta_ = check_values(int64_t{n_rows_} * shape.n_value_heads, 92);
    alpha_ = check_values(int64_t{n_rows_} * shape.n_value_heads, 93);
    conv_ = check_values(int64_t{kConvTaps} * n_channels_, 94);
    dt_bias_ = check_values(shape.n_value_heads, 95);
    a_ = check_values(shape.n_value_heads, 96);
    for (float& a : a_) a = -0.01F - 0.3F * std::abs(a);
    norm_ = check_values(dim_, 97);
  }

  KernelChecks run() {
    const std::vector<float> expected = expected_result();
    const std::vector<float> at_once = compute({.tokens = longest_, .rows_per_launch = longest_});
    const std::string what =
        fmt::format("{} {}/{} heads, {} sequences", kernel_row(*delta_net_kernel(dim_)).name,
                    shape_.n_key_heads, shape_.n_value_heads, shape_.n_tokens.size());
    KernelChecks checks = {{what, check_nmse(at_once, expected), kRecurrentBound},
                           {what + ": to 8 bits", rounding_}};
    for (const Cut& cut : {Cut{.tokens = 1, .rows_per_launch = 1}, Cut{.tokens = 7, .rows_per_launch = 3}}) {
      const bool is_same = compute(cut) == at_once;
      checks.push_back({fmt::format("{}: bits in steps of {}", what, cut.tokens), is_same ? 0.0 : 1.0});
    }
    return checks;
  }

 private:
  /// Of every sequence's tokens into steps, and of a step's rows into launches.
  struct Cut {
    int tokens, rows_per_launch;
  };

  int64_t state_floats() const {
    return int64_t{kConvTaps - 1} * n_channels_ + int64_t{shape_.n_value_heads} * dim_ * dim_;
  }

  std::vector<float> compute(const Cut& cut) {
    const int n_sequences = static_cast<int>(shape_.n_tokens.size()), n_heads = shape_.n_value_heads;
    DeviceArray<float> x(device_, x_), conv(device_, conv_), dt_bias(device_, dt_bias_), a(device_, a_),
        norm(device_, norm_), gates(device_, gate_values());
    CheckActivations out(device_, n_rows_, value_size_);
    out.write(z_);
    // What is in a state before a sequence begins must not matter.
    const std::vector<float> nothing(static_cast<size_t>(n_sequences * state_floats()),
                                     std::numeric_limits<float>::quiet_NaN());
    DeviceArray<float> states(device_, nothing);
    DeviceArray<StateSequence> sequences(device_, n_sequences);
    const int group = shape_.has_gates_by_key_head ? n_heads / shape_.n_key_heads : n_heads;
    for (int first = 0; first < longest_; first += cut.tokens) {
      std::vector<StateSequence> step;
      for (int s = 0; s < n_sequences; ++s) {
        const auto i = static_cast<size_t>(s);
        const int n = std::clamp(shape_.n_tokens[i] - first, 0, cut.tokens);
        step.push_back({first_rows_[i] + first, n, first, n_sequences - 1 - s});
      }
      sequences.write(step);
      for (int row = 0; row < cut.tokens; row += cut.rows_per_launch) {
        const SequencePart part{sequences.data(), row, cut.rows_per_launch};
        launch(device_, KernelId::causal_conv, {.x = (n_channels_ + 255) / 256, .y = n_sequences}, 0,
               CausalConvArgs{.x = x.data(),
                              .weight = conv.data(),
                              .state = states.data(),
                              .slot_floats = state_floats(),
                              .part = part,
                              .n_channels = n_channels_,
                              .x_stride = n_channels_});
        launch(
            device_, *delta_net_kernel(dim_), {.x = n_heads, .y = n_sequences}, delta_net_shared_bytes(dim_),
            DeltaNetArgs{.qkv = x.data(),
                         .beta = gates.data(),
                         .alpha = gates.data() + (shape_.has_gates_by_key_head ? group : n_rows_ * n_heads),
                         .a = a.data(),
                         .dt_bias = dt_bias.data(),
                         .norm = norm.data(),
                         .out = out.result(),
                         .state = states.data() + int64_t{kConvTaps - 1} * n_channels_,
                         .slot_floats = state_floats(),
                         .part = part,
                         .epsilon = kDeltaNetEpsilon,
                         .gate_stride = shape_.has_gates_by_key_head ? 2 * n_heads : n_heads,
                         .gate_group = group,
                         .gate_group_stride = shape_.has_gates_by_key_head ? 2 * group : group,
                         .n_key_heads = shape_.n_key_heads,
                         .n_value_heads = n_heads,
                         .tiles_value_heads = shape_.tiles_value_heads ? 1 : 0});
      }
    }
    rounding_ = rounding_error(out, n_rows_, value_size_);
    return out.values();
  }

  /// Beta and alpha one matrix after the other, or in one by key head.
  std::vector<float> gate_values() const {
    std::vector<float> gates;
    const int n_heads = shape_.n_value_heads, group = n_heads / shape_.n_key_heads;
    if (!shape_.has_gates_by_key_head) {
      gates = beta_;
      gates.insert(gates.end(), alpha_.begin(), alpha_.end());
      return gates;
    }
    for (int at = 0; at < n_rows_ * n_heads; at += group) {
      for (const std::vector<float>* from : {&beta_, &alpha_})
        gates.insert(gates.end(), from->begin() + at, from->begin() + at + group);
    }
    return gates;
  }

  std::vector<float> expected_result() const {
    std::vector<float> result(static_cast<size_t>(n_rows_ * value_size_));
    for (size_t s = 0; s < shape_.n_tokens.size(); ++s) {
      const int first = first_rows_[s], n = shape_.n_tokens[s];
      std::vector<float> x(x_.begin() + int64_t{first} * n_channels_,
                           x_.begin() + int64_t{first + n} * n_channels_);
      std::vector<float> past(static_cast<size_t>((kConvTaps - 1) * n_channels_));
      reference::causal_conv({.x = x.data(),
                              .x_stride = n_channels_,
                              .n_tokens = n,
                              .n_channels = n_channels_,
                              .weight = conv_.data(),
                              .weight_stride = n_channels_,
                              .n_taps = kConvTaps,
                              .state = past.data(),
                              .state_stride = n_channels_});
      for (int t = 0; t < n; ++t) {
        for (int h = 0; h < 2 * shape_.n_key_heads; ++h) {
          const std::span head(x.data() + t * n_channels_ + h * dim_, static_cast<size_t>(dim_));
          bring_to_length(head, h < shape_.n_key_heads ? 1.0 / std::sqrt(static_cast<double>(dim_)) : 1.0);
        }
      }
      for (int h = 0; h < shape_.n_value_heads; ++h) expect_head(h, x, first, n, result);
    }
    return result;
  }

  void expect_head(int head, std::vector<float>& x, int first, int n, std::vector<float>& result) const {
    const int n_keys = shape_.n_key_heads, n_heads = shape_.n_value_heads;
    const int key_head = shape_.tiles_value_heads ? head % n_keys : head / (n_heads / n_keys);
    std::vector<float> decay(static_cast<size_t>(n)), beta(decay), state(static_cast<size_t>(dim_ * dim_));
    for (int t = 0; t < n; ++t) {
      const int at = (first + t) * n_heads + head;
      reference::delta_gates({.alpha = &alpha_[static_cast<size_t>(at)],
                              .beta_logits = &beta_[static_cast<size_t>(at)],
                              .a = &a_[static_cast<size_t>(head)],
                              .dt_bias = &dt_bias_[static_cast<size_t>(head)],
                              .n_heads = 1,
                              .decay = &decay[static_cast<size_t>(t)],
                              .beta = &beta[static_cast<size_t>(t)]});
    }
    float* v = x.data() + (2 * n_keys + head) * dim_;
    reference::delta_rule({.q = x.data() + key_head * dim_,
                           .k = x.data() + (n_keys + key_head) * dim_,
                           .v = v,
                           .stride = n_channels_,
                           .decay = decay.data(),
                           .beta = beta.data(),
                           .gate_stride = 1,
                           .n_tokens = n,
                           .head_dim = dim_,
                           .state = state.data()});
    for (int t = 0; t < n; ++t) {
      float* row = v + t * n_channels_;
      reference::rms_norm({row, norm_.data(), row, dim_, kDeltaNetEpsilon});
      const int64_t at = int64_t{first + t} * value_size_ + head * dim_;
      for (int i = 0; i < dim_; ++i) {
        const auto z = static_cast<double>(z_[static_cast<size_t>(at + i)]);
        result[static_cast<size_t>(at + i)] =
            static_cast<float>(static_cast<double>(row[i]) * z * sigmoid_of(z));
      }
    }
  }

  Device& device_;
  const RecurrentCheckShape& shape_;
  int dim_, n_channels_, value_size_;
  int n_rows_ = 0, longest_ = 0;
  std::vector<int> first_rows_;
  std::vector<float> x_, z_, beta_, alpha_, conv_, dt_bias_, a_, norm_;
  double rounding_ = 0;
};

}  // namespace

KernelChecks check_recurrent(Device& device, const RecurrentCheckShape& shape) {
  return RecurrentCheck(device, shape).run();
}

}  // namespace halod::hip
