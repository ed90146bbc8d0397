// Many rows at once: the products of prompts by tiles, experts' rows sorted on the device.
//
// Their results have the bits of the decode kernels' (kernels/hip/prompt_tile.h), so it is a matter of speed
// alone which ones a step takes.
#include <algorithm>

#include "kernels/hip/weight_layout.h"
#include "runtime/backend/hip/hip_backend.h"
#include "runtime/backend/hip/rounding.h"

namespace halod::hip {
namespace {

/// The part of a matrix of activations from a row on.
ActivationRows rows_from(const ActivationRows& x, int64_t row, int64_t cols) {
  return {x.values + row * cols, x.codes + row * cols, x.groups + row * (cols / kGroupColumns)};
}

WeightKind kind_of(const PlacedWeight& weight) { return hip_weight(weight).kind(); }

/// The one that is tuned, else the table's.
const PromptTile& tile_of(const ProductChoice* choice, std::span<const PromptTile> tiles,
                          const RowGroups& groups, int64_t n_tokens) {
  const PromptTile* tuned = choice ? choice->way(n_tokens).tile : nullptr;
  return tuned ? *tuned : choose_tile(tiles, groups.n_rows, groups.n_experts);
}

double operations(const PlacedWeight& weight) {
  return 2.0 * static_cast<double>(weight.rows()) * static_cast<double>(weight.cols());
}

}  // namespace

/// Untuned, as many rows as decode's kernels take at once are theirs: they read the weights once and need no
/// tile.
bool HipBackend::prefers_tiles(int64_t n_rows, const HipWeight& weight, bool is_linear) {
  const ProductChoice* choice = weight.choice(is_linear);
  return choice ? choice->way(n_rows).tile != nullptr : n_rows > kMaxLinearTokens;
}

bool HipBackend::fills_tiles(int64_t n_rows, std::span<const PlacedWeight* const> weights) {
  const HipWeight& first = hip_weight(*weights.front());
  return prefers_tiles(n_rows, first, false) && std::ranges::all_of(weights, [&](const PlacedWeight* weight) {
           return kind_of(*weight) == first.kind() &&
                  hip_weight(*weight).column_order() == first.column_order();
         });
}

void HipBackend::multiply_tiles(const ActivationRows& x, const RowGroups& groups, int64_t n_tokens,
                                const LinearJob& job) {
  const HipWeight& decisive = largest(job.weights);
  const PromptTile& tile =
      tile_of(decisive.choice(true), prompt_linear_tiles(decisive.kind()), groups, n_tokens);
  PromptLinearArgs args{.n_matrices = static_cast<int32_t>(job.weights.size()),
                        .add = job.add ? 1 : 0,
                        .x = x,
                        .groups = groups,
                        .bias = hip_vector(job.bias)};
  for (size_t m = 0; m < job.weights.size(); ++m) {
    args.weights[m] = hip_weight(*job.weights[m]).device_rows();
    args.y[m] = job.outs[m].data;
    args.first_tile[m + 1] =
        args.first_tile[m] + static_cast<int32_t>(divided_up(args.weights[m].rows, tile.weight_rows));
  }
  launch(*device_, tile.kernel,
         {.x = args.first_tile[args.n_matrices],
          .y = prompt_row_tiles(groups.n_rows, groups.n_experts, tile.rows())},
         tile.shared_bytes(), args);
}

void HipBackend::multiply_prompt(const ActivationRows& x, int64_t n_rows, const LinearJob& job) {
  // A launch takes weights of one kind.
  for (const WeightKind kind : {WeightKind::kQuantised, WeightKind::kFloats}) {
    LinearJob of_kind = job;
    std::vector<const PlacedWeight*> weights;
    std::vector<MatrixView<float>> outs;
    for (size_t m = 0; m < job.weights.size(); ++m) {
      if (kind_of(*job.weights[m]) != kind) continue;
      weights.push_back(job.weights[m]);
      outs.push_back(job.outs[m]);
    }
    if (weights.empty()) continue;
    of_kind.weights = weights;
    of_kind.outs = outs;
    multiply_prompt_of_kind(x, n_rows, of_kind);
  }
}

void HipBackend::multiply_prompt_of_kind(const ActivationRows& x, int64_t n_rows, const LinearJob& job) {
  double per_row = 0;
  for (const PlacedWeight* weight : job.weights) per_row += operations(*weight);
  const int64_t at_once = rows_per_launch(per_row, kFragment), cols = job.weights[0]->cols();
  std::vector<MatrixView<float>> outs(job.outs.size());
  for (int64_t row = 0; row < n_rows; row += at_once) {
    const int64_t n = std::min(at_once, n_rows - row);
    for (size_t m = 0; m < outs.size(); ++m) outs[m] = {job.outs[m].row_data(row), n, job.outs[m].cols};
    multiply_tiles(rows_from(x, row, cols), all_rows(n), n,
                   {.weights = job.weights, .outs = outs, .add = job.add, .bias = job.bias});
  }
}

RowGroups HipBackend::all_rows(int64_t n_rows) {
  return {.offsets = nullptr,
          .order = nullptr,
          .n_experts = 1,
          .n_rows = static_cast<int32_t>(n_rows),
          .rows_per_x = 1};
}

void HipBackend::gate_up_tiles(const GateUp& layer, const ActivationRows& x, const RowGroups& groups,
                               int64_t n_tokens, const ActivationResult& h) {
  const PromptTile& tile =
      tile_of(layer.weights[0]->choice(false), prompt_gate_up_tiles(layer.kind), groups, n_tokens);
  launch(*device_, tile.kernel,
         {.x = divided_up(layer.width(), prompt_gate_up_columns(layer.activation)),
          .y = prompt_row_tiles(groups.n_rows, groups.n_experts, tile.rows())},
         tile.shared_bytes(),
         PromptGateUpArgs{.weights = {layer.gate, layer.up},
                          .biases = {layer.biases ? hip_vector(layer.biases->gate) : nullptr,
                                     layer.biases ? hip_vector(layer.biases->up) : nullptr},
                          .activation = layer.activation,
                          .x = x,
                          .groups = groups,
                          .h = h});
}

void HipBackend::gate_up_prompt(const GateUp& layer, const ActivationRows& x, int64_t n_rows,
                                const ActivationResult& h) {
  const int64_t at_once = rows_per_launch(layer.operations_per_row(), kFragment);
  for (int64_t row = 0; row < n_rows; row += at_once) {
    const int64_t first = row * layer.width(), n = std::min(at_once, n_rows - row);
    gate_up_tiles(layer, rows_from(x, row, layer.gate.cols), all_rows(n), n,
                  {h.values + first, h.codes ? h.codes + first : nullptr, h.groups + first / kGroupColumns});
  }
}

void HipBackend::experts_prompt(const MoeArgs& args, const ExpertsJob& job) {
  const int64_t n_tokens = job.sum.rows, cols = job.sum.cols;
  const ChosenExperts& chosen = job.chosen;
  const int64_t n_per_token = args.n_experts_per_token, n_experts = args.gate.n_experts();
  // Gate and up are a launch's most operations.
  const GateUp layer = gate_up_of(args);
  const double per_token = static_cast<double>(n_per_token) * layer.operations_per_row();
  const int64_t at_once = std::min(n_tokens, rows_per_launch(per_token, kFragment));
  const ActivationResult h = hidden_room(hidden_, at_once * n_per_token, layer.width());
  float* y = expert_results_.of<float>(at_once * n_per_token * cols);
  auto* offsets = groups_.of<int32_t>(n_experts + 1 + at_once * n_per_token);
  for (int64_t token = 0; token < n_tokens; token += at_once) {
    const int64_t n = std::min(at_once, n_tokens - token), first_slot = token * n_per_token;
    RowGroups groups{.offsets = offsets,
                     .order = offsets + n_experts + 1,
                     .n_experts = static_cast<int32_t>(n_experts),
                     .n_rows = static_cast<int32_t>(n * n_per_token),
                     .rows_per_x = 1};
    launch(*device_, KernelId::group_slots, {.x = n_experts}, group_slots_shared_bytes(),
           GroupSlotsArgs{.experts = chosen.experts + first_slot,
                          .n_slots = groups.n_rows,
                          .n_experts = groups.n_experts,
                          .offsets = offsets,
                          .order = offsets + n_experts + 1});
    const int32_t* experts = chosen.experts + first_slot;
    const GateUpInput input = input_of(layer, rows_from(job.x, token, cols),
                                       {experts, static_cast<int>(n_per_token), groups.n_rows});
    groups.rows_per_x = input.slots_per_x;
    gate_up_tiles(layer, input.x[0], groups, n, h);
    groups.rows_per_x = 1;
    const PlacedWeight* down[] = {&args.down};
    const MatrixView<float> results(y, groups.n_rows, cols);
    const ActivationRows down_x =
        in_order_of(hip_weight(args.down), as_input(h), {experts, 1, groups.n_rows}, ordered_[0]);
    multiply_tiles(down_x, groups, n, {.weights = down, .outs = {&results, 1}});
    const float* shared_y =
        job.shared ? shared_expert(*job.shared, args.activation, rows_from(job.x, token, cols), n) : nullptr;
    launch(*device_, KernelId::experts_sum, {.x = divided_up(cols, 256), .y = n}, 0,
           ExpertsSumArgs{.y = y,
                          .bias = args.biases ? hip_vector(args.biases->down) : nullptr,
                          .experts = chosen.experts + first_slot,
                          .weights = chosen.shares + first_slot,
                          .shared_y = shared_y,
                          .shared_weights = chosen.shared_weights ? chosen.shared_weights + token : nullptr,
                          .n_per_token = static_cast<int32_t>(n_per_token),
                          .cols = static_cast<int32_t>(cols),
                          .add = job.add ? 1 : 0,
                          .sum = job.sum.row_data(token)});
  }
}

}  // namespace halod::hip
