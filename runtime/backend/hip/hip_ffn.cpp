// The feed-forward layers of the GPU backend: dense ones, and mixtures of experts.
#include <algorithm>

#include "kernels/hip/weight_layout.h"
#include "runtime/backend/hip/hip_backend.h"
#include "runtime/backend/hip/rounding.h"

namespace halod::hip {
namespace {

Gating kernel_gating(RouterGating gating) {
  switch (gating) {
    case RouterGating::kSoftmaxOfChosen:
      return Gating::kSoftmaxOfChosen;
    case RouterGating::kSigmoid:
      return Gating::kSigmoid;
    case RouterGating::kSoftmax:
      break;
  }
  return Gating::kSoftmax;
}

GatedActivation kernel_activation(ExpertActivation activation) {
  switch (activation) {
    case ExpertActivation::kClampedSwiglu:
      return GatedActivation::kClampedSwiglu;
    case ExpertActivation::kSquaredRelu:
      return GatedActivation::kSquaredRelu;
    case ExpertActivation::kSwiglu:
      break;
  }
  return GatedActivation::kSwiglu;
}

}  // namespace

double HipBackend::GateUp::operations_per_row() const {
  return (has_up(activation) ? 4.0 : 2.0) * static_cast<double>(gate.rows) * static_cast<double>(gate.cols);
}

HipBackend::GateUp HipBackend::gate_up_of(const PlacedWeight& gate, const PlacedWeight& up,
                                          ExpertActivation activation) {
  return {.gate = hip_weight(gate).device_rows(),
          .up = hip_weight(up).device_rows(),
          .weights = {&hip_weight(gate), &hip_weight(up)},
          .kind = hip_weight(gate).kind(),
          .activation = kernel_activation(activation)};
}

HipBackend::GateUp HipBackend::gate_up_of(const MoeArgs& args) {
  GateUp layer = gate_up_of(args.gate, args.up, args.activation);
  if (args.has_fused_gate_up()) {
    layer.gate.rows = layer.up.rows = static_cast<int32_t>(args.expert_width());
    layer.up.data += args.expert_width() * layer.up.row_bytes;
  }
  layer.biases = args.biases;
  return layer;
}

/// Room for rows between two products, with their 8-bit form where columns allow.
ActivationResult HipBackend::hidden_room(Scratch& scratch, int64_t n_rows, int64_t cols) {
  const int64_t n = divided_up(n_rows, kMaxLinearTokens) * kMaxLinearTokens * cols;
  const int64_t codes_at = aligned_bytes(n * 4), groups_at = codes_at + aligned_bytes(n);
  unsigned char* memory = scratch.at_least(groups_at + aligned_bytes(n / kGroupColumns * 8 + 8));
  auto* codes = reinterpret_cast<int8_t*>(memory + codes_at);
  return {reinterpret_cast<float*>(memory), cols % kGroupColumns == 0 ? codes : nullptr,
          reinterpret_cast<ActivationGroup*>(memory + groups_at)};
}

void HipBackend::gate_up(const GateUp& layer, const GateUpInput& x, const ExpertSlots& slots,
                         const ActivationResult& h, const SharedPart* shared) {
  const int at_once =
      slots.experts
          ? 1
          : kernel_capacity(static_cast<int>(std::min<int64_t>(slots.n, kMaxGateUpTokens)), kMaxGateUpTokens);
  GateUpArgs args{.weights = {layer.gate, layer.up},
                  .x = {x.x[0], x.x[1]},
                  .biases = {layer.biases ? hip_vector(layer.biases->gate) : nullptr,
                             layer.biases ? hip_vector(layer.biases->up) : nullptr},
                  .experts = slots.experts,
                  .slots_per_x = x.slots_per_x,
                  .n_slots = static_cast<int32_t>(slots.n),
                  .activation = layer.activation,
                  .h = h};
  Grid grid{.x = divided_up(layer.width(), kGateUpTileRows), .y = divided_up(slots.n, at_once)};
  if (shared) {
    args.weights[2] = shared->layer.gate;
    args.weights[3] = shared->layer.up;
    args.x[2] = shared->x.x[0];
    args.x[3] = shared->x.x[1];
    args.shared_h = shared->h;
    grid.x = std::max(grid.x, divided_up(shared->layer.width(), kGateUpTileRows));
    grid.y += slots.n / slots.n_per_token;
  }
  launch(*device_, gate_up_kernel(at_once), grid, gate_up_shared_bytes(at_once), args);
}

ActivationRows HipBackend::dense_gate_up(const GateUp& layer, bool fills_tiles, const ActivationRows& x,
                                         int64_t n_rows, Scratch& room) {
  const ActivationResult h = hidden_room(room, n_rows, layer.width());
  const GateUpInput input = input_of(layer, x, {.n = n_rows});
  if (fills_tiles) {
    gate_up_prompt(layer, input.x[0], n_rows, h);
  } else {
    gate_up(layer, input, {.n = n_rows}, h);
  }
  return as_input(h);
}

void HipBackend::dense_ffn(const DenseFfnArgs& args) {
  const FfnInput& input = args.input;
  const int64_t n_rows = input.residual.rows;
  rms_norm(input.residual, input.norm, input.norm_epsilon, input.normed);
  const PlacedWeight* gate_and_up[] = {&args.gate, &args.up};
  const ActivationRows h =
      dense_gate_up(gate_up_of(args.gate, args.up, args.activation), fills_tiles(n_rows, gate_and_up),
                    read(input.normed, true), n_rows, hidden_);
  write(input.residual, false);
  const PlacedWeight* weights[] = {&args.down};
  multiply(h, n_rows, {.weights = weights, .outs = {&input.residual, 1}, .add = true});
}

// -- mixtures of experts

HipBackend::ChosenExperts HipBackend::route(const MoeArgs& args, const ActivationResult& x) {
  const FfnInput& input = args.input;
  HALOD_ASSERT(args.selection_bias == nullptr || args.gating == RouterGating::kSigmoid);
  const int64_t n_tokens = input.residual.rows, cols = input.residual.cols, n_experts = args.router.rows();
  const int n_per_token = static_cast<int>(args.n_experts_per_token);
  const int64_t n_slots = n_tokens * n_per_token;
  float* logits = router_logits_.of<float>(n_tokens * n_experts);
  uint32_t* counters = counters_.of<uint32_t>(n_tokens);
  // Ids, then shares.
  auto* experts = chosen_.of<int32_t>(2 * n_slots);
  auto* shares = reinterpret_cast<float*>(experts + n_slots);
  const PlacedWeight* scale = args.shared ? args.shared->scale : nullptr;
  float* shared_weights = scale ? shared_weights_.of<float>(n_tokens) : nullptr;
  launch(*device_, KernelId::router,
         {.x = router_blocks(static_cast<int>(n_experts), scale != nullptr), .y = n_tokens},
         router_shared_bytes(static_cast<int>(cols), static_cast<int>(n_experts)),
         RouterArgs{.hidden = input.residual.data,
                    .norm = hip_vector(input.norm),
                    .router = hip_weight(args.router).device_rows(),
                    .bias = args.biases ? hip_vector(args.biases->router) : nullptr,
                    .x = x,
                    .logits = logits,
                    .counters = counters,
                    .experts = experts,
                    .weights = shares,
                    .epsilon = input.norm_epsilon,
                    .n_per_token = n_per_token,
                    .gating = kernel_gating(args.gating),
                    .weights_scale = args.weights_scale,
                    .selection_bias = hip_vector(args.selection_bias),
                    .shared_scale = scale ? hip_weight(*scale).device_rows() : WeightRows{},
                    .orders = {hip_weight(args.router).column_order(),
                               scale ? hip_weight(*scale).column_order() : nullptr},
                    .shared_weights = shared_weights});
  return {experts, shares, shared_weights};
}

void HipBackend::moe(const MoeArgs& args) {
  const FfnInput& input = args.input;
  const ActivationResult x = write(input.normed, true);
  const ChosenExperts chosen = route(args, x);
  write(input.residual, false);
  if (args.latent) return latent_experts(args, as_input(x), chosen);
  experts(args,
          {.x = as_input(x), .chosen = chosen, .shared = args.shared, .sum = input.residual, .add = true});
}

void HipBackend::experts(const MoeArgs& args, const ExpertsJob& job) {
  const PlacedWeight* gate_and_up[] = {&args.gate, &args.up};
  if (fills_tiles(job.sum.rows, gate_and_up)) return experts_prompt(args, job);
  experts_decode(args, job);
}

void HipBackend::experts_decode(const MoeArgs& args, const ExpertsJob& job) {
  const int64_t n_tokens = job.sum.rows, cols = job.sum.cols;
  const int n_per_token = static_cast<int>(args.n_experts_per_token);
  const int64_t n_slots = n_tokens * n_per_token;
  SharedPart shared;
  if (job.shared) {
    shared.layer = gate_up_of(job.shared->gate, job.shared->up, args.activation);
    shared.x = input_of(shared.layer, job.x, {.n = n_tokens}, 2);
    shared.h = hidden_room(shared_hidden_, n_tokens, shared.layer.width());
  }
  const GateUp layer = gate_up_of(args);
  const ExpertSlots slots{job.chosen.experts, n_per_token, n_slots};
  const ActivationResult h = hidden_room(hidden_, n_slots, layer.width());
  gate_up(layer, input_of(layer, job.x, slots), slots, h, job.shared ? &shared : nullptr);
  const ActivationRows down_x =
      in_order_of(hip_weight(args.down), as_input(h), {job.chosen.experts, 1, n_slots}, ordered_[0]);
  const ActivationRows shared_x =
      job.shared ? in_order_of(hip_weight(job.shared->down), as_input(shared.h), {.n = n_tokens}, ordered_[1])
                 : ActivationRows{};
  launch(*device_, KernelId::experts_down, {.x = divided_up(cols, kDownTileRows), .y = n_tokens}, 0,
         ExpertsDownArgs{.down = {hip_weight(args.down).device_rows(),
                                  job.shared ? hip_weight(job.shared->down).device_rows() : WeightRows{}},
                         .bias = args.biases ? hip_vector(args.biases->down) : nullptr,
                         .h = {down_x, shared_x},
                         .experts = job.chosen.experts,
                         .weights = {job.chosen.shares, job.chosen.shared_weights},
                         .n_per_token = n_per_token,
                         .add = job.add ? 1 : 0,
                         .y = job.sum.data});
}

/// The experts' sum has a width of its own, so the shared one is added after it has come back.
void HipBackend::latent_experts(const MoeArgs& args, const ActivationRows& x, const ChosenExperts& chosen) {
  const MatrixView<float>& residual = args.input.residual;
  const int64_t n_tokens = residual.rows, latent_size = args.latent->down.rows();
  const auto quantise = [&](const ActivationResult& rows) {
    if (rows.codes) launch_rms_norm(rows.values, nullptr, 0, n_tokens, latent_size, rows);
    return as_input(rows);
  };
  const ActivationResult in = hidden_room(latent_, n_tokens, latent_size),
                         sum = hidden_room(latent_sum_, n_tokens, latent_size);
  const MatrixView<float> in_view(in.values, n_tokens, latent_size),
      sum_view(sum.values, n_tokens, latent_size);
  const PlacedWeight* down[] = {&args.latent->down};
  multiply(x, n_tokens, {.weights = down, .outs = {&in_view, 1}});
  experts(args, {.x = quantise(in), .chosen = chosen, .shared = nullptr, .sum = sum_view, .add = false});
  const PlacedWeight* up[] = {&args.latent->up};
  multiply(quantise(sum), n_tokens, {.weights = up, .outs = {&residual, 1}, .add = true});
  if (args.shared) {
    const float* y = shared_expert(*args.shared, args.activation, x, n_tokens);
    // The one expert of a layer without others.
    launch(*device_, KernelId::experts_sum, {.x = divided_up(residual.cols, 256), .y = n_tokens}, 0,
           ExpertsSumArgs{.y = y,
                          .shared_y = y,
                          .shared_weights = chosen.shared_weights,
                          .n_per_token = 0,
                          .cols = static_cast<int32_t>(residual.cols),
                          .add = 1,
                          .sum = residual.data});
  }
}

const float* HipBackend::shared_expert(const SharedExpert& shared, ExpertActivation activation,
                                       const ActivationRows& x, int64_t n_tokens) {
  const PlacedWeight* gate_and_up[] = {&shared.gate, &shared.up};
  const ActivationRows h = dense_gate_up(gate_up_of(shared.gate, shared.up, activation),
                                         fills_tiles(n_tokens, gate_and_up), x, n_tokens, shared_hidden_);
  const int64_t cols = shared.down.rows();
  const MatrixView<float> y(shared_results_.of<float>(n_tokens * cols), n_tokens, cols);
  const PlacedWeight* down[] = {&shared.down};
  multiply(h, n_tokens, {.weights = down, .outs = {&y, 1}});
  return y.data;
}

}  // namespace halod::hip
