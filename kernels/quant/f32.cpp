#include "kernels/quant/f32.h"

#include <cstring>

namespace halod {

void dequantize_f32(const std::byte* blocks, int64_t n, float* out) {
  if (n > 0) std::memcpy(out, blocks, static_cast<size_t>(n) * sizeof(float));
}

void quantize_f32(const float* values, int64_t n, std::byte* blocks) {
  if (n > 0) std::memcpy(blocks, values, static_cast<size_t>(n) * sizeof(float));
}

}  // namespace halod
