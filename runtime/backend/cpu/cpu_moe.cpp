// The mixture of experts on the CPU: tokens grouped by expert, one parallel region per stage over (expert,
// rows).
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "kernels/cpu/tile_layout.h"
#include "runtime/backend/cpu/cpu_backend.h"
#include "runtime/backend/tuning/matmul_trial.h"

namespace halod {
namespace {

// Rows of one expert per task: four tiles of 2048 columns at 4 bits are 74 kB, a few microseconds at memory
// speed.
constexpr int64_t kRowsPerTask = kExpertRowsPerTask;
static_assert(kRowsPerTask % kTileRows == 0);

int64_t n_tasks_per_expert(int64_t rows) { return (rows + kRowsPerTask - 1) / kRowsPerTask; }

RouterTopKArgs::Gating kernel_gating(RouterGating gating) {
  switch (gating) {
    case RouterGating::kSoftmaxOfChosen:
      return RouterTopKArgs::Gating::kSoftmaxOfChosen;
    case RouterGating::kSigmoid:
      return RouterTopKArgs::Gating::kSigmoid;
    case RouterGating::kSoftmax:
      break;
  }
  return RouterTopKArgs::Gating::kSoftmax;
}

const float* bias_values(const PlacedVector& bias) { return cpu_vector(bias).values().data(); }

}  // namespace

void CpuBackend::activate(ExpertActivation activation, float* gate, const float* up, int64_t n) {
  switch (activation) {
    case ExpertActivation::kSwiglu:
      return kernels_.swiglu({gate, up, n});
    case ExpertActivation::kClampedSwiglu:
      return kernels_.clamped_swiglu({gate, up, n});
    case ExpertActivation::kSquaredRelu:
      return kernels_.squared_relu({gate, n});
  }
}

void CpuBackend::route(const MoeArgs& args) {
  const MatrixView<const float> x = args.input.normed;
  const int64_t n_tokens = x.rows, n_experts = args.router.rows(), k = args.n_experts_per_token;
  const MatrixView<float> logits(router_logits_.at_least(n_tokens * n_experts), n_tokens, n_experts);
  const CpuWeight& router = cpu_weight(args.router);
  matmul(prepare(in_order_of(router, x, ordered_), router.needs_codes(), x_scratch_), router, logits, false);
  if (args.biases) add_bias(logits, args.biases->router);

  Routing& r = routing_;
  const auto n_pairs = static_cast<size_t>(n_tokens * k);
  r.experts.resize(n_pairs);
  r.weights.resize(n_pairs);
  r.token_rows.resize(n_pairs);
  r.slots.resize(n_pairs);
  threads_.parallel_for(n_tokens, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      kernels_.router_top_k(
          {.logits = logits.row_data(t),
           .n_experts = n_experts,
           .n_chosen = k,
           .experts = r.experts.data() + t * k,
           .weights = r.weights.data() + t * k,
           .gating = kernel_gating(args.gating),
           .selection_bias = args.selection_bias ? bias_values(*args.selection_bias) : nullptr,
           .weights_scale = args.weights_scale});
    }
  });

  // A counting sort by expert; within an expert, tokens keep their order.
  r.first_slot.assign(static_cast<size_t>(n_experts) + 1, 0);
  for (int32_t expert : r.experts) ++r.first_slot[static_cast<size_t>(expert) + 1];
  for (size_t e = 0; e < static_cast<size_t>(n_experts); ++e) r.first_slot[e + 1] += r.first_slot[e];
  std::vector<int32_t>& next = r.active;  // borrowed as the running positions
  next.assign(r.first_slot.begin(), r.first_slot.end() - 1);
  for (size_t pair = 0; pair < n_pairs; ++pair) {
    const auto position = static_cast<size_t>(next[static_cast<size_t>(r.experts[pair])]++);
    r.token_rows[position] = static_cast<int32_t>(pair) / static_cast<int32_t>(k);
    r.slots[position] = static_cast<int32_t>(pair);
  }
  r.active.clear();
  for (int32_t e = 0; e < n_experts; ++e) {
    if (r.first_slot[static_cast<size_t>(e)] < r.first_slot[static_cast<size_t>(e) + 1])
      r.active.push_back(e);
  }
}

MatrixView<const float> CpuBackend::slots_in_order(const CpuWeight& weight, MatrixView<const float> x,
                                                   int64_t slots_per_row, Scratch<float>& scratch) {
  const auto n_slots = static_cast<int64_t>(routing_.experts.size());
  const MatrixView<float> ordered(scratch.at_least(n_slots * x.cols), n_slots, x.cols);
  threads_.parallel_for(n_slots, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t slot = begin; slot < end; ++slot) {
      const auto order = weight.column_order(routing_.experts[static_cast<size_t>(slot)]);
      const float* from = x.row_data(slot / slots_per_row);
      float* to = ordered.row_data(slot);
      if (order.empty()) std::copy_n(from, x.cols, to);
      for (size_t i = 0; i < order.size(); ++i) to[i] = from[order[i]];
    }
  });
  return ordered;
}

CpuBackend::ExpertInputs CpuBackend::expert_inputs(const MoeArgs& args, MatrixView<const float> x) {
  const CpuWeight &gate = cpu_weight(args.gate), &up = cpu_weight(args.up);
  const bool needs_codes = gate.needs_codes() || up.needs_codes();
  if (!gate.has_column_order() && !up.has_column_order()) {
    const Activations prepared = prepare(x, needs_codes, x_scratch_);
    return {prepared, prepared};
  }
  const int64_t k = args.n_experts_per_token;
  ExpertInputs inputs{.gate = prepare(slots_in_order(gate, x, k, ordered_), needs_codes, x_scratch_),
                      .by_slot = true};
  inputs.up = gate.has_order_of(up)
                  ? inputs.gate
                  : prepare(slots_in_order(up, x, k, up_ordered_), needs_codes, up_x_scratch_);
  return inputs;
}

void CpuBackend::experts_gate_up(const MoeArgs& args, const ExpertInputs& x, MatrixView<float> hidden) {
  const CpuWeight &gate = cpu_weight(args.gate), &up = cpu_weight(args.up);
  const int64_t width = args.expert_width(), first_up_row = args.has_fused_gate_up() ? width : 0;
  const int64_t tasks_per_expert = n_tasks_per_expert(width);
  const int64_t n_multiplications = 2 * static_cast<int64_t>(routing_.slots.size()) * width * gate.cols();
  parallel_for(static_cast<int64_t>(routing_.active.size()) * tasks_per_expert, 1, n_multiplications,
               [&](int64_t begin, int64_t end, int worker_idx) {
                 for (int64_t task = begin; task < end; ++task) {
                   const int32_t expert = routing_.active[static_cast<size_t>(task / tasks_per_expert)];
                   const int64_t first_row = task % tasks_per_expert * kRowsPerTask,
                                 n_rows = std::min(kRowsPerTask, width - first_row);
                   const auto first = static_cast<size_t>(routing_.first_slot[static_cast<size_t>(expert)]);
                   const int64_t n_tokens =
                       routing_.first_slot[static_cast<size_t>(expert) + 1] - static_cast<int64_t>(first);
                   const int32_t* slots = routing_.slots.data() + first;
                   MatmulArgs matmul_args{.weight = gate.expert(expert),
                                          .first_row = first_row,
                                          .n_rows = n_rows,
                                          .x = x.gate,
                                          .n_tokens = n_tokens,
                                          .x_rows = x.by_slot ? slots : routing_.token_rows.data() + first,
                                          .y_rows = slots,
                                          .y = hidden};
                   gate.multiply(matmul_args);
                   if (!has_gate(args.activation)) {
                     for (int64_t t = 0; t < n_tokens; ++t)
                       activate(args.activation, hidden.row_data(slots[t]) + first_row, nullptr, n_rows);
                     continue;
                   }
                   // `up` only lives until it is multiplied in: n_tokens x 64 values of this worker's own.
                   float* up_tile =
                       up_tile_[static_cast<size_t>(worker_idx)].at_least(n_tokens * kRowsPerTask);
                   matmul_args.weight = up.expert(expert);
                   matmul_args.x = x.up;
                   matmul_args.first_row = first_up_row + first_row;
                   matmul_args.y_rows = nullptr;
                   matmul_args.y = {up_tile, n_tokens, kRowsPerTask};
                   matmul_args.y_origin = matmul_args.first_row;
                   up.multiply(matmul_args);
                   for (int64_t t = 0; t < n_tokens; ++t) {
                     float* gate_values = hidden.row_data(slots[t]) + first_row;
                     float* up_values = up_tile + t * kRowsPerTask;
                     if (args.biases) {
                       const int64_t bias_at = expert * width + first_row;
                       add(bias_values(args.biases->gate) + bias_at, gate_values, n_rows);
                       add(bias_values(args.biases->up) + bias_at, up_values, n_rows);
                     }
                     activate(args.activation, gate_values, up_values, n_rows);
                   }
                 }
               });
}

void CpuBackend::experts_down(const MoeArgs& args, const Activations& hidden, MatrixView<float> outputs) {
  const CpuWeight& down = cpu_weight(args.down);
  const int64_t tasks_per_expert = n_tasks_per_expert(down.rows());
  const int64_t n_multiplications = static_cast<int64_t>(routing_.slots.size()) * down.rows() * down.cols();
  parallel_for(static_cast<int64_t>(routing_.active.size()) * tasks_per_expert, 1, n_multiplications,
               [&](int64_t begin, int64_t end, int) {
                 for (int64_t task = begin; task < end; ++task) {
                   const int32_t expert = routing_.active[static_cast<size_t>(task / tasks_per_expert)];
                   const int64_t first_row = task % tasks_per_expert * kRowsPerTask;
                   const auto first = static_cast<size_t>(routing_.first_slot[static_cast<size_t>(expert)]);
                   const int32_t* slots = routing_.slots.data() + first;
                   down.multiply({.weight = down.expert(expert),
                                  .first_row = first_row,
                                  .n_rows = std::min(kRowsPerTask, down.rows() - first_row),
                                  .x = hidden,
                                  .n_tokens = routing_.first_slot[static_cast<size_t>(expert) + 1] -
                                              static_cast<int64_t>(first),
                                  .x_rows = slots,
                                  .y_rows = slots,
                                  .y = outputs});
                 }
               });
}

void CpuBackend::moe(const MoeArgs& args) {
  const FfnInput& input = args.input;
  rms_norm(input.residual, input.norm, input.norm_epsilon, input.normed);
  route(args);
  const int64_t n_tokens = input.normed.rows, k = args.n_experts_per_token, n_slots = n_tokens * k;
  const CpuWeight& down = cpu_weight(args.down);
  MatrixView<float> expert_input = input.normed, sum = input.residual;
  if (args.latent) {
    const int64_t latent_size = args.latent->down.rows();
    float* latent = latent_.at_least(2 * n_tokens * latent_size);
    expert_input = {latent, n_tokens, latent_size};
    linear(input.normed, std::array{&args.latent->down}, {&expert_input, 1});
    sum = {latent + n_tokens * latent_size, n_tokens, latent_size};
    std::fill_n(sum.data, n_tokens * latent_size, 0.0F);
  }
  const int64_t width = args.expert_width();
  const MatrixView<float> hidden(gate_.at_least(n_slots * width), n_slots, width);
  experts_gate_up(args, expert_inputs(args, expert_input), hidden);
  const MatrixView<float> outputs(expert_outputs_.at_least(n_slots * down.rows()), n_slots, down.rows());
  const MatrixView<const float> down_x =
      down.has_column_order() ? slots_in_order(down, hidden, 1, ordered_) : hidden;
  experts_down(args, prepare(down_x, down.needs_codes(), hidden_scratch_), outputs);

  // By rank and not by expert, so that a token's sum has one order whatever else is in the batch.
  threads_.parallel_for(n_tokens, 8, [&](int64_t begin, int64_t end, int) {
    std::vector<const float*> terms(static_cast<size_t>(k));
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t rank = 0; rank < k; ++rank) {
        float* output = outputs.row_data(t * k + rank);
        if (args.biases) {
          const int64_t expert = routing_.experts[static_cast<size_t>(t * k + rank)];
          add(bias_values(args.biases->down) + expert * outputs.cols, output, outputs.cols);
        }
        terms[static_cast<size_t>(rank)] = output;
      }
      kernels_.weighted_sum({terms.data(), routing_.weights.data() + t * k, k, sum.row_data(t), sum.cols});
    }
  });
  if (args.latent) linear_add(sum, args.latent->up, nullptr, input.residual);
  if (args.shared) add_shared_expert(args);
}

void CpuBackend::add_shared_expert(const MoeArgs& args) {
  const SharedExpert& shared = *args.shared;
  const MatrixView<float> x = args.input.normed;
  const int64_t n_tokens = x.rows, width = shared.gate.rows();
  const MatrixView<float> gate(gate_.at_least(n_tokens * width), n_tokens, width),
      up(up_.at_least(n_tokens * width), n_tokens, width),
      out(expert_outputs_.at_least(n_tokens * x.cols), n_tokens, x.cols),
      scales(router_logits_.at_least(n_tokens), n_tokens, 1);
  const PlacedWeight* weights[] = {&shared.gate, &shared.up};
  const MatrixView<float> outs[] = {gate, up};
  const size_t n_matrices = has_gate(args.activation) ? 2 : 1;
  linear(x, std::span(weights).first(n_matrices), std::span(outs).first(n_matrices));
  threads_.parallel_for(n_tokens, 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) activate(args.activation, gate.row_data(t), up.row_data(t), width);
  });
  linear(gate, std::array{&shared.down}, {&out, 1});
  std::fill_n(scales.data, n_tokens, 1.0F);
  if (shared.scale) {
    linear(x, std::array{shared.scale}, {&scales, 1});
    const std::vector<float> logits(scales.data, scales.data + n_tokens);
    std::fill_n(scales.data, n_tokens, 1.0F);
    kernels_.sigmoid_gate({scales.data, logits.data(), n_tokens});
  }
  threads_.parallel_for(n_tokens, 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float* term = out.row_data(t);
      kernels_.weighted_sum({&term, scales.row_data(t), 1, args.input.residual.row_data(t), out.cols});
    }
  });
}

}  // namespace halod
