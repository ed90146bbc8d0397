#include "kernels/quant/q8_0.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/half.h"

namespace halod {

void dequantize_q8_0(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockQ8_0::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ8_0::kElements, blocks += sizeof(BlockQ8_0)) {
    BlockQ8_0 block;
    std::memcpy(&block, blocks, sizeof block);
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 32; ++j) out[first + j] = static_cast<float>(block.qs[j]) * d;
  }
}

void quantize_q8_0(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockQ8_0::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ8_0::kElements, blocks += sizeof(BlockQ8_0)) {
    const float* x = values + first;
    float magnitude = 0.0f;
    for (int j = 0; j < 32; ++j) magnitude = std::max(magnitude, std::fabs(x[j]));
    BlockQ8_0 block;
    block.d = f32_to_f16(magnitude / 127.0f);
    const float d = f16_to_f32(block.d);
    const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int j = 0; j < 32; ++j) {
      block.qs[j] = static_cast<int8_t>(std::clamp(std::nearbyint(x[j] * inverse), -127.0f, 127.0f));
    }
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
