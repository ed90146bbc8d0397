// Hand-computed blocks, so that a clone without the conformance kit proves the layouts too.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "kernels/quant/code_books.h"
#include "kernels/quant/formats.h"
#include "kernels/quant/mxfp4.h"

namespace halod {
namespace {

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

TEST(HandMadeBlocks, DecodeQ4_1) {
  std::array<uint8_t, 20> block = {};
  block[1] = 0x40;  // d = 2
  block[3] = 0x38;  // m = 0.5
  block[4] = 0xf1;  // weight 0: 1, weight 16: 15
  const auto weights = decode(Format::kQ4_1, block);
  EXPECT_EQ(weights[0], 2.5f);
  EXPECT_EQ(weights[16], 30.5f);
  EXPECT_EQ(weights[1], 0.5f);
}

TEST(HandMadeBlocks, DecodeQ5_0) {
  std::array<uint8_t, 22> block = {};
  block[1] = 0x3c;      // d = 1
  block[2 + 2] = 0x02;  // fifth bit of weight 17
  block[6 + 1] = 0x30;  // weight 17: low four bits 3
  const auto weights = decode(Format::kQ5_0, block);
  EXPECT_EQ(weights[17], 3.0f);
  EXPECT_EQ(weights[1], -16.0f);
}

TEST(HandMadeBlocks, DecodeQ5_1) {
  std::array<uint8_t, 24> block = {};
  block[1] = 0x3c;  // d = 1
  block[3] = 0xbc;  // m = -1
  block[4] = 0x01;  // fifth bit of weight 0
  block[8] = 0x0f;  // weight 0: low four bits 15
  const auto weights = decode(Format::kQ5_1, block);
  EXPECT_EQ(weights[0], 30.0f);
  EXPECT_EQ(weights[16], -1.0f);
}

TEST(HandMadeBlocks, DecodeQ2_K) {
  std::array<uint8_t, 84> block = {};
  block[9] = 0x52;        // run 9: scale 2, minimum 5
  block[16 + 48] = 0x03;  // weight 144: 3
  block[81] = 0x3c;       // d = 1
  block[83] = 0x38;       // dmin = 0.5
  const auto weights = decode(Format::kQ2_K, block);
  EXPECT_EQ(weights[144], 2.0f * 3 - 0.5f * 5);
  EXPECT_EQ(weights[145], -2.5f);
  EXPECT_EQ(weights[0], 0.0f);
}

TEST(HandMadeBlocks, DecodeQ3_K) {
  std::array<uint8_t, 110> block = {};
  block[16] = 0x10;       // third bit of weight 144
  block[32 + 48] = 0x02;  // weight 144: low two bits 2
  block[96 + 1] = 0x30;   // run 9: low four bits of the scale 3
  block[96 + 9] = 0x20;   // and its high two bits 2: 35
  block[109] = 0x3c;      // d = 1
  const auto weights = decode(Format::kQ3_K, block);
  EXPECT_EQ(weights[144], 3.0f * (6 - 4));
  EXPECT_EQ(weights[145], 3.0f * -4);
  EXPECT_EQ(weights[0], -32.0f * -4);
}

TEST(HandMadeBlocks, DecodeIQ4_NL) {
  std::array<uint8_t, 18> block = {};
  block[1] = 0x3c;  // d = 1
  block[2] = 0xf8;  // weight 0: code 8, weight 16: code 15
  const auto weights = decode(Format::kIQ4_NL, block);
  EXPECT_EQ(weights[0], 1.0f);
  EXPECT_EQ(weights[16], 113.0f);
  EXPECT_EQ(weights[1], -127.0f);
}

TEST(HandMadeBlocks, DecodeIQ4_XS) {
  std::array<uint8_t, 136> block = {};
  block[1] = 0x3c;       // d = 1
  block[3] = 0x08;       // high bits of scale[5]: 2
  block[4 + 2] = 0x20;   // low bits of scale[5]: 2, so 34
  block[8 + 80] = 0x8f;  // weight 160: code 15, weight 176: code 8
  const auto weights = decode(Format::kIQ4_XS, block);
  EXPECT_EQ(weights[160], 2.0f * 113);
  EXPECT_EQ(weights[176], 2.0f);
  EXPECT_EQ(weights[0], -32.0f * -127);
}

TEST(HandMadeBlocks, DecodeMXFP4) {
  std::array<uint8_t, 17> block = {};
  block[0] = 128;   // scale 2
  block[1] = 0xf2;  // weight 0: 1, weight 16: -6
  const auto weights = decode(Format::kMXFP4, block);
  EXPECT_EQ(weights[0], 2.0f);
  EXPECT_EQ(weights[16], -12.0f);
  EXPECT_EQ(mxfp4_half_scale(0), std::ldexp(1.0f, -128));
  EXPECT_EQ(mxfp4_half_scale(1), std::ldexp(1.0f, -127));
  EXPECT_EQ(mxfp4_half_scale(2), std::ldexp(1.0f, -126));
  EXPECT_EQ(mxfp4_half_scale(255), std::ldexp(1.0f, 127));
}

TEST(HandMadeBlocks, DecodeIQ3_XXS) {
  std::array<uint8_t, 98> block = {};
  block[1] = 0x3c;               // d = 1
  block[2 + 8 * 2 + 1] = 1;      // weights 68 … 71: entry 1, which is 20, 4, 4, 4
  block[66 + 4 * 2] = 0x10;      // weight 68 is negative, and so weight 71
  block[66 + 4 * 2 + 3] = 0x10;  // s = 1
  const auto weights = decode(Format::kIQ3_XXS, block);
  EXPECT_EQ(weights[68], -0.75f * 20);
  EXPECT_EQ(weights[69], 0.75f * 4);
  EXPECT_EQ(weights[71], -0.75f * 4);
  EXPECT_EQ(weights[0], 0.25f * 4);
}

TEST(HandMadeBlocks, DecodeIQ3_S) {
  std::array<uint8_t, 110> block = {};
  block[1] = 0x3c;        // d = 1
  block[2 + 29] = 7;      // weights 116 … 119: entry 256 + 7
  block[66 + 3] = 0x20;   // its ninth bit
  block[74 + 14] = 0x10;  // weight 116 is negative
  block[106 + 1] = 0x20;  // s of weights 96 … 127: 2
  const auto weights = decode(Format::kIQ3_S, block);
  EXPECT_EQ(weights[116], -5.0f * static_cast<float>(kIq3SEntries[263] & 0xff));
  EXPECT_EQ(weights[117], 5.0f * static_cast<float>((kIq3SEntries[263] >> 8) & 0xff));
  EXPECT_EQ(weights[0], 1.0f);
}

TEST(HandMadeBlocks, DecodeIQ2_XXS) {
  std::array<uint8_t, 66> block = {};
  block[1] = 0x3c;          // d = 1
  block[2 + 8] = 1;         // weights 32 … 39: entry 1, which is 43, 8, 8, …
  block[2 + 8 + 4] = 0x01;  // weight 32 is negative, and so weight 39
  block[2 + 8 + 7] = 0x30;  // s = 3
  const auto weights = decode(Format::kIQ2_XXS, block);
  EXPECT_EQ(weights[32], -0.875f * 43);
  EXPECT_EQ(weights[33], 0.875f * 8);
  EXPECT_EQ(weights[39], -0.875f * 8);
  EXPECT_EQ(weights[0], 0.125f * 8);
}

TEST(HandMadeBlocks, DecodeIQ2_XS) {
  std::array<uint8_t, 74> block = {};
  block[1] = 0x3c;   // d = 1
  block[2] = 0x01;   // weights 0 … 7: entry 1, which is 43, 8, 8, …
  block[3] = 0x02;   // weight 0 is negative, and so weight 7
  block[66] = 0x03;  // s of weights 0 … 15: 3
  const auto weights = decode(Format::kIQ2_XS, block);
  EXPECT_EQ(weights[0], -0.875f * 43);
  EXPECT_EQ(weights[1], 0.875f * 8);
  EXPECT_EQ(weights[7], -0.875f * 8);
  EXPECT_EQ(weights[16], 0.125f * 8);
}

TEST(HandMadeBlocks, DecodeIQ2_S) {
  std::array<uint8_t, 82> block = {};
  block[1] = 0x3c;       // d = 1
  block[2 + 5] = 7;      // weights 40 … 47: entry 512 + 7
  block[66 + 1] = 0x08;  // its high bits
  block[34 + 5] = 0x80;  // weight 47 is negative
  block[74 + 1] = 0x01;  // s of weights 32 … 47: 1
  const auto weights = decode(Format::kIQ2_S, block);
  EXPECT_EQ(weights[40], 0.375f * static_cast<float>(kIq2SEntries[519] & 0xff));
  EXPECT_EQ(weights[47], -0.375f * static_cast<float>(kIq2SEntries[519] >> 56));
}

TEST(HandMadeBlocks, DecodeIQ1_S) {
  std::array<uint8_t, 50> block = {};
  block[1] = 0x3c;          // d = 1
  block[2 + 4 + 2] = 0xff;  // weights 48 … 55: entry 2047, which is 1, 1, …
  block[34 + 2] = 0xc0;     // its high bits
  block[34 + 3] = 0x91;     // and weights 32 … 63: s = 1, down
  const auto weights = decode(Format::kIQ1_S, block);
  EXPECT_EQ(weights[32], 3.0f * (-1.0f - 0.125f));  // entry 0 is -1, -1, …
  EXPECT_EQ(weights[48], 3.0f * (1.0f - 0.125f));
  EXPECT_EQ(weights[0], -1.0f + 0.125f);
}

TEST(HandMadeBlocks, DecodeIQ1_M) {
  std::array<uint8_t, 56> block = {};
  block[48 + 5] = 0xc0;  // d = 0x3c00, 1: its third nibble
  block[48 + 7] = 0x30;  // and its fourth
  block[48 + 2] = 0x10;  // s of weights 80 … 95: 2
  block[32 + 5] = 0x78;  // weights 80 … 87: down; weights 88 … 95: high bits of the entry 7
  block[11] = 0xff;      // and its low ones: 2047
  const auto weights = decode(Format::kIQ1_M, block);
  EXPECT_EQ(weights[80], 5.0f * (-1.0f - 0.125f));
  EXPECT_EQ(weights[88], 5.0f * (1.0f + 0.125f));
  EXPECT_EQ(weights[0], -1.0f + 0.125f);
}

TEST(HandMadeBlocks, DecodeTQ1_0) {
  std::array<uint8_t, 54> block = {};
  block[53] = 0x40;  // d = 2
  block[0] = 201;    // digits 2 1 0 0 1: 190 * 256 / 243, rounded up
  block[32] = 201;
  block[48] = 201;
  const auto weights = decode(Format::kTQ1_0, block);
  EXPECT_EQ((std::array{weights[0], weights[32], weights[64], weights[96], weights[128]}),
            (std::array{2.0f, 0.0f, -2.0f, -2.0f, 0.0f}));
  EXPECT_EQ((std::array{weights[160], weights[176], weights[192], weights[208], weights[224]}),
            (std::array{2.0f, 0.0f, -2.0f, -2.0f, 0.0f}));
  EXPECT_EQ((std::array{weights[240], weights[244], weights[248], weights[252]}),
            (std::array{2.0f, 0.0f, -2.0f, -2.0f}));
  EXPECT_EQ(weights[1], -2.0f);
}

TEST(HandMadeBlocks, DecodeTQ2_0) {
  std::array<uint8_t, 66> block = {};
  block[65] = 0x40;  // d = 2
  block[0] = 0x18;   // weights 0, 32, 64, 96: 0, 2, 1, 0
  const auto weights = decode(Format::kTQ2_0, block);
  EXPECT_EQ((std::array{weights[0], weights[32], weights[64], weights[96]}),
            (std::array{-2.0f, 2.0f, 0.0f, -2.0f}));
}

TEST(HandMadeBlocks, DecodeNVFP4) {
  std::array<uint8_t, 36> block = {};
  block[0] = 0x38;          // s[0] = 2^0 * 1
  block[1] = 0x45;          // s[1] = 2^1 * 13 / 8
  block[2] = 0x03;          // s[2] = 2^-6 * 3 / 8, the smallest exponent
  block[3] = 0x7f;          // no number
  block[4] = 0x97;          // weights 0 and 8: 6, -0.5
  block[4 + 8 + 7] = 0xe2;  // weights 23 and 31: 1, -4
  block[4 + 16] = 0x05;     // weight 32: 3
  block[4 + 24] = 0x77;     // weights 48 and 56
  const auto weights = decode(Format::kNVFP4, block);
  EXPECT_EQ((std::array{weights[0], weights[8], weights[1]}), (std::array{6.0f, -0.5f, 0.0f}));
  EXPECT_EQ((std::array{weights[23], weights[31]}), (std::array{3.25f, -13.0f}));
  EXPECT_EQ(weights[32], 3.0f * 3.0f / 512.0f);
  EXPECT_EQ((std::array{weights[48], weights[56]}), (std::array{0.0f, 0.0f}));
}

TEST(HandMadeBlocks, EncodeNVFP4) {
  // The largest of a run is 6 times its scale: 1, then the largest of all, then three of the smallest steps.
  std::vector<float> weights(64, 0.0f);
  weights[3] = -6.0f;
  weights[8] = 0.4f;
  weights[16] = 6e4f;
  weights[32] = 6.0f * 3.0f / 512.0f;
  std::array<uint8_t, 36> block = {};
  traits(Format::kNVFP4).quantize(weights.data(), 64, std::as_writable_bytes(std::span(block)).data());
  EXPECT_EQ((std::array{block[0], block[1], block[2], block[3]}),
            (std::array<uint8_t, 4>{0x38, 0x7e, 0x03, 0}));
  EXPECT_EQ((std::array{block[4], block[4 + 3], block[4 + 8], block[4 + 16]}),
            (std::array<uint8_t, 4>{0x10, 0x0f, 0x07, 0x07}));
}

TEST(HandMadeBlocks, DecodeInt4G64) {
  std::array<uint8_t, 35> block = {};
  block[1] = 0x40;            // scale = 2
  block[2] = 9;               // zero
  block[3] = 0xf1;            // weights 0 and 16: 1, 15
  block[3 + 16 + 15] = 0x80;  // weights 47 and 63: 0, 8
  const auto weights = decode(Format::kInt4G64, block);
  EXPECT_EQ((std::array{weights[0], weights[16], weights[1], weights[47], weights[63]}),
            (std::array{-16.0f, 12.0f, -18.0f, -18.0f, -2.0f}));
}

TEST(HandMadeBlocks, DecodeInt8G32) {
  std::array<uint8_t, 35> block = {};
  block[1] = 0x38;  // scale = 0.5
  block[2] = 255;   // zero
  block[3] = 255;   // weight 0
  block[34] = 1;    // weight 31
  const auto weights = decode(Format::kInt8G32, block);
  EXPECT_EQ((std::array{weights[0], weights[1], weights[31]}), (std::array{0.0f, -127.5f, -127.0f}));
}

}  // namespace
}  // namespace halod
