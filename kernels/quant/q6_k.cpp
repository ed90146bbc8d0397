#include "kernels/quant/q6_k.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/half.h"

namespace halod {
namespace {

constexpr int kRun = 16;  // weights that share a scale

// Where weight i's bits lie.
struct Position {
  int ql_idx, ql_shift, qh_idx, qh_shift;
};

Position position_of(int i) {
  const int half = i / 128;
  const int r = i % 128 / 32;
  const int l = i % 32;
  return {.ql_idx = 64 * half + 32 * (r % 2) + l,
          .ql_shift = r / 2 * 4,
          .qh_idx = 32 * half + l,
          .qh_shift = 2 * r};
}

}  // namespace

void dequantize_q6_k(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockQ6_K::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ6_K::kElements, blocks += sizeof(BlockQ6_K)) {
    BlockQ6_K block;
    std::memcpy(&block, blocks, sizeof block);
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < 256; i += kRun) {
      const Position start = position_of(i);  // a run of 16 never crosses a change of r
      const float scale = d * static_cast<float>(block.scales[i / kRun]);
      for (int k = 0; k < kRun; ++k) {
        const int level = ((block.ql[start.ql_idx + k] >> start.ql_shift) & 0x0f) |
                          ((block.qh[start.qh_idx + k] >> start.qh_shift) & 3) << 4;
        out[first + i + k] = scale * static_cast<float>(level - 32);
      }
    }
  }
}

void quantize_q6_k(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockQ6_K::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockQ6_K::kElements, blocks += sizeof(BlockQ6_K)) {
    const float* x = values + first;
    float run_scale[16];
    float largest = 0.0f;
    for (int run = 0; run < 16; ++run) {
      const float extreme = *std::max_element(x + run * kRun, x + (run + 1) * kRun,
                                              [](float a, float b) { return std::fabs(a) < std::fabs(b); });
      run_scale[run] = extreme / -32.0f;
      if (std::fabs(run_scale[run]) > std::fabs(largest)) largest = run_scale[run];
    }
    BlockQ6_K block = {};
    block.d = f32_to_f16(largest / -128.0f);
    const float d = f16_to_f32(block.d);
    for (int run = 0; run < 16; ++run) {
      const float in_steps = d != 0.0f ? std::nearbyint(run_scale[run] / d) : 0.0f;
      block.scales[run] = static_cast<int8_t>(std::clamp(in_steps, -128.0f, 127.0f));
    }
    for (int i = 0; i < 256; ++i) {
      const float scale = d * static_cast<float>(block.scales[i / kRun]);
      const float in_steps = scale != 0.0f ? std::nearbyint(x[i] / scale) : 0.0f;
      const int level = static_cast<int>(std::clamp(in_steps, -32.0f, 31.0f)) + 32;
      const Position at = position_of(i);
      block.ql[at.ql_idx] = static_cast<uint8_t>(block.ql[at.ql_idx] | (level & 0x0f) << at.ql_shift);
      block.qh[at.qh_idx] = static_cast<uint8_t>(block.qh[at.qh_idx] | (level >> 4) << at.qh_shift);
    }
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
