// What tuning chooses for a product: a kernel, and how its rows are shared among threads.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/ops/matmul.h"

namespace halod {

struct Solution {
  const MatmulVariant* variant = nullptr;
  int64_t rows_per_task = 0;  ///< 0: matmul_rows_per_task()

  friend bool operator==(const Solution&, const Solution&) = default;
};

/// "avx2_tiles16", "avx2_tiles16:rows_64".
std::string to_string(const Solution& solution);
/// With one of these kernels; nothing for text that is no solution.
std::optional<Solution> parse_solution(std::string_view text, std::span<const MatmulVariant* const> variants);

}  // namespace halod
