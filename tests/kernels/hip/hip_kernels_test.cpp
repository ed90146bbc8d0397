// Every GPU kernel, run on the lanes, against the reference: all formats, odd sizes, and the bits of batches.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/backend/hip/check_inputs.h"
#include "runtime/backend/hip/kernel_checks.h"
#include "runtime/backend/hip/lanes_device.h"
#include "tests/kernels/hip/gpu_formats.h"
#include "tests/support/wrapped_device.h"

namespace halod::hip {
namespace {

void expect_passed(const KernelChecks& checks) {
  EXPECT_FALSE(checks.empty());
  for (const KernelCheck& check : checks)
    EXPECT_TRUE(check.passed()) << check.what << ": NMSE " << check.nmse;
}

TEST(GpuRowKernels, MatchTheReferenceForAnyNumberOfColumns) {
  const auto device = make_lanes_device();
  // Of the last one, threads of top_k have two values.
  for (const int cols : {1, 31, 32, 64, 257, 1024, 2080, 9001}) expect_passed(check_rows(*device, cols));
}

class EveryFormatOnTheGpu : public testing::TestWithParam<Format> {
 protected:
  /// Rows that the format allows: one block, some, and for float formats lengths that no piece divides.
  std::vector<int> columns() const {
    const auto block = static_cast<int>(traits(GetParam()).block_elements);
    if (block == 1) return {1, 7, 33, 258, 1056};
    return {block, 3 * block, 1280};
  }
  std::unique_ptr<Device> device_ = make_lanes_device();
};

TEST_P(EveryFormatOnTheGpu, IsEmbeddedBitForBit) {
  for (const int cols : columns()) expect_passed(check_embed(*device_, GetParam(), cols));
}

/// Any bits of codes and scales, not only those that an encoder makes.
TEST_P(EveryFormatOnTheGpu, IsEmbeddedBitForBitWhateverItsBytesAre) {
  const FormatTraits& format = traits(GetParam());
  const RowLayout& layout = *find_row_layout(GetParam());
  const int cols = 40 * static_cast<int>(format.block_elements);
  std::vector<std::byte> blocks(static_cast<size_t>(format.row_bytes(cols)));
  uint32_t state = 23;
  for (std::byte& byte : blocks)
    byte = static_cast<std::byte>((state = state * 1664525U + 1013904223U) >> 24);
  const int64_t row_bytes = layout.row_bytes(cols);
  std::vector<unsigned char> row(static_cast<size_t>(row_bytes));
  layout.pack_row(blocks.data(), cols, reinterpret_cast<std::byte*>(row.data()));
  DeviceArray<unsigned char> device_row(*device_, row);
  DeviceArray<int32_t> token(*device_, 1);  // 0
  DeviceArray<float> out(*device_, cols);
  const WeightRows weights{.data = device_row.data(),
                           .expert_bytes = 0,
                           .row_bytes = static_cast<int32_t>(row_bytes),
                           .rows = 1,
                           .cols = cols,
                           .format = static_cast<int32_t>(GetParam())};
  launch(*device_, KernelId::embed, {.x = 1}, 0, EmbedArgs{weights, token.data(), out.data(), nullptr});
  std::vector<float> expected(static_cast<size_t>(cols));
  format.dequantize(blocks.data(), cols, expected.data());
  const std::vector<float> values = out.read();
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(values[i])) << "column " << i;
    } else {
      EXPECT_EQ(values[i], expected[i]) << "column " << i;
    }
  }
}

TEST_P(EveryFormatOnTheGpu, IsMultipliedWithOneToEightRows) {
  for (const int cols : columns()) {
    for (const int n_tokens : {1, 2, 3, 4, 5, 8})
      expect_passed(
          check_linear(*device_, {.formats = {GetParam()}, .rows = 19, .cols = cols, .n_tokens = n_tokens}));
  }
  expect_passed(
      check_linear(*device_, {.formats = {GetParam()}, .rows = 1, .cols = 256, .n_tokens = 1, .add = true}));
}

TEST(GpuLinear, AddsABias) {
  const auto device = make_lanes_device();
  for (const int n_tokens : {1, 2, 4, 8}) {
    for (const bool add : {false, true})
      expect_passed(check_linear(*device, {.formats = {Format::kQ8_0},
                                           .rows = 19,
                                           .cols = 64,
                                           .n_tokens = n_tokens,
                                           .add = add,
                                           .has_bias = true}));
  }
}

TEST_P(EveryFormatOnTheGpu, SharesALaunchWithOthers) {
  expect_passed(check_linear(
      *device_,
      {.formats = {Format::kF16, GetParam(), Format::kQ8_0}, .rows = 33, .cols = 256, .n_tokens = 2}));
}

TEST_P(EveryFormatOnTheGpu, ServesExpertsAndTheirRouter) {
  const auto block = static_cast<int>(traits(GetParam()).block_elements);
  const int hidden_size = block == 1 ? 136 : 512, width = block == 1 ? 40 : 256;
  expect_passed(check_experts(*device_, {.router = GetParam(),
                                         .gate = GetParam(),
                                         .up = GetParam(),
                                         .down = GetParam(),
                                         .n_experts = 13,
                                         .n_per_token = 3,
                                         .hidden_size = hidden_size,
                                         .width = width,
                                         .n_tokens = 3}));
}

TEST_P(EveryFormatOnTheGpu, ServesDenseLayersWithOneToFiveRows) {
  const auto block = static_cast<int>(traits(GetParam()).block_elements);
  for (const int n_tokens : {1, 2, 3, 4, 5}) {
    expect_passed(check_dense_gate_up(*device_, {.gate = GetParam(),
                                                 .up = Format::kF32,
                                                 .n_experts = 1,
                                                 .n_per_token = 1,
                                                 .hidden_size = block == 1 ? 33 : 256,
                                                 .width = 96,
                                                 .n_tokens = n_tokens}));
  }
}

/// Rows of x one at a time and together must give the same bits (runtime/backend/backend.h).
TEST_P(EveryFormatOnTheGpu, GivesARowTheSameBitsAloneAndInABatch) {
  constexpr int kRows = 21, kCols = 512, kTokens = 7;
  const CheckWeights weights(*device_, GetParam(), 1, kRows, kCols, 1);
  CheckActivations x(*device_, kTokens, kCols);
  x.write(check_values(kTokens * kCols, 2));
  x.quantise(*device_);
  DeviceArray<float> y(*device_, kTokens * kRows);
  const auto multiply = [&](int first, int n) {
    const ActivationRows rows = x.rows();
    LinearArgs args{
        .weights = {weights.device_rows()},
        .y = {y.data() + first * kRows},
        .first_tile = {0, 2},
        .n_matrices = 1,
        .n_tokens = n,
        .x = {rows.values + first * kCols, rows.codes + first * kCols, rows.groups + first * kCols / 32}};
    launch(*device_, linear_kernel(n), {.x = 2}, 0, args);
  };
  multiply(0, 7);
  const std::vector<float> together = y.read();
  for (const int n : {1, 2, 4}) {
    for (int first = 0; first + n <= kTokens; first += n) multiply(first, n);
    EXPECT_EQ(y.read(), together) << "in steps of " << n;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryFormatOnTheGpu, testing::ValuesIn(gpu_formats()),
                         [](const auto& test) { return std::string(traits(test.param).name); });

TEST(GpuExperts, MayBeManyAndOfMixedFormats) {
  const auto device = make_lanes_device();
  expect_passed(check_experts(*device, {.router = Format::kF32,
                                        .gate = Format::kQ4_K,
                                        .up = Format::kQ6_K,
                                        .down = Format::kQ5_K,
                                        .n_experts = 128,
                                        .n_per_token = 8,
                                        .hidden_size = 256,
                                        .width = 256,
                                        .n_tokens = 1}));
  expect_passed(check_experts(*device, {.router = Format::kF16,
                                        .gate = Format::kF16,
                                        .up = Format::kQ8_0,
                                        .down = Format::kQ4_0,
                                        .n_experts = 2,
                                        .n_per_token = 2,
                                        .hidden_size = 96,
                                        .width = 32,
                                        .n_tokens = 2}));
}

TEST(GpuExperts, MayHaveBiasesAndAClampedActivation) {
  const auto device = make_lanes_device();
  for (const Format format : {Format::kMXFP4, Format::kF16}) {
    for (const int width : {96, 32})
      expect_passed(check_experts(*device, {.gate = format,
                                            .up = format,
                                            .down = format,
                                            .n_experts = 5,
                                            .n_per_token = 3,
                                            .hidden_size = 160,
                                            .width = width,
                                            .n_tokens = 3,
                                            .has_biases = true,
                                            .activation = GatedActivation::kClampedSwiglu}));
  }
  // Rows that fill neither a group of 32 columns nor a wave's pair.
  expect_passed(check_experts(*device, {.gate = Format::kF32,
                                        .up = Format::kF32,
                                        .down = Format::kF32,
                                        .n_experts = 3,
                                        .n_per_token = 2,
                                        .hidden_size = 33,
                                        .width = 41,
                                        .n_tokens = 2,
                                        .has_biases = true}));
}

TEST(GpuExperts, AreWeighedInAnyWay) {
  const auto device = make_lanes_device();
  for (const Gating gating : {Gating::kSoftmax, Gating::kSoftmaxOfChosen, Gating::kSigmoid}) {
    for (const int n_per_token : {1, 4, 70})
      expect_passed(check_experts(*device, {.gate = Format::kQ8_0,
                                            .up = Format::kQ8_0,
                                            .down = Format::kQ8_0,
                                            .n_experts = 70,
                                            .n_per_token = n_per_token,
                                            .hidden_size = 64,
                                            .width = 32,
                                            .n_tokens = 2,
                                            .has_biases = n_per_token == 4,
                                            .gating = gating,
                                            .weights_scale = n_per_token == 4 ? 2.5F : 1.0F}));
  }
}

struct HeadsCase {
  int n_heads, n_kv_heads, head_dim;
};
class EveryShapeOfHeads : public testing::TestWithParam<HeadsCase> {};

TEST_P(EveryShapeOfHeads, AttendsAsTheReference) {
  const auto device = make_lanes_device();
  const auto [n_heads, n_kv_heads, head_dim] = GetParam();
  expect_passed(check_attention(
      *device, {.n_heads = n_heads, .n_kv_heads = n_kv_heads, .head_dim = head_dim, .n_keys = {1, 33, 170}}));
}

INSTANTIATE_TEST_SUITE_P(Heads, EveryShapeOfHeads,
                         testing::Values(HeadsCase{1, 1, 64}, HeadsCase{4, 2, 128}, HeadsCase{3, 1, 32},
                                         HeadsCase{8, 2, 96}, HeadsCase{5, 1, 80}, HeadsCase{8, 1, 16},
                                         HeadsCase{12, 1, 48}, HeadsCase{2, 1, 256}, HeadsCase{8, 1, 256}),
                         [](const auto& test) {
                           return "Queries" + std::to_string(test.param.n_heads) + "Keys" +
                                  std::to_string(test.param.n_kv_heads) + "Of" +
                                  std::to_string(test.param.head_dim);
                         });

TEST(GpuAttention, DoesWithoutNorms) {
  const auto device = make_lanes_device();
  expect_passed(check_attention(
      *device, {.n_heads = 4, .n_kv_heads = 2, .head_dim = 64, .n_keys = {40}, .has_norms = false}));
}

TEST(GpuAttention, AddsBiasesBeforeNormsAndRotation) {
  const auto device = make_lanes_device();
  for (const bool has_norms : {false, true})
    expect_passed(check_attention(*device, {.n_heads = 6,
                                            .n_kv_heads = 2,
                                            .head_dim = 48,
                                            .n_keys = {40, 3},
                                            .has_norms = has_norms,
                                            .has_biases = true}));
}

TEST(GpuAttention, RotatesNeighboursOrHalvesOfAWholeHeadOrItsFirstValues) {
  const auto device = make_lanes_device();
  for (const bool pairs_neighbours : {false, true}) {
    for (const int n_rotated : {2, 48, 80})
      expect_passed(check_attention(*device, {.n_heads = 2,
                                              .n_kv_heads = 1,
                                              .head_dim = 80,
                                              .n_keys = {35},
                                              .has_norms = n_rotated == 48,
                                              .n_rotated = n_rotated,
                                              .pairs_neighbours = pairs_neighbours}));
  }
}

TEST(GpuAttention, SeesTheWindowAlone) {
  EXPECT_EQ(most_pages_seen(1000, 0), 32);
  EXPECT_EQ(most_pages_seen(40, 1000), 2);
  EXPECT_EQ(most_pages_seen(1000, 1), 1);
  EXPECT_EQ(most_pages_seen(1000, 2), 2);  // the last key of a page and the first of the next
  EXPECT_EQ(most_pages_seen(1000, 33), 2);
  EXPECT_EQ(most_pages_seen(1000, 34), 3);
  const auto device = make_lanes_device();
  for (const int window : {1, 2, 32, 33, 140, 1000})
    expect_passed(check_attention(*device, {.n_heads = 3,
                                            .n_kv_heads = 1,
                                            .head_dim = 48,
                                            .n_keys = {1, 33, 97, 170},
                                            .window = window,
                                            .has_sinks = window == 33}));
}

TEST(GpuAttention, GivesSinksTheirShare) {
  const auto device = make_lanes_device();
  for (const int n_heads : {2, 6, 20})
    expect_passed(check_attention(
        *device,
        {.n_heads = n_heads, .n_kv_heads = 2, .head_dim = 32, .n_keys = {1, 140}, .has_sinks = true}));
}

TEST(GpuAttention, CutsLongContextsIntoLongerSplits) {
  EXPECT_EQ(splits_of_pages(1), 1);
  EXPECT_EQ(splits_of_pages(4), 1);
  EXPECT_EQ(splits_of_pages(5), 2);
  EXPECT_EQ(splits_of_pages(128), 32);
  for (const int n_keys : {4097, 5000, 32768, 1 << 20}) {
    const int n_pages = (n_keys + kPageTokens - 1) / kPageTokens;
    EXPECT_LE(splits_of_pages(n_pages), kMaxSplits);
    EXPECT_GT(splits_of_pages(n_pages), kMaxSplits / 2);
  }
  const auto device = make_lanes_device();
  // The shorter one of the two has more splits.
  expect_passed(
      check_attention(*device, {.n_heads = 2, .n_kv_heads = 1, .head_dim = 32, .n_keys = {4225, 4096}}));
}

TEST(GpuSelfTest, PassesOnAnIntactDevice) {
  const auto device = make_lanes_device();
  const Result<> result = self_test(*device);
  EXPECT_TRUE(result) << result.error().message;
}

/// A device that says which kernels it ran, and of which one may do nothing.
class WatchedDevice final : public test::WrappedDevice {
 public:
  void launch(KernelId kernel, Grid grid, int n_shared_bytes, const void* args) override {
    launched.insert(kernel);
    if (kernel != broken) WrappedDevice::launch(kernel, grid, n_shared_bytes, args);
  }
  std::set<KernelId> launched;
  std::optional<KernelId> broken;
};

bool notices(const SelfTest& test, KernelId broken) {
  WatchedDevice device;
  device.broken = broken;
  return !std::ranges::all_of(test(device), [](const KernelCheck& check) { return check.passed(); });
}

/// One test of those that run a kernel is enough, so that not all run once for every kernel.
TEST(GpuSelfTest, NoticesEveryKernelThatDoesNotWork) {
  std::map<KernelId, std::vector<SelfTest>> tests_of;
  for (const SelfTest& test : self_tests()) {
    WatchedDevice device;
    test(device);
    for (const KernelId kernel : device.launched) tests_of[kernel].push_back(test);
  }
  for (const KernelRow& kernel : kernel_table()) {
    EXPECT_TRUE(std::ranges::any_of(tests_of[kernel.id], [&](const SelfTest& test) {
      return notices(test, kernel.id);
    })) << kernel.name;
  }
}

TEST(GpuSelfTest, NamesTheDeviceAndWhatIsWrong) {
  WatchedDevice device;
  device.broken = KernelId::rms_norm;
  const Result<> result = self_test(device);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
  for (const char* part : {"lanes on the CPU", "rms_norm"})
    EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
}

}  // namespace
}  // namespace halod::hip
