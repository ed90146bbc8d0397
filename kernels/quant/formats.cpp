#include "kernels/quant/formats.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/quant/bf16.h"
#include "kernels/quant/f16.h"
#include "kernels/quant/f32.h"
#include "kernels/quant/int_groups.h"
#include "kernels/quant/iq1.h"
#include "kernels/quant/iq2.h"
#include "kernels/quant/iq3.h"
#include "kernels/quant/iq4.h"
#include "kernels/quant/mxfp4.h"
#include "kernels/quant/nvfp4.h"
#include "kernels/quant/q2_k.h"
#include "kernels/quant/q3_k.h"
#include "kernels/quant/q4_0.h"
#include "kernels/quant/q4_1.h"
#include "kernels/quant/q4_k.h"
#include "kernels/quant/q5.h"
#include "kernels/quant/q5_k.h"
#include "kernels/quant/q6_k.h"
#include "kernels/quant/q8_0.h"
#include "kernels/quant/tq.h"

namespace halod {
namespace {

template <class Block>
constexpr FormatTraits block_row(Format format, uint32_t ggml_type, std::string_view name,
                                 void (*dequantize)(const std::byte*, int64_t, float*),
                                 void (*quantize)(const float*, int64_t, std::byte*),
                                 void (*expand)(const std::byte*, const CodeSink&) = nullptr) {
  return {format, ggml_type, name, Block::kElements, sizeof(Block), dequantize, quantize, expand};
}

// format, ggml type, name, decoder, encoder, expansion
constexpr FormatTraits kFormats[] = {
    {Format::kF32, 0, "F32", 1, 4, dequantize_f32, quantize_f32},
    {Format::kF16, 1, "F16", 1, 2, dequantize_f16, quantize_f16},
    {Format::kBF16, 30, "BF16", 1, 2, dequantize_bf16, quantize_bf16},
    block_row<BlockQ4_0>(Format::kQ4_0, 2, "Q4_0", dequantize_q4_0, quantize_q4_0),
    block_row<BlockQ8_0>(Format::kQ8_0, 8, "Q8_0", dequantize_q8_0, quantize_q8_0),
    block_row<BlockQ4_K>(Format::kQ4_K, 12, "Q4_K", dequantize_q4_k, quantize_q4_k),
    block_row<BlockQ5_K>(Format::kQ5_K, 13, "Q5_K", dequantize_q5_k, quantize_q5_k),
    block_row<BlockQ6_K>(Format::kQ6_K, 14, "Q6_K", dequantize_q6_k, quantize_q6_k),
    block_row<BlockQ4_1>(Format::kQ4_1, 3, "Q4_1", dequantize_q4_1, quantize_q4_1),
    block_row<BlockQ5_0>(Format::kQ5_0, 6, "Q5_0", dequantize_q5_0, quantize_q5_0),
    block_row<BlockQ5_1>(Format::kQ5_1, 7, "Q5_1", dequantize_q5_1, quantize_q5_1),
    block_row<BlockQ2_K>(Format::kQ2_K, 10, "Q2_K", dequantize_q2_k, quantize_q2_k),
    block_row<BlockQ3_K>(Format::kQ3_K, 11, "Q3_K", dequantize_q3_k, quantize_q3_k),
    block_row<BlockIq4Nl>(Format::kIQ4_NL, 20, "IQ4_NL", dequantize_iq4_nl, quantize_iq4_nl),
    block_row<BlockIq4Xs>(Format::kIQ4_XS, 23, "IQ4_XS", dequantize_iq4_xs, quantize_iq4_xs),
    block_row<BlockMxfp4>(Format::kMXFP4, 39, "MXFP4", dequantize_mxfp4, quantize_mxfp4),
    block_row<BlockIq3Xxs>(Format::kIQ3_XXS, 18, "IQ3_XXS", dequantize_iq3_xxs, quantize_iq3_xxs,
                           expand_iq3_xxs),
    block_row<BlockIq3S>(Format::kIQ3_S, 21, "IQ3_S", dequantize_iq3_s, quantize_iq3_s, expand_iq3_s),
    block_row<BlockIq2Xxs>(Format::kIQ2_XXS, 16, "IQ2_XXS", dequantize_iq2_xxs, quantize_iq2_xxs,
                           expand_iq2_xxs),
    block_row<BlockIq2Xs>(Format::kIQ2_XS, 17, "IQ2_XS", dequantize_iq2_xs, quantize_iq2_xs, expand_iq2_xs),
    block_row<BlockIq2S>(Format::kIQ2_S, 22, "IQ2_S", dequantize_iq2_s, quantize_iq2_s, expand_iq2_s),
    block_row<BlockIq1S>(Format::kIQ1_S, 19, "IQ1_S", dequantize_iq1_s, quantize_iq1_s, expand_iq1_s),
    block_row<BlockIq1M>(Format::kIQ1_M, 29, "IQ1_M", dequantize_iq1_m, quantize_iq1_m, expand_iq1_m),
    block_row<BlockTq1_0>(Format::kTQ1_0, 34, "TQ1_0", dequantize_tq1_0, quantize_tq1_0, expand_tq1_0),
    block_row<BlockTq2_0>(Format::kTQ2_0, 35, "TQ2_0", dequantize_tq2_0, quantize_tq2_0),
    block_row<BlockInt<4, 32>>(Format::kInt4G32, kNoGgmlType, "INT4_G32", dequantize_int<4, 32>,
                               quantize_int<4, 32>),
    block_row<BlockInt<4, 64>>(Format::kInt4G64, kNoGgmlType, "INT4_G64", dequantize_int<4, 64>,
                               quantize_int<4, 64>),
    block_row<BlockInt<4, 128>>(Format::kInt4G128, kNoGgmlType, "INT4_G128", dequantize_int<4, 128>,
                                quantize_int<4, 128>),
    block_row<BlockInt<8, 32>>(Format::kInt8G32, kNoGgmlType, "INT8_G32", dequantize_int<8, 32>,
                               quantize_int<8, 32>),
    block_row<BlockInt<8, 64>>(Format::kInt8G64, kNoGgmlType, "INT8_G64", dequantize_int<8, 64>,
                               quantize_int<8, 64>),
    block_row<BlockInt<8, 128>>(Format::kInt8G128, kNoGgmlType, "INT8_G128", dequantize_int<8, 128>,
                                quantize_int<8, 128>),
    block_row<BlockNvfp4>(Format::kNVFP4, 40, "NVFP4", dequantize_nvfp4, quantize_nvfp4, expand_nvfp4),
};

constexpr bool rows_stand_in_enumeration_order() {
  for (size_t i = 0; i < std::size(kFormats); ++i) {
    if (static_cast<size_t>(kFormats[i].format) != i) return false;
  }
  return true;
}
static_assert(std::size(kFormats) == kFormatCount && rows_stand_in_enumeration_order());

const FormatTraits* find_row(auto matches) {
  const auto row = std::find_if(std::begin(kFormats), std::end(kFormats), matches);
  return row == std::end(kFormats) ? nullptr : &*row;
}

}  // namespace

std::span<const FormatTraits> all_formats() { return kFormats; }

const FormatTraits& traits(Format format) {
  const auto row_idx = static_cast<size_t>(format);
  HALOD_ASSERT(row_idx < std::size(kFormats));
  return kFormats[row_idx];
}

const FormatTraits* find_format_by_ggml_type(uint32_t ggml_type) {
  if (ggml_type == kNoGgmlType) return nullptr;
  return find_row([&](const FormatTraits& row) { return row.ggml_type == ggml_type; });
}

const FormatTraits* find_format_by_name(std::string_view name) {
  return find_row([&](const FormatTraits& row) { return row.name == name; });
}

}  // namespace halod
