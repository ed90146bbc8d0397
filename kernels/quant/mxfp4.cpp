#include "kernels/quant/mxfp4.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/scale_search.h"

namespace halod {

void dequantize_mxfp4(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockMxfp4::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockMxfp4::kElements, blocks += sizeof(BlockMxfp4)) {
    BlockMxfp4 block;
    std::memcpy(&block, blocks, sizeof block);
    const float scale = mxfp4_half_scale(block.e);
    for (int j = 0; j < 16; ++j) {
      out[first + j] = static_cast<float>(kMxfp4DoubledValues[block.qs[j] & 0x0f]) * scale;
      out[first + j + 16] = static_cast<float>(kMxfp4DoubledValues[block.qs[j] >> 4]) * scale;
    }
  }
}

void quantize_mxfp4(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockMxfp4::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockMxfp4::kElements, blocks += sizeof(BlockMxfp4)) {
    const float* x = values + first;
    float largest = 0.0f;
    for (int j = 0; j < 32; ++j) largest = std::max(largest, std::fabs(x[j]));
    BlockMxfp4 block = {};
    if (largest > 0.0f) {
      block.e = static_cast<uint8_t>(std::clamp(std::ilogb(largest) - 2 + 127, 0, 254));
      // Dividing by the half scale would overflow for its smallest values; no weight is that small.
      const float scale = mxfp4_half_scale(block.e);
      const auto code = [&](float value) { return nearest_index(kMxfp4DoubledValues, value / scale); };
      for (int j = 0; j < 16; ++j) block.qs[j] = static_cast<uint8_t>(code(x[j]) | code(x[j + 16]) << 4);
    }
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
