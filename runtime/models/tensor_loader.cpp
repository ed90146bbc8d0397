#include "runtime/models/tensor_loader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <utility>

namespace halod {

TensorLoader::TensorLoader(const Checkpoint& file, Backend& backend, LoadCallbacks callbacks)
    : file_(file), backend_(backend), callbacks_(std::move(callbacks)) {}

const TensorInfo& TensorLoader::require(const std::string& name, const std::vector<int64_t>& shape) {
  const TensorInfo* tensor = file_.find_tensor(name);
  const std::string file_name = file_.name_in_files(name);
  if (tensor == nullptr) {
    throw ErrorException({ErrorCode::kCorruptFile,
                          fmt::format("{}: tensor '{}' is missing; the architecture needs it",
                                      file_.path().string(), file_name),
                          file_name});
  }
  if (tensor->shape != shape) {
    throw ErrorException(
        {ErrorCode::kCorruptFile,
         fmt::format("{}: tensor '{}' has shape [{}] where the model's metadata asks for [{}]",
                     file_.path().string(), file_name, fmt::join(tensor->shape, ", "),
                     fmt::join(shape, ", ")),
         file_name});
  }
  used_.insert(name);
  return *tensor;
}

std::unique_ptr<PlacedWeight> TensorLoader::place(const TensorInfo& tensor) {
  if (callbacks_.between_tensors) callbacks_.between_tensors().value();
  auto weight = backend_.place_weight(file_, tensor, [this](uint64_t n_bytes) {
    bytes_done_ += n_bytes;
    if (callbacks_.on_bytes) callbacks_.on_bytes(bytes_done_, file_.total_tensor_bytes());
  });
  std::unique_ptr<PlacedWeight> placed = std::move(weight).value();
  weight_bytes_ += placed->bytes();
  return placed;
}

std::unique_ptr<PlacedWeight> TensorLoader::matrix(const std::string& name, int64_t rows, int64_t cols) {
  return place(require(name, {rows, cols}));
}

std::unique_ptr<PlacedWeight> TensorLoader::row(const std::string& name, int64_t cols) {
  return place(require(name, {cols}));
}

std::unique_ptr<PlacedWeight> TensorLoader::experts(const std::string& name, int64_t n_experts, int64_t rows,
                                                    int64_t cols) {
  return place(require(name, {n_experts, rows, cols}));
}

std::vector<float> TensorLoader::values(const std::string& name, const std::vector<int64_t>& shape) {
  const TensorInfo& tensor = require(name, shape);
  std::vector<std::byte> bytes(tensor.size_bytes);
  file_.read(tensor, 0, bytes).value();
  std::vector<float> values(static_cast<size_t>(tensor.n_elements()));
  traits(tensor.format).dequantize(bytes.data(), tensor.n_elements(), values.data());
  for (float value : values) {
    if (!std::isfinite(value)) {
      throw ErrorException({ErrorCode::kCorruptFile,
                            fmt::format("{}: tensor '{}' holds a value that is not a finite number; "
                                        "the file is damaged, fetch it again",
                                        file_.path().string(), name),
                            name});
    }
  }
  bytes_done_ += tensor.size_bytes;
  return values;
}

std::unique_ptr<PlacedVector> TensorLoader::vector(const std::string& name, int64_t n) {
  return place_values(name, {n});
}

std::unique_ptr<PlacedVector> TensorLoader::table(const std::string& name, int64_t rows, int64_t cols) {
  // Whoever published the model may have the rows in one.
  const TensorInfo* tensor = file_.find_tensor(name);
  const bool is_vector = tensor != nullptr && tensor->shape == std::vector{rows * cols};
  return place_values(name, is_vector ? std::vector{rows * cols} : std::vector{rows, cols});
}

std::unique_ptr<PlacedVector> TensorLoader::transposed_table(const std::string& name, int64_t rows,
                                                             int64_t cols) {
  const std::vector<float> by_row = values(name, {rows, cols});
  std::vector<float> by_column(by_row.size());
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t col = 0; col < cols; ++col)
      by_column[static_cast<size_t>(col * rows + row)] = by_row[static_cast<size_t>(row * cols + col)];
  }
  return place(by_column);
}

std::unique_ptr<PlacedVector> TensorLoader::place_values(const std::string& name,
                                                         const std::vector<int64_t>& shape) {
  return place(values(name, shape));
}

std::unique_ptr<PlacedVector> TensorLoader::place(std::span<const float> values) {
  std::unique_ptr<PlacedVector> placed = backend_.place_vector(values).value();
  weight_bytes_ += placed->bytes();
  return placed;
}

void TensorLoader::leave_out_layer(int64_t layer_idx) {
  const std::string prefix = fmt::format("blk.{}.", layer_idx);
  for (const TensorInfo& tensor : file_.tensors()) {
    if (!tensor.name.starts_with(prefix)) continue;
    used_.insert(tensor.name);
    bytes_done_ += tensor.size_bytes;
  }
}

void TensorLoader::refuse_unused() const {
  for (const TensorInfo& tensor : file_.tensors()) {
    if (used_.contains(tensor.name)) continue;
    throw ErrorException({ErrorCode::kUnsupported,
                          fmt::format("{}: tensor '{}' is none that halod computes with for this "
                                      "architecture; without it the answers would be wrong",
                                      file_.path().string(), file_.name_in_files(tensor.name)),
                          tensor.name});
  }
}

}  // namespace halod
