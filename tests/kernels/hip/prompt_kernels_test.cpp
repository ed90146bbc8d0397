// The kernels of prompts, run on the lanes: against the reference, and against the bits of the decode
// kernels.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/hip/weight_layout.h"
#include "runtime/backend/hip/check_inputs.h"
#include "runtime/backend/hip/kernel_checks.h"
#include "runtime/backend/hip/lanes_device.h"
#include "tests/kernels/hip/gpu_formats.h"

namespace halod::hip {
namespace {

void expect_right(const KernelChecks& checks) {
  EXPECT_FALSE(checks.empty());
  for (const KernelCheck& check : checks)
    EXPECT_TRUE(check.passed()) << check.what << ": NMSE " << check.nmse;
}

class EveryFormatOfPrompts : public testing::TestWithParam<Format> {
 protected:
  WeightKind kind() const {
    return find_row_layout(GetParam())->needs_codes ? WeightKind::kQuantised : WeightKind::kFloats;
  }
  std::unique_ptr<Device> device_ = make_lanes_device();
};

TEST_P(EveryFormatOfPrompts, HasTheBitsOfDecodeForAnyNumberOfRowsAndTile) {
  const auto block = static_cast<int>(traits(GetParam()).block_elements);
  for (const PromptTile& tile : prompt_linear_tiles(kind())) {
    for (const int n_tokens : {1, 15, 16, 17, 33, 65})
      expect_right(check_prompt_linear(
          *device_, {.formats = {GetParam()}, .rows = 37, .cols = 256, .n_tokens = n_tokens}, tile));
    // One block, an odd number of groups where the format allows, lengths that no piece of floats divides,
    // and more steps than there are chains.
    for (const int cols :
         block == 1 ? std::vector<int>{1, 7, 33, 258, 1057} : std::vector<int>{block, 5 * block, 1280})
      expect_right(check_prompt_linear(
          *device_, {.formats = {GetParam()}, .rows = 65, .cols = cols, .n_tokens = 3, .add = true}, tile));
  }
}

TEST_P(EveryFormatOfPrompts, ServesSortedExperts) {
  for (const PromptTile& tile : prompt_gate_up_tiles(kind())) {
    const auto linear_tiles = prompt_linear_tiles(kind());
    const PromptTile& linear = linear_tiles[tile.row_fragments == 1 ? 0 : linear_tiles.size() - 1];
    for (const int n_tokens : {1, 9})
      expect_right(check_prompt_experts(*device_,
                                        {.gate = GetParam(),
                                         .up = GetParam(),
                                         .down = GetParam(),
                                         .n_experts = 3,
                                         .n_per_token = 2,
                                         .hidden_size = kind() == WeightKind::kFloats ? 133 : 256,
                                         .width = kind() == WeightKind::kFloats ? 41 : 256,
                                         .n_tokens = n_tokens},
                                        linear, tile));
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryFormatOfPrompts, testing::ValuesIn(gpu_formats()),
                         [](const auto& test) { return std::string(traits(test.param).name); });

TEST(PromptProducts, ShareALaunchAmongFormats) {
  const auto device = make_lanes_device();
  expect_right(check_prompt_linear(
      *device,
      {.formats = {Format::kF16, Format::kF32, Format::kBF16}, .rows = 70, .cols = 256, .n_tokens = 18},
      prompt_linear_tiles(WeightKind::kFloats)[0]));
  for (const PromptTile& tile : prompt_linear_tiles(WeightKind::kQuantised))
    expect_right(check_prompt_linear(
        *device,
        {.formats = {Format::kQ8_0, Format::kQ6_K, Format::kQ4_K}, .rows = 70, .cols = 256, .n_tokens = 18},
        tile));
}

TEST(PromptProducts, AddABias) {
  const auto device = make_lanes_device();
  for (const Format format : {Format::kQ8_0, Format::kF16}) {
    for (const PromptTile& tile :
         prompt_linear_tiles(format == Format::kF16 ? WeightKind::kFloats : WeightKind::kQuantised)) {
      for (const bool add : {false, true})
        expect_right(check_prompt_linear(
            *device,
            {.formats = {format}, .rows = 70, .cols = 64, .n_tokens = 18, .add = add, .has_bias = true},
            tile));
    }
  }
}

TEST(PromptExperts, MayHaveAllTokensOrNone) {
  const auto device = make_lanes_device();
  for (const PromptTile& linear : prompt_linear_tiles(WeightKind::kQuantised)) {
    for (const int n_tokens : {16, 65})
      expect_right(check_prompt_experts(*device,
                                        {.gate = Format::kQ4_K,
                                         .up = Format::kQ6_K,
                                         .down = Format::kQ8_0,
                                         .n_experts = 40,
                                         .n_per_token = 1,
                                         .hidden_size = 256,
                                         .width = 96,
                                         .n_tokens = n_tokens,
                                         .routing = Routing::kUneven},
                                        linear, prompt_gate_up_tiles(WeightKind::kQuantised)[1]));
  }
}

TEST(PromptExperts, MayHaveBiasesAndAClampedActivation) {
  const auto device = make_lanes_device();
  for (const Format format : {Format::kMXFP4, Format::kF16}) {
    const WeightKind kind = format == Format::kF16 ? WeightKind::kFloats : WeightKind::kQuantised;
    for (const PromptTile& tile : prompt_gate_up_tiles(kind))
      expect_right(check_prompt_experts(*device,
                                        {.gate = format,
                                         .up = format,
                                         .down = format,
                                         .n_experts = 5,
                                         .n_per_token = 2,
                                         .hidden_size = 96,
                                         .width = kind == WeightKind::kFloats ? 41 : 64,
                                         .n_tokens = 19,
                                         .has_biases = true,
                                         .activation = GatedActivation::kClampedSwiglu},
                                        prompt_linear_tiles(kind)[0], tile));
  }
}

TEST(PromptExperts, MayHaveNoGate) {
  const auto device = make_lanes_device();
  for (const Format format : {Format::kQ8_0, Format::kF16}) {
    const WeightKind kind = format == Format::kF16 ? WeightKind::kFloats : WeightKind::kQuantised;
    for (const PromptTile& tile : prompt_gate_up_tiles(kind)) {
      // A block's two groups of columns: both, one, and for floats part of one.
      for (const int width : {128, 96, kind == WeightKind::kFloats ? 41 : 32})
        expect_right(check_prompt_experts(*device,
                                          {.gate = format,
                                           .up = format,
                                           .down = format,
                                           .n_experts = 5,
                                           .n_per_token = 2,
                                           .hidden_size = 64,
                                           .width = width,
                                           .n_tokens = 19,
                                           .activation = GatedActivation::kSquaredRelu,
                                           .shared_width = 64,
                                           .add = width == 128},
                                          prompt_linear_tiles(kind)[0], tile));
    }
  }
}

TEST(PromptExperts, MayBeMoreThanAWaveHasLanes) {
  const auto device = make_lanes_device();
  expect_right(check_prompt_experts(*device,
                                    {.gate = Format::kQ4_0,
                                     .up = Format::kQ4_0,
                                     .down = Format::kQ4_0,
                                     .n_experts = 128,
                                     .n_per_token = 8,
                                     .hidden_size = 64,
                                     .width = 32,
                                     .n_tokens = 33},
                                    prompt_linear_tiles(WeightKind::kQuantised)[0],
                                    prompt_gate_up_tiles(WeightKind::kQuantised)[0]));
}

TEST(PromptTiles, AreChosenByTheRowsOfAnExpert) {
  EXPECT_EQ(choose_tile(prompt_linear_tiles(WeightKind::kQuantised), 16, 1).kernel,
            KernelId::prompt_linear_16);
  EXPECT_EQ(choose_tile(prompt_linear_tiles(WeightKind::kQuantised), 17, 1).kernel,
            KernelId::prompt_linear_32);
  EXPECT_EQ(choose_tile(prompt_gate_up_tiles(WeightKind::kQuantised), 512 * 8, 128).kernel,
            KernelId::prompt_gate_up_32);
  EXPECT_EQ(choose_tile(prompt_gate_up_tiles(WeightKind::kQuantised), 128 * 8, 128).kernel,
            KernelId::prompt_gate_up_16);
}

TEST(PromptLaunches, StayUnderATenthOfASecondAtATenthOfThePaperRate) {
  EXPECT_EQ(rows_per_launch(622e6, 1), 482);
  EXPECT_EQ(rows_per_launch(622e6, 32), 480);
  EXPECT_EQ(rows_per_launch(1e12, 16), 16);  // a row that is too long alone still goes
}

struct PromptHeadsCase {
  int n_heads, n_kv_heads, head_dim, window;
};
class EveryShapeOfPromptHeads : public testing::TestWithParam<PromptHeadsCase> {};

TEST_P(EveryShapeOfPromptHeads, AttendsAsInDouble) {
  const auto device = make_lanes_device();
  const auto [n_heads, n_kv_heads, head_dim, window] = GetParam();
  expect_right(check_prompt_attention(
      *device,
      {.n_heads = n_heads,
       .n_kv_heads = n_kv_heads,
       .head_dim = head_dim,
       .sequences = {{.n_past = 0, .n_new = 1}, {.n_past = 0, .n_new = 33}, {.n_past = 117, .n_new = 17}},
       .window = window}));
}

INSTANTIATE_TEST_SUITE_P(Heads, EveryShapeOfPromptHeads,
                         testing::Values(PromptHeadsCase{1, 1, 64, 0}, PromptHeadsCase{4, 2, 128, 0},
                                         PromptHeadsCase{3, 1, 64, 0}, PromptHeadsCase{8, 1, 128, 0},
                                         PromptHeadsCase{12, 1, 64, 0}, PromptHeadsCase{17, 1, 64, 0},
                                         PromptHeadsCase{2, 1, 64, 1}, PromptHeadsCase{2, 1, 64, 20},
                                         PromptHeadsCase{2, 2, 128, 40}, PromptHeadsCase{2, 1, 64, 1000},
                                         PromptHeadsCase{1, 1, 256, 0}, PromptHeadsCase{8, 1, 256, 0},
                                         PromptHeadsCase{3, 1, 256, 40}),
                         [](const auto& test) {
                           return "Queries" + std::to_string(test.param.n_heads) + "Keys" +
                                  std::to_string(test.param.n_kv_heads) + "Of" +
                                  std::to_string(test.param.head_dim) + "Window" +
                                  std::to_string(test.param.window);
                         });

TEST(PromptAttention, CutsKeysByTheirPositionAlone) {
  int n_pages = 0;
  for (int split = 0; split_first_page(split) < 40'000; ++split) {
    EXPECT_EQ(split_first_page(split), n_pages) << split;
    for (; n_pages < split_first_page(split + 1); ++n_pages) ASSERT_EQ(key_split(n_pages), split) << n_pages;
  }
  EXPECT_EQ(n_key_splits(1), 1);
  EXPECT_EQ(n_key_splits(128), 1);
  EXPECT_EQ(n_key_splits(129), 2);
  EXPECT_EQ(n_key_splits(4096), 32);
  EXPECT_EQ(n_key_splits(131'072), 112);
}

/// Where splits become longer, and where some of a tile's rows have one more than others.
TEST(PromptAttention, HasTheBitsOfDecodeInALongContext) {
  const auto device = make_lanes_device();
  expect_right(check_prompt_attention(
      *device, {.n_heads = 2, .n_kv_heads = 1, .head_dim = 64, .sequences = {{.n_past = 4348, .n_new = 8}}}));
}

TEST(PromptAttention, GivesSinksTheirShare) {
  const auto device = make_lanes_device();
  for (const int head_dim : {64, 128, 256}) {
    for (const int window : {0, 40})
      expect_right(check_prompt_attention(
          *device, {.n_heads = 4,
                    .n_kv_heads = 2,
                    .head_dim = head_dim,
                    .sequences = {{.n_past = 0, .n_new = 5}, {.n_past = 125, .n_new = 9}},
                    .window = window,
                    .has_sinks = true}));
  }
}

TEST(PromptAttention, MayBeGatedByWhatLiesBesideItsQueries) {
  const auto device = make_lanes_device();
  for (const int head_dim : {64, 128, 256})
    expect_right(check_prompt_attention(
        *device, {.n_heads = 4,
                  .n_kv_heads = 2,
                  .head_dim = head_dim,
                  .sequences = {{.n_past = 0, .n_new = 5}, {.n_past = 125, .n_new = 9}},
                  .has_sinks = head_dim == 64,
                  .is_gated = true}));
}

TEST(PromptAttention, TakesPromptsOfAnyLength) {
  const auto device = make_lanes_device();
  for (const int n_new : {1, 15, 16, 17, 33, 65, 130})
    expect_right(check_prompt_attention(
        *device,
        {.n_heads = 1, .n_kv_heads = 1, .head_dim = 64, .sequences = {{.n_past = 3, .n_new = n_new}}}));
}

}  // namespace
}  // namespace halod::hip
