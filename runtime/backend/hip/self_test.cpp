// The checks that run when a device is opened: every kernel, every format, a few rows.
#include <fmt/format.h>

#include <vector>

#include "kernels/hip/weight_layout.h"
#include "runtime/backend/hip/kernel_checks.h"

namespace halod::hip {
namespace {

void add_decode_tests(std::vector<SelfTest>& tests) {
  tests.push_back([](Device& device) { return check_rows(device, 288); });
  tests.push_back([](Device& device) { return check_column_orders(device, Format::kInt4G32, 96); });
  for (const FormatTraits& format : all_formats()) {
    if (find_row_layout(format.format) == nullptr) continue;  // weights of it are refused
    tests.push_back([=](Device& device) { return check_embed(device, format.format, 256); });
    tests.push_back([=](Device& device) {
      return check_linear(device, {.formats = {format.format}, .rows = 19, .cols = 512, .n_tokens = 1});
    });
    tests.push_back([=](Device& device) {
      return check_experts(device, {.gate = format.format,
                                    .up = format.format,
                                    .down = format.format,
                                    .n_experts = 3,
                                    .n_per_token = 2,
                                    .hidden_size = 256,
                                    .width = 256,
                                    .n_tokens = 2});
    });
  }
  for (const int n_tokens : {2, 3, 8}) {
    tests.push_back([=](Device& device) {
      return check_linear(device, {.formats = {Format::kQ4_K, Format::kQ6_K},
                                   .rows = 19,
                                   .cols = 256,
                                   .n_tokens = n_tokens,
                                   .add = true});
    });
  }
  tests.push_back([](Device& device) {
    return check_linear(
        device,
        {.formats = {Format::kQ4_K}, .rows = 19, .cols = 256, .n_tokens = 1, .add = true, .has_bias = true});
  });
  for (const Gating gating : {Gating::kSoftmaxOfChosen, Gating::kSigmoid}) {
    tests.push_back([=](Device& device) {
      return check_experts(device, {.gate = Format::kMXFP4,
                                    .up = Format::kMXFP4,
                                    .down = Format::kMXFP4,
                                    .n_experts = 3,
                                    .n_per_token = 2,
                                    .hidden_size = 64,
                                    .width = 64,
                                    .n_tokens = 1,
                                    .has_biases = true,
                                    .gating = gating,
                                    .weights_scale = 2,
                                    .activation = GatedActivation::kClampedSwiglu});
    });
  }
  tests.push_back([](Device& device) {
    return check_experts(device, {.gate = Format::kQ4_K,
                                  .up = Format::kQ4_K,
                                  .down = Format::kQ8_0,
                                  .n_experts = 8,
                                  .n_per_token = 2,
                                  .hidden_size = 256,
                                  .width = 64,
                                  .n_tokens = 2,
                                  .gating = Gating::kSigmoid,
                                  .has_selection_bias = true,
                                  .shared_width = 96});
  });
  tests.push_back([](Device& device) {
    return check_experts(device, {.gate = Format::kQ8_0,
                                  .up = Format::kQ8_0,
                                  .down = Format::kQ8_0,
                                  .n_experts = 3,
                                  .n_per_token = 2,
                                  .hidden_size = 64,
                                  .width = 96,
                                  .n_tokens = 2,
                                  .activation = GatedActivation::kSquaredRelu,
                                  .shared_width = 64,
                                  .has_orders = true});
  });
  for (const int n_tokens : {2, 4}) {
    tests.push_back([=](Device& device) {
      return check_dense_gate_up(
          device, {.n_experts = 1, .n_per_token = 1, .hidden_size = 256, .width = 64, .n_tokens = n_tokens});
    });
  }
  for (const int n_heads : {1, 2, 4, 8}) {
    tests.push_back([=](Device& device) {
      return check_attention(device,
                             {.n_heads = 2 * n_heads, .n_kv_heads = 2, .head_dim = 64, .n_keys = {37, 150}});
    });
  }
  for (const bool pairs_neighbours : {false, true}) {
    tests.push_back([=](Device& device) {
      return check_attention(device, {.n_heads = 2,
                                      .n_kv_heads = 1,
                                      .head_dim = 64,
                                      .n_keys = {9},
                                      .has_norms = false,
                                      .has_biases = true,
                                      .pairs_neighbours = pairs_neighbours,
                                      .window = pairs_neighbours ? 4 : 0,
                                      .has_sinks = pairs_neighbours,
                                      .is_gated = !pairs_neighbours});
    });
  }
}

void add_recurrent_tests(std::vector<SelfTest>& tests) {
  for (const int head_dim : {64, 128}) {
    tests.push_back([=](Device& device) {
      return check_recurrent(device, {.head_dim = head_dim,
                                      .n_key_heads = 1,
                                      .n_value_heads = 2,
                                      .n_tokens = {5, 18},
                                      .tiles_value_heads = head_dim == 64,
                                      .has_gates_by_key_head = head_dim == 128});
    });
  }
  // Heads that share a block with others; a group that fills no block.
  for (const int state_size : {128, 256}) {
    tests.push_back([=](Device& device) {
      return check_mamba2(device, {.n_groups = 2,
                                   .n_heads = 4,
                                   .head_dim = 48,
                                   .state_size = state_size,
                                   .n_tokens = {5, 18},
                                   .has_conv_bias = state_size == 128});
    });
  }
}

void add_prompt_tests(std::vector<SelfTest>& tests) {
  for (const FormatTraits& format : all_formats()) {
    const RowLayout* layout = find_row_layout(format.format);
    if (layout == nullptr) continue;
    const WeightKind kind = layout->needs_codes ? WeightKind::kQuantised : WeightKind::kFloats;
    for (const PromptTile& tile : prompt_linear_tiles(kind)) {
      tests.push_back([=, &tile](Device& device) {
        return check_prompt_linear(
            device, {.formats = {format.format}, .rows = 19, .cols = 256, .n_tokens = 3, .has_bias = true},
            tile);
      });
    }
  }
  const auto add_experts = [&](Format format, WeightKind kind, GatedActivation activation) {
    const bool is_gpt_oss = activation == GatedActivation::kClampedSwiglu;
    for (const PromptTile& tile : prompt_gate_up_tiles(kind)) {
      tests.push_back([=, &tile](Device& device) {
        return check_prompt_experts(device,
                                    {.gate = format,
                                     .up = format,
                                     .down = Format::kQ8_0,
                                     .n_experts = 3,
                                     .n_per_token = 2,
                                     .hidden_size = 160,
                                     .width = 96,  // half of the last block, where a block has 64 columns
                                     .n_tokens = 17,
                                     .has_biases = is_gpt_oss,
                                     .activation = activation,
                                     .shared_width = is_gpt_oss ? 0 : 64,
                                     .add = activation != GatedActivation::kSquaredRelu},
                                    prompt_linear_tiles(WeightKind::kQuantised)[1], tile);
      });
    }
  };
  for (const GatedActivation activation :
       {GatedActivation::kSwiglu, GatedActivation::kClampedSwiglu, GatedActivation::kSquaredRelu}) {
    add_experts(Format::kQ4_0, WeightKind::kQuantised, activation);
    add_experts(Format::kF16, WeightKind::kFloats, activation);
  }
  for (const int head_dim : {64, 128, 256}) {
    for (const int window : {0, 20}) {
      tests.push_back([=](Device& device) {
        return check_prompt_attention(device, {.n_heads = 2,
                                               .n_kv_heads = 1,
                                               .head_dim = head_dim,
                                               .sequences = {{.n_past = 125, .n_new = 5}},
                                               .window = window,
                                               .has_sinks = window > 0,
                                               .is_gated = head_dim == 256});
      });
    }
  }
}

}  // namespace

std::vector<SelfTest> self_tests() {
  std::vector<SelfTest> tests;
  add_decode_tests(tests);
  add_recurrent_tests(tests);
  add_prompt_tests(tests);
  return tests;
}

Result<> self_test(Device& device) {
  for (const SelfTest& test : self_tests()) {
    for (const KernelCheck& check : test(device)) {
      if (check.passed()) continue;
      return Error{
          ErrorCode::kUnsupported,
          fmt::format(
              "{} ({}) computes wrong results: {} is off by a squared error of {:.1e} relative to the "
              "reference, at most {:.0e} is rounding; update ROCm and the kernel, or use `backend: cpu`",
              device.info().name, device.info().target, check.what, check.nmse, check.bound),
          "backend"};
    }
  }
  return {};
}

}  // namespace halod::hip
