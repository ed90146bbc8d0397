// How a product on tiles goes about its work. Nothing here changes a bit of its result, so every row of the
// table that differs in these alone is a candidate for tuning (docs/tuning.md).
#pragma once

#include <cstdint>

#include "base/cpu_features.h"

namespace halod {

/// What is asked for before it is read, while blocks of tokens go by (tile_ahead.h says which).
enum class Ahead {
  kNothing,  ///< that is left to the CPU's prefetchers
  kNear,     ///< kNearBytes on, into the first level: little enough to stay there, and all that is on its way
             ///< from memory while it is multiplied
  kNextTile,  ///< the same place of the next tile, or pair of tiles, into the second level
  kTileAfterNext,
};
inline constexpr int64_t kNearBytes = 8192;

struct TileSettings {
  Ahead ahead = Ahead::kNothing;
  int64_t max_tokens = 8;  ///< tokens of one block of registers, where the instruction set has so many
  bool in_pairs = false;   ///< two tiles at a time, where there are registers for it (matmul_tiles_of)
  Ahead ahead_of_pairs = ahead;

  /// What runs untuned. `whole_bytes`: a weight's code is one, and nothing is unpacked, so that the CPU sees
  /// the loads early enough by itself.
  static constexpr TileSettings untuned(Microarchitecture core, bool whole_bytes, int64_t n_tokens) {
    if (n_tokens > 1 && core == Microarchitecture::kZen5) {
      // Its loads, of which a broadcast of activations is one, are no more in a cycle than its dot products:
      // two tiles share one, once there are tokens enough for memory to be no longer what all wait for.
      const bool waits_for_memory = n_tokens < (whole_bytes ? 16 : 8);
      return waits_for_memory
                 ? TileSettings{.ahead = Ahead::kNear}
                 : TileSettings{.ahead = Ahead::kNear, .in_pairs = true, .ahead_of_pairs = Ahead::kNextTile};
    }
    if (n_tokens > 1) return {.ahead = Ahead::kNextTile};  // products leave time between two bytes
    if (core == Microarchitecture::kZen5 && !whole_bytes) return {.ahead = Ahead::kNear};
    if (core == Microarchitecture::kIntel) return {.ahead = Ahead::kNextTile, .in_pairs = true};
    return {};
  }
};

}  // namespace halod
