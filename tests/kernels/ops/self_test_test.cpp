#include "kernels/ops/self_test.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "kernels/ops/reference.h"

namespace halod {
namespace {

TEST(TheKernelSelfTest, PassesEveryVariantThatThisCpuRuns) {
  for (const SelfTestRow& row : run_kernel_self_test()) {
    EXPECT_NE(row.result, SelfTestResult::kFailed)
        << row.operation << " " << row.variant << " " << row.format << ": " << row.nmse;
    if (row.variant == "reference") {
      EXPECT_EQ(row.result, SelfTestResult::kPassed);
      EXPECT_EQ(row.nmse, 0);
    }
  }
}

TEST(TheKernelSelfTest, LeavesNoRowOfAnyTableOut) {
  std::set<std::string> tested;
  std::set<std::string_view> formats;
  for (const SelfTestRow& row : run_kernel_self_test()) {
    tested.insert(std::string(row.operation) + "/" + std::string(row.variant));
    if (row.operation == "matmul") formats.insert(row.format);
  }
  EXPECT_EQ(formats.size(), all_formats().size());
  const auto expect_all = [&tested](const std::string& operation, const auto& variants) {
    for (const auto& variant : variants)
      EXPECT_TRUE(tested.contains(operation + "/" + std::string(variant.name)))
          << operation << " " << variant.name;
  };
  expect_all("matmul", matmul_variants());
  expect_all("quantize_activations", quantize_activations_variants());
  expect_all("attention", attention_variants());
  expect_all("kv_store", kv_store_variants());
  expect_all("rms_norm", rms_norm_variants());
  expect_all("rope", rope_variants());
  expect_all("swiglu", swiglu_variants());
  expect_all("weighted_sum", weighted_sum_variants());
  expect_all("router_top_k", router_top_k_variants());
  expect_all("clamped_swiglu", clamped_swiglu_variants());
  expect_all("sigmoid_gate", sigmoid_gate_variants());
  expect_all("causal_conv", causal_conv_variants());
  expect_all("delta_rule", delta_rule_variants());
  expect_all("delta_gates", delta_gates_variants());
  expect_all("squared_relu", squared_relu_variants());
  expect_all("ssm_scan", ssm_scan_variants());
  expect_all("ssm_gates", ssm_gates_variants());
}

}  // namespace
}  // namespace halod
