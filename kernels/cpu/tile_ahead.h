// Which of the bytes that come next one pass over a tile asks for.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/tile_settings.h"

namespace halod::HALOD_ISA {

/// Where memory is asked for while a tile is read.
struct AheadOf {
  const std::byte* at = nullptr;  ///< for the tile's first byte; nullptr: nothing
  bool near = false;              ///< into the first level
  int64_t every = 1, first = 0;  ///< of the groups of 32 columns every n-th, a power of two, from this one on

  /// For the pass with the tokens from `first_token` on, one of those over all `n_tokens`. `stride` to what
  /// is next: a tile, for all of which the first pass asks, or a pair, of which each pass asks for a part,
  /// because all at once is more than can be on its way from memory (one tile was read slower so). Tiles
  /// follow one another in memory, which ends somewhere: asking for what is not there does nothing.
  static AheadOf pass(const std::byte* tile, int64_t stride, Ahead ahead, int64_t n_tokens,
                      int64_t tokens_per_pass, int64_t first_token, bool pair) {
    if (ahead == Ahead::kNothing) return {};
    // What tokens are left goes in smaller passes, of which only one that is also the first asks.
    const int64_t pass = (first_token + tokens_per_pass - 1) / tokens_per_pass;
    if (ahead == Ahead::kNear) return pass == 0 ? AheadOf{tile + kNearBytes, true} : AheadOf{};
    const int64_t most_passes = pair ? 8 : 1;
    const auto n_passes =
        static_cast<uint64_t>(std::clamp<int64_t>(n_tokens / tokens_per_pass, 1, most_passes));
    const auto n_asking = static_cast<int64_t>(std::bit_floor(n_passes));
    if (pass >= n_asking) return {};
    return {tile + (ahead == Ahead::kNextTile ? 1 : 2) * stride, false, n_asking, pass};
  }
  bool asks_at(int64_t group) const { return (group & (every - 1)) == first; }
};

}  // namespace halod::HALOD_ISA
