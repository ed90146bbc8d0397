// Weights and small vectors in device memory.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/hip/args.h"
#include "runtime/backend/backend.h"
#include "runtime/backend/column_orders.h"
#include "runtime/backend/hip/device.h"
#include "runtime/backend/hip/product_choice.h"

namespace halod::hip {

/// A ColumnOrder on the device.
using HipColumnOrder = std::shared_ptr<const DeviceMemory>;

class HipWeight final : public PlacedWeight {
 public:
  HipWeight(const TensorInfo& tensor, DeviceMemory memory, const WeightRows& rows, bool needs_codes,
            HipColumnOrder column_order);
  const WeightRows& device_rows() const { return rows_; }
  /// Its kernels read the 8-bit form of the activations.
  bool needs_codes() const { return needs_codes_; }
  WeightKind kind() const { return needs_codes_ ? WeightKind::kQuantised : WeightKind::kFloats; }
  /// [n_experts, cols] which of the inputs each column is multiplied with; nullptr: in their order.
  const int32_t* column_order() const { return column_order_ ? column_order_->as<int32_t>() : nullptr; }

  /// How rows go through it; nullptr: there is no choice. It outlives the weight.
  void set_choice(const ProductChoice* choice) { choice_ = choice; }
  /// nullptr where the choice is of another product than the one that is about to take place.
  const ProductChoice* choice(bool is_linear) const {
    return choice_ && (choice_->shape.product == Product::kLinear) == is_linear ? choice_ : nullptr;
  }

 private:
  DeviceMemory memory_;
  WeightRows rows_;
  bool needs_codes_;
  HipColumnOrder column_order_;
  const ProductChoice* choice_ = nullptr;
};

class HipVector final : public PlacedVector {
 public:
  HipVector(DeviceMemory memory, int64_t size) : PlacedVector(size), memory_(std::move(memory)) {}
  const float* data() const { return memory_.as<float>(); }

 private:
  DeviceMemory memory_;
};

/// A weight or vector that a HipBackend placed. REQUIRES: it did; backends never see each other's weights.
inline const HipWeight& hip_weight(const PlacedWeight& weight) {
  return static_cast<const HipWeight&>(weight);
}
inline const float* hip_vector(const PlacedVector& vector) {
  return static_cast<const HipVector&>(vector).data();
}
/// The one of a launch's matrices that decides how its rows go: the one with the most weights.
inline const HipWeight& largest(std::span<const PlacedWeight* const> weights) {
  return hip_weight(**std::ranges::max_element(
      weights, {}, [](const PlacedWeight* weight) { return weight->rows() * weight->cols(); }));
}
/// nullptr of nullptr.
inline const float* hip_vector(const PlacedVector* vector) { return vector ? hip_vector(*vector) : nullptr; }

/// Brings tensors onto the device: all threads read the file and repack rows into one pinned buffer while the
/// device copies from another, so that the disk, the cores and the copy engine work at once. Thread: one at a
/// time.
class WeightUploader {
 public:
  /// Device and threads must outlive it.
  WeightUploader(Device& device, ThreadPool& threads) : device_(device), threads_(threads) {}
  /// As Backend::place_weight.
  Result<std::unique_ptr<PlacedWeight>> place(const Checkpoint& file, const TensorInfo& tensor,
                                              const std::function<void(uint64_t)>& on_bytes);
  Result<std::unique_ptr<PlacedVector>> place(std::span<const float> values);
  /// Gives the pinned buffers back; the next placement takes new ones.
  void release();

 private:
  Result<> make_room(uint64_t n_bytes);
  Result<DeviceMemory> copy_to_device(std::span<const std::byte> bytes);
  Result<HipColumnOrder> place_order(const Checkpoint& file, const TensorInfo& tensor);
  std::byte* next_buffer() { return buffers_[next_buffer_ ^= 1].data(); }

  Device& device_;
  ThreadPool& threads_;
  PinnedMemory buffers_[2];
  size_t next_buffer_ = 0;
  ColumnOrders orders_;
  struct PlacedOrder {
    ColumnOrder order;
    HipColumnOrder on_device;
  };
  std::vector<PlacedOrder> latest_orders_;
};

}  // namespace halod::hip
