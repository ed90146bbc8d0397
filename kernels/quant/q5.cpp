#include "kernels/quant/q5.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/half.h"

namespace halod {
namespace {

template <class Block>
int level_of(const Block& block, int j) {
  return ((block.qs[j % 16] >> (j / 16 * 4)) & 0x0f) | ((block.qh[j / 8] >> (j % 8)) & 1) << 4;
}

template <class Block>
void set_level(Block& block, int j, float level) {
  const auto bits = static_cast<unsigned>(std::clamp(std::nearbyint(level), 0.0f, 31.0f));
  block.qs[j % 16] = static_cast<uint8_t>(block.qs[j % 16] | (bits & 15U) << (j / 16 * 4));
  block.qh[j / 8] = static_cast<uint8_t>(block.qh[j / 8] | (bits >> 4) << (j % 8));
}

}  // namespace

void dequantize_q5_0(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockQ5_0::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ5_0::kElements, blocks += sizeof(BlockQ5_0)) {
    BlockQ5_0 block;
    std::memcpy(&block, blocks, sizeof block);
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 32; ++j) out[first + j] = static_cast<float>(level_of(block, j) - 16) * d;
  }
}

void dequantize_q5_1(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockQ5_1::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ5_1::kElements, blocks += sizeof(BlockQ5_1)) {
    BlockQ5_1 block;
    std::memcpy(&block, blocks, sizeof block);
    const float d = f16_to_f32(block.d), m = f16_to_f32(block.m);
    for (int j = 0; j < 32; ++j) out[first + j] = static_cast<float>(level_of(block, j)) * d + m;
  }
}

void quantize_q5_0(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockQ5_0::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ5_0::kElements, blocks += sizeof(BlockQ5_0)) {
    const float* x = values + first;
    const float extreme =
        *std::max_element(x, x + 32, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
    BlockQ5_0 block = {};
    block.d = f32_to_f16(extreme / -16.0f);
    const float d = f16_to_f32(block.d);
    const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int j = 0; j < 32; ++j) set_level(block, j, x[j] * inverse + 16.0f);
    std::memcpy(blocks, &block, sizeof block);
  }
}

void quantize_q5_1(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockQ5_1::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ5_1::kElements, blocks += sizeof(BlockQ5_1)) {
    const float* x = values + first;
    const auto [low, high] = std::minmax_element(x, x + 32);
    BlockQ5_1 block = {};
    block.d = f32_to_f16((*high - *low) / 31.0f);
    block.m = f32_to_f16(*low);
    const float d = f16_to_f32(block.d), m = f16_to_f32(block.m);
    const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int j = 0; j < 32; ++j) set_level(block, j, (x[j] - m) * inverse);
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
