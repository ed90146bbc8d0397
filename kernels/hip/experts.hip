// The mixture of experts in three launches: router, gate and up, down. Dense feed-forward layers use the
// second with one expert.
#include "kernels/hip/activations.h"
#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/dot.h"
#include "kernels/hip/normalise.h"

namespace halod::hip {

// -- router

/// A wave chooses the best experts of one token from logits in shared memory, which it overwrites;
/// `of_experts` are the same in global memory. As the reference: lower index wins ties, the chosen ones'
/// scores divided by their sum.
HALOD_DEVICE void choose_experts(const RouterArgs& args, float* logits, const float* of_experts,
                                 int32_t* experts, float* weights) {
  const int n_experts = args.router.rows, n_chosen = args.n_per_token;
  if (args.selection_bias) {
    // A lane searches what it wrote itself.
    for (int e = gpu::lane(); e < n_experts; e += gpu::kWave)
      logits[e] = sigmoid(logits[e]) + args.selection_bias[e];
  }
  float largest = -gpu::infinity();
  for (int e = gpu::lane(); e < n_experts; e += gpu::kWave) largest = gpu::max(largest, logits[e]);
  largest = gpu::wave_max(largest);
  float all = 0.0F;
  for (int e = gpu::lane(); e < n_experts; e += gpu::kWave) all += gpu::exp(logits[e] - largest);
  // The largest logit is a chosen one, so that among the chosen no other divisor is needed.
  all = args.gating == Gating::kSoftmax ? gpu::wave_sum(all) : 1.0F;

  float chosen = 0.0F;
  for (int rank = 0; rank < n_chosen; ++rank) {
    float best = -gpu::infinity();
    int best_index = n_experts;
    for (int e = gpu::lane(); e < n_experts; e += gpu::kWave) {
      if (logits[e] > best) {
        best = logits[e];
        best_index = e;
      }
    }
#pragma unroll
    for (int mask = gpu::kWave / 2; mask > 0; mask /= 2) {
      const float other = gpu::shfl_xor(best, mask);
      const int other_index = gpu::shfl_xor(best_index, mask);
      if (other > best || (other == best && other_index < best_index)) {
        best = other;
        best_index = other_index;
      }
    }
    // Logits that are all NaN leave none; the token is lost then, but memory must not be.
    if (best_index >= n_experts) best_index = rank;
    if (args.selection_bias) best = of_experts[best_index];
    const float share = args.gating == Gating::kSigmoid ? sigmoid(best) : gpu::exp(best - largest) / all;
    chosen += share;
    if (gpu::lane() == 0) {
      experts[rank] = best_index;
      weights[rank] = share;
      logits[best_index] = -gpu::infinity();
    }
    gpu::sync_wave();  // the next rank's search reads the mark
  }
  if (gpu::lane() == 0) {
    const float denominator = gpu::max(chosen, 6.103515625e-5F);  // as the reference
    for (int rank = 0; rank < n_chosen; ++rank)
      weights[rank] = weights[rank] / denominator * args.weights_scale;
  }
}

/// Eight experts per block; every block normalises its token's row by itself (8 kB from the second-level
/// cache for a router of 128 x 2048 f32, of which the block reads 64 kB), which saves a launch. Block 0 keeps
/// the normalised row for the experts.
HALOD_KERNEL(router, RouterArgs, 256) {
  const int token = gpu::block_y(), cols = args.router.cols, n_experts = args.router.rows;
  gpu::SharedArena shared;
  float* values = shared.take<float>(cols);
  int8_t* codes = shared.take<int8_t>(cols);
  ActivationGroup* groups = shared.take<ActivationGroup>(cols / kGroupColumns);
  float* wave_sums = shared.take<float>(8);
  float* row_logits = shared.take<float>(n_experts);
  uint32_t* flag = shared.take<uint32_t>(1);

  const float* hidden = args.hidden + static_cast<size_t>(token) * cols;
  const float scale = rms_scale(hidden, cols, args.epsilon, wave_sums);
  const bool quantises = args.x.codes != nullptr;
  // The last block has the shared expert's row, if there is one; its waves all multiply the same.
  const bool weighs_shared = gpu::block_x() == router_blocks(n_experts, false);
  const int32_t* order = args.orders[weighs_shared ? 1 : 0];
  normalise_row(hidden, args.norm, scale, cols, {values, quantises ? codes : nullptr, groups}, order);
  gpu::sync();  // all of the row, before any wave multiplies it
  if (gpu::block_x() == 0 && order) {
    normalise_row(hidden, args.norm, scale, cols, result_row(args.x, token, cols));
  } else if (gpu::block_x() == 0) {
    const ActivationResult out = result_row(args.x, token, cols);
    for (int i = gpu::thread(); i < cols; i += kNormThreads) out.values[i] = values[i];
    if (quantises) {
      for (int i = gpu::thread(); i < cols; i += kNormThreads) out.codes[i] = codes[i];
      for (int i = gpu::thread(); i < cols / kGroupColumns; i += kNormThreads) out.groups[i] = groups[i];
    }
  }

  const WeightRows& weights = weighs_shared ? args.shared_scale : args.router;
  const int row = gpu::block_x() * kRouterTileRows + gpu::wave();
  float sums[1][1] = {};
  const unsigned char* rows[1] = {weight_row(weights, 0, row)};
  const int x_rows[1] = {0};
  dot_rows(weights, rows, SharedActivationRow{values, codes, groups}, x_rows, sums);
  const float logit = gpu::wave_sum(sums[0][0]);
  float* logits = args.logits + static_cast<size_t>(token) * n_experts;
  if (gpu::lane() == 0 && row < n_experts) logits[row] = args.bias ? logit + args.bias[row] : logit;
  if (weighs_shared && gpu::thread() == 0) args.shared_weights[token] = sigmoid(logit);

  const auto n_blocks = static_cast<uint32_t>(router_blocks(n_experts, args.shared_scale.data != nullptr));
  if (!gpu::arrive_last(args.counters + token, n_blocks, flag)) return;
  for (int e = gpu::thread(); e < n_experts; e += 256) row_logits[e] = logits[e];
  gpu::sync();  // all logits, before the first wave compares them
  if (gpu::wave() == 0) {
    choose_experts(args, row_logits, logits, args.experts + token * args.n_per_token,
                   args.weights + token * args.n_per_token);
  }
}

// -- gate and up

/// 32 rows of both matrices for one slot (or n_tokens tokens of a dense layer): they become one group of 32
/// columns of the next product, which the block rounds to 8 bits at once. Four rows of each per wave, two at
/// a time.
template <int n_tokens>
HALOD_DEVICE void gate_up(const GateUpArgs& args) {
  constexpr int kRows = 2, kWaveRows = 4;
  gpu::SharedArena shared;
  float* results = shared.take<float>(2 * n_tokens * kGateUpTileRows);  // [gate, up][n_tokens][32]
  // The shared expert's slots stand behind all others, one per token.
  const bool is_shared = n_tokens == 1 && gpu::block_y() >= args.n_slots;
  const int first_matrix = is_shared ? 2 : 0, width = args.weights[first_matrix].rows;
  if (gpu::block_x() * kGateUpTileRows >= width) return;  // the other experts are wider
  const int first_slot = is_shared ? gpu::block_y() - args.n_slots : gpu::block_y() * n_tokens;
  const int expert = args.experts && !is_shared ? args.experts[first_slot] : 0;
  int x_rows[n_tokens];
  // Rows beyond the last are read too and their results dropped: cheaper than registers for clamped places.
#pragma unroll
  for (int t = 0; t < n_tokens; ++t) x_rows[t] = is_shared ? first_slot : first_slot / args.slots_per_x + t;
  const int n_steps = has_up(args.activation) ? 2 * kWaveRows : kWaveRows;
// One body for both matrices: two would need twice the registers.
#pragma unroll 1
  for (int step = 0; step < n_steps; step += kRows) {
    const int matrix = first_matrix + step / kWaveRows;
    const WeightRows& weights = args.weights[matrix];
    const int in_tile = gpu::wave() * kWaveRows + step % kWaveRows;
    const unsigned char* rows[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      rows[r] = weight_row(weights, expert, gpu::block_x() * kGateUpTileRows + in_tile + r);
    float sums[kRows][n_tokens] = {};
    dot_rows(weights, rows, args.x[matrix], x_rows, sums);
    float* result = results + step / kWaveRows * n_tokens * kGateUpTileRows + in_tile;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int t = 0; t < n_tokens; ++t) {
        const float sum = gpu::wave_sum(sums[r][t]);
        if (gpu::lane() == 0) result[t * kGateUpTileRows + r] = sum;
      }
    }
  }
  gpu::sync();  // all 32 rows of both, before a wave makes a group of them
  const int t = gpu::wave(), slot = first_slot + t;
  if (t >= n_tokens || (!is_shared && slot >= args.n_slots)) return;
  const int column = gpu::block_x() * kGateUpTileRows + gpu::lane();
  float gate = results[t * kGateUpTileRows + gpu::lane()];
  float up = results[(n_tokens + t) * kGateUpTileRows + gpu::lane()];
  if (!is_shared) add_biases(args.biases, static_cast<size_t>(expert) * width, column, width, gate, up);
  const float value = activate(args.activation, gate, up);
  // One by one, so that the compiler still knows that they point to global memory.
  const ActivationResult all = {is_shared ? args.shared_h.values : args.h.values,
                                is_shared ? args.shared_h.codes : args.h.codes,
                                is_shared ? args.shared_h.groups : args.h.groups};
  const ActivationResult h = result_row(all, slot, width);
  if (column < width) h.values[column] = value;
  if (h.codes) quantise_group(value, h.codes + gpu::block_x() * kGateUpTileRows, h.groups + gpu::block_x());
}

HALOD_KERNEL(gate_up_1, GateUpArgs, 256) { gate_up<1>(args); }
HALOD_KERNEL(gate_up_2, GateUpArgs, 256) { gate_up<2>(args); }
HALOD_KERNEL(gate_up_4, GateUpArgs, 256) { gate_up<4>(args); }

// -- down

/// Two output rows per wave over all of the token's experts, the shared one last: one owner for every result,
/// so no atomics, and ranks are added in one order. The lanes are summed before an expert's share is
/// weighted, because that is the order in which prompts can do it (experts_sum): 5 more instructions per row
/// and expert.
HALOD_KERNEL(experts_down, ExpertsDownArgs, 256) {
  constexpr int kRows = 2;
  const int token = gpu::block_y(), n_rows = args.down[0].rows;
  const int first_row = gpu::block_x() * kDownTileRows + gpu::wave() * kRows;
  if (first_row >= n_rows) return;
  float totals[kRows] = {};
  const int n_parts = args.down[1].data ? 2 : 1;
// One body for both parts, as in gate_up.
#pragma unroll 1
  for (int part = 0; part < n_parts; ++part) {
    const WeightRows& down = args.down[part];
    const int n_slots = part == 0 ? args.n_per_token : 1;
    for_format(down.format, [&](auto tag) {
      for (int rank = 0; rank < n_slots; ++rank) {
        const int slot = token * n_slots + rank;
        // By the dialect's loads: of pointers beside arrays that `part` indexes the compiler does not know
        // that they are global.
        const int expert = part == 0 ? load_index(args.experts, slot) : 0;
        const unsigned char* rows[kRows];
#pragma unroll
        for (int r = 0; r < kRows; ++r) rows[r] = weight_row(down, expert, first_row + r);
        const float weight = args.weights[part] ? gpu::load_float(args.weights[part] + slot) : 1.0F;
        float sums[kRows][1] = {};
        const int h_rows[1] = {slot};
        dot_rows_of<decltype(tag)::kFormat>(rows, down.cols, args.h[part], h_rows, sums);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          float sum = gpu::wave_sum(sums[r][0]);
          if (args.bias && part == 0 && first_row + r < n_rows)
            sum += gpu::load_float(args.bias + static_cast<size_t>(expert) * n_rows + first_row + r);
          totals[r] = gpu::fma(weight, sum, totals[r]);
        }
      }
    });
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (gpu::lane() != 0 || first_row + r >= n_rows) continue;
    float* y = args.y + static_cast<size_t>(token) * n_rows + first_row + r;
    *y = args.add ? *y + totals[r] : totals[r];
  }
}

}  // namespace halod::hip
