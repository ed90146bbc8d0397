#include "kernels/ops/self_test.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/tile_layout.h"
#include "kernels/ops/reference.h"
#include "kernels/ops/self_test_report.h"

namespace halod {

using namespace self_test;

namespace {

// ---- matmul

struct TestMatrix {
  std::vector<std::byte> file, tiles;
  WeightMatrix view(const FormatTraits& format, WeightLayout layout, int64_t rows, int64_t cols) const {
    return {format.format, layout, layout == WeightLayout::kRows ? file.data() : tiles.data(), rows, cols};
  }
};

TestMatrix make_matrix(const FormatTraits& format, int64_t rows, int64_t cols) {
  TestMatrix matrix;
  const int64_t row_bytes = format.row_bytes(cols);
  const std::vector<float> values = check_values(rows * cols, 1);
  matrix.file.resize(static_cast<size_t>(rows * row_bytes));
  for (int64_t r = 0; r < rows; ++r)
    format.quantize(values.data() + r * cols, cols, matrix.file.data() + r * row_bytes);
  const TileLayout* layout = find_tile_layout(format.format);
  if (!layout) return matrix;
  matrix.tiles.resize(static_cast<size_t>(layout->matrix_bytes(rows, cols)));
  for (int64_t r = 0; r < rows; r += kTileRows) {
    layout->pack(matrix.file.data() + r * row_bytes, row_bytes, std::min(kTileRows, rows - r), cols,
                 matrix.tiles.data() + r / kTileRows * layout->tile_bytes(cols));
  }
  return matrix;
}

/// Activations in both forms; `rounded` is what the 8-bit one stands for.
struct TestActivations {
  std::vector<float> values, scales, scaled_sums, rounded;
  std::vector<int8_t> codes;
  std::vector<int32_t> negated_sums;
  int64_t n_rows, cols;

  TestActivations(int64_t n_rows_, int64_t cols_)
      : values(check_values(n_rows_ * cols_, 2)),
        scales(values.size() / 32),
        scaled_sums(scales.size()),
        rounded(values.size()),
        codes(values.size()),
        negated_sums(values.size() / 16),
        n_rows(n_rows_),
        cols(cols_) {
    reference::quantize_activations({{values.data(), n_rows, cols},
                                     codes.data(),
                                     scales.data(),
                                     scaled_sums.data(),
                                     negated_sums.data()});
    for (size_t i = 0; i < rounded.size(); ++i) rounded[i] = static_cast<float>(codes[i]) * scales[i / 32];
  }
  Activations view(const std::vector<float>& floats) const {
    return {.values = {floats.data(), n_rows, cols},
            .codes = codes.data(),
            .scales = scales.data(),
            .scaled_sums = scaled_sums.data(),
            .negated_sums16 = negated_sums.data()};
  }
};

void test_matmul(Report& report) {
  // Rows and tokens that no tile divides; columns that every block does.
  constexpr int64_t kRows = 37, kCols = 512, kTokens = 5;
  const TestActivations x(kTokens, kCols);
  for (const FormatTraits& format : all_formats()) {
    const TestMatrix matrix = make_matrix(format, kRows, kCols);
    for (const MatmulVariant& variant : matmul_variants()) {
      if (!variant.supports(format.format, kCols)) continue;
      report.add("matmul", variant, format.name, [&] {
        std::vector<float> y(kTokens * kRows), expected(y.size());
        MatmulArgs args{.weight = matrix.view(format, variant.layout, kRows, kCols),
                        .n_rows = kRows,
                        .x = x.view(x.values),
                        .n_tokens = kTokens,
                        .y = {y.data(), kTokens, kRows}};
        variant.run(args);
        args.weight = matrix.view(format, WeightLayout::kRows, kRows, kCols);
        args.y = {expected.data(), kTokens, kRows};
        // The reference reads floats: the rounding of x is no mistake of a kernel that reads codes.
        if (variant.needs_codes) args.x = x.view(x.rounded);
        reference::matmul(args);
        return check_nmse(y, expected);
      });
    }
  }
}

// ---- attention and its cache

void test_attention(Report& report) {
  constexpr int64_t kHeadDim = 64, kKeys = 75, kHeads = 5;
  const std::vector<float> k = check_values(kKeys * kHeadDim, 3), v = check_values(kKeys * kHeadDim, 4);
  std::vector<float> q = check_values(kHeads * kHeadDim, 5);
  for (const KvType type : {KvType::kF16, KvType::kF32}) {
    const std::string_view name = type == KvType::kF16 ? "F16" : "F32";
    const auto fill = [&](const KvStoreVariant& store) {
      const auto page_bytes = static_cast<size_t>(kv_head_page_bytes(type, kHeadDim));
      std::vector<std::vector<std::byte>> pages(3, std::vector<std::byte>(page_bytes));
      for (int64_t j = 0; j < kKeys; ++j) {
        store.run({k.data() + j * kHeadDim, v.data() + j * kHeadDim,
                   pages[static_cast<size_t>(j / kAttentionPageTokens)].data(), j % kAttentionPageTokens,
                   kHeadDim, type});
      }
      return pages;
    };
    const auto expected_pages = fill(kv_store_variants().back());
    std::vector<const std::byte*> page_pointers;
    for (const auto& page : expected_pages) page_pointers.push_back(page.data());
    for (const KvStoreVariant& variant : kv_store_variants())
      report.add("kv_store", variant, name, [&] { return fill(variant) == expected_pages ? 0.0 : 1.0; });
    for (const AttentionVariant& variant : attention_variants()) {
      report.add("attention", variant, name, [&] {
        std::vector<float> out(q.size()), expected(q.size());
        AttentionKernelArgs args{.q = q.data(),
                                 .out = out.data(),
                                 .n_heads = kHeads,
                                 .head_dim = kHeadDim,
                                 .scale = 0.125F,
                                 .pages = page_pointers,
                                 .n_keys = kKeys,
                                 .type = type};
        variant.run(args);
        args.out = expected.data();
        reference::attention(args);
        return check_nmse(out, expected);
      });
    }
  }
}

// ---- the row-wise operations

void test_elementwise(Report& report) {
  constexpr int64_t kN = 272;
  const std::vector<float> a = check_values(kN, 6), b = check_values(kN, 7);
  std::vector<float> expected(a.size()), y(a.size());
  reference::rms_norm({a.data(), b.data(), expected.data(), kN, 1e-6F});
  for (const auto& variant : rms_norm_variants()) {
    report.add("rms_norm", variant, "", [&] {
      variant.run({a.data(), b.data(), y.data(), kN, 1e-6F});
      return check_nmse(y, expected);
    });
  }
  std::vector<float> cosines, sines;
  for (int64_t i = 0; i < kN / 2; ++i) {
    cosines.push_back(std::cos(0.37F * static_cast<float>(i)));
    sines.push_back(std::sin(0.37F * static_cast<float>(i)));
  }
  expected = a;
  reference::rope({expected.data(), cosines.data(), sines.data(), kN});
  for (const auto& variant : rope_variants()) {
    report.add("rope", variant, "", [&] {
      y = a;
      variant.run({y.data(), cosines.data(), sines.data(), kN});
      return check_nmse(y, expected);
    });
  }
  expected = a;
  reference::swiglu({expected.data(), b.data(), kN});
  for (const auto& variant : swiglu_variants()) {
    report.add("swiglu", variant, "", [&] {
      y = a;
      variant.run({y.data(), b.data(), kN});
      return check_nmse(y, expected);
    });
  }
  const float* const terms[] = {a.data(), b.data()};
  const float weights[] = {0.75F, 0.25F};
  expected.assign(a.size(), 1.0F);
  reference::weighted_sum({terms, weights, 2, expected.data(), kN});
  for (const auto& variant : weighted_sum_variants()) {
    report.add("weighted_sum", variant, "", [&] {
      y.assign(a.size(), 1.0F);
      variant.run({terms, weights, 2, y.data(), kN});
      return check_nmse(y, expected);
    });
  }
}

void test_gates(Report& report) {
  constexpr int64_t kN = 272;
  const std::vector<float> a = check_values(kN, 9), b = check_values(kN, 10);
  std::vector<float> expected = a, y;
  reference::clamped_swiglu({expected.data(), b.data(), kN});
  for (const auto& variant : clamped_swiglu_variants()) {
    report.add("clamped_swiglu", variant, "", [&] {
      y = a;
      variant.run({y.data(), b.data(), kN});
      return check_nmse(y, expected);
    });
  }
  expected = a;
  reference::squared_relu({expected.data(), kN});
  for (const auto& variant : squared_relu_variants()) {
    report.add("squared_relu", variant, "", [&] {
      y = a;
      variant.run({y.data(), kN});
      return check_nmse(y, expected);
    });
  }
  expected = a;
  reference::sigmoid_gate({expected.data(), b.data(), kN});
  for (const auto& variant : sigmoid_gate_variants()) {
    report.add("sigmoid_gate", variant, "", [&] {
      y = a;
      variant.run({y.data(), b.data(), kN});
      return check_nmse(y, expected);
    });
  }
}

void test_exact_operations(Report& report) {
  const TestActivations expected(3, 96);
  for (const auto& variant : quantize_activations_variants()) {
    report.add("quantize_activations", variant, "", [&] {
      TestActivations y = expected;
      std::ranges::fill(y.codes, int8_t{0});
      std::ranges::fill(y.scales, 0.0F);
      variant.run({{y.values.data(), y.n_rows, y.cols},
                   y.codes.data(),
                   y.scales.data(),
                   y.scaled_sums.data(),
                   y.negated_sums.data()});
      return y.codes == expected.codes && y.scales == expected.scales ? 0.0 : 1.0;
    });
  }
  const std::vector<float> logits = check_values(128, 8);
  std::vector<int32_t> best(8), experts(8);
  std::vector<float> best_weights(8), weights(8);
  reference::router_top_k({logits.data(), 128, 8, best.data(), best_weights.data()});
  for (const auto& variant : router_top_k_variants()) {
    report.add("router_top_k", variant, "", [&] {
      variant.run({logits.data(), 128, 8, experts.data(), weights.data()});
      return experts == best ? check_nmse(weights, best_weights) : 1.0;
    });
  }
}

}  // namespace

std::string_view to_string(SelfTestResult result) {
  switch (result) {
    case SelfTestResult::kPassed:
      return "ok";
    case SelfTestResult::kFailed:
      return "failed";
    case SelfTestResult::kNotRun:
      break;
  }
  return "not_run";
}

std::vector<SelfTestRow> run_kernel_self_test() {
  Report report;
  test_matmul(report);
  test_attention(report);
  test_elementwise(report);
  test_gates(report);
  test_recurrent(report);
  test_ssm(report);
  test_exact_operations(report);
  return report.take();
}

}  // namespace halod
