#include "kernels/quant/iq4.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "base/error.h"
#include "kernels/quant/half.h"
#include "kernels/quant/scale_search.h"

namespace halod {
namespace {

float search_iq4_scale(const float* x) {
  return search_scale({x, 32}, 113.0f, [x](float scale, int8_t* codes) {
    for (int i = 0; i < 32; ++i) codes[i] = kIq4Values[nearest_index(kIq4Values, x[i] / scale)];
  });
}

/// 32 weights to 16 bytes.
void encode_iq4(const float* x, float scale, uint8_t* qs) {
  const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  const auto code = [&](float value) { return nearest_index(kIq4Values, value * inverse); };
  for (int j = 0; j < 16; ++j) qs[j] = static_cast<uint8_t>(code(x[j]) | code(x[j + 16]) << 4);
}

void decode_iq4(const uint8_t* qs, float scale, float* out) {
  for (int j = 0; j < 16; ++j) {
    out[j] = scale * static_cast<float>(kIq4Values[qs[j] & 0x0f]);
    out[j + 16] = scale * static_cast<float>(kIq4Values[qs[j] >> 4]);
  }
}

}  // namespace

void dequantize_iq4_nl(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockIq4Nl::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockIq4Nl::kElements, blocks += sizeof(BlockIq4Nl)) {
    BlockIq4Nl block;
    std::memcpy(&block, blocks, sizeof block);
    decode_iq4(block.qs, f16_to_f32(block.d), out + first);
  }
}

void quantize_iq4_nl(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockIq4Nl::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockIq4Nl::kElements, blocks += sizeof(BlockIq4Nl)) {
    BlockIq4Nl block;
    block.d = f32_to_f16(search_iq4_scale(values + first));
    encode_iq4(values + first, f16_to_f32(block.d), block.qs);
    std::memcpy(blocks, &block, sizeof block);
  }
}

void dequantize_iq4_xs(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockIq4Xs::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockIq4Xs::kElements, blocks += sizeof(BlockIq4Xs)) {
    BlockIq4Xs block;
    std::memcpy(&block, blocks, sizeof block);
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 8; ++j) {
      const int low = (block.scales_l[j / 2] >> (j % 2 * 4)) & 0x0f;
      const int scale = (low | ((block.scales_h >> (2 * j)) & 3) << 4) - 32;
      decode_iq4(block.qs + 16 * j, d * static_cast<float>(scale), out + first + 32 * j);
    }
  }
}

void quantize_iq4_xs(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockIq4Xs::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockIq4Xs::kElements, blocks += sizeof(BlockIq4Xs)) {
    const float* x = values + first;
    float scales[8];
    for (int j = 0; j < 8; ++j) scales[j] = search_iq4_scale(x + 32 * j);
    BlockIq4Xs block = {};
    block.d = f32_to_f16(*std::max_element(scales, scales + 8) / 31.0f);
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 8; ++j) {
      const float steps = d != 0.0f ? std::clamp(std::nearbyint(scales[j] / d), 0.0f, 31.0f) : 0.0f;
      const unsigned bits = static_cast<unsigned>(steps) + 32U;
      block.scales_l[j / 2] = static_cast<uint8_t>(block.scales_l[j / 2] | (bits & 15U) << (j % 2 * 4));
      block.scales_h = static_cast<uint16_t>(block.scales_h | (bits >> 4) << (2 * j));
      encode_iq4(x + 32 * j, d * steps, block.qs + 16 * j);
    }
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
