// The wall that decoding runs against: how fast this machine's memory can be read.
#pragma once

#include "base/mapped_memory.h"
#include "base/thread_pool.h"

namespace halod::bench {

/// Reads a buffer much larger than the caches, all threads at once. Thread: one.
class ReadBandwidth {
 public:
  /// Throws ErrorException when there is no memory for the buffer.
  explicit ReadBandwidth(int n_threads);
  /// One pass over the buffer, in GB/s (10^9 bytes).
  double measure_gb_per_s();

 private:
  ThreadPool threads_;
  MappedMemory buffer_;
};

}  // namespace halod::bench
