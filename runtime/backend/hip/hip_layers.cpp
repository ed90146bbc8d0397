// The feed-forward layers and the output of the GPU backend.
#include <algorithm>
#include <cstring>

#include "kernels/hip/weight_layout.h"
#include "runtime/backend/hip/hip_backend.h"
#include "runtime/backend/hip/rounding.h"

namespace halod::hip {
namespace {

ActivationRows as_input(const ActivationResult& result) {
  return {result.values, result.codes, result.groups};
}

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
  return activation == ExpertActivation::kClampedSwiglu ? GatedActivation::kClampedSwiglu
                                                        : GatedActivation::kSwiglu;
}

}  // namespace

double HipBackend::GateUp::operations_per_row() const {
  return 4.0 * static_cast<double>(gate.rows) * static_cast<double>(gate.cols);
}

HipBackend::GateUp HipBackend::gate_up_of(const PlacedWeight& gate, const PlacedWeight& up) {
  return {.gate = hip_weight(gate).device_rows(),
          .up = hip_weight(up).device_rows(),
          .kind = hip_weight(gate).kind()};
}

HipBackend::GateUp HipBackend::gate_up_of(const MoeArgs& args) {
  GateUp layer = gate_up_of(args.gate, args.up);
  if (args.has_fused_gate_up()) {
    layer.gate.rows = layer.up.rows = static_cast<int32_t>(args.expert_width());
    layer.up.data += args.expert_width() * layer.up.row_bytes;
  }
  layer.biases = args.biases;
  layer.activation = kernel_activation(args.activation);
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

void HipBackend::gate_up(const GateUp& layer, const ActivationRows& x, const ExpertSlots& slots,
                         const ActivationResult& h, const SharedPart* shared) {
  const int at_once =
      slots.experts
          ? 1
          : kernel_capacity(static_cast<int>(std::min<int64_t>(slots.n, kMaxGateUpTokens)), kMaxGateUpTokens);
  GateUpArgs args{.weights = {layer.gate, layer.up},
                  .biases = {layer.biases ? hip_vector(layer.biases->gate) : nullptr,
                             layer.biases ? hip_vector(layer.biases->up) : nullptr},
                  .x = x,
                  .experts = slots.experts,
                  .n_per_token = slots.n_per_token,
                  .n_slots = static_cast<int32_t>(slots.n),
                  .activation = layer.activation,
                  .h = h};
  Grid grid{.x = divided_up(layer.width(), kGateUpTileRows), .y = divided_up(slots.n, at_once)};
  if (shared) {
    args.weights[2] = shared->layer.gate;
    args.weights[3] = shared->layer.up;
    args.shared_h = shared->h;
    grid.x = std::max(grid.x, divided_up(shared->layer.width(), kGateUpTileRows));
    grid.y += slots.n / slots.n_per_token;
  }
  launch(*device_, gate_up_kernel(at_once), grid, gate_up_shared_bytes(at_once), args);
}

void HipBackend::moe(const MoeArgs& args) {
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
  const ActivationResult x = write(input.normed, true);
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
                    .shared_weights = shared_weights});
  write(input.residual, false);
  const PlacedWeight* gate_and_up[] = {&args.gate, &args.up};
  if (fills_tiles(n_tokens, gate_and_up))
    return experts_prompt(args, as_input(x), {experts, shares}, shared_weights);
  experts_decode(args, as_input(x), {experts, shares}, shared_weights);
}

void HipBackend::experts_decode(const MoeArgs& args, const ActivationRows& x, const ChosenExperts& chosen,
                                const float* shared_weights) {
  const int64_t n_tokens = args.input.residual.rows, cols = args.input.residual.cols;
  const int n_per_token = static_cast<int>(args.n_experts_per_token);
  const int64_t n_slots = n_tokens * n_per_token;
  SharedPart shared;
  if (args.shared) {
    shared.layer = gate_up_of(args.shared->gate, args.shared->up);
    shared.h = hidden_room(shared_hidden_, n_tokens, shared.layer.width());
  }
  const GateUp layer = gate_up_of(args);
  const ActivationResult h = hidden_room(hidden_, n_slots, layer.width());
  gate_up(layer, x, {chosen.experts, n_per_token, n_slots}, h, args.shared ? &shared : nullptr);
  launch(*device_, KernelId::experts_down, {.x = divided_up(cols, kDownTileRows), .y = n_tokens}, 0,
         ExpertsDownArgs{.down = {hip_weight(args.down).device_rows(),
                                  args.shared ? hip_weight(args.shared->down).device_rows() : WeightRows{}},
                         .bias = args.biases ? hip_vector(args.biases->down) : nullptr,
                         .h = {as_input(h), as_input(shared.h)},
                         .experts = chosen.experts,
                         .weights = {chosen.shares, shared_weights},
                         .n_per_token = n_per_token,
                         .residual = args.input.residual.data});
}

void HipBackend::dense_ffn(const DenseFfnArgs& args) {
  const FfnInput& input = args.input;
  const int64_t n_rows = input.residual.rows;
  rms_norm(input.residual, input.norm, input.norm_epsilon, input.normed);
  const GateUp layer = gate_up_of(args.gate, args.up);
  const ActivationResult h = hidden_room(hidden_, n_rows, layer.width());
  const ActivationRows x = read(input.normed, true);
  const PlacedWeight* gate_and_up[] = {&args.gate, &args.up};
  if (fills_tiles(n_rows, gate_and_up)) {
    gate_up_prompt(layer, x, n_rows, h);
  } else {
    gate_up(layer, x, {.n = n_rows}, h);
  }
  write(input.residual, false);
  const PlacedWeight* weights[] = {&args.down};
  multiply(as_input(h), n_rows, {.weights = weights, .outs = {&input.residual, 1}, .add = true});
}

void HipBackend::output(const OutputArgs& args) {
  const int64_t n_rows = args.x.rows, vocab_size = args.weight.rows();
  const MatrixView<float> logits(logits_.of<float>(n_rows * vocab_size), n_rows, vocab_size);
  const PlacedWeight* weights[] = {&args.weight};
  multiply(read(args.x, hip_weight(args.weight).needs_codes()), n_rows,
           {.weights = weights, .outs = {&logits, 1}});
  read_logits(args, logits.data);
}

void HipBackend::read_logits(const OutputArgs& args, const float* logits) {
  const int64_t n_rows = args.x.rows, vocab_size = args.weight.rows();
  const auto cols = static_cast<int>(vocab_size);
  /// How many of a row's best tokens are found here; 0: its logits are read.
  const auto n_best = [&](int64_t row) {
    const int32_t n = args.best.empty() ? 0 : args.best[static_cast<size_t>(row)].n_wanted;
    return n > kMaxTopK || (n > 1 && top_k_shared_bytes(cols, kMaxTopK) > kMaxSharedBytes) ? 0 : n;
  };
  int64_t n_read = 0;
  int32_t k = 0;  // of all rows, because one launch serves them
  for (int64_t row = 0; row < n_rows; ++row) {
    n_read += n_best(row) == 0 ? 1 : 0;
    k = std::max(k, n_best(row));
  }
  const int64_t row_bytes = vocab_size * static_cast<int64_t>(sizeof(float));
  const int64_t n_results = n_rows * k;
  const int64_t best_bytes = aligned_bytes(n_results * static_cast<int64_t>(sizeof(ArgmaxResult)));
  const auto n_bytes = static_cast<uint64_t>(best_bytes + n_read * row_bytes);
  if (output_staging_.size() < n_bytes) {
    auto larger = PinnedMemory::allocate(*device_, n_bytes);
    if (!larger) throw DeviceError(larger.error().message);
    output_staging_ = std::move(*larger);
  }
  if (k > 0) {
    const int n_blocks = k == 1 ? kArgmaxBlocks : kTopKBlocks;
    auto* best = best_.of<ArgmaxResult>(n_results * (n_blocks + 1));
    auto* counters = counters_.of<uint32_t>(n_rows);
    if (k == 1) {
      launch(*device_, KernelId::argmax, {.x = n_blocks, .y = n_rows}, argmax_shared_bytes(),
             ArgmaxArgs{logits, cols, best + n_results, counters, best});
    } else {
      launch(*device_, KernelId::top_k, {.x = n_blocks, .y = n_rows}, top_k_shared_bytes(cols, k),
             TopKArgs{logits, cols, k, best + n_results, counters, best});
    }
    device_->copy_to_host(output_staging_.data(), best,
                          static_cast<uint64_t>(n_results) * sizeof(ArgmaxResult));
  }
  std::byte* staging = output_staging_.data() + best_bytes;
  for (int64_t row = 0; row < n_rows; ++row) {
    if (n_best(row) > 0) continue;
    device_->copy_to_host(staging, logits + row * vocab_size, static_cast<uint64_t>(row_bytes));
    staging += row_bytes;
  }
  device_->synchronize();
  staging = output_staging_.data() + best_bytes;
  const auto* results = reinterpret_cast<const ArgmaxResult*>(output_staging_.data());
  for (int64_t row = 0; row < n_rows; ++row) {
    if (n_best(row) > 0) {
      std::vector<TokenLogit>& found = args.best[static_cast<size_t>(row)].found;
      found.clear();
      for (const ArgmaxResult& result : std::span(results + row * k, static_cast<size_t>(n_best(row))))
        found.push_back({static_cast<TokenId>(result.index), result.value});
      continue;
    }
    std::memcpy(args.logits.row_data(row), staging, static_cast<size_t>(row_bytes));
    staging += row_bytes;
  }
}

}  // namespace halod::hip
