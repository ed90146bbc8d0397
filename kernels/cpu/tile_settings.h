// How a product on tiles goes about its work. Nothing here changes a bit of its result, so every row of the
// table that differs in these alone is a candidate for tuning (docs/tuning.md).
#pragma once

#include <cstdint>

#include "base/cpu_features.h"

namespace halod {

/// What is asked for before it is read, while the first block of tokens goes by.
enum class Ahead {
  kNothing,  ///< that is left to the CPU's prefetchers
  kNear,     ///< kNearBytes on, into the first level: little enough to stay there, and all that is on its way
             ///< from memory while it is multiplied
  kNextTile,  ///< the same place of the next tile, or pair of tiles, into the second level
  kTileAfterNext,
};
inline constexpr int64_t kNearBytes = 8192;

struct TileSettings {
  Ahead one_token = Ahead::kNothing;
  Ahead more_tokens = Ahead::kNextTile;  ///< whose products leave time between two bytes
  int64_t max_tokens = 8;  ///< tokens of one block of registers, where the instruction set has so many
  bool in_pairs = false;  ///< for one token: two tiles at a time, where the instruction set has registers for
                          ///< it (matmul_tiles_of)

  /// What runs untuned. `whole_bytes`: a weight's code is one, and nothing is unpacked, so that the CPU sees
  /// the loads early enough by itself.
  static constexpr TileSettings untuned(Prefetch prefetch, bool whole_bytes) {
    switch (prefetch) {
      case Prefetch::kNear:
        return {.one_token = whole_bytes ? Ahead::kNothing : Ahead::kNear, .more_tokens = Ahead::kNear};
      case Prefetch::kTwoStreams:
        return {.one_token = Ahead::kNextTile, .in_pairs = true};
      case Prefetch::kByHardware:
        break;
    }
    return {};
  }

  constexpr Ahead ahead(int64_t n_tokens) const { return n_tokens == 1 ? one_token : more_tokens; }
};

}  // namespace halod
