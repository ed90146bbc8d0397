#include "kernels/quant/q4_0.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/half.h"

namespace halod {

void dequantize_q4_0(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockQ4_0::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ4_0::kElements, blocks += sizeof(BlockQ4_0)) {
    BlockQ4_0 block;
    std::memcpy(&block, blocks, sizeof block);
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 16; ++j) {
      out[first + j] = static_cast<float>((block.qs[j] & 0x0f) - 8) * d;
      out[first + j + 16] = static_cast<float>((block.qs[j] >> 4) - 8) * d;
    }
  }
}

void quantize_q4_0(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockQ4_0::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ4_0::kElements, blocks += sizeof(BlockQ4_0)) {
    const float* x = values + first;
    const float extreme =
        *std::max_element(x, x + 32, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
    BlockQ4_0 block;
    block.d = f32_to_f16(extreme / -8.0f);
    const float d = f16_to_f32(block.d);
    const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
    const auto level = [&](float value) {
      return static_cast<uint8_t>(std::clamp(std::nearbyint(value * inverse) + 8.0f, 0.0f, 15.0f));
    };
    for (int j = 0; j < 16; ++j) block.qs[j] = static_cast<uint8_t>(level(x[j]) | level(x[j + 16]) << 4);
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
