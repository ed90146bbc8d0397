// Large page-aligned buffers, backed by huge pages where the kernel gives them.
#pragma once

#include <cstddef>
#include <span>

#include "base/error.h"

namespace halod {

/// Zero-filled anonymous memory, from 2 MiB on aligned to 2 MiB; moves, never copies. Returned to the system
/// on destruction. Thread: as any buffer. Errors: kOutOfMemory with the bytes asked for.
class MappedMemory {
 public:
  MappedMemory() = default;
  static Result<MappedMemory> allocate(size_t n_bytes);
  MappedMemory(MappedMemory&& other) noexcept;
  MappedMemory& operator=(MappedMemory&& other) noexcept;
  ~MappedMemory();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedMemory(std::byte* data, size_t size) : data_(data), size_(size) {}
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace halod
