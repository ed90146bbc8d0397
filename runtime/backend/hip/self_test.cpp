// The checks that run when a device is opened: every kernel, every format, a few rows.
#include <fmt/format.h>

#include <functional>
#include <vector>

#include "kernels/hip/weight_layout.h"
#include "runtime/backend/hip/kernel_checks.h"

namespace halod::hip {
namespace {

using Tests = std::vector<std::function<KernelChecks()>>;

void add_decode_tests(Device& device, Tests& tests) {
  tests.push_back([&] { return check_rows(device, 288); });
  for (const FormatTraits& format : all_formats()) {
    if (find_row_layout(format.format) == nullptr) continue;  // weights of it are refused
    tests.push_back([&] { return check_embed(device, format.format, 256); });
    tests.push_back([&] {
      return check_linear(device, {.formats = {format.format}, .rows = 19, .cols = 512, .n_tokens = 1});
    });
    tests.push_back([&] {
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
    tests.push_back([&device, n_tokens] {
      return check_linear(device, {.formats = {Format::kQ4_K, Format::kQ6_K},
                                   .rows = 19,
                                   .cols = 256,
                                   .n_tokens = n_tokens,
                                   .add = true});
    });
  }
  for (const int n_tokens : {2, 4}) {
    tests.push_back([&device, n_tokens] {
      return check_dense_gate_up(
          device, {.n_experts = 1, .n_per_token = 1, .hidden_size = 256, .width = 64, .n_tokens = n_tokens});
    });
  }
  for (const int n_heads : {1, 2, 4, 8}) {
    tests.push_back([&device, n_heads] {
      return check_attention(device,
                             {.n_heads = 2 * n_heads, .n_kv_heads = 2, .head_dim = 64, .n_keys = {37, 150}});
    });
  }
}

void add_prompt_tests(Device& device, Tests& tests) {
  for (const FormatTraits& format : all_formats()) {
    const RowLayout* layout = find_row_layout(format.format);
    if (layout == nullptr) continue;
    const WeightKind kind = layout->needs_codes ? WeightKind::kQuantised : WeightKind::kFloats;
    for (const PromptTile& tile : prompt_linear_tiles(kind)) {
      tests.push_back([&] {
        return check_prompt_linear(
            device, {.formats = {format.format}, .rows = 19, .cols = 256, .n_tokens = 3}, tile);
      });
    }
  }
  const auto add_experts = [&](Format format, WeightKind kind) {
    for (const PromptTile& tile : prompt_gate_up_tiles(kind)) {
      tests.push_back([&device, &tile, format] {
        return check_prompt_experts(device,
                                    {.gate = format,
                                     .up = format,
                                     .down = Format::kQ8_0,
                                     .n_experts = 3,
                                     .n_per_token = 2,
                                     .hidden_size = 160,
                                     .width = 64,
                                     .n_tokens = 17},
                                    prompt_linear_tiles(WeightKind::kQuantised)[1], tile);
      });
    }
  };
  add_experts(Format::kQ4_0, WeightKind::kQuantised);
  add_experts(Format::kF16, WeightKind::kFloats);
  for (const int head_dim : {64, 128, 256}) {
    tests.push_back([&device, head_dim] {
      return check_prompt_attention(
          device,
          {.n_heads = 2, .n_kv_heads = 1, .head_dim = head_dim, .sequences = {{.n_past = 30, .n_new = 5}}});
    });
  }
}

}  // namespace

Result<> self_test(Device& device) {
  Tests tests;
  add_decode_tests(device, tests);
  add_prompt_tests(device, tests);
  for (const auto& test : tests) {
    for (const KernelCheck& check : test()) {
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
