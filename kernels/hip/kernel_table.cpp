#include "kernels/hip/kernel_table.h"

#include "base/error.h"

namespace halod::hip {
namespace {

constexpr KernelRow kKernels[] = {
#define HALOD_ROW(name, Args, family, n_threads, max_vgprs, max_shared_bytes, opcodes) \
  {KernelId::name, KernelFamily::family, #name, sizeof(Args), n_threads, max_vgprs, max_shared_bytes},
    HALOD_HIP_KERNELS(HALOD_ROW)
#undef HALOD_ROW
};

KernelId sized(KernelId first, int n, int largest) {
  int step = 0;
  for (int capacity = 1; capacity < kernel_capacity(n, largest); capacity *= 2) ++step;
  return static_cast<KernelId>(static_cast<int>(first) + step);
}

}  // namespace

std::span<const KernelRow> kernel_table() { return kKernels; }

const KernelRow& kernel_row(KernelId id) { return kKernels[static_cast<size_t>(id)]; }

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
