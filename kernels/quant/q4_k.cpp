#include "kernels/quant/q4_k.h"

#include <cstring>

#include "base/error.h"
#include "kernels/quant/half.h"
#include "kernels/quant/k_scales.h"

namespace halod {

void dequantize_q4_k(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockQ4_K::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ4_K::kElements, blocks += sizeof(BlockQ4_K)) {
    BlockQ4_K block;
    std::memcpy(&block, blocks, sizeof block);
    const float d = f16_to_f32(block.d);
    const float dmin = f16_to_f32(block.dmin);
    const KScales scales = unpack_k_scales(block.scales);
    for (int j = 0; j < kKSubBlocks; ++j) {
      const float scale = d * scales.scale[j];
      const float min = dmin * scales.min[j];
      const uint8_t* qs = block.qs + j / 2 * 32;
      const int shift = j % 2 * 4;
      float* y = out + first + j * kKSubBlockElements;
      for (int i = 0; i < kKSubBlockElements; ++i)
        y[i] = scale * static_cast<float>((qs[i] >> shift) & 0x0f) - min;
    }
  }
}

void quantize_q4_k(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockQ4_K::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ4_K::kElements, blocks += sizeof(BlockQ4_K)) {
    const KBlockFit fit = fit_k_block(std::span<const float, 256>(values + first, 256), 15);
    BlockQ4_K block;
    block.d = fit.d;
    block.dmin = fit.dmin;
    pack_k_scales(fit.scales, block.scales);
    for (int i = 0; i < 128; ++i) {
      const uint8_t* run = fit.levels + i / 32 * 64 + i % 32;
      block.qs[i] = static_cast<uint8_t>(run[0] | run[32] << 4);
    }
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
