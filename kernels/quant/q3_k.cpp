#include "kernels/quant/q3_k.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/crumbs.h"
#include "kernels/quant/half.h"

namespace halod {
namespace {

constexpr int kQ3KRun = 16;  // weights that share a scale

}  // namespace

void dequantize_q3_k(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockQ3_K::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ3_K::kElements, blocks += sizeof(BlockQ3_K)) {
    BlockQ3_K block;
    std::memcpy(&block, blocks, sizeof block);
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < 256; ++i) {
      const float scale =
          d * static_cast<float>(static_cast<int>(q3_k_scale(block.scales, i / kQ3KRun)) - 32);
      const unsigned high = (static_cast<unsigned>(block.hmask[i % 32]) >> (i / 32)) & 1U;
      const int level = static_cast<int>(crumb_at(block.qs, i) | high << 2);
      out[first + i] = scale * static_cast<float>(level - 4);
    }
  }
}

void quantize_q3_k(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockQ3_K::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ3_K::kElements, blocks += sizeof(BlockQ3_K)) {
    const float* x = values + first;
    float run_scale[256 / kQ3KRun], largest = 0.0f;
    for (int j = 0; j < 256 / kQ3KRun; ++j) {
      const float extreme = *std::max_element(x + j * kQ3KRun, x + (j + 1) * kQ3KRun,
                                              [](float a, float b) { return std::fabs(a) < std::fabs(b); });
      run_scale[j] = extreme / -4.0f;
      if (std::fabs(run_scale[j]) > std::fabs(largest)) largest = run_scale[j];
    }
    BlockQ3_K block = {};
    block.d = f32_to_f16(largest / -32.0f);
    const float d = f16_to_f32(block.d);
    int steps[256 / kQ3KRun];
    for (int j = 0; j < 256 / kQ3KRun; ++j) {
      const float in_steps = d != 0.0f ? std::nearbyint(run_scale[j] / d) : 0.0f;
      steps[j] = static_cast<int>(std::clamp(in_steps, -32.0f, 31.0f));
      set_q3_k_scale(block.scales, j, static_cast<uint32_t>(steps[j] + 32));
    }
    for (int i = 0; i < 256; ++i) {
      const int run_steps = steps[i / kQ3KRun];
      const float scale = d * static_cast<float>(run_steps);
      const float in_steps = scale != 0.0f ? std::nearbyint(x[i] / scale) : 0.0f;
      const auto level = static_cast<unsigned>(std::clamp(in_steps, -4.0f, 3.0f) + 4.0f);
      set_crumb(block.qs, i, level & 3U);
      block.hmask[i % 32] = static_cast<uint8_t>(block.hmask[i % 32] | (level >> 2) << (i / 32));
    }
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
