// Weights in host memory, in the layout that the chosen matmul variant reads.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/mapped_arena.h"
#include "base/thread_pool.h"
#include "kernels/ops/matmul.h"
#include "runtime/backend/backend.h"
#include "runtime/backend/column_orders.h"
#include "runtime/backend/cpu/matmul_choice.h"

namespace halod {

class CpuWeight final : public PlacedWeight {
 public:
  /// Experts of a tensor, and the rows of one.
  static int64_t n_matrices(const TensorInfo& tensor);
  static int64_t n_rows(const TensorInfo& tensor);

  /// `choice`: of the tensor's shape, outlives the weight; nullptr: there is none. `arena`: where it lies.
  /// Reads the tensor in pieces and packs each piece, so that the peak is the packed weight plus a few
  /// megabytes. Errors: as Backend::place_weight.
  static Result<std::unique_ptr<PlacedWeight>> place(const Checkpoint& file, const TensorInfo& tensor,
                                                     const MatmulChoice* choice, ThreadPool& threads,
                                                     MappedArena& arena, ColumnOrders& orders,
                                                     const std::function<void(uint64_t)>& on_bytes);

  WeightMatrix expert(int64_t expert_idx) const {
    return {format_, choice_->placed->layout, data_.get() + expert_idx * expert_bytes_, rows(), cols()};
  }
  bool needs_codes() const { return choice_->placed->needs_codes; }
  /// By the kernel that is chosen for so many tokens. REQUIRES: args.weight is one of this weight's.
  void multiply(const MatmulArgs& args) const { choice_->solution(args.n_tokens).variant->run(args); }
  /// Of a product for so many tokens; 0: nothing else than usual is known to be good.
  int64_t rows_per_task(int64_t n_tokens) const { return choice_->solution(n_tokens).rows_per_task; }
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
  CpuWeight(const TensorInfo& tensor, const MatmulChoice& choice, std::shared_ptr<std::byte> data,
            int64_t expert_bytes, ColumnOrder column_order);

  Format format_;
  const MatmulChoice* choice_;
  std::shared_ptr<std::byte> data_;
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
