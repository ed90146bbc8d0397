// Which of a step's rows go through the matrix unit's attention by tiles, and which alone.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/hip/attention_args.h"
#include "runtime/backend/backend.h"

namespace halod::hip {

/// Results do not depend on it: both kernels compute the same bits (kernels/hip/attention_tile.h).
struct AttentionPlan {
  /// Rows of prompts, cut for each number of a block's waves that may take the same rows (1, 2, 4, 8): models
  /// differ in it.
  std::array<std::vector<AttentionTile>, 4> tiles;
  std::vector<int32_t> rows;  ///< all other rows of the batch
  int32_t longest_row = 0;    ///< keys of the one of `rows` that has the most

  const std::vector<AttentionTile>& tiles_for(int waves_of_a_row) const {
    return tiles[static_cast<size_t>(std::countr_zero(static_cast<unsigned>(waves_of_a_row)))];
  }
};

/// A sequence's rows go by tiles where they are more than decode's products take at once. Thread: any.
AttentionPlan plan_attention(std::span<const AttentionSequence> sequences);

}  // namespace halod::hip
