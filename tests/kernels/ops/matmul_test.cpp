#include "kernels/ops/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cpu/tables.h"
#include "kernels/cpu/tile_layout.h"
#include "kernels/ops/reference.h"
#include "tests/support/random_values.h"

namespace halod {
namespace {

using test::nmse;
using test::random_values;

/// A quantised matrix in the file's layout and in the variant's.
class TestMatrix {
 public:
  TestMatrix(Format format, int64_t rows, int64_t cols, uint32_t seed)
      : rows_(rows), cols_(cols), format_(format) {
    const FormatTraits& f = traits(format);
    const std::vector<float> values = random_values(rows * cols, seed, 0.05F);
    file_.resize(static_cast<size_t>(rows * f.row_bytes(cols)));
    for (int64_t r = 0; r < rows; ++r)
      f.quantize(values.data() + r * cols, cols, file_.data() + r * f.row_bytes(cols));
    if (const TileLayout* layout = find_tile_layout(format)) {
      tiles_.resize(static_cast<size_t>(layout->matrix_bytes(rows, cols)));
      for (int64_t r = 0; r < rows; r += kTileRows) {
        layout->pack(file_.data() + r * f.row_bytes(cols), f.row_bytes(cols), std::min(kTileRows, rows - r),
                     cols, tiles_.data() + r / kTileRows * layout->tile_bytes(cols));
      }
    }
  }
  WeightMatrix view(WeightLayout layout) const {
    return {format_, layout, layout == WeightLayout::kRows ? file_.data() : tiles_.data(), rows_, cols_};
  }

 private:
  int64_t rows_, cols_;
  Format format_;
  std::vector<std::byte> file_, tiles_;
};

/// Activations with their 8-bit form.
class TestActivations {
 public:
  TestActivations(int64_t n_rows, int64_t cols, uint32_t seed) : values_(random_values(n_rows * cols, seed)) {
    const auto n = static_cast<size_t>(n_rows * cols);
    codes_.resize(n);
    scales_.resize(n / 32 + 1);
    scaled_sums_.resize(n / 32 + 1);
    sums_.resize(n / 16 + 1);
    view_ = {.values = {values_.data(), n_rows, cols}};
    if (cols % kActivationGroup == 0) {
      reference::quantize_activations(
          {view_.values, codes_.data(), scales_.data(), scaled_sums_.data(), sums_.data()});
      view_.codes = codes_.data();
      view_.scales = scales_.data();
      view_.scaled_sums = scaled_sums_.data();
      view_.negated_sums16 = sums_.data();
    }
  }
  const Activations& view() const { return view_; }
  /// What the 8-bit form stands for, as f32: isolates a kernel's own error from the rounding of its input.
  std::vector<float> rounded_values() const {
    std::vector<float> out(values_.size());
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(codes_[i]) * scales_[i / 32];
    return out;
  }

 private:
  std::vector<float> values_, scales_, scaled_sums_;
  std::vector<int8_t> codes_;
  std::vector<int32_t> sums_;
  Activations view_;
};

/// Gives a block of random bytes f16 scales between 2^-8 and 2^-7 (MXFP4: 1; floats: an exponent near that).
void tame_scales(Format format, std::byte* block) {
  const auto set = [block](int64_t offset) {
    block[offset + 1] = (block[offset + 1] & std::byte{0x03}) | std::byte{0x1c};
  };
  switch (format) {
    case Format::kF32:
    case Format::kBF16:
      block[traits(format).block_bytes - 1] = std::byte{0x3c};
      break;
    case Format::kMXFP4:
      block[0] = std::byte{127};
      break;
    case Format::kQ2_K:
      set(80);
      set(82);
      break;
    case Format::kQ3_K:
      set(108);
      break;
    case Format::kQ6_K:
      set(208);
      break;
    case Format::kTQ1_0:
      set(52);
      break;
    case Format::kTQ2_0:
      set(64);
      break;
    case Format::kIQ1_M:  // four nibbles, the highest bits in the last
      block[55] = (block[55] & std::byte{0x0f}) | std::byte{0x10};
      block[53] = (block[53] & std::byte{0x0f}) | std::byte{0xc0};
      break;
    case Format::kQ4_1:
    case Format::kQ5_1:
    case Format::kQ4_K:
    case Format::kQ5_K:
      set(0);
      set(2);
      break;
    default:
      set(0);
  }
}

/// The row of CPUs with AMX, on a matrix unit made of plain memory, so that any machine with AVX-512 runs the
/// rest of it.
const MatmulVariant& emulated_matrix_unit() {
  static const MatmulVariant variant = [] {
    MatmulVariant row =
        *std::ranges::find(matmul_variants(), std::string_view("amx_int8_tiles16"), &MatmulVariant::name);
    row.name = "amx_emulated_tiles16";
    row.isa = Isa::kAvx512Vnni;
    row.run = [](const MatmulArgs& args) { amx_emulated::matmul_tiles(args, {}); };
    return row;
  }();
  return variant;
}

struct Case {
  const MatmulVariant* variant;
  Format format;
};

class EveryMatmulVariant : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!runs_on(GetParam().variant->isa, cpu_features()))
      GTEST_SKIP() << "this CPU cannot run " << GetParam().variant->name;
  }
  int64_t a_valid_cols(int64_t wanted) const {
    const int64_t block =
        std::max<int64_t>(traits(GetParam().format).block_elements, GetParam().variant->needs_codes ? 32 : 1);
    return std::max(block, wanted / block * block);
  }
};

TEST_P(EveryMatmulVariant, MatchesTheReferenceOnTheActivationsItSees) {
  const auto [variant, format] = GetParam();
  for (int64_t rows : {1, 17, 64}) {
    for (int64_t wanted_cols : {1, 63, 257, 512, 1280}) {
      const int64_t cols = a_valid_cols(wanted_cols);
      const TestMatrix matrix(format, rows, cols, 11);
      for (int64_t n_tokens : {1, 2, 3, 5, 8, 21}) {
        const TestActivations x(n_tokens, cols, static_cast<uint32_t>(97 * rows + cols));
        std::vector<float> y(static_cast<size_t>(n_tokens * rows), 0.5F), expected = y;
        MatmulArgs args{.weight = matrix.view(variant->layout),
                        .n_rows = rows,
                        .x = x.view(),
                        .n_tokens = n_tokens,
                        .y = {y.data(), n_tokens, rows}};
        variant->run(args);
        args.weight = matrix.view(WeightLayout::kRows);
        args.y = {expected.data(), n_tokens, rows};
        std::vector<float> rounded;
        if (variant->needs_codes) {
          rounded = x.rounded_values();
          args.x.values = {rounded.data(), n_tokens, cols};
        }
        reference::matmul(args);
        // f32 accumulation over at most 1280 terms; the rounding of x is in the reference's input too.
        EXPECT_LT(nmse(y, expected), 1e-11) << rows << " x " << cols << ", " << n_tokens << " tokens";
      }
    }
  }
}

TEST_P(EveryMatmulVariant, GivesTheSameBitsAloneAndInABatch) {
  const auto [variant, format] = GetParam();
  const int64_t rows = 48, cols = a_valid_cols(1024), n_tokens = 39;
  const TestMatrix matrix(format, rows, cols, 5);
  const TestActivations x(n_tokens, cols, 6);
  std::vector<float> together(static_cast<size_t>(n_tokens * rows)), alone(together.size());
  MatmulArgs args{.weight = matrix.view(variant->layout),
                  .n_rows = rows,
                  .x = x.view(),
                  .n_tokens = n_tokens,
                  .y = {together.data(), n_tokens, rows}};
  variant->run(args);
  for (int32_t t = 0; t < n_tokens; ++t) {
    for (int64_t row = 0; row < rows; row += 16) {
      args.first_row = row;
      args.n_rows = 16;
      args.n_tokens = 1;
      args.x_rows = args.y_rows = &t;
      args.y = {alone.data(), n_tokens, rows};
      variant->run(args);
    }
  }
  EXPECT_EQ(together, alone);
}

TEST_P(EveryMatmulVariant, GivesTheBitsOfAllThatClaimTheSameResults) {
  const auto [variant, format] = GetParam();
  const int64_t rows = 83, cols = a_valid_cols(1024);
  const TestMatrix matrix(format, rows, cols, 15);
  const TestActivations x(21, cols, 16);
  for (const int64_t n_tokens : {1, 2, 3, 4, 5, 7, 8, 21}) {
    const auto product = [&](const MatmulVariant& of) {
      std::vector<float> y(static_cast<size_t>(n_tokens * rows));
      of.run({.weight = matrix.view(of.layout),
              .n_rows = rows,
              .x = x.view(),
              .n_tokens = n_tokens,
              .y = {y.data(), n_tokens, rows}});
      return y;
    };
    const std::vector<const MatmulVariant*> equals = matmul_equals(*variant, format, cols);
    ASSERT_EQ(equals.front(), variant);
    const std::vector<float> expected = product(*variant);
    for (const MatmulVariant* other : equals)
      EXPECT_EQ(product(*other), expected) << other->name << ", " << n_tokens << " tokens";
  }
}

TEST_P(EveryMatmulVariant, GathersScattersAndAccumulates) {
  const auto [variant, format] = GetParam();
  const int64_t rows = 20, cols = a_valid_cols(256);
  const TestMatrix matrix(format, rows, cols, 3);
  const TestActivations x(6, cols, 4);
  std::vector<float> plain(static_cast<size_t>(6 * rows));
  MatmulArgs args{.weight = matrix.view(variant->layout),
                  .n_rows = rows,
                  .x = x.view(),
                  .n_tokens = 6,
                  .y = {plain.data(), 6, rows}};
  variant->run(args);
  for (const int32_t n_tokens : {3, 18}) {
    // No distance that all have in common, some rows more than once.
    std::vector<int32_t> x_rows, y_rows;
    for (int32_t t = 0; t < n_tokens; ++t) {
      x_rows.push_back((5 * t * t + 5) % 6);
      y_rows.push_back((t + 1) % n_tokens);
    }
    std::vector<float> y(static_cast<size_t>(n_tokens * rows), 1.0F);
    args.n_tokens = n_tokens;
    args.x_rows = x_rows.data();
    args.y_rows = y_rows.data();
    args.y = {y.data(), n_tokens, rows};
    args.accumulate = true;
    variant->run(args);
    for (size_t t = 0; t < x_rows.size(); ++t) {
      for (int64_t r = 0; r < rows; ++r)
        EXPECT_NEAR(args.y(y_rows[t], r), 1.0F + plain[static_cast<size_t>(x_rows[t] * rows + r)], 1e-5F);
    }
  }
}

TEST_P(EveryMatmulVariant, TakesAnyBlockOfAFile) {
  const auto [variant, format] = GetParam();
  const FormatTraits& f = traits(format);
  // What encoders never write: random codes, scales and minima. Only f16 scales (and floats) are kept finite
  // and of one size, so that no term drowns the others.
  const int64_t rows = 19, cols = a_valid_cols(768), row_bytes = f.row_bytes(cols);
  const TestActivations x(3, cols, 8);
  std::mt19937 generator(9);
  std::vector<std::byte> file(static_cast<size_t>(rows * row_bytes));
  for (std::byte& b : file) b = static_cast<std::byte>(generator());
  for (int64_t block = 0; block < rows * cols / f.block_elements; ++block)
    tame_scales(format, file.data() + block * f.block_bytes);
  std::vector<std::byte> tiles;
  if (variant->layout == WeightLayout::kTiles16) {
    const TileLayout& layout = *find_tile_layout(format);
    tiles.resize(static_cast<size_t>(layout.matrix_bytes(rows, cols)));
    for (int64_t r = 0; r < rows; r += kTileRows)
      layout.pack(file.data() + r * row_bytes, row_bytes, std::min(kTileRows, rows - r), cols,
                  tiles.data() + r / kTileRows * layout.tile_bytes(cols));
  }
  std::vector<float> y(static_cast<size_t>(3 * rows)), expected(y.size());
  MatmulArgs args{.weight = {format, variant->layout, tiles.empty() ? file.data() : tiles.data(), rows, cols},
                  .n_rows = rows,
                  .x = x.view(),
                  .n_tokens = 3,
                  .y = {y.data(), 3, rows}};
  variant->run(args);
  args.weight = {format, WeightLayout::kRows, file.data(), rows, cols};
  args.y = {expected.data(), 3, rows};
  const std::vector<float> rounded = x.rounded_values();
  if (variant->needs_codes) args.x.values = {rounded.data(), 3, cols};
  reference::matmul(args);
  EXPECT_LT(nmse(y, expected), 1e-11);
}

TEST(TheMxfp4Kernels, ReadExponentsDownToSubnormalScales) {
  constexpr int64_t kCols = 32;
  const std::vector<uint8_t> exponents = {0, 1, 2, 3, 127, 140};
  std::vector<std::byte> file;
  for (const uint8_t e : exponents) {
    file.push_back(std::byte{e});
    file.insert(file.end(), 16, std::byte{0x22});  // all weights 1 times the scale
  }
  const auto rows = static_cast<int64_t>(exponents.size());
  const TileLayout& layout = *find_tile_layout(Format::kMXFP4);
  std::vector<std::byte> tile(static_cast<size_t>(layout.tile_bytes(kCols)));
  layout.pack(file.data(), 17, rows, kCols, tile.data());
  // Activations so large that the smallest result is a normal number.
  std::vector<int8_t> codes(kCols, 127);
  const std::vector<float> values(kCols, 0x1p60F), scales = {0x1p60F / 127}, sums = {0x1p65F};
  const std::vector<int32_t> negated_sums = {-16 * 127, -16 * 127};
  for (const MatmulVariant& variant : matmul_variants()) {
    if (!runs_on(variant.isa, cpu_features()) || variant.layout != WeightLayout::kTiles16) continue;
    std::vector<float> y(exponents.size());
    variant.run({.weight = {Format::kMXFP4, variant.layout, tile.data(), rows, kCols},
                 .n_rows = rows,
                 .x = {.values = {values.data(), 1, kCols},
                       .codes = codes.data(),
                       .scales = scales.data(),
                       .scaled_sums = sums.data(),
                       .negated_sums16 = negated_sums.data()},
                 .n_tokens = 1,
                 .y = {y.data(), 1, rows}});
    for (size_t r = 0; r < exponents.size(); ++r) {
      const float expected = std::ldexp(0x1p65F, exponents[r] - 127);
      EXPECT_NEAR(y[r] / expected, 1.0F, 1e-6F) << variant.name << ", exponent " << int{exponents[r]};
    }
  }
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  const auto add = [&cases](const MatmulVariant& variant) {
    for (const FormatTraits& format : all_formats()) {
      if (variant.supports(format.format, format.block_elements * 32))
        cases.push_back({&variant, format.format});
    }
  };
  for (const MatmulVariant& variant : matmul_variants()) add(variant);
  add(emulated_matrix_unit());
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Table, EveryMatmulVariant, testing::ValuesIn(all_cases()), [](const auto& param) {
  return std::string(param.param.variant->name) + "_" + std::string(traits(param.param.format).name);
});

TEST(SelectMatmul, TakesTheReferenceAloneWhenExact) {
  for (const FormatTraits& format : all_formats()) {
    const MatmulVariant* variant = select_matmul(format.format, 512, true);
    ASSERT_NE(variant, nullptr);
    EXPECT_EQ(variant->name, "reference");
  }
}

class EveryQuantizeActivationsVariant : public testing::TestWithParam<QuantizeActivationsVariant> {};

TEST_P(EveryQuantizeActivationsVariant, GivesTheReferencesBits) {
  if (!runs_on(GetParam().isa, cpu_features())) GTEST_SKIP() << "this CPU cannot run " << GetParam().name;
  const int64_t n_rows = 3, cols = 96;
  std::vector<float> values = random_values(n_rows * cols, 21);
  std::fill_n(values.begin() + 32, 32, 0.0F);
  struct Form {
    std::vector<int8_t> codes = std::vector<int8_t>(288);
    std::vector<float> scales = std::vector<float>(9), sums = std::vector<float>(9);
    std::vector<int32_t> negated = std::vector<int32_t>(18);
    bool operator==(const Form&) const = default;
  } ours, expected;
  const MatrixView<const float> view(values.data(), n_rows, cols);
  GetParam().run({view, ours.codes.data(), ours.scales.data(), ours.sums.data(), ours.negated.data()});
  reference::quantize_activations(
      {view, expected.codes.data(), expected.scales.data(), expected.sums.data(), expected.negated.data()});
  EXPECT_EQ(ours, expected);
  EXPECT_EQ(ours.scales[1], 0.0F);
}

INSTANTIATE_TEST_SUITE_P(Table, EveryQuantizeActivationsVariant,
                         testing::ValuesIn(quantize_activations_variants().begin(),
                                           quantize_activations_variants().end()),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace halod
