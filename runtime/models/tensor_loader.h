// Finds a model's tensors, checks their shapes against the configuration, and places them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "runtime/backend/backend.h"
#include "runtime/models/model.h"
#include "runtime/weights/checkpoint.h"

namespace halod {

/// For constructors of models: every failure is an ErrorException, which load_model turns into its Result.
class TensorLoader {
 public:
  TensorLoader(const Checkpoint& file, Backend& backend, LoadCallbacks callbacks);

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }
  /// A [rows, cols] matrix on the device.
  std::unique_ptr<PlacedWeight> matrix(const std::string& name, int64_t rows, int64_t cols);
  /// A vector that is multiplied with: a matrix of one row.
  std::unique_ptr<PlacedWeight> row(const std::string& name, int64_t cols);
  /// n_experts matrices of [rows, cols].
  std::unique_ptr<PlacedWeight> experts(const std::string& name, int64_t n_experts, int64_t rows,
                                        int64_t cols);
  /// A small vector, as f32 on the device.
  std::unique_ptr<PlacedVector> vector(const std::string& name, int64_t n);
  /// A small [rows, cols] table, as a vector of its rows one after the other.
  std::unique_ptr<PlacedVector> table(const std::string& name, int64_t rows, int64_t cols);
  /// The same, column after column.
  std::unique_ptr<PlacedVector> transposed_table(const std::string& name, int64_t rows, int64_t cols);
  /// Values that were made of a tensor's.
  std::unique_ptr<PlacedVector> place(std::span<const float> values);
  /// A small tensor, as f32 for the host.
  std::vector<float> values(const std::string& name, const std::vector<int64_t>& shape);
  /// The layer's tensors are not to be asked for: it is no part of the computation.
  void leave_out_layer(int64_t layer_idx);
  /// Refuses a file with a tensor that nobody asked for: what it is for would be left out of the computation.
  void refuse_unused() const;

  uint64_t weight_bytes() const { return weight_bytes_; }
  Backend& backend() { return backend_; }

 private:
  const TensorInfo& require(const std::string& name, const std::vector<int64_t>& shape);
  std::unique_ptr<PlacedWeight> place(const TensorInfo& tensor);
  std::unique_ptr<PlacedVector> place_values(const std::string& name, const std::vector<int64_t>& shape);

  const Checkpoint& file_;
  Backend& backend_;
  LoadCallbacks callbacks_;
  std::set<std::string, std::less<>> used_;
  uint64_t bytes_done_ = 0;
  uint64_t weight_bytes_ = 0;
};

}  // namespace halod
