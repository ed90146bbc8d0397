// F32 weights: little-endian IEEE binary32, no blocks.
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

/// Expands n values. Blocks need no alignment. Thread: any.
void dequantize_f32(const std::byte* blocks, int64_t n, float* out);
/// Copies.
void quantize_f32(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod
