// Recurrent layers: some tokens from zero states.
#include "kernels/ops/recurrent.h"

#include "kernels/ops/reference.h"
#include "kernels/ops/self_test_report.h"

namespace halod::self_test {
namespace {

/// What the convolution leaves of five tokens' channels, then its state.
std::vector<float> convolved(const KernelVariant<CausalConvArgs>& variant) {
  constexpr int64_t kTokens = 5, kChannels = 48, kTaps = 4;
  std::vector<float> x = check_values(kTokens * kChannels, 11), state((kTaps - 1) * kChannels);
  const std::vector<float> weight = check_values(kTaps * kChannels, 12);
  variant.run({.x = x.data(),
               .x_stride = kChannels,
               .n_tokens = kTokens,
               .n_channels = kChannels,
               .weight = weight.data(),
               .weight_stride = kChannels,
               .n_taps = kTaps,
               .state = state.data(),
               .state_stride = kChannels});
  x.insert(x.end(), state.begin(), state.end());
  return x;
}

/// What the delta rule leaves of five tokens' queries, keys and values, then its state.
std::vector<float> scanned(const KernelVariant<DeltaRuleArgs>& variant) {
  constexpr int64_t kTokens = 5, kHeadDim = 48;
  std::vector<float> rows = check_values(kTokens * 3 * kHeadDim, 13), state(kHeadDim * kHeadDim);
  for (float& value : rows) value *= 0.1F;
  const std::vector<float> decay(kTokens, 0.9F), beta(kTokens, 0.5F);
  variant.run({.q = rows.data(),
               .k = rows.data() + kHeadDim,
               .v = rows.data() + 2 * kHeadDim,
               .stride = 3 * kHeadDim,
               .decay = decay.data(),
               .beta = beta.data(),
               .gate_stride = 1,
               .n_tokens = kTokens,
               .head_dim = kHeadDim,
               .state = state.data()});
  rows.insert(rows.end(), state.begin(), state.end());
  return rows;
}

/// The same of Mamba-2's scan: values, what is written under, what is read by; then its state.
std::vector<float> scanned_ssm(const KernelVariant<SsmScanArgs>& variant) {
  constexpr int64_t kTokens = 5, kHeadDim = 48, kStateSize = 32, kStride = kHeadDim + 2 * kStateSize;
  std::vector<float> rows = check_values(kTokens * kStride, 15), state(kStateSize * kHeadDim);
  const std::vector<float> decay(kTokens, 0.9F), dt(kTokens, 0.5F);
  variant.run({.b = rows.data() + kHeadDim,
               .c = rows.data() + kHeadDim + kStateSize,
               .x = rows.data(),
               .stride = kStride,
               .decay = decay.data(),
               .dt = dt.data(),
               .gate_stride = 1,
               .n_tokens = kTokens,
               .state_size = kStateSize,
               .head_dim = kHeadDim,
               .skip = 0.75F,
               .state = state.data()});
  rows.insert(rows.end(), state.begin(), state.end());
  return rows;
}

}  // namespace

void test_recurrent(Report& report) {
  const std::vector<float> expected_conv = convolved(causal_conv_variants().back());
  for (const auto& variant : causal_conv_variants())
    report.add("causal_conv", variant, "", [&] { return check_nmse(convolved(variant), expected_conv); });
  const std::vector<float> expected_scan = scanned(delta_rule_variants().back());
  for (const auto& variant : delta_rule_variants())
    report.add("delta_rule", variant, "", [&] { return check_nmse(scanned(variant), expected_scan); });
  const std::vector<float> x = check_values(4, 14);
  for (const auto& variant : delta_gates_variants()) {
    report.add("delta_gates", variant, "", [&] {
      std::vector<float> gates(8), expected(8);
      variant.run({x.data(), x.data(), x.data(), x.data(), 4, gates.data(), gates.data() + 4});
      reference::delta_gates(
          {x.data(), x.data(), x.data(), x.data(), 4, expected.data(), expected.data() + 4});
      return check_nmse(gates, expected);
    });
  }
}

void test_ssm(Report& report) {
  const std::vector<float> expected_scan = scanned_ssm(ssm_scan_variants().back());
  for (const auto& variant : ssm_scan_variants())
    report.add("ssm_scan", variant, "", [&] { return check_nmse(scanned_ssm(variant), expected_scan); });
  const std::vector<float> x = check_values(4, 16);
  for (const auto& variant : ssm_gates_variants()) {
    report.add("ssm_gates", variant, "", [&] {
      std::vector<float> gates(8), expected(8);
      variant.run({x.data(), x.data(), x.data(), 4, gates.data(), gates.data() + 4});
      reference::ssm_gates({x.data(), x.data(), x.data(), 4, expected.data(), expected.data() + 4});
      return check_nmse(gates, expected);
    });
  }
}

}  // namespace halod::self_test
