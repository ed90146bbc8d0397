// Weights in host memory, in the layout that the chosen matmul variant reads.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/mapped_memory.h"
#include "base/thread_pool.h"
#include "kernels/ops/matmul.h"
#include "runtime/backend/backend.h"
#include "runtime/backend/column_orders.h"

namespace halod {

class CpuWeight final : public PlacedWeight {
 public:
  /// Reads the tensor in pieces and packs each piece, so that the peak is the packed weight plus a few
  /// megabytes. Errors: as Backend::place_weight.
  static Result<std::unique_ptr<PlacedWeight>> place(const Checkpoint& file, const TensorInfo& tensor,
                                                     bool exact, ThreadPool& threads, ColumnOrders& orders,
                                                     const std::function<void(uint64_t)>& on_bytes);

  WeightMatrix expert(int64_t expert_idx) const {
    return {format_, variant_->layout, memory_.data() + expert_idx * expert_bytes_, rows(), cols()};
  }
  const MatmulVariant& variant() const { return *variant_; }
  /// Which of the inputs each column is multiplied with; empty: in their order.
  std::span<const int32_t> column_order(int64_t expert_idx) const {
    if (!column_order_) return {};
    return std::span(*column_order_)
        .subspan(static_cast<size_t>(expert_idx * cols()), static_cast<size_t>(cols()));
  }
  bool has_column_order() const { return column_order_ != nullptr; }
  /// Of all experts.
  bool has_order_of(const CpuWeight& other) const { return column_order_ == other.column_order_; }
  /// Expands one row (of expert 0) to f32.
  void expand_row(int64_t row, float* out) const;

 private:
  CpuWeight(const TensorInfo& tensor, const MatmulVariant& variant, MappedMemory memory, int64_t expert_bytes,
            ColumnOrder column_order);

  Format format_;
  const MatmulVariant* variant_;
  MappedMemory memory_;
  int64_t expert_bytes_;
  ColumnOrder column_order_;
};

/// A small vector in host memory.
class CpuVector final : public PlacedVector {
 public:
  explicit CpuVector(std::span<const float> values)
      : PlacedVector(static_cast<int64_t>(values.size())), values_(values.begin(), values.end()) {}
  std::span<const float> values() const { return values_; }

 private:
  std::vector<float> values_;
};

/// A vector that a CpuBackend placed. REQUIRES: it did.
inline const CpuVector& cpu_vector(const PlacedVector& vector) {
  return static_cast<const CpuVector&>(vector);
}

/// A weight that a CpuBackend placed. REQUIRES: it did; backends never see each other's weights.
inline const CpuWeight& cpu_weight(const PlacedWeight& weight) {
  return static_cast<const CpuWeight&>(weight);
}

}  // namespace halod
