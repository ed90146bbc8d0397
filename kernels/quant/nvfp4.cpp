#include "kernels/quant/nvfp4.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/code_blocks.h"
#include "kernels/quant/mxfp4.h"
#include "kernels/quant/scale_search.h"

namespace halod {
namespace {

constexpr int kRuns = 4, kRun = 16, kHalfRun = kRun / 2;

uint8_t nearest_scale(float value) {
  constexpr uint32_t kBias = 127 - 7, kLargest = 0x7e;
  // Steps of the smallest exponent; eight of them are the first code of the next.
  if (value < 0x1p-6f) return static_cast<uint8_t>(std::lround(value * 0x1p9f));
  const uint32_t rounded = (std::bit_cast<uint32_t>(value) + (1U << 19)) >> 20;
  return static_cast<uint8_t>(std::min(rounded - (kBias << 3), kLargest));
}

/// Eight codes plus kCodeOffset, of the low nibbles or of the high ones.
uint64_t codes_of(const uint8_t* qs, int shift) {
  uint64_t codes = 0;
  for (int j = 0; j < kHalfRun; ++j)
    codes |= static_cast<uint64_t>(kMxfp4DoubledValues[qs[j] >> shift & 0x0f] + kCodeOffset) << (8 * j);
  return codes;
}

}  // namespace

void expand_nvfp4(const std::byte* blocks, const CodeSink& out) {
  BlockNvfp4 block;
  std::memcpy(&block, blocks, sizeof block);
  for (int run = 0; run < kRuns; ++run) {
    const uint8_t* qs = block.qs + kHalfRun * run;
    out.scales[run * out.stride] = nvfp4_half_scale(block.scales[run]);
    put_octet(out, 2 * run, codes_of(qs, 0));
    put_octet(out, 2 * run + 1, codes_of(qs, 4));
  }
}

void dequantize_nvfp4(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockNvfp4::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockNvfp4::kElements, blocks += sizeof(BlockNvfp4)) {
    BlockNvfp4 block;
    std::memcpy(&block, blocks, sizeof block);
    for (int run = 0; run < kRuns; ++run) {
      const float scale = nvfp4_half_scale(block.scales[run]);
      float* values = out + first + kRun * run;
      for (int j = 0; j < kHalfRun; ++j) {
        const uint8_t byte = block.qs[kHalfRun * run + j];
        values[j] = static_cast<float>(kMxfp4DoubledValues[byte & 0x0f]) * scale;
        values[j + kHalfRun] = static_cast<float>(kMxfp4DoubledValues[byte >> 4]) * scale;
      }
    }
  }
}

void quantize_nvfp4(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockNvfp4::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockNvfp4::kElements, blocks += sizeof(BlockNvfp4)) {
    BlockNvfp4 block = {};
    for (int run = 0; run < kRuns; ++run) {
      const float* x = values + first + kRun * run;
      float largest = 0.0f;
      for (int j = 0; j < kRun; ++j) largest = std::max(largest, std::fabs(x[j]));
      block.scales[run] = nearest_scale(largest / 6.0f);
      const float scale = nvfp4_half_scale(block.scales[run]);
      if (scale == 0.0f) continue;
      const auto code = [&](float value) { return nearest_index(kMxfp4DoubledValues, value / scale); };
      for (int j = 0; j < kHalfRun; ++j)
        block.qs[kHalfRun * run + j] = static_cast<uint8_t>(code(x[j]) | code(x[j + kHalfRun]) << 4);
    }
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
