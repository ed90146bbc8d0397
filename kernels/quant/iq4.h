// IQ4_NL and IQ4_XS: 4-bit codes of the uneven values kIq4Values, finer near zero where most weights are.
//
// IQ4_NL: 32 weights in 18 bytes, w = d * v[q].
//   byte 0   2                      18
//        d   q[0]|q[16]<<4 … q[15]|q[31]<<4
//
// IQ4_XS: 256 weights in 136 bytes, w = d * (scale[j] - 32) * v[q] for the sub-block j = i / 32 of weight i.
//   byte 0   2          4              8          136
//        d   scales_h   scales_l (4)   qs (128)
//   scale[j]: low four bits in nibble j % 2 of scales_l[j / 2], high two in bits 2 j and 2 j + 1 of scales_h.
//   Sub-block j's codes: qs[16 j … 16 j + 15], as in IQ4_NL.
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

/// Source: ggml's kvalues_iq4nl (MIT, the ggml authors; see NOTICE).
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

struct BlockIq4Nl {
  static constexpr int64_t kElements = 32;
  uint16_t d;      ///< f16 scale
  uint8_t qs[16];  ///< byte j: weight j in the low nibble, weight j + 16 in the high one
};
static_assert(sizeof(BlockIq4Nl) == 18);

struct BlockIq4Xs {
  static constexpr int64_t kElements = 256;
  uint16_t d;  ///< f16 scale of the scales
  uint16_t scales_h;
  uint8_t scales_l[4];
  uint8_t qs[128];
};
static_assert(sizeof(BlockIq4Xs) == 136);

/// n is a multiple of the block's elements. Blocks need no alignment. Thread: any. Source: ggml's
/// dequantize_row_iq4_nl and _iq4_xs (bit-exact, tested).
void dequantize_iq4_nl(const std::byte* blocks, int64_t n, float* out);
void dequantize_iq4_xs(const std::byte* blocks, int64_t n, float* out);
/// The nearest value of each weight for the scale that search_scale finds.
void quantize_iq4_nl(const float* values, int64_t n, std::byte* blocks);
void quantize_iq4_xs(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod
