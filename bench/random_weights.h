// Reproducible random weights in a tensor's file format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/weights/tensor_info.h"

namespace halod {

/// One tensor's content: norms near 1, decays near -1, matrices with variance 1 / cols. Thread: fill() from any thread.
class RandomWeights {
 public:
  /// Different tensors (by name) and seeds have unrelated content.
  RandomWeights(const TensorInfo& tensor, uint64_t seed);

  /// Rows [first_row, first_row + n_rows) in the tensor's format; out has their size.
  void fill(int64_t first_row, int64_t n_rows, std::span<std::byte> out) const;

 private:
  int64_t run_elements_;  // a run is what is copied at once: whole blocks, and a whole part of a row
  size_t run_bytes_;
  int64_t runs_per_row_;
  uint64_t seed_;
  size_t n_pool_runs_;
  std::vector<std::byte> pool_;
};

}  // namespace halod
