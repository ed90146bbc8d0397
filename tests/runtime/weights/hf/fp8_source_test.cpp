#include "runtime/weights/hf/fp8_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "kernels/quant/half.h"
#include "tests/support/small_hf_model.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

using ::testing::HasSubstr;
using Method = HfQuantisation::Method;

template <class T>
std::string bytes_in(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// (-1)^sign * 2^(exponent - 7) * 1.fraction, or 2^-6 * 0.fraction where the exponent is 0.
TEST(AnEightBitFloat, HasTheValueOfItsDefinitionForEachCode) {
  for (int code = 0; code < 256; ++code) {
    const int sign = code / 128, exponent = code / 8 % 16, fraction = code % 8;
    const float value = e4m3_to_f32(static_cast<uint8_t>(code));
    if (exponent == 15 && fraction == 7) {
      EXPECT_TRUE(std::isnan(value)) << code;
      continue;
    }
    const double size =
        exponent == 0 ? std::pow(2.0, -6) * fraction / 8 : std::pow(2.0, exponent - 7) * (1 + fraction / 8.0);
    EXPECT_EQ(value, sign == 1 ? -size : size) << code;
    EXPECT_EQ(std::signbit(value), sign == 1) << code;
  }
  EXPECT_EQ(e4m3_to_f32(0x7e), 448) << "the largest";
  EXPECT_EQ(e4m3_to_f32(0x01), 0.001953125F) << "the smallest above zero";
}

constexpr int64_t kFp8Rows = 70, kFp8Cols = 100;

struct RandomCodes {
  explicit RandomCodes(uint32_t seed) {
    std::mt19937 random(seed);
    for (int64_t i = 0; i < kFp8Rows * kFp8Cols; ++i) {
      const auto code = static_cast<uint8_t>(random() % 256);
      codes.push_back((code & 0x7f) == 0x7f ? 0 : code);
    }
  }
  std::vector<uint8_t> codes;
};

class ALayerOfEightBitFloats : public ::testing::Test {
 protected:
  /// Reads rows of what the writer's tensors "0.codes", "0.scales" … make.
  std::unique_ptr<const TensorSource> open(const SafetensorsWriter& writer,
                                           const HfQuantisation& quantisation, int n_experts = 1) {
    write_files({{"model.safetensors", writer.bytes()}}, folder_.path());
    files_ = std::make_unique<SafetensorsFiles>(SafetensorsFiles::open(folder_.path()).value());
    std::vector<Fp8Linear> linears;
    for (int i = 0; i < n_experts; ++i) {
      const std::string expert = std::to_string(i);
      linears.push_back(
          {.codes = files_->find(expert + ".codes"), .scales = files_->find(expert + ".scales")});
    }
    return make_fp8_source(*files_, quantisation, linears, n_experts > 1);
  }
  TemporaryFolder folder_;
  std::unique_ptr<SafetensorsFiles> files_;
};

TEST_F(ALayerOfEightBitFloats, IsItsCodesTimesTheScalesOfTheirBlocksWhicheverRowsAreRead) {
  constexpr int64_t kBlockRows = 32, kBlockCols = 48, kDown = 3, kAcross = 3;
  std::vector<RandomCodes> layers = {RandomCodes(1), RandomCodes(2)};
  std::mt19937 random(3);
  std::vector<std::vector<float>> scales(2);
  SafetensorsWriter writer;
  for (size_t e = 0; e < 2; ++e) {
    for (int64_t i = 0; i < kDown * kAcross; ++i)
      scales[e].push_back(static_cast<float>(random() % 1000 + 1) / 65536.0F);
    writer.add(std::to_string(e) + ".codes", "F8_E4M3", {kFp8Rows, kFp8Cols}, bytes_in(layers[e].codes));
    writer.add(std::to_string(e) + ".scales", "F32", {kDown, kAcross}, bytes_in(scales[e]));
  }
  const auto source =
      open(writer, {.method = Method::kFp8, .block_rows = kBlockRows, .block_cols = kBlockCols}, 2);
  EXPECT_EQ(source->format(), Format::kBF16);
  EXPECT_EQ(source->shape(), (std::vector<int64_t>{2, kFp8Rows, kFp8Cols}));
  source->prefetch(0, 1 << 20);
  for (const auto& [first, n] : {std::pair<int64_t, int64_t>{0, 140}, {31, 2}, {69, 2}, {139, 1}}) {
    std::vector<uint16_t> rows(static_cast<size_t>(n * kFp8Cols));
    ASSERT_TRUE(
        source->read(static_cast<uint64_t>(first * kFp8Cols) * 2, std::as_writable_bytes(std::span(rows))));
    for (int64_t i = 0; i < n * kFp8Cols; ++i) {
      const int64_t row = (first + i / kFp8Cols) % kFp8Rows, col = i % kFp8Cols;
      const auto expert = static_cast<size_t>((first + i / kFp8Cols) / kFp8Rows);
      const float scale = scales[expert][static_cast<size_t>(row / kBlockRows * kAcross + col / kBlockCols)];
      const uint8_t code = layers[expert].codes[static_cast<size_t>(row * kFp8Cols + col)];
      ASSERT_EQ(rows[static_cast<size_t>(i)], f32_to_bf16(e4m3_to_f32(code) * scale)) << row << ", " << col;
    }
  }
}

TEST_F(ALayerOfEightBitFloats, MayHaveOneScaleOrOneForEachRow) {
  const RandomCodes layer(5);
  for (const auto& [shape, dtype] : std::initializer_list<std::pair<std::vector<int64_t>, const char*>>{
           {{}, "F32"}, {{1}, "BF16"}, {{kFp8Rows, 1}, "BF16"}, {{kFp8Rows}, "F32"}}) {
    const bool is_one = shape.empty() || shape[0] == 1;
    std::vector<float> scales(is_one ? 1 : kFp8Rows);
    for (size_t i = 0; i < scales.size(); ++i) scales[i] = 0.25F * static_cast<float>(1 + i % 4);
    std::vector<uint16_t> halves;
    for (const float scale : scales) halves.push_back(f32_to_bf16(scale));
    SafetensorsWriter writer;
    writer.add("0.codes", "F8_E4M3", {kFp8Rows, kFp8Cols}, bytes_in(layer.codes));
    writer.add("0.scales", dtype, shape, dtype == std::string("F32") ? bytes_in(scales) : bytes_in(halves));
    const auto source = open(writer, {.method = Method::kFp8});
    std::vector<uint16_t> rows(kFp8Rows * kFp8Cols);
    ASSERT_TRUE(source->read(0, std::as_writable_bytes(std::span(rows))));
    for (size_t i = 0; i < rows.size(); ++i) {
      const float scale = scales[is_one ? 0 : i / kFp8Cols];
      ASSERT_EQ(bf16_to_f32(rows[i]), e4m3_to_f32(layer.codes[i]) * scale) << i;
    }
  }
}

TEST_F(ALayerOfEightBitFloats, IsRefusedByNameWhereItsTensorsContradictEachOther) {
  const HfQuantisation blocks{.method = Method::kFp8, .block_rows = 32, .block_cols = 48};
  const auto error_of = [&](const std::string& dtype, std::vector<int64_t> shape,
                            const std::string& scale_dtype, std::vector<int64_t> scale_shape) {
    SafetensorsWriter writer;
    writer.add("0.codes", dtype, std::move(shape));
    writer.add("0.scales", scale_dtype, std::move(scale_shape));
    try {
      open(writer, blocks);
    } catch (const ErrorException& exception) {
      return exception.error();
    }
    return Error{};
  };
  EXPECT_THAT(error_of("F8_E4M3", {70, 100}, "F32", {2, 3}).message, HasSubstr("[3, 3]"));
  EXPECT_EQ(error_of("F8_E4M3", {70, 100}, "F32", {2, 3}).field, "0.scales");
  EXPECT_EQ(error_of("F8_E5M2", {70, 100}, "F32", {3, 3}).code, ErrorCode::kUnsupported);
  EXPECT_EQ(error_of("F8_E4M3", {70, 100}, "I32", {3, 3}).field, "0.scales");
  EXPECT_EQ(error_of("F8_E4M3", {7000}, "F32", {3, 3}).field, "0.codes");
}

TEST_F(ALayerOfEightBitFloats, IsCorruptWhereAWeightIsNoNumber) {
  RandomCodes layer(5);
  layer.codes[kFp8Cols * 3 + 7] = 0xff;
  SafetensorsWriter writer;
  writer.add("0.codes", "F8_E4M3", {kFp8Rows, kFp8Cols}, bytes_in(layer.codes));
  writer.add("0.scales", "F32", {1}, bytes_in(std::vector<float>{1.0F}));
  const auto source = open(writer, {.method = Method::kFp8});
  std::vector<std::byte> row(kFp8Cols * 2);
  EXPECT_TRUE(source->read(0, row));
  const auto read = source->read(kFp8Cols * 2 * 3, row);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kCorruptFile);
  EXPECT_EQ(read.error().field, "0.codes");
}

}  // namespace
}  // namespace halod
