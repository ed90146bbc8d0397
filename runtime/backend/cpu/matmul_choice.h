// Which kernel multiplies a placed weight, by how many tokens there are.
#pragma once

#include <array>

#include "kernels/ops/matmul.h"
#include "runtime/backend/tuning/solution.h"
#include "runtime/backend/tuning/tuning_key.h"

namespace halod {

/// Of all weights of one shape class. All of its kernels give the same bits from one layout, so it may change
/// between any two products. Thread: the backend's.
struct MatmulChoice {
  /// The first of the table, which says how weights are placed.
  const MatmulVariant* placed = nullptr;
  struct PerTokens {
    Solution solution = {};
    bool is_tuned = false;
  };
  std::array<PerTokens, kTokensClasses.size()> by_tokens{};

  const Solution& solution(int64_t n_tokens) const { return by_tokens[tokens_class_of(n_tokens)].solution; }
};

}  // namespace halod
