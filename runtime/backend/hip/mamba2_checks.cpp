// The checks of Mamba-2's layers: convolution, scan, gate and norm.
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

constexpr float kMamba2Epsilon = 1e-5F;
/// States go through some twenty tokens, each with sums of some hundred terms in f32.
constexpr double kMamba2Bound = 1e-9;

/// A layer of some sequences, whose rows lie one after the other, on the device and by the reference.
class Mamba2Check {
 public:
  Mamba2Check(Device& device, const Mamba2CheckShape& shape)
      : device_(device),
        shape_(shape),
        scan_(*find_ssm_scan(shape.state_size, shape.head_dim)),
        value_size_(shape.n_heads * shape.head_dim),
        n_channels_(value_size_ + 2 * shape.n_groups * shape.state_size),
        stride_(value_size_ + n_channels_ + shape.n_heads) {
    for (const int n : shape.n_tokens) {
      first_rows_.push_back(n_rows_);
      n_rows_ += n;
    }
    longest_ = *std::max_element(shape.n_tokens.begin(), shape.n_tokens.end());
    projected_ = check_values(int64_t{n_rows_} * stride_, 110);
    conv_ = check_values(int64_t{kConvTaps} * n_channels_, 111);
    conv_bias_ = check_values(n_channels_, 112);
    dt_bias_ = check_values(shape.n_heads, 113);
    a_ = check_values(shape.n_heads, 114);
    for (float& a : a_) a = -0.01F - 0.3F * std::abs(a);
    skip_ = check_values(shape.n_heads, 115);
    norm_ = check_values(value_size_, 116);
  }

  KernelChecks run() {
    const std::vector<float> expected = expected_result();
    const std::vector<float> at_once = compute({.tokens = longest_, .rows_per_launch = longest_});
    const std::string what = fmt::format("{} {} heads of {}, {} groups of {}, {} sequences",
                                         kernel_row(scan_.kernel).name, shape_.n_heads, shape_.head_dim,
                                         shape_.n_groups, shape_.state_size, shape_.n_tokens.size());
    KernelChecks checks = {{what, check_nmse(at_once, expected), kMamba2Bound}};
    if (value_size_ % kGroupColumns == 0) checks.push_back({what + ": to 8 bits", rounding_});
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

  int64_t conv_floats() const { return int64_t{kConvTaps - 1} * n_channels_; }
  int64_t state_floats() const { return conv_floats() + int64_t{value_size_} * shape_.state_size; }

  std::vector<float> compute(const Cut& cut) {
    const int n_sequences = static_cast<int>(shape_.n_tokens.size());
    const int group_size = value_size_ / shape_.n_groups;
    DeviceArray<float> projected(device_, projected_), conv(device_, conv_), conv_bias(device_, conv_bias_),
        dt_bias(device_, dt_bias_), a(device_, a_), skip(device_, skip_), norm(device_, norm_);
    CheckActivations out(device_, n_rows_, value_size_);
    // What is in a state before a sequence begins must not matter.
    const std::vector<float> nothing(static_cast<size_t>(n_sequences * state_floats()),
                                     std::numeric_limits<float>::quiet_NaN());
    DeviceArray<float> states(device_, nothing);
    DeviceArray<StateSequence> sequences(device_, n_sequences);
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
               CausalConvArgs{.x = projected.data() + value_size_,
                              .weight = conv.data(),
                              .state = states.data(),
                              .slot_floats = state_floats(),
                              .part = part,
                              .n_channels = n_channels_,
                              .x_stride = stride_,
                              .bias = shape_.has_conv_bias ? conv_bias.data() : nullptr});
        launch(device_, scan_.kernel, {.x = shape_.n_groups * ssm_blocks(group_size), .y = n_sequences},
               ssm_scan_shared_bytes(scan_.most_rows),
               SsmScanArgs{.channels = projected.data() + value_size_,
                           .dt = projected.data() + value_size_ + n_channels_,
                           .z = projected.data(),
                           .a = a.data(),
                           .dt_bias = dt_bias.data(),
                           .skip = skip.data(),
                           .out = out.result().values,
                           .state = states.data() + conv_floats(),
                           .slot_floats = state_floats(),
                           .part = part,
                           .stride = stride_,
                           .n_groups = shape_.n_groups,
                           .group_size = group_size,
                           .head_dim = shape_.head_dim,
                           .state_size = shape_.state_size});
      }
    }
    launch(device_, KernelId::group_norm, {.x = n_rows_}, group_norm_shared_bytes(shape_.n_groups),
           GroupNormArgs{.x = out.result(),
                         .weight = norm.data(),
                         .epsilon = kMamba2Epsilon,
                         .n_groups = shape_.n_groups,
                         .group_size = group_size});
    if (value_size_ % kGroupColumns == 0) rounding_ = rounding_error(out, n_rows_, value_size_);
    return out.values();
  }

  std::vector<float> expected_result() const {
    std::vector<float> result;
    for (size_t s = 0; s < shape_.n_tokens.size(); ++s) {
      const int n = shape_.n_tokens[s];
      const auto begin = projected_.begin() + int64_t{first_rows_[s]} * stride_;
      std::vector<float> rows(begin, begin + int64_t{n} * stride_);
      std::vector<float> past(static_cast<size_t>(conv_floats()));
      reference::causal_conv({.x = rows.data() + value_size_,
                              .x_stride = stride_,
                              .n_tokens = n,
                              .n_channels = n_channels_,
                              .weight = conv_.data(),
                              .weight_stride = n_channels_,
                              .n_taps = kConvTaps,
                              .state = past.data(),
                              .state_stride = n_channels_,
                              .bias = shape_.has_conv_bias ? conv_bias_.data() : nullptr});
      for (int h = 0; h < shape_.n_heads; ++h) scan_head(h, rows, n);
      for (int t = 0; t < n; ++t) append_normed(rows.data() + int64_t{t} * stride_, result);
    }
    return result;
  }

  /// The head's values become its results.
  void scan_head(int head, std::vector<float>& rows, int n) const {
    const int n_keys = shape_.n_groups * shape_.state_size;
    const int keys = value_size_ + head / (shape_.n_heads / shape_.n_groups) * shape_.state_size;
    std::vector<float> decay(static_cast<size_t>(n)), dt(decay),
        state(static_cast<size_t>(shape_.state_size * shape_.head_dim));
    for (int t = 0; t < n; ++t) {
      const auto i = static_cast<size_t>(t), h = static_cast<size_t>(head);
      reference::ssm_gates(
          {.dt_logits = rows.data() + int64_t{t} * stride_ + value_size_ + n_channels_ + head,
           .a = &a_[h],
           .dt_bias = &dt_bias_[h],
           .n_heads = 1,
           .decay = &decay[i],
           .dt = &dt[i]});
    }
    float* channels = rows.data() + value_size_;
    reference::ssm_scan({.b = channels + keys,
                         .c = channels + keys + n_keys,
                         .x = channels + head * shape_.head_dim,
                         .stride = stride_,
                         .decay = decay.data(),
                         .dt = dt.data(),
                         .gate_stride = 1,
                         .n_tokens = n,
                         .state_size = shape_.state_size,
                         .head_dim = shape_.head_dim,
                         .skip = skip_[static_cast<size_t>(head)],
                         .state = state.data()});
  }

  /// norm(x * silu(z)) of a row, group by group.
  void append_normed(const float* row, std::vector<float>& result) const {
    std::vector<float> gated(row, row + value_size_);
    reference::swiglu({gated.data(), row + value_size_, value_size_});
    const int group_size = value_size_ / shape_.n_groups;
    for (int first = 0; first < value_size_; first += group_size)
      reference::rms_norm(
          {gated.data() + first, norm_.data() + first, gated.data() + first, group_size, kMamba2Epsilon});
    result.insert(result.end(), gated.begin(), gated.end());
  }

  Device& device_;
  const Mamba2CheckShape& shape_;
  const SsmScan& scan_;
  int value_size_, n_channels_, stride_;
  int n_rows_ = 0, longest_ = 0;
  std::vector<int> first_rows_;
  std::vector<float> projected_, conv_, conv_bias_, dt_bias_, a_, skip_, norm_;
  double rounding_ = 0;
};

}  // namespace

KernelChecks check_mamba2(Device& device, const Mamba2CheckShape& shape) {
  return Mamba2Check(device, shape).run();
}

}  // namespace halod::hip
