// The GPU backend's KV cache.
#pragma once

#include <cstdint>
#include <utility>

#include "runtime/backend/backend.h"
#include "runtime/backend/hip/device.h"

namespace halod::hip {

/// All layers' pages in one allocation: [layer][page][kv head][keys, values].
class HipKvStorage final : public KvStorage {
 public:
  HipKvStorage(DeviceMemory memory, int64_t layer_bytes)
      : memory_(std::move(memory)), layer_bytes_(layer_bytes) {}
  uint64_t bytes() const override { return memory_.size(); }
  unsigned char* layer(int64_t layer_idx) const { return memory_.data() + layer_idx * layer_bytes_; }

 private:
  DeviceMemory memory_;
  int64_t layer_bytes_;
};

}  // namespace halod::hip
