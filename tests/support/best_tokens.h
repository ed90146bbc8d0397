// The best tokens of a row of logits, as a device gives them in place of the row (BestTokens::found).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/backend/backend.h"

namespace halod::testing_support {

inline std::vector<TokenLogit> best_tokens(std::span<const float> logits, int32_t n) {
  std::vector<TokenLogit> best;
  for (int32_t id = 0; id < static_cast<int32_t>(logits.size()); ++id)
    best.push_back({TokenId{id}, logits[static_cast<size_t>(id)]});
  std::ranges::stable_sort(best, [](const TokenLogit& a, const TokenLogit& b) {
    if (std::isnan(a.logit) || std::isnan(b.logit)) return std::isnan(a.logit) && !std::isnan(b.logit);
    return a.logit > b.logit;
  });
  best.resize(static_cast<size_t>(n));
  return best;
}

}  // namespace halod::testing_support
