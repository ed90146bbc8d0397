// How a product on tiles goes about its work. Nothing here changes a bit of its result, so every row of the
// table that differs in these alone is a candidate for tuning (docs/tuning.md).
#pragma once

#include <cstdint>

namespace halod {

struct TileSettings {
  /// Memory is asked for so many tiles before it is read, while the first block of tokens goes by. 0: that is
  /// left to the CPU. kByTokens: none for one token, one tile for more, whose products leave time between two
  /// bytes.
  static constexpr int64_t kByTokens = -1;
  int64_t tiles_ahead = kByTokens;
  int64_t max_tokens = 8;  ///< tokens of one block of registers, where the instruction set has so many
  bool in_pairs = false;  ///< for one token: two tiles at a time, where the instruction set has registers for
                          ///< it (matmul_tiles_of)

  /// What runs untuned. CPUs differ where one token's weights are one even stream: some read it best by
  /// themselves, others need to be asked, and read two streams faster than one.
  static constexpr TileSettings untuned(bool needs_prefetch) {
    if (!needs_prefetch) return {};
    return {.tiles_ahead = 1, .in_pairs = true};
  }

  constexpr int64_t tiles_ahead_for(int64_t n_tokens) const {
    return tiles_ahead == kByTokens ? (n_tokens > 1 ? 1 : 0) : tiles_ahead;
  }
};

}  // namespace halod
