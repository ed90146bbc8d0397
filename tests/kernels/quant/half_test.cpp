#include "kernels/quant/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace halod {
namespace {

// The definition, in double: every binary16 value is exact there.
double value_of_f16(uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const int fraction = half & 1023;
  const double sign = (half & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 31) {
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

TEST(Half, DecodesEveryBinary16Value) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const double expected = value_of_f16(half);
    const float decoded = f16_to_f32(half);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(decoded)) << bits;
    } else {
      EXPECT_EQ(decoded, expected) << bits;
    }
    EXPECT_EQ(std::signbit(decoded), (half & 0x8000) != 0) << bits;
  }
}

TEST(Half, EncodesEveryBinary16ValueToItself) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const uint16_t encoded = f32_to_f16(f16_to_f32(half));
    if (std::isnan(value_of_f16(half))) {
      EXPECT_EQ(encoded, half | 0x0200) << "NaNs become quiet and keep the rest";
    } else {
      EXPECT_EQ(encoded, half);
    }
  }
}

TEST(Half, RoundsMidpointsToEvenAndItsNeighboursToTheNearest) {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {  // up to the largest finite value and its successor
    const auto low = static_cast<uint16_t>(bits);
    const auto high = static_cast<uint16_t>(bits + 1);
    const auto midpoint = static_cast<float>((value_of_f16(low) + value_of_f16(high)) / 2);  // exact: 12 bits
    const uint16_t even = (low & 1) == 0 ? low : high;
    ASSERT_EQ(f32_to_f16(midpoint), even) << bits;
    ASSERT_EQ(f32_to_f16(-midpoint), even | 0x8000) << bits;
    ASSERT_EQ(f32_to_f16(std::nextafter(midpoint, 0.0f)), low) << bits;
    ASSERT_EQ(f32_to_f16(std::nextafter(midpoint, 1e30f)), high) << bits;
  }
}

TEST(Half, OverflowsToInfinityFromHalfAStepBeyondTheLargestValue) {
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-1e30f), 0xfc00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::infinity()), 0x7c00);
}

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x00008001u)), 0x0001);
}

TEST(BFloat16, KeepsNansAndSigns) {
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x7f800001u)), 0x7fc0);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0xffc00000u)), 0xffc0);
  EXPECT_EQ(f32_to_bf16(-0.0f), 0x8000);
  EXPECT_EQ(std::bit_cast<uint32_t>(bf16_to_f32(0xc049)), 0xc0490000u);
}

}  // namespace
}  // namespace halod
