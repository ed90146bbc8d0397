#include "runtime/weights/hf/fp8_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels/quant/half.h"
#include "runtime/weights/gguf_reader.h"

namespace halod {
namespace {

constexpr std::array<float, 256> make_e4m3_values() {
  std::array<float, 256> values{};
  for (uint32_t code = 0; code < values.size(); ++code) {
    const uint32_t exponent = code >> 3 & 0x0f, fraction = code & 0x07;
    float value = 0;
    if ((code & 0x7f) == 0x7f) {
      value = std::numeric_limits<float>::quiet_NaN();
    } else if (exponent == 0) {
      value = static_cast<float>(fraction) / 512;  // 2^-6 / 8
    } else {
      constexpr uint32_t kBias = 7, kFloatBias = 127;
      value = std::bit_cast<float>((exponent + kFloatBias - kBias) << 23 | fraction << 20);
    }
    values[code] = code < 0x80 ? value : -value;
  }
  return values;
}
constexpr std::array<float, 256> kE4m3Values = make_e4m3_values();

/// What the shapes say.
struct Fp8Geometry {
  int64_t rows = 0, cols = 0;              ///< of the layer
  int64_t block_rows = 0, block_cols = 0;  ///< that share a scale
  int64_t scale_cols = 0;

  friend bool operator==(const Fp8Geometry&, const Fp8Geometry&) = default;
};

Fp8Geometry measure_fp8(const SafetensorsFiles& files, const HfQuantisation& quantisation,
                        const Fp8Linear& linear) {
  const auto& shape = linear.codes->shape;
  const auto& scales = linear.scales->shape;
  // Far beyond any real layer, and small enough that no product below overflows.
  constexpr int64_t kMaxSide = int64_t{1} << 24;
  if (shape.size() != 2 || std::ranges::any_of(shape, [](int64_t n) { return n < 1 || n > kMaxSide; })) {
    throw ErrorException(
        files.error_at(*linear.codes, ErrorCode::kCorruptFile,
                       fmt::format("has shape [{}], where a matrix is wanted", fmt::join(shape, ", "))));
  }
  Fp8Geometry g{.rows = shape[0], .cols = shape[1], .block_rows = shape[0], .block_cols = shape[1]};
  std::vector<int64_t> wanted = scales;
  if (quantisation.block_rows > 0) {
    g.block_rows = quantisation.block_rows;
    g.block_cols = quantisation.block_cols;
    wanted = {(g.rows - 1) / g.block_rows + 1, (g.cols - 1) / g.block_cols + 1};
  } else if (std::ranges::any_of(scales, [](int64_t n) { return n != 1; })) {
    g.block_rows = 1;
    wanted = scales.size() == 1 ? std::vector<int64_t>{g.rows} : std::vector<int64_t>{g.rows, 1};
  }
  g.scale_cols = (g.cols - 1) / g.block_cols + 1;
  files.require(*linear.codes, kFp8Dtype, shape);
  files.require(*linear.scales, "F32, F16 or BF16", wanted);
  return g;
}

class Fp8Source final : public ConvertedRows {
 public:
  Fp8Source(const SafetensorsFiles& files, const Fp8Geometry& geometry, std::vector<Fp8Linear> experts,
            std::vector<int64_t> shape)
      : ConvertedRows(Format::kBF16, std::move(shape), geometry.rows, geometry.cols),
        files_(files),
        geometry_(geometry),
        experts_(std::move(experts)) {}

  std::string_view expanded_from() const override { return "FP8"; }

  void prefetch(uint64_t byte_offset, uint64_t n_bytes) const override {
    const uint64_t expert_idx = byte_offset / expert_bytes();
    if (expert_idx >= experts_.size()) return;
    const SafetensorsTensor& codes = *experts_[static_cast<size_t>(expert_idx)].codes;
    files_.file_of(codes).prefetch(codes.offset + byte_offset % expert_bytes() / sizeof(uint16_t),
                                   n_bytes / sizeof(uint16_t));
  }

 private:
  /// Of the blocks of rows [first, last].
  std::vector<float> scales_of(const SafetensorsTensor& scales, int64_t first, int64_t last) const {
    const FormatTraits& format = *format_of_dtype(scales.dtype);
    const int64_t first_block = first / geometry_.block_rows, end_block = last / geometry_.block_rows + 1;
    const int64_t n = (end_block - first_block) * geometry_.scale_cols;
    std::vector<std::byte> bytes(static_cast<size_t>(format.row_bytes(n)));
    files_.read(scales, static_cast<uint64_t>(format.row_bytes(first_block * geometry_.scale_cols)), bytes)
        .value();
    std::vector<float> values(static_cast<size_t>(n));
    format.dequantize(bytes.data(), n, values.data());
    return values;
  }

  void convert(size_t expert_idx, int64_t first, int64_t n, std::byte* out) const override {
    const Fp8Linear& linear = experts_[expert_idx];
    const std::vector<float> scales = scales_of(*linear.scales, first, first + n - 1);
    std::vector<std::byte> codes(static_cast<size_t>(n * geometry_.cols));
    files_.read(*linear.codes, static_cast<uint64_t>(first * geometry_.cols), codes).value();
    const std::byte* code = codes.data();
    bool is_finite = true;
    for (int64_t row = first; row < first + n; ++row) {
      const int64_t block_row = row / geometry_.block_rows - first / geometry_.block_rows;
      for (int64_t begin = 0; begin < geometry_.cols; begin += geometry_.block_cols) {
        const float scale =
            scales[static_cast<size_t>(block_row * geometry_.scale_cols + begin / geometry_.block_cols)];
        const int64_t end = std::min(begin + geometry_.block_cols, geometry_.cols);
        for (int64_t col = begin; col < end; ++col, out += sizeof(uint16_t)) {
          const float value = kE4m3Values[std::to_integer<size_t>(*code++)] * scale;
          is_finite &= std::isfinite(value);
          const uint16_t rounded = f32_to_bf16(value);
          std::memcpy(out, &rounded, sizeof rounded);
        }
      }
    }
    if (!is_finite) {
      throw ErrorException(files_.error_at(*linear.codes, ErrorCode::kCorruptFile,
                                           "holds a weight that is not a finite number"));
    }
  }

  const SafetensorsFiles& files_;
  Fp8Geometry geometry_;
  std::vector<Fp8Linear> experts_;
};

}  // namespace

float e4m3_to_f32(uint8_t code) { return kE4m3Values[code]; }

std::unique_ptr<const TensorSource> make_fp8_source(const SafetensorsFiles& files,
                                                    const HfQuantisation& quantisation,
                                                    std::vector<Fp8Linear> experts, bool is_stack) {
  const Fp8Geometry geometry = measure_fp8(files, quantisation, experts.front());
  for (const Fp8Linear& linear : experts) {
    if (measure_fp8(files, quantisation, linear) == geometry) continue;
    throw ErrorException(
        files.error_at(*linear.codes, ErrorCode::kCorruptFile,
                       fmt::format("makes another layer than '{}', which is one of [{}, {}]",
                                   printable(experts.front().codes->name), geometry.rows, geometry.cols)));
  }
  std::vector<int64_t> shape = {geometry.rows, geometry.cols};
  if (is_stack) shape.insert(shape.begin(), static_cast<int64_t>(experts.size()));
  return std::make_unique<Fp8Source>(files, geometry, std::move(experts), std::move(shape));
}

}  // namespace halod
