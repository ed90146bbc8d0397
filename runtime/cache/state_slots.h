// Which slots of a model's recurrent states are taken.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/error.h"

namespace halod {

/// Hands out numbers 0 ... n - 1, one per running sequence; the memory behind them belongs to the model,
/// which clears a slot when a sequence begins in it. Must outlive its leases. Thread: the engine thread
/// alone.
class StateSlotPool {
 public:
  /// Holds a slot until it is destroyed or assigned to.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), slot_(std::exchange(other.slot_, 0)) {}
    Lease& operator=(Lease&& other) noexcept {
      std::swap(pool_, other.pool_);
      std::swap(slot_, other.slot_);
      return *this;
    }
    ~Lease() {
      if (pool_ != nullptr) pool_->free_.push_back(slot_);
    }
    /// REQUIRES: it holds one.
    int32_t slot() const {
      HALOD_ASSERT(pool_ != nullptr);
      return slot_;
    }

   private:
    friend class StateSlotPool;
    Lease(StateSlotPool& pool, int32_t slot) : pool_(&pool), slot_(slot) {}

    StateSlotPool* pool_ = nullptr;
    int32_t slot_ = 0;
  };

  explicit StateSlotPool(int64_t n_slots) {
    for (int64_t i = n_slots; i > 0; --i) free_.push_back(static_cast<int32_t>(i - 1));
  }
  StateSlotPool(const StateSlotPool&) = delete;
  StateSlotPool& operator=(const StateSlotPool&) = delete;

  /// REQUIRES: one is free.
  Lease take() {
    HALOD_ASSERT(!free_.empty());
    const int32_t slot = free_.back();
    free_.pop_back();
    return Lease(*this, slot);
  }
  int64_t n_free() const { return static_cast<int64_t>(free_.size()); }

 private:
  std::vector<int32_t> free_;
};

}  // namespace halod
