// How a product on tiles goes about its work. Nothing here changes a bit of its result, so every row of the
// table that differs in these alone is a candidate for tuning (docs/tuning.md).
#pragma once

#include <cstdint>

namespace halod {

struct TileSettings {
  int64_t tiles_ahead =
      1;  ///< memory is asked for so many tiles before it is read; 0: that is left to the CPU
  int64_t max_tokens = 8;  ///< tokens of one block of registers, where the instruction set has so many
  bool in_pairs =
      false;  ///< for one token: two tiles at a time, where the instruction set has registers for it
};

}  // namespace halod
