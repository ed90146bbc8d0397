#include "runtime/weights/hf/quantised_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/hf/group_blocks.h"

namespace halod {
namespace {

using Method = HfQuantisation::Method;

/// Where in an AWQ word the code of output column 8 c + r lies: its four bits from 4 * kAwqNibble[r] on.
constexpr std::array<int, 8> kAwqNibble = {0, 4, 1, 5, 2, 6, 3, 7};

/// What the shapes say.
struct Geometry {
  int64_t rows = 0;  ///< output features
  int64_t cols = 0;  ///< input features
  int64_t group_size = 0;
  Format format = Format::kInt4G128;
};

[[noreturn]] void fail(const SafetensorsFiles& files, const SafetensorsTensor& tensor, ErrorCode code,
                       std::string_view problem) {
  throw ErrorException(files.error_at(tensor, code, problem));
}

Geometry measure(const SafetensorsFiles& files, const HfQuantisation& quantisation,
                 const QuantisedLinear& linear) {
  const auto& words = linear.qweight->shape;
  const auto& scales = linear.scales->shape;
  // Far beyond any real layer, and small enough that no product below overflows.
  constexpr int64_t kMaxSide = int64_t{1} << 24;
  const auto is_matrix = [](const std::vector<int64_t>& shape) {
    return shape.size() == 2 && std::ranges::all_of(shape, [](int64_t n) { return n > 0 && n <= kMaxSide; });
  };
  if (!is_matrix(words) || !is_matrix(scales)) {
    fail(files, *linear.qweight, ErrorCode::kCorruptFile,
         fmt::format("has shape [{}], and its scales [{}], where matrices are wanted", fmt::join(words, ", "),
                     fmt::join(scales, ", ")));
  }
  const int64_t n_per_word = 32 / quantisation.bits;
  Geometry g{.rows = scales[1], .cols = words[0] * (quantisation.method == Method::kAwq ? 1 : n_per_word)};
  g.group_size = quantisation.group_size < 0 ? g.cols : std::min(quantisation.group_size, g.cols);
  if (g.rows % n_per_word != 0 || g.cols % g.group_size != 0) {
    fail(files, *linear.qweight, ErrorCode::kUnsupported,
         fmt::format("makes a layer of [{}, {}], which groups of {} and words of {} do not divide", g.rows,
                     g.cols, g.group_size, n_per_word));
  }
  const int64_t n_groups = g.cols / g.group_size;
  const bool is_awq = quantisation.method == Method::kAwq;
  files.require(*linear.qweight, "I32 or U32", {words[0], is_awq ? g.rows / n_per_word : g.rows});
  files.require(*linear.qzeros, "I32 or U32", {n_groups, g.rows / n_per_word});
  files.require(*linear.scales, "F16 or BF16", {n_groups, g.rows});
  if (linear.g_idx != nullptr) files.require(*linear.g_idx, "I32", {g.cols});
  const auto format = find_group_format(quantisation.bits, g.group_size);
  if (!format) {
    fail(files, *linear.qweight, ErrorCode::kUnsupported,
         fmt::format("has groups of {} weights; only multiples of 32 are supported", g.group_size));
  }
  g.format = *format;
  return g;
}

/// Columns [first, first + n) of a matrix in a file, row after row.
template <class Element>
class Strip {
 public:
  Strip(const SafetensorsFiles& files, const SafetensorsTensor& tensor, int64_t first, int64_t n)
      : n_(n), elements_(static_cast<size_t>(tensor.shape[0] * n)) {
    const int64_t n_rows = tensor.shape[0], n_cols = tensor.shape[1];
    const auto bytes = std::as_writable_bytes(std::span(elements_));
    if (n == n_cols) {
      files.read(tensor, 0, bytes).value();
      return;
    }
    const auto row_bytes = static_cast<size_t>(n) * sizeof(Element);
    for (int64_t row = 0; row < n_rows; ++row) {
      const auto offset = static_cast<uint64_t>(row * n_cols + first) * sizeof(Element);
      files.read(tensor, offset, bytes.subspan(static_cast<size_t>(row) * row_bytes, row_bytes)).value();
    }
  }
  Element operator()(int64_t row, int64_t col) const {
    return elements_[static_cast<size_t>(row * n_ + col)];
  }

 private:
  int64_t n_;
  std::vector<Element> elements_;
};

class QuantisedSource final : public ConvertedRows {
 public:
  QuantisedSource(const SafetensorsFiles& files, const HfQuantisation& quantisation, const Geometry& geometry,
                  std::vector<QuantisedLinear> experts, std::vector<int64_t> shape)
      : ConvertedRows(geometry.format, std::move(shape), geometry.rows, geometry.cols),
        files_(files),
        quantisation_(quantisation),
        geometry_(geometry),
        experts_(std::move(experts)) {}

  /// A few rows of W are spread over all of a layer in the file, so that all of it is wanted with its first.
  void prefetch(uint64_t byte_offset, uint64_t n_bytes) const override {
    const uint64_t expert_idx = (byte_offset + expert_bytes() - 1) / expert_bytes();
    if (expert_idx >= experts_.size() || expert_idx * expert_bytes() >= byte_offset + n_bytes) return;
    prefetch(experts_[static_cast<size_t>(expert_idx)]);
  }

  bool has_column_order() const override {
    return quantisation_.may_reorder_columns && experts_.front().g_idx != nullptr;
  }
  Result<std::vector<int32_t>> column_order() const override {
    std::vector<int32_t> all;
    if (!has_column_order()) return all;
    try {
      for (const QuantisedLinear& linear : experts_) {
        const std::vector<int32_t> order = order_of(linear);
        all.insert(all.end(), order.begin(), order.end());
      }
    } catch (const ErrorException& exception) {
      return exception.error();
    }
    return all;
  }

 private:
  void prefetch(const QuantisedLinear& linear) const {
    for (const SafetensorsTensor* tensor : {linear.qweight, linear.qzeros, linear.scales})
      files_.file_of(*tensor).prefetch(tensor->offset, tensor->size_bytes);
  }

  void convert(size_t expert_idx, int64_t first, int64_t n, std::byte* out) const override {
    const QuantisedLinear& linear = experts_[expert_idx];
    if (first == 0) prefetch(linear);
    const std::vector<int32_t> order = has_column_order() ? order_of(linear) : std::vector<int32_t>();
    if (!has_column_order()) check_order(linear);
    const int64_t n_per_word = 32 / quantisation_.bits;
    const int64_t first_word = first / n_per_word, n_words = (first + n - 1) / n_per_word - first_word + 1;
    const bool is_awq = quantisation_.method == Method::kAwq;
    const Strip<uint32_t> words(files_, *linear.qweight, is_awq ? first_word : first, is_awq ? n_words : n);
    const Strip<uint32_t> zeros(files_, *linear.qzeros, first_word, n_words);
    const Strip<uint16_t> scales(files_, *linear.scales, first, n);
    const bool is_bf16 = linear.scales->dtype == "BF16";
    const FormatTraits& format = traits(geometry_.format);
    for (int64_t r = 0; r < n; ++r) {
      const int64_t row = first + r;
      for (int64_t col = 0; col < geometry_.cols; col += format.block_elements, out += format.block_bytes) {
        const int64_t group = col / geometry_.group_size;
        const uint16_t scale = scales(group, r);
        const uint32_t zero = zero_of(zeros(group, row / n_per_word - first_word), row);
        if (!put_block_header(out, is_bf16, scale, zero))
          fail(files_, *linear.scales, ErrorCode::kCorruptFile, kScaleIsNoNumber);
        for (int64_t i = 0; i < format.block_elements; i += kGroupCodes) {
          std::byte* to = out + kBlockHeaderBytes + i * quantisation_.bits / 8;
          if (!order.empty()) {
            put_ordered(words, r, std::span(order).subspan(static_cast<size_t>(col + i)), to);
          } else if (is_awq) {
            put_awq(words, row / n_per_word - first_word, row % 8, col + i, to);
          } else if (quantisation_.bits == 4) {
            put_gptq4(words, r, col + i, to);
          } else {
            put_gptq8(words, r, col + i, to);
          }
        }
      }
    }
  }

  /// Columns by group, in each in the order of the file.
  std::vector<int32_t> order_of(const QuantisedLinear& linear) const {
    const std::vector<int32_t> groups = groups_of(linear);
    const int64_t n_groups = geometry_.cols / geometry_.group_size;
    std::vector<int64_t> next(static_cast<size_t>(n_groups));
    for (size_t g = 0; g < next.size(); ++g) next[g] = static_cast<int64_t>(g) * geometry_.group_size;
    std::vector<int32_t> order(groups.size());
    for (size_t i = 0; i < groups.size(); ++i) {
      const int32_t group = groups[i];
      if (group < 0 || group >= n_groups) {
        fail(files_, *linear.g_idx, ErrorCode::kCorruptFile,
             fmt::format("puts column {} into group {}, where there are {}", i, group, n_groups));
      }
      int64_t& place = next[static_cast<size_t>(group)];
      if (place == (group + int64_t{1}) * geometry_.group_size) {
        fail(files_, *linear.g_idx, ErrorCode::kUnsupported,
             fmt::format("puts more than {} columns into group {}; only groups of one size are supported",
                         geometry_.group_size, group));
      }
      order[static_cast<size_t>(place++)] = static_cast<int32_t>(i);
    }
    return order;
  }

  std::vector<int32_t> groups_of(const QuantisedLinear& linear) const {
    std::vector<int32_t> groups(static_cast<size_t>(geometry_.cols));
    files_.read(*linear.g_idx, 0, std::as_writable_bytes(std::span(groups))).value();
    return groups;
  }

  /// Columns that belong to another group than their place says would need the activations in their order.
  void check_order(const QuantisedLinear& linear) const {
    if (linear.g_idx == nullptr) return;
    const std::vector<int32_t> groups = groups_of(linear);
    for (size_t i = 0; i < groups.size(); ++i) {
      const int64_t expected = static_cast<int64_t>(i) / geometry_.group_size;
      if (groups[i] == expected) continue;
      fail(files_, *linear.g_idx, ErrorCode::kUnsupported,
           fmt::format("puts column {} into group {} where groups of {} have it in {}; the "
                       "configuration's desc_act does not say so",
                       i, groups[i], geometry_.group_size, expected));
    }
  }

  uint32_t zero_of(uint32_t word, int64_t row) const {
    if (quantisation_.method == Method::kAwq)
      return word >> (4 * kAwqNibble[static_cast<size_t>(row % 8)]) & 0x0f;
    // What wrote z - 1 took one from each field of the word, borrows and all; this gives it back.
    if (quantisation_.stores_zeros_less_one) word += quantisation_.bits == 4 ? 0x11111111U : 0x01010101U;
    const int64_t n_per_word = 32 / quantisation_.bits;
    return word >> (quantisation_.bits * (row % n_per_word)) & ((1U << quantisation_.bits) - 1);
  }

  /// 32 codes of one row, in the order of kernels/quant/int_groups.h. A word holds eight columns of a row.
  static void put_gptq4(const Strip<uint32_t>& words, int64_t r, int64_t col, std::byte* to) {
    const int64_t k = col / 8;
    put_codes4({words(k, r), words(k + 1, r), words(k + 2, r), words(k + 3, r)}, to);
  }
  static void put_gptq8(const Strip<uint32_t>& words, int64_t r, int64_t col, std::byte* to) {
    for (int64_t k = 0; k < kGroupCodes / 4; ++k) {
      const uint32_t word = words(col / 4 + k, r);
      std::memcpy(to + 4 * k, &word, sizeof word);
    }
  }
  /// The same of columns that lie apart.
  void put_ordered(const Strip<uint32_t>& words, int64_t r, std::span<const int32_t> cols,
                   std::byte* to) const {
    const int bits = quantisation_.bits, n_per_word = 32 / bits;
    const auto code = [&](int64_t i) {
      const int32_t col = cols[static_cast<size_t>(i)];
      return words(col / n_per_word, r) >> (bits * (col % n_per_word)) & ((1U << bits) - 1);
    };
    if (bits == 8) {
      for (int64_t i = 0; i < kGroupCodes; ++i) to[i] = static_cast<std::byte>(code(i));
      return;
    }
    for (int64_t i = 0; i < kGroupCodes / 2; ++i)
      to[i] = static_cast<std::byte>(code(i) | code(i + kGroupCodes / 2) << 4);
  }
  /// A word holds eight rows of one column.
  static void put_awq(const Strip<uint32_t>& words, int64_t word_idx, int64_t row_in_word, int64_t col,
                      std::byte* to) {
    const int shift = 4 * kAwqNibble[static_cast<size_t>(row_in_word)];
    for (int64_t j = 0; j < kGroupCodes / 2; ++j) {
      to[j] = static_cast<std::byte>((words(col + j, word_idx) >> shift & 0x0f) |
                                     (words(col + j + 16, word_idx) >> shift & 0x0f) << 4);
    }
  }

  const SafetensorsFiles& files_;
  HfQuantisation quantisation_;
  Geometry geometry_;
  std::vector<QuantisedLinear> experts_;
};

}  // namespace

std::unique_ptr<const TensorSource> make_quantised_source(const SafetensorsFiles& files,
                                                          const HfQuantisation& quantisation,
                                                          std::vector<QuantisedLinear> experts,
                                                          bool is_stack) {
  const Geometry geometry = measure(files, quantisation, experts.front());
  for (const QuantisedLinear& linear : experts) {
    const Geometry other = measure(files, quantisation, linear);
    if (other.rows != geometry.rows || other.cols != geometry.cols) {
      fail(files, *linear.qweight, ErrorCode::kCorruptFile,
           fmt::format("makes a layer of [{}, {}], but '{}' one of [{}, {}]", other.rows, other.cols,
                       printable(experts.front().qweight->name), geometry.rows, geometry.cols));
    }
  }
  std::vector<int64_t> shape = {geometry.rows, geometry.cols};
  if (is_stack) shape.insert(shape.begin(), static_cast<int64_t>(experts.size()));
  return std::make_unique<QuantisedSource>(files, quantisation, geometry, std::move(experts),
                                           std::move(shape));
}

}  // namespace halod
