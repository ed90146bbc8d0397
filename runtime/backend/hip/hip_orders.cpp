// Weights whose columns are not in the order of their inputs (GPTQ's activation order): the rows that they
// are multiplied with are gathered into theirs first, and rounded to 8 bits after that.
#include <vector>

#include "runtime/backend/hip/hip_backend.h"

namespace halod::hip {

ActivationRows HipBackend::in_order_of(const HipWeight& weight, const ActivationRows& x,
                                       const ExpertSlots& slots, Scratch& room) {
  const bool is_by_slot = slots.experts != nullptr && slots.n_per_token > 1;
  if (weight.column_order() == nullptr && !is_by_slot) return x;
  const ActivationResult ordered = hidden_room(room, slots.n, weight.cols());
  launch(*device_, KernelId::gather_columns, {.x = slots.n}, 0,
         GatherColumnsArgs{.x = x.values,
                           .order = weight.column_order(),
                           .experts = slots.experts,
                           .rows_per_x = slots.n_per_token,
                           .cols = static_cast<int32_t>(weight.cols()),
                           .y = ordered});
  return as_input(ordered);
}

HipBackend::GateUpInput HipBackend::input_of(const GateUp& layer, const ActivationRows& x,
                                             const ExpertSlots& slots, int first_room) {
  const HipWeight &gate = *layer.weights[0], &up = *layer.weights[1];
  if (gate.column_order() == nullptr && up.column_order() == nullptr) return {{x, x}, slots.n_per_token};
  // An expert's columns have an order of their own, so each slot has a row of its own.
  GateUpInput input = {.slots_per_x = 1};
  const auto room = static_cast<size_t>(first_room);
  input.x[0] = in_order_of(gate, x, slots, ordered_[room]);
  input.x[1] =
      gate.column_order() == up.column_order() ? input.x[0] : in_order_of(up, x, slots, ordered_[room + 1]);
  return input;
}

void HipBackend::multiply(const ActivationRows& x, int64_t n_rows, const LinearJob& job) {
  HALOD_ASSERT(job.weights.size() <= kMaxMatrices && (job.bias == nullptr || job.weights.size() == 1));
  // Those of one order together, which nearly always are all.
  std::vector<bool> is_done(job.weights.size());
  for (size_t first = 0; first < job.weights.size(); ++first) {
    if (is_done[first]) continue;
    const HipWeight& weight = hip_weight(*job.weights[first]);
    std::vector<const PlacedWeight*> weights;
    std::vector<MatrixView<float>> outs;
    for (size_t m = first; m < job.weights.size(); ++m) {
      if (hip_weight(*job.weights[m]).column_order() != weight.column_order()) continue;
      weights.push_back(job.weights[m]);
      outs.push_back(job.outs[m]);
      is_done[m] = true;
    }
    multiply_in_order(in_order_of(weight, x, {.n = n_rows}, ordered_[0]), n_rows,
                      {.weights = weights, .outs = outs, .add = job.add, .bias = job.bias});
  }
}

}  // namespace halod::hip
