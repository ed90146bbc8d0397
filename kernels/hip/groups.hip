// What stands between a prompt's experts and the grouped products: rows sorted by expert before them, the
// experts' results added up after them.
#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/dot.h"

namespace halod::hip {

inline constexpr int kGroupWaves = 8;

/// A block per expert. It counts the slots of lower experts, which is where its own begin, so blocks need
/// nothing from each other; every wave takes an eighth of the slots, and a slot's place among the expert's is
/// the number of those before it. Floor: n_experts reads of the ids from the second-level cache, 64 kB each
/// for 2048 tokens of eight experts: 8 MB for 128 experts, some microseconds.
HALOD_KERNEL(group_slots, GroupSlotsArgs, 256) {
  gpu::SharedArena shared;
  int32_t* counts = shared.take<int32_t>(2 * kGroupWaves);  // [lower, own][wave]
  const int expert = gpu::block_x(), wave = gpu::wave();
  const int n_chunks = (args.n_slots + gpu::kWave - 1) / gpu::kWave;
  const int per_wave = (n_chunks + kGroupWaves - 1) / kGroupWaves, first = wave * per_wave;
  const int end = first + per_wave < n_chunks ? first + per_wave : n_chunks;
  int n_lower = 0, n_own = 0;
  for (int chunk = first; chunk < end; ++chunk) {
    const int slot = chunk * gpu::kWave + gpu::lane();
    const int id = slot < args.n_slots ? args.experts[slot] : kMaxExperts;
    n_lower += gpu::popcount(gpu::ballot(id < expert));
    n_own += gpu::popcount(gpu::ballot(id == expert));
  }
  if (gpu::lane() == 0) {
    counts[wave] = n_lower;
    counts[kGroupWaves + wave] = n_own;
  }
  gpu::sync_shared();  // all waves' counts, before each finds where its own slots begin
  int offset = 0;
  for (int w = 0; w < kGroupWaves; ++w) offset += counts[w];
  int place = offset;
  for (int w = 0; w < wave; ++w) place += counts[kGroupWaves + w];
  for (int chunk = first; chunk < end; ++chunk) {
    const int slot = chunk * gpu::kWave + gpu::lane();
    const bool is_own = slot < args.n_slots && args.experts[slot] == expert;
    const uint32_t own = gpu::ballot(is_own);
    if (is_own) args.order[place + gpu::popcount(own & ((1U << gpu::lane()) - 1U))] = slot;
    place += gpu::popcount(own);
  }
  if (gpu::thread() == 0) {
    args.offsets[expert] = offset;
    if (expert == args.n_experts - 1) args.offsets[args.n_experts] = args.n_slots;
  }
}

/// The same fused multiply-adds in the same order as experts_down's. Floor: n_per_token * cols floats read
/// per token, 64 kB for eight experts and 2048 columns.
HALOD_KERNEL(experts_sum, ExpertsSumArgs, 256) {
  const int column = gpu::block_x() * 256 + gpu::thread();
  if (column >= args.cols) return;
  const size_t token = static_cast<size_t>(gpu::block_y()), cols = static_cast<size_t>(args.cols);
  const size_t first_slot = token * static_cast<size_t>(args.n_per_token);
  float total = 0.0F;
  for (int rank = 0; rank < args.n_per_token; ++rank) {
    const size_t slot = first_slot + static_cast<size_t>(rank);
    float y = args.y[slot * cols + static_cast<size_t>(column)];
    if (args.bias)
      y += args.bias[static_cast<size_t>(args.experts[slot]) * cols + static_cast<size_t>(column)];
    total = gpu::fma(args.weights[slot], y, total);
  }
  if (args.shared_y) {
    const float weight = args.shared_weights ? args.shared_weights[token] : 1.0F;
    total = gpu::fma(weight, args.shared_y[token * cols + static_cast<size_t>(column)], total);
  }
  float* sum = args.sum + token * cols + static_cast<size_t>(column);
  *sum = args.add ? *sum + total : total;
}

}  // namespace halod::hip
