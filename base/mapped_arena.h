// Many buffers side by side in few large mappings, so that the small ones lie in huge pages too.
#pragma once

#include <cstddef>
#include <memory>

#include "base/error.h"
#include "base/mapped_memory.h"

namespace halod {

/// A mapping of its own for each matrix of a megabyte has no whole aligned 2 MiB in it, and is then read by
/// pages of 4 KiB, at whose ends hardware prefetchers stop: a fifth of the bandwidth.
class MappedArena {
 public:
  /// What is not used of a chunk costs addresses, no memory.
  static constexpr size_t kChunkBytes = 64 << 20;
  static constexpr size_t kAlignment = 128;

  /// Zero-filled, aligned to kAlignment; nullptr for no bytes. Its chunk goes back to the system with the
  /// last of its buffers, whether the arena is still there or not. Errors: kOutOfMemory. Thread: one at a
  /// time.
  Result<std::shared_ptr<std::byte>> allocate(size_t n_bytes);

 private:
  std::shared_ptr<MappedMemory> chunk_;
  size_t used_ = 0;
};

}  // namespace halod
