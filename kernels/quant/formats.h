// The weight formats: one row per format, and everything that depends on a format asks its row.
//
// A new format is one pair of files here (kernels/quant/<name>.h/.cpp), one enumerator and one row in
// formats.cpp; tests, the synthetic model writer and halo-bench iterate the table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace halod {

enum class Format : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ8_0,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ2_K,
  kQ3_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,
  kIQ3_XXS,
  kIQ3_S,
  kIQ2_XXS,
  kIQ2_XS,
  kIQ2_S,
  kIQ1_S,
  kIQ1_M,
  kTQ1_0,
  kTQ2_0,
  kInt4G32,
  kInt4G64,
  kInt4G128,
  kInt8G32,
  kInt8G64,
  kInt8G128,
  kNVFP4
};
inline constexpr size_t kFormatCount = static_cast<size_t>(Format::kNVFP4) + 1;

/// The type number of formats that no GGUF file has.
inline constexpr uint32_t kNoGgmlType = 0xffffffff;

/// Codes of a CodeSink are stored plus this much, so that they are unsigned and below 128.
inline constexpr int kCodeOffset = 64;

/// Where FormatTraits::expand puts a block of weights w[i] = scale[i / 16] * code[i]: strides let sixteen
/// rows lie side by side (kernels/cpu/matmul_expanded.cpp).
struct CodeSink {
  uint32_t* quads;  ///< codes 4 q … 4 q + 3 plus kCodeOffset are the bytes of quads[q * stride]
  float* scales;    ///< scale j is scales[j * stride]
  int64_t stride;
};

/// A format's row. Rows of a matrix are sequences of blocks; a block holds `block_elements` consecutive
/// weights.
struct FormatTraits {
  Format format;
  uint32_t ggml_type;      ///< the number in GGUF tensor tables (ggml.h, enum ggml_type), or kNoGgmlType
  std::string_view name;   ///< as the field writes it: "Q4_K"
  int64_t block_elements;  ///< weights per block; 1 for the float formats
  int64_t block_bytes;     ///< bytes per block
  /// Expands n weights (a multiple of block_elements) to f32, bit-exact with ggml's reference.
  void (*dequantize)(const std::byte* blocks, int64_t n, float* out);
  /// Rounds n floats to the nearest block values that the format's simple (not importance-weighted) encoder
  /// finds. For synthetic models and tests. REQUIRES: finite values within the range of f16.
  void (*quantize)(const float* values, int64_t n, std::byte* blocks);
  /// Expands one block exactly, for the kernels that multiply formats without a tile layout
  /// (kernels/cpu/tile_layout.h). nullptr where there is no need: such a layout, or a float format. Only for
  /// blocks of whole groups of 32 weights, of which 512 is a multiple.
  void (*expand)(const std::byte* block, const CodeSink& out) = nullptr;

  /// Bytes of a row of n weights. REQUIRES: n is a multiple of block_elements.
  int64_t row_bytes(int64_t n) const { return n / block_elements * block_bytes; }
};

/// All rows, in the order of the enumeration. Thread: any.
std::span<const FormatTraits> all_formats();
const FormatTraits& traits(Format format);
/// nullptr when halod has no such format.
const FormatTraits* find_format_by_ggml_type(uint32_t ggml_type);
const FormatTraits* find_format_by_name(std::string_view name);

}  // namespace halod
