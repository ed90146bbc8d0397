#include "runtime/backend/hip/device.h"

namespace halod::hip {

Result<DeviceMemory> DeviceMemory::allocate(Device& device, uint64_t n_bytes) {
  const auto memory = device.allocate(n_bytes);
  if (!memory) return memory.error();
  return DeviceMemory(device, static_cast<unsigned char*>(*memory), n_bytes);
}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

DeviceMemory::~DeviceMemory() {
  if (data_) device_->deallocate(data_);
}

Result<PinnedMemory> PinnedMemory::allocate(Device& device, uint64_t n_bytes) {
  const auto memory = device.allocate_pinned(n_bytes);
  if (!memory) return memory.error();
  return PinnedMemory(device, static_cast<std::byte*>(*memory), n_bytes);
}

PinnedMemory& PinnedMemory::operator=(PinnedMemory&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

PinnedMemory::~PinnedMemory() {
  if (data_) device_->deallocate_pinned(data_);
}

}  // namespace halod::hip
