#include "kernels/quant/f16.h"

#include <cstring>

#include "kernels/quant/half.h"

namespace halod {

void dequantize_f16(const std::byte* blocks, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits;
    std::memcpy(&bits, blocks + i * 2, sizeof bits);
    out[i] = f16_to_f32(bits);
  }
}

void quantize_f16(const float* values, int64_t n, std::byte* blocks) {
  for (int64_t i = 0; i < n; ++i) {
    const uint16_t bits = f32_to_f16(values[i]);
    std::memcpy(blocks + i * 2, &bits, sizeof bits);
  }
}

}  // namespace halod
