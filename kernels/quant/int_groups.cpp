#include "kernels/quant/int_groups.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/half.h"

namespace halod {
namespace {

/// Where weight j's code lies.
template <int bits>
int code_at(const uint8_t* codes, int64_t j) {
  if constexpr (bits == 8) return codes[j];
  return codes[j / 32 * 16 + j % 16] >> (j % 32 < 16 ? 0 : 4) & 0x0f;
}
template <int bits>
void put_code(uint8_t* codes, int64_t j, int code) {
  if constexpr (bits == 8) {
    codes[j] = static_cast<uint8_t>(code);
  } else {
    uint8_t& byte = codes[j / 32 * 16 + j % 16];
    byte = static_cast<uint8_t>(byte | code << (j % 32 < 16 ? 0 : 4));
  }
}

}  // namespace

template <int bits, int64_t group>
void dequantize_int(const std::byte* blocks, int64_t n, float* out) {
  using Block = BlockInt<bits, group>;
  HALOD_ASSERT(n % group == 0);
  for (int64_t first = 0; first < n; first += group, blocks += sizeof(Block)) {
    Block block;
    std::memcpy(&block, blocks, sizeof block);
    const float scale = f16_to_f32(static_cast<uint16_t>(block.scale[0] | block.scale[1] << 8));
    for (int64_t j = 0; j < group; ++j)
      out[first + j] = scale * static_cast<float>(code_at<bits>(block.codes, j) - block.zero);
  }
}

template <int bits, int64_t group>
void quantize_int(const float* values, int64_t n, std::byte* blocks) {
  using Block = BlockInt<bits, group>;
  constexpr int kLargest = (1 << bits) - 1;
  HALOD_ASSERT(n % group == 0);
  for (int64_t first = 0; first < n; first += group, blocks += sizeof(Block)) {
    const float* x = values + first;
    const float low = std::min(0.0F, *std::min_element(x, x + group));
    const float high = std::max(0.0F, *std::max_element(x, x + group));
    Block block = {};
    const uint16_t scale_bits = f32_to_f16((high - low) / static_cast<float>(kLargest));
    block.scale[0] = static_cast<uint8_t>(scale_bits);
    block.scale[1] = static_cast<uint8_t>(scale_bits >> 8);
    const float scale = f16_to_f32(scale_bits);
    const float inverse = scale != 0.0F ? 1.0F / scale : 0.0F;
    const auto rounded = [](float code) {
      return static_cast<int>(std::clamp(std::nearbyint(code), 0.0F, static_cast<float>(kLargest)));
    };
    block.zero = static_cast<uint8_t>(rounded(-low * inverse));
    for (int64_t j = 0; j < group; ++j)
      put_code<bits>(block.codes, j, rounded(x[j] * inverse + static_cast<float>(block.zero)));
    std::memcpy(blocks, &block, sizeof block);
  }
}

#define HALOD_INSTANTIATE(bits, group)                                          \
  template void dequantize_int<bits, group>(const std::byte*, int64_t, float*); \
  template void quantize_int<bits, group>(const float*, int64_t, std::byte*);
HALOD_INSTANTIATE(4, 32)
HALOD_INSTANTIATE(4, 64)
HALOD_INSTANTIATE(4, 128)
HALOD_INSTANTIATE(8, 32)
HALOD_INSTANTIATE(8, 64)
HALOD_INSTANTIATE(8, 128)
#undef HALOD_INSTANTIATE

}  // namespace halod
