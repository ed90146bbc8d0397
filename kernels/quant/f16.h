// F16 weights: little-endian IEEE binary16, no blocks.
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

/// Expands n values. Blocks need no alignment. Thread: any.
void dequantize_f16(const std::byte* blocks, int64_t n, float* out);
/// Rounds to nearest, ties to even.
void quantize_f16(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod
