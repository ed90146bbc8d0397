// Where one tensor of a model file lies.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/quant/formats.h"

namespace halod {

/// Shape is outermost first, as NumPy and Hugging Face print it: a linear layer is {out_features,
/// in_features}, an expert stack {n_experts, out_features, in_features}. Rows (the last extent) are
/// contiguous and in block layout as Checkpoint::read gives them.
struct TensorInfo {
  std::string name;  ///< GGUF name: "blk.0.attn_q.weight"
  Format format = Format::kF32;
  std::vector<int64_t> shape;
  uint32_t file_idx = 0;    ///< which part of a split model; what else it may be is its checkpoint's matter
  uint64_t offset = 0;      ///< from the start of that file
  uint64_t size_bytes = 0;  ///< checked against the file's size when it was opened
  std::string_view expanded_from = {};  ///< what the files have where `format` is not that: "FP8"; else empty
  bool has_column_order = false;  ///< columns are not in the order of the inputs: Checkpoint::column_order

  int64_t cols() const { return shape.empty() ? 1 : shape.back(); }
  int64_t n_elements() const {
    int64_t n = 1;
    for (int64_t extent : shape) n *= extent;
    return n;
  }
  int64_t rows() const { return cols() == 0 ? 0 : n_elements() / cols(); }
};

/// A tensor in a format that halod cannot read: known by its place alone.
struct UnsupportedTensor {
  std::string name;
  std::string format;          ///< "Q8_K"
  std::string format_in_file;  ///< as messages show it: "Q8_K (type 15)"
  std::vector<int64_t> shape;  ///< outermost first
  uint32_t file_idx = 0;
  uint64_t offset = 0;      ///< from the start of that file
  uint64_t size_bytes = 0;  ///< where only the format knows: up to where the next tensor begins
};

}  // namespace halod
