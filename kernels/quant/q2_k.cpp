#include "kernels/quant/q2_k.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/crumbs.h"
#include "kernels/quant/half.h"
#include "kernels/quant/k_scales.h"

namespace halod {
namespace {

constexpr int kQ2KRun = 16;  // weights that share a scale and a minimum

unsigned to_4_bits(float value, float step) {
  return step > 0.0f ? static_cast<unsigned>(std::clamp(std::nearbyint(value / step), 0.0f, 15.0f)) : 0U;
}

}  // namespace

void dequantize_q2_k(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockQ2_K::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ2_K::kElements, blocks += sizeof(BlockQ2_K)) {
    BlockQ2_K block;
    std::memcpy(&block, blocks, sizeof block);
    const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
    for (int i = 0; i < 256; ++i) {
      const uint8_t packed = block.scales[i / kQ2KRun];
      const float scale = d * static_cast<float>(packed & 0x0f), min = dmin * static_cast<float>(packed >> 4);
      out[first + i] = scale * static_cast<float>(crumb_at(block.qs, i)) - min;
    }
  }
}

void quantize_q2_k(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockQ2_K::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ2_K::kElements, blocks += sizeof(BlockQ2_K)) {
    const float* x = values + first;
    SubBlockFit fits[256 / kQ2KRun], largest;
    for (int j = 0; j < 256 / kQ2KRun; ++j) {
      fits[j] = fit_sub_block({x + j * kQ2KRun, kQ2KRun}, 3);
      largest.scale = std::max(largest.scale, fits[j].scale);
      largest.min = std::max(largest.min, fits[j].min);
    }
    BlockQ2_K block = {};
    block.d = f32_to_f16(largest.scale / 15.0f);
    block.dmin = f32_to_f16(largest.min / 15.0f);
    const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
    for (int i = 0; i < 256; ++i) {
      const SubBlockFit& fit = fits[i / kQ2KRun];
      const unsigned scale_bits = to_4_bits(fit.scale, d), min_bits = to_4_bits(fit.min, dmin);
      block.scales[i / kQ2KRun] = static_cast<uint8_t>(scale_bits | min_bits << 4);
      const float scale = d * static_cast<float>(scale_bits), min = dmin * static_cast<float>(min_bits);
      const float level = scale > 0.0f ? std::clamp(std::nearbyint((x[i] + min) / scale), 0.0f, 3.0f) : 0.0f;
      set_crumb(block.qs, i, static_cast<unsigned>(level));
    }
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
