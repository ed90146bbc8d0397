#include "kernels/quant/formats.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/quant/half.h"

namespace halod {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

// A few weights in 500 are outliers, as in real models.
std::vector<float> random_weights(int64_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> weights(static_cast<size_t>(n));
  for (auto& weight : weights) weight = normal(generator) * (generator() % 500 == 0 ? 20.0f : 1.0f);
  return weights;
}

double nmse(const std::vector<float>& actual, const std::vector<float>& expected) {
  double error = 0;
  double power = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    error += (static_cast<double>(actual[i]) - expected[i]) * (static_cast<double>(actual[i]) - expected[i]);
    power += static_cast<double>(expected[i]) * expected[i];
  }
  return error / power;
}

class EveryFormat : public ::testing::TestWithParam<FormatTraits> {};

TEST_P(EveryFormat, IsFoundByItsTypeNumberAndItsName) {
  EXPECT_EQ(find_format_by_ggml_type(GetParam().ggml_type), &traits(GetParam().format));
  EXPECT_EQ(find_format_by_name(GetParam().name), &traits(GetParam().format));
}

TEST_P(EveryFormat, DequantizesTheConformanceBlocksBitExactly) {
  const std::string folder = std::string(HALOD_CONFORMANCE_DIR) + "/codecs";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no conformance kit at " << folder;
  const std::string data = read_file(folder + "/codecs.bin");
  const boost::json::value index = boost::json::parse(read_file(folder + "/codecs.json"));
  for (const auto& row : index.at("types").as_array()) {
    if (row.at("ggml_type_id").to_number<uint32_t>() != GetParam().ggml_type) continue;
    EXPECT_EQ(row.at("block_values").to_number<int64_t>(), GetParam().block_elements);
    EXPECT_EQ(row.at("block_bytes").to_number<int64_t>(), GetParam().block_bytes);
    const auto n_bytes = row.at("f32_bytes").to_number<size_t>();
    std::vector<float> expected(n_bytes / sizeof(float));
    std::memcpy(expected.data(), data.data() + row.at("f32_offset").to_number<size_t>(), n_bytes);
    std::vector<float> actual(expected.size());
    const std::span<const char> raw(data.data() + row.at("raw_offset").to_number<size_t>(),
                                    row.at("raw_bytes").to_number<size_t>());
    GetParam().dequantize(std::as_bytes(raw).data(), static_cast<int64_t>(actual.size()), actual.data());
    for (size_t i = 0; i < actual.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(actual[i]), std::bit_cast<uint32_t>(expected[i])) << "weight " << i;
    }
    return;
  }
  EXPECT_EQ(GetParam().block_elements, 1) << "the conformance kit should have blocks of " << GetParam().name;
}

// Float formats: the square of half a step, 2^-11 for F16, 2^-8 for BF16. Block formats: each bit per weight
// halves the step and so quarters the error; 20 is two to five times what was measured over 257 blocks of
// these weights, where an outlier in 500 widens its block's steps (Q4_0 6.7, Q4_K 4.1, Q5_K 4.3, Q6_K 6.2,
// Q8_0 11).
double nmse_bound(const FormatTraits& format) {
  if (format.format == Format::kF32) return 0;
  if (format.format == Format::kF16) return 2.4e-7;
  if (format.format == Format::kBF16) return 1.53e-5;
  const double bits =
      8.0 * static_cast<double>(format.block_bytes) / static_cast<double>(format.block_elements);
  return 20 * std::pow(4.0, -bits);
}

TEST_P(EveryFormat, KeepsWeightsWithinItsErrorBoundWhenQuantizedAndBack) {
  for (const int64_t n_blocks : {int64_t{1}, int64_t{3}, int64_t{63}, int64_t{257}}) {
    const int64_t n = n_blocks * GetParam().block_elements;
    const std::vector<float> weights = random_weights(n, static_cast<uint32_t>(n));
    // One byte beyond the end must survive, and an odd address must do: files align rows to nothing.
    std::vector<std::byte> storage(static_cast<size_t>(GetParam().row_bytes(n)) + 2, std::byte{0xa5});
    GetParam().quantize(weights.data(), n, storage.data() + 1);
    EXPECT_EQ(storage.front(), std::byte{0xa5});
    EXPECT_EQ(storage.back(), std::byte{0xa5});
    std::vector<float> back(static_cast<size_t>(n) + 1, 7.0f);
    GetParam().dequantize(storage.data() + 1, n, back.data());
    EXPECT_EQ(back.back(), 7.0f);
    back.pop_back();
    EXPECT_LE(nmse(back, weights), nmse_bound(GetParam())) << n_blocks << " blocks";
  }
}

TEST_P(EveryFormat, EncodesZerosAsZeros) {
  const int64_t n = 2 * GetParam().block_elements;
  const std::vector<float> zeros(static_cast<size_t>(n), 0.0f);
  std::vector<std::byte> blocks(static_cast<size_t>(GetParam().row_bytes(n)), std::byte{0xff});
  GetParam().quantize(zeros.data(), n, blocks.data());
  std::vector<float> back(zeros.size(), 1.0f);
  GetParam().dequantize(blocks.data(), n, back.data());
  EXPECT_EQ(back, zeros);
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryFormat,
                         ::testing::ValuesIn(all_formats().begin(), all_formats().end()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(FormatTable, HasNoRowForUnknownTypes) {
  EXPECT_EQ(find_format_by_ggml_type(11), nullptr);  // Q3_K
  EXPECT_EQ(find_format_by_ggml_type(0xffffffff), nullptr);
  EXPECT_EQ(find_format_by_name("q4_k"), nullptr);
}

// Hand-computed blocks, so that a clone without the conformance kit proves the layouts too.
template <size_t n_bytes>
std::vector<float> decode(Format format, const std::array<uint8_t, n_bytes>& block) {
  std::vector<float> out(static_cast<size_t>(traits(format).block_elements));
  traits(format).dequantize(std::as_bytes(std::span(block)).data(), traits(format).block_elements,
                            out.data());
  return out;
}

TEST(HandMadeBlocks, DecodeQ4_0) {
  std::array<uint8_t, 18> block = {};
  block[1] = 0x40;  // d = 2.0
  block[2] = 0xf1;  // weight 0: 1, weight 16: 15
  const auto weights = decode(Format::kQ4_0, block);
  EXPECT_EQ(weights[0], -14.0f);
  EXPECT_EQ(weights[16], 14.0f);
  EXPECT_EQ(weights[1], -16.0f);
}

TEST(HandMadeBlocks, DecodeQ8_0) {
  std::array<uint8_t, 34> block = {};
  block[1] = 0x38;  // d = 0.5
  block[2] = 0x80;
  block[33] = 0x7f;
  const auto weights = decode(Format::kQ8_0, block);
  EXPECT_EQ(weights[0], -64.0f);
  EXPECT_EQ(weights[31], 63.5f);
}

TEST(HandMadeBlocks, DecodeQ4_K) {
  std::array<uint8_t, 144> block = {};
  block[1] = 0x3c;          // d = 1
  block[3] = 0x38;          // dmin = 0.5
  block[4 + 0] = 0x80 | 3;  // scale[0] = 3; top bits of scale[4] = 2
  block[4 + 4] = 0x40 | 6;  // min[0] = 6; top bits of min[4] = 1
  block[4 + 8] = 0x25;      // scale[4] = 2 << 4 | 5 = 37; min[4] = 1 << 4 | 2 = 18
  block[16] = 0x0a;         // weight 0: 10
  block[16 + 64] = 0x0f;    // weight 128: 15
  const auto weights = decode(Format::kQ4_K, block);
  EXPECT_EQ(weights[0], 3.0f * 10 - 0.5f * 6);
  EXPECT_EQ(weights[128], 37.0f * 15 - 0.5f * 18);
  EXPECT_EQ(weights[32], 0.0f);
}

TEST(HandMadeBlocks, DecodeQ5_K) {
  std::array<uint8_t, 176> block = {};
  block[1] = 0x3c;       // d = 1
  block[4 + 1] = 2;      // scale[1] = 2
  block[16 + 3] = 0x02;  // fifth bit of weight 32 + 3
  block[48 + 3] = 0xd0;  // weight 32 + 3: low four bits 13
  const auto weights = decode(Format::kQ5_K, block);
  EXPECT_EQ(weights[35], 2.0f * 29);
  EXPECT_EQ(weights[3], 0.0f);
}

TEST(HandMadeBlocks, DecodeQ6_K) {
  std::array<uint8_t, 210> block = {};
  block[209] = 0x3c;                  // d = 1
  block[192 + 8 + 2 * 2 + 1] = 0xfe;  // scale of weights 128 + 64 + 16 … 31: -2
  block[64 + 20] = 0x70;              // weight 128 + 64 + 20: low four bits 7
  block[128 + 32 + 20] = 0x20;        // high bits 2
  const auto weights = decode(Format::kQ6_K, block);
  EXPECT_EQ(weights[128 + 64 + 20], -2.0f * (39 - 32));
  EXPECT_EQ(weights[128 + 64 + 21], -2.0f * -32);
  EXPECT_EQ(weights[0], 0.0f);
}

}  // namespace
}  // namespace halod
