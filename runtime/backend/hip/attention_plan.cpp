#include "runtime/backend/hip/attention_plan.h"

#include <algorithm>

namespace halod::hip {

AttentionPlan plan_attention(std::span<const AttentionSequence> sequences) {
  AttentionPlan plan;
  int32_t first_row = 0;
  for (const AttentionSequence& sequence : sequences) {
    if (sequence.n_new > kMaxLinearTokens) {
      for (size_t i = 0; i < plan.tiles.size(); ++i) {
        const int rows_at_once = prompt_attention_rows(1 << i);
        for (int32_t row = 0; row < sequence.n_new; row += rows_at_once)
          plan.tiles[i].push_back({first_row + row, std::min(rows_at_once, sequence.n_new - row)});
      }
    } else {
      for (int32_t row = 0; row < sequence.n_new; ++row) plan.rows.push_back(first_row + row);
      if (sequence.n_new > 0) plan.longest_row = std::max(plan.longest_row, sequence.n_past + sequence.n_new);
    }
    first_row += sequence.n_new;
  }
  return plan;
}

}  // namespace halod::hip
