#include "runtime/weights/hf/packed_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/hf/group_blocks.h"

namespace halod {
namespace {

/// What the shapes say.
struct PackedGeometry {
  int64_t rows = 0;  ///< output features
  int64_t cols = 0;  ///< input features
  int64_t group_size = 0;
  Format format = Format::kInt4G128;

  friend bool operator==(const PackedGeometry&, const PackedGeometry&) = default;
};

PackedGeometry measure_packed(const SafetensorsFiles& files, const HfQuantisation& quantisation,
                              const PackedLinear& linear) {
  const SafetensorsTensor& codes = *linear.codes;
  // Far beyond any real layer, and small enough that no product below overflows.
  constexpr int64_t kMaxSide = int64_t{1} << 24;
  if (codes.shape.size() != 2 ||
      std::ranges::any_of(codes.shape, [](int64_t n) { return n < 1 || n > kMaxSide; })) {
    throw ErrorException(files.error_at(
        codes, ErrorCode::kCorruptFile,
        fmt::format("has shape [{}], where a matrix is wanted", fmt::join(codes.shape, ", "))));
  }
  const int64_t n_per_word = 32 / quantisation.bits;
  PackedGeometry g{.rows = codes.shape[0], .cols = codes.shape[1] * n_per_word};
  g.group_size = quantisation.group_size < 0 ? g.cols : std::min(quantisation.group_size, g.cols);
  const auto format = find_group_format(quantisation.bits, g.group_size);
  if (!format || g.cols % g.group_size != 0 || (linear.zeros != nullptr && g.rows % n_per_word != 0)) {
    throw ErrorException(files.error_at(
        codes, ErrorCode::kUnsupported,
        fmt::format("makes a layer of [{}, {}] in groups of {}; only multiples of 32 that divide it are "
                    "supported",
                    g.rows, g.cols, g.group_size)));
  }
  g.format = *format;
  const int64_t n_groups = g.cols / g.group_size;
  files.require(codes, "I32 or U32", codes.shape);
  files.require(*linear.scales, "F16 or BF16", {g.rows, n_groups});
  if (linear.zeros != nullptr) files.require(*linear.zeros, "I32 or U32", {g.rows / n_per_word, n_groups});
  return g;
}

/// Rows [first, first + n) of a matrix in a file.
template <class Element>
std::vector<Element> read_rows(const SafetensorsFiles& files, const SafetensorsTensor& tensor, int64_t first,
                               int64_t n) {
  const int64_t n_cols = tensor.shape[1];
  std::vector<Element> rows(static_cast<size_t>(n * n_cols));
  files
      .read(tensor, static_cast<uint64_t>(first * n_cols) * sizeof(Element),
            std::as_writable_bytes(std::span(rows)))
      .value();
  return rows;
}

class PackedSource final : public ConvertedRows {
 public:
  PackedSource(const SafetensorsFiles& files, int bits, const PackedGeometry& geometry,
               std::vector<PackedLinear> experts, std::vector<int64_t> shape)
      : ConvertedRows(geometry.format, std::move(shape), geometry.rows, geometry.cols),
        files_(files),
        bits_(bits),
        geometry_(geometry),
        experts_(std::move(experts)) {}

  void prefetch(uint64_t byte_offset, uint64_t n_bytes) const override {
    const uint64_t expert_idx = byte_offset / expert_bytes();
    if (expert_idx >= experts_.size()) return;
    // The words of a row are nearly as many bytes as its blocks.
    const SafetensorsTensor& codes = *experts_[static_cast<size_t>(expert_idx)].codes;
    files_.file_of(codes).prefetch(codes.offset + byte_offset % expert_bytes(), n_bytes);
  }

 private:
  void convert(size_t expert_idx, int64_t first, int64_t n, std::byte* out) const override {
    const PackedLinear& linear = experts_[expert_idx];
    const int64_t n_per_word = 32 / bits_, words_per_row = geometry_.cols / n_per_word;
    const int64_t n_groups = geometry_.cols / geometry_.group_size;
    const auto words = read_rows<uint32_t>(files_, *linear.codes, first, n);
    const auto scales = read_rows<uint16_t>(files_, *linear.scales, first, n);
    const int64_t first_zero = first / n_per_word, n_zeros = (first + n - 1) / n_per_word - first_zero + 1;
    std::vector<uint32_t> zeros;
    if (linear.zeros != nullptr) zeros = read_rows<uint32_t>(files_, *linear.zeros, first_zero, n_zeros);
    const bool is_bf16 = linear.scales->dtype == "BF16";
    const uint32_t mask = (1U << bits_) - 1;
    const FormatTraits& format = traits(geometry_.format);
    for (int64_t r = 0; r < n; ++r) {
      const int64_t row = first + r;
      for (int64_t col = 0; col < geometry_.cols; col += format.block_elements, out += format.block_bytes) {
        const int64_t group = col / geometry_.group_size;
        uint32_t zero = 1U << (bits_ - 1);
        if (!zeros.empty()) {
          const auto at = static_cast<size_t>((row / n_per_word - first_zero) * n_groups + group);
          zero = zeros[at] >> (bits_ * (row % n_per_word)) & mask;
        }
        if (!put_block_header(out, is_bf16, scales[static_cast<size_t>(r * n_groups + group)], zero))
          throw ErrorException(files_.error_at(*linear.scales, ErrorCode::kCorruptFile, kScaleIsNoNumber));
        const uint32_t* codes = words.data() + r * words_per_row + col / n_per_word;
        std::byte* to = out + kBlockHeaderBytes;
        if (bits_ == 8) {
          std::memcpy(to, codes, static_cast<size_t>(format.block_elements));
          continue;
        }
        for (int64_t i = 0; i < format.block_elements; i += kGroupCodes, codes += 4, to += kGroupCodes / 2)
          put_codes4({codes[0], codes[1], codes[2], codes[3]}, to);
      }
    }
  }

  const SafetensorsFiles& files_;
  int bits_;
  PackedGeometry geometry_;
  std::vector<PackedLinear> experts_;
};

}  // namespace

std::unique_ptr<const TensorSource> make_packed_source(const SafetensorsFiles& files,
                                                       const HfQuantisation& quantisation,
                                                       std::vector<PackedLinear> experts, bool is_stack) {
  const PackedGeometry geometry = measure_packed(files, quantisation, experts.front());
  for (const PackedLinear& linear : experts) {
    if (measure_packed(files, quantisation, linear) == geometry) continue;
    throw ErrorException(
        files.error_at(*linear.codes, ErrorCode::kCorruptFile,
                       fmt::format("makes another layer than '{}', which is one of [{}, {}]",
                                   printable(experts.front().codes->name), geometry.rows, geometry.cols)));
  }
  std::vector<int64_t> shape = {geometry.rows, geometry.cols};
  if (is_stack) shape.insert(shape.begin(), static_cast<int64_t>(experts.size()));
  return std::make_unique<PackedSource>(files, quantisation.bits, geometry, std::move(experts),
                                        std::move(shape));
}

}  // namespace halod
