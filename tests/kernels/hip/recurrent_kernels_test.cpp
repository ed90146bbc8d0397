// What qwen3next, qwen35moe and minimax-m2 need beyond the older architectures: recurrent layers, gated
// attention, a shared expert, a bias of the experts' choice. On the lanes of the CPU, against the reference.
#include <gtest/gtest.h>

#include <array>
#include <utility>

#include "kernels/hip/kernel_table.h"
#include "runtime/backend/hip/kernel_checks.h"
#include "runtime/backend/hip/lanes_device.h"

namespace halod::hip {
namespace {

void expect_correct(const KernelChecks& checks) {
  EXPECT_FALSE(checks.empty());
  for (const KernelCheck& check : checks)
    EXPECT_TRUE(check.passed()) << check.what << ": NMSE " << check.nmse;
}

TEST(GpuExperts, MayBeChosenByABiasThatDoesNotWeighThem) {
  const auto device = make_lanes_device();
  for (const int n_per_token : {1, 5})
    expect_correct(check_experts(*device, {.gate = Format::kQ8_0,
                                           .up = Format::kQ8_0,
                                           .down = Format::kQ8_0,
                                           .n_experts = 40,
                                           .n_per_token = n_per_token,
                                           .hidden_size = 64,
                                           .width = 32,
                                           .n_tokens = 3,
                                           .gating = Gating::kSigmoid,
                                           .weights_scale = 2.5F,
                                           .has_selection_bias = true}));
}

TEST(GpuExperts, MayHaveOneThatEveryTokenGoesTo) {
  const auto device = make_lanes_device();
  for (const Format format : {Format::kQ4_0, Format::kF16}) {
    // Narrower and wider than the others; experts that fill no block of the router.
    for (const int shared_width : {32, 160})
      expect_correct(check_experts(*device, {.router = format,
                                             .gate = format,
                                             .up = Format::kQ8_0,
                                             .down = format,
                                             .n_experts = 9,
                                             .n_per_token = 2,
                                             .hidden_size = 96,
                                             .width = 64,
                                             .n_tokens = 3,
                                             .has_biases = shared_width == 32,
                                             .shared_width = shared_width}));
  }
}

TEST(GpuRecurrence, ComputesTheGatedDeltaRuleInAnySteps) {
  const auto device = make_lanes_device();
  for (const int head_dim : {64, 128}) {
    for (const bool tiles_value_heads : {false, true})
      expect_correct(check_recurrent(*device, {.head_dim = head_dim,
                                               .n_key_heads = 2,
                                               .n_value_heads = 4,
                                               .n_tokens = {1, 19, 4},
                                               .tiles_value_heads = tiles_value_heads,
                                               .has_gates_by_key_head = !tiles_value_heads}));
  }
}

TEST(GpuRecurrence, ScansMamba2sStatesInAnySteps) {
  const auto device = make_lanes_device();
  // Nemotron-3 Nano's heads and states; Nemotron Nano v2's, which lie across blocks; Nemotron-H 47B's states;
  // small ones, of which a block has several and some waves none.
  for (const auto& [n_groups, n_heads, head_dim, state_size] : {std::array{1, 2, 64, 128},
                                                                {1, 2, 80, 128},
                                                                {1, 1, 64, 256},
                                                                {4, 8, 16, 32},
                                                                {2, 6, 16, 16},
                                                                {1, 3, 48, 144}}) {
    for (const bool has_conv_bias : {false, true})
      expect_correct(check_mamba2(*device, {.n_groups = n_groups,
                                            .n_heads = n_heads,
                                            .head_dim = head_dim,
                                            .state_size = state_size,
                                            .n_tokens = {1, 19, 4},
                                            .has_conv_bias = has_conv_bias}));
  }
}

TEST(GpuRecurrence, HasNoScanForOddHeadsAndStates) {
  EXPECT_NE(find_ssm_scan(128, 64), nullptr);
  EXPECT_EQ(find_ssm_scan(128, 64)->most_rows, 128);
  EXPECT_EQ(find_ssm_scan(144, 80)->most_rows, 256);
  EXPECT_EQ(find_ssm_scan(272, 64), nullptr);
  EXPECT_EQ(find_ssm_scan(120, 64), nullptr);
  EXPECT_EQ(find_ssm_scan(128, 72), nullptr);
}

TEST(GpuExperts, MayHaveNoGate) {
  const auto device = make_lanes_device();
  for (const Format format : {Format::kQ8_0, Format::kF16}) {
    for (const int shared_width : {0, 32, 160})
      expect_correct(check_experts(*device, {.gate = format,
                                             .up = format,
                                             .down = format,
                                             .n_experts = 9,
                                             .n_per_token = 2,
                                             .hidden_size = 96,
                                             .width = 96,
                                             .n_tokens = 3,
                                             .activation = GatedActivation::kSquaredRelu,
                                             .shared_width = shared_width}));
    for (const int n_tokens : {1, 2, 4})
      expect_correct(check_dense_gate_up(*device, {.gate = format,
                                                   .up = format,
                                                   .n_experts = 1,
                                                   .n_per_token = 1,
                                                   .hidden_size = 96,
                                                   .width = 80,
                                                   .n_tokens = n_tokens,
                                                   .activation = GatedActivation::kSquaredRelu}));
  }
}

TEST(GpuWeights, MayHaveTheirColumnsInAnOrderOfTheirOwn) {
  const auto device = make_lanes_device();
  for (const auto& [format, cols] :
       {std::pair{Format::kInt4G128, 256}, {Format::kInt8G32, 64}, {Format::kF16, 41}, {Format::kQ8_0, 32}})
    expect_correct(check_column_orders(*device, format, cols));
  for (const Format router : {Format::kF32, Format::kQ8_0, Format::kInt4G32})
    for (const int shared_width : {0, 32})
      expect_correct(check_experts(*device, {.router = router,
                                             .gate = Format::kQ8_0,
                                             .up = Format::kQ8_0,
                                             .down = Format::kQ8_0,
                                             .n_experts = 9,
                                             .n_per_token = 2,
                                             .hidden_size = 96,
                                             .width = 32,
                                             .n_tokens = 3,
                                             .shared_width = shared_width,
                                             .has_orders = true}));
}

TEST(GpuAttention, MayBeGatedByWhatLiesBesideItsQueries) {
  const auto device = make_lanes_device();
  for (const int n_heads : {2, 6, 20})
    expect_correct(check_attention(*device, {.n_heads = n_heads,
                                             .n_kv_heads = 2,
                                             .head_dim = 48,
                                             .n_keys = {1, 140},
                                             .has_biases = n_heads == 6,
                                             .n_rotated = 16,
                                             .is_gated = true}));
}

}  // namespace
}  // namespace halod::hip
