// BF16 weights: the upper 16 bits of an IEEE binary32, little-endian, no blocks.
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

/// Expands n values. Blocks need no alignment. Thread: any.
void dequantize_bf16(const std::byte* blocks, int64_t n, float* out);
/// Rounds to nearest, ties to even.
void quantize_bf16(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod
