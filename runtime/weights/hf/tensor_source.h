// How one tensor's rows come out of safetensors files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/weights/hf/safetensors_files.h"
#include "runtime/weights/tensor_info.h"

namespace halod {

/// Thread: const methods from any thread.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  Format format() const { return format_; }
  const std::vector<int64_t>& shape() const { return shape_; }

  /// As Checkpoint::read and Checkpoint::prefetch.
  virtual Result<> read(uint64_t byte_offset, std::span<std::byte> out) const = 0;
  virtual void prefetch(uint64_t byte_offset, uint64_t n_bytes) const = 0;

  /// What the files have where halod has no such format and expands it to format(): "FP8"; else empty.
  virtual std::string_view expanded_from() const { return {}; }

  /// Whether rows have their columns in another order than the inputs that they are multiplied with.
  virtual bool has_column_order() const { return false; }
  /// As Checkpoint::column_order.
  virtual Result<std::vector<int32_t>> column_order() const { return std::vector<int32_t>(); }

 protected:
  TensorSource(Format format, std::vector<int64_t> shape) : format_(format), shape_(std::move(shape)) {}

 private:
  Format format_;
  std::vector<int64_t> shape_;
};

/// Weights whose rows are made from what the files have: [rows, cols] of each expert, one after the other.
class ConvertedRows : public TensorSource {
 public:
  Result<> read(uint64_t byte_offset, std::span<std::byte> out) const final;

 protected:
  ConvertedRows(Format format, std::vector<int64_t> shape, int64_t rows, int64_t cols);

  /// Rows first to first + n of one expert, in the format. Throws ErrorException.
  virtual void convert(size_t expert_idx, int64_t first, int64_t n, std::byte* out) const = 0;
  uint64_t expert_bytes() const { return static_cast<uint64_t>(rows_ * row_bytes_); }

 private:
  int64_t rows_, row_bytes_;
};

/// Another source's rows; what forwards everything but them.
class WrappedSource : public TensorSource {
 public:
  std::string_view expanded_from() const final { return source_->expanded_from(); }
  bool has_column_order() const final { return source_->has_column_order(); }
  Result<std::vector<int32_t>> column_order() const final { return source_->column_order(); }

 protected:
  WrappedSource(std::unique_ptr<const TensorSource> source, Format format, std::vector<int64_t> shape)
      : TensorSource(format, std::move(shape)), source_(std::move(source)) {}
  const TensorSource& source() const { return *source_; }

 private:
  std::unique_ptr<const TensorSource> source_;
};

/// The format whose bytes a float tensor of this dtype has; nullptr for other dtypes.
const FormatTraits* format_of_dtype(std::string_view dtype);

/// One float tensor as it lies in its file, or one per expert one after the other. REQUIRES: at least one;
/// all of the same shape and of a dtype with a format; `files` outlives it.
std::unique_ptr<const TensorSource> make_float_source(const SafetensorsFiles& files,
                                                      std::vector<const SafetensorsTensor*> experts,
                                                      bool is_stack);

/// A vector that no file has.
std::unique_ptr<const TensorSource> make_computed_source(std::vector<float> values);

}  // namespace halod
