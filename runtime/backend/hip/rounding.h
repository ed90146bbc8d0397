// Sizes of device memory and of grids.
#pragma once

#include <cstdint>

namespace halod::hip {

/// n / by, rounded up.
constexpr int64_t divided_up(int64_t n, int64_t by) { return (n + by - 1) / by; }
/// The next multiple of what device memory is aligned to.
constexpr int64_t aligned_bytes(int64_t n_bytes) { return divided_up(n_bytes, 256) * 256; }

}  // namespace halod::hip
