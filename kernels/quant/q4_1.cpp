#include "kernels/quant/q4_1.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/half.h"

namespace halod {

void dequantize_q4_1(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockQ4_1::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ4_1::kElements, blocks += sizeof(BlockQ4_1)) {
    BlockQ4_1 block;
    std::memcpy(&block, blocks, sizeof block);
    const float d = f16_to_f32(block.d), m = f16_to_f32(block.m);
    for (int j = 0; j < 16; ++j) {
      out[first + j] = static_cast<float>(block.qs[j] & 0x0f) * d + m;
      out[first + j + 16] = static_cast<float>(block.qs[j] >> 4) * d + m;
    }
  }
}

void quantize_q4_1(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockQ4_1::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ4_1::kElements, blocks += sizeof(BlockQ4_1)) {
    const float* x = values + first;
    const auto [low, high] = std::minmax_element(x, x + 32);
    BlockQ4_1 block;
    block.d = f32_to_f16((*high - *low) / 15.0f);
    block.m = f32_to_f16(*low);
    const float d = f16_to_f32(block.d), m = f16_to_f32(block.m);
    const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
    const auto level = [&](float value) {
      return static_cast<uint8_t>(std::clamp(std::nearbyint((value - m) * inverse), 0.0f, 15.0f));
    };
    for (int j = 0; j < 16; ++j) block.qs[j] = static_cast<uint8_t>(level(x[j]) | level(x[j + 16]) << 4);
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
