#include "kernels/hip/kernel_table.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"

namespace halod::hip {
namespace {

constexpr KernelRow kKernels[] = {
#define HALOD_ROW(name, Args, family, n_threads, max_vgprs, max_shared_bytes, opcodes) \
  {KernelId::name, KernelFamily::family, #name, sizeof(Args), n_threads, max_vgprs, max_shared_bytes},
    HALOD_HIP_KERNELS(HALOD_ROW)
#undef HALOD_ROW
};

constexpr PromptTile kLinearTiles[] = {
    {.kernel = KernelId::prompt_linear_16, .row_fragments = 1, .weight_fragments = 2, .weight_rows = 64},
    {.kernel = KernelId::prompt_linear_32, .row_fragments = 2, .weight_fragments = 2, .weight_rows = 64},
    {.kernel = KernelId::prompt_linear_64, .row_fragments = 4, .weight_fragments = 1, .weight_rows = 32},
};
constexpr PromptTile kGateUpTiles[] = {
    {.kernel = KernelId::prompt_gate_up_16, .row_fragments = 1, .weight_fragments = 2, .weight_rows = 32},
    {.kernel = KernelId::prompt_gate_up_32, .row_fragments = 2, .weight_fragments = 2, .weight_rows = 32},
};
constexpr PromptTile kFloatLinearTiles[] = {
    {.kernel = KernelId::prompt_linear_floats, .row_fragments = 2, .weight_fragments = 2, .weight_rows = 64}};
constexpr PromptTile kFloatGateUpTiles[] = {{.kernel = KernelId::prompt_gate_up_floats,
                                             .row_fragments = 2,
                                             .weight_fragments = 2,
                                             .weight_rows = 32}};

KernelId sized(KernelId first, int n, int largest) {
  int step = 0;
  for (int capacity = 1; capacity < kernel_capacity(n, largest); capacity *= 2) ++step;
  return static_cast<KernelId>(static_cast<int>(first) + step);
}

}  // namespace

std::span<const KernelRow> kernel_table() { return kKernels; }

const KernelRow& kernel_row(KernelId id) { return kKernels[static_cast<size_t>(id)]; }

std::span<const PromptTile> prompt_linear_tiles(WeightKind kind) {
  if (kind == WeightKind::kFloats) return kFloatLinearTiles;
  return kLinearTiles;
}
std::span<const PromptTile> prompt_gate_up_tiles(WeightKind kind) {
  if (kind == WeightKind::kFloats) return kFloatGateUpTiles;
  return kGateUpTiles;
}

const PromptTile& choose_tile(std::span<const PromptTile> tiles, int64_t n_rows, int64_t n_experts) {
  // On paper, 64 rows against 32 weight rows save a seventh of the unpacking and cost twice the shared memory
  // reads: left to a tuner with a GPU.
  constexpr int kLargest = 32;
  for (const PromptTile& tile : tiles) {
    if (tile.rows() == kLargest || n_rows <= tile.rows() * n_experts) return tile;
  }
  return tiles.back();
}

const FlashAttention* find_flash_attention(int64_t head_dim) {
  static constexpr FlashAttention kOf64 = {KernelId::prompt_attention_64, KernelId::flash_decode_64};
  static constexpr FlashAttention kOf128 = {KernelId::prompt_attention_128, KernelId::flash_decode_128};
  static constexpr FlashAttention kOf256 = {KernelId::prompt_attention_256, KernelId::flash_decode_256};
  switch (head_dim) {
    case 64:
      return &kOf64;
    case 128:
      return &kOf128;
    case 256:
      return &kOf256;
    default:
      return nullptr;
  }
}

const KernelId* delta_net_kernel(int64_t head_dim) {
  static constexpr KernelId kOf64 = KernelId::delta_net_64, kOf128 = KernelId::delta_net_128;
  return head_dim == 64 ? &kOf64 : head_dim == 128 ? &kOf128 : nullptr;
}

const SsmScan* find_ssm_scan(int64_t state_size, int64_t head_dim) {
  static constexpr SsmScan kScans[] = {{KernelId::ssm_scan_128, 128}, {KernelId::ssm_scan_256, 256}};
  if (state_size % kStateRowMultiple != 0 || head_dim % kStateWaveColumns != 0) return nullptr;
  const auto* found =
      std::ranges::find_if(kScans, [&](const SsmScan& scan) { return state_size <= scan.most_rows; });
  return found == std::end(kScans) ? nullptr : found;
}

int64_t rows_per_launch(double operations_per_row, int64_t multiple) {
  const auto n_multiples =
      static_cast<int64_t>(kMaxLaunchOperations / (operations_per_row * static_cast<double>(multiple)));
  return std::max<int64_t>(1, n_multiples) * multiple;
}

int kernel_capacity(int n, int largest) {
  HALOD_ASSERT(n >= 1 && n <= largest);
  int capacity = 1;
  while (capacity < n) capacity *= 2;
  return capacity;
}

KernelId linear_kernel(int n_tokens) { return sized(KernelId::linear_1, n_tokens, kMaxLinearTokens); }
KernelId gate_up_kernel(int n_tokens) { return sized(KernelId::gate_up_1, n_tokens, kMaxGateUpTokens); }
KernelId attention_kernel(int n_heads) { return sized(KernelId::attention_1, n_heads, kMaxHeadsPerChunk); }

}  // namespace halod::hip
