#include "kernels/quant/formats.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/quant/bf16.h"
#include "kernels/quant/f16.h"
#include "kernels/quant/f32.h"
#include "kernels/quant/q4_0.h"
#include "kernels/quant/q4_k.h"
#include "kernels/quant/q5_k.h"
#include "kernels/quant/q6_k.h"
#include "kernels/quant/q8_0.h"

namespace halod {
namespace {

// format, ggml type, name, elements and bytes per block, decoder, encoder
constexpr FormatTraits kFormats[] = {
    {Format::kF32, 0, "F32", 1, 4, dequantize_f32, quantize_f32},
    {Format::kF16, 1, "F16", 1, 2, dequantize_f16, quantize_f16},
    {Format::kBF16, 30, "BF16", 1, 2, dequantize_bf16, quantize_bf16},
    {Format::kQ4_0, 2, "Q4_0", BlockQ4_0::kElements, sizeof(BlockQ4_0), dequantize_q4_0, quantize_q4_0},
    {Format::kQ8_0, 8, "Q8_0", BlockQ8_0::kElements, sizeof(BlockQ8_0), dequantize_q8_0, quantize_q8_0},
    {Format::kQ4_K, 12, "Q4_K", BlockQ4_K::kElements, sizeof(BlockQ4_K), dequantize_q4_k, quantize_q4_k},
    {Format::kQ5_K, 13, "Q5_K", BlockQ5_K::kElements, sizeof(BlockQ5_K), dequantize_q5_k, quantize_q5_k},
    {Format::kQ6_K, 14, "Q6_K", BlockQ6_K::kElements, sizeof(BlockQ6_K), dequantize_q6_k, quantize_q6_k},
};

constexpr bool rows_stand_in_enumeration_order() {
  for (size_t i = 0; i < std::size(kFormats); ++i) {
    if (static_cast<size_t>(kFormats[i].format) != i) return false;
  }
  return true;
}
static_assert(rows_stand_in_enumeration_order());

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
  return find_row([&](const FormatTraits& row) { return row.ggml_type == ggml_type; });
}

const FormatTraits* find_format_by_name(std::string_view name) {
  return find_row([&](const FormatTraits& row) { return row.name == name; });
}

}  // namespace halod
