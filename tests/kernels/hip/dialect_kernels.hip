#include "kernels/hip/dialect/gpu.h"
#include "tests/kernels/hip/dialect_kernels.h"

namespace halod::test {

template <class Multiply>
HALOD_DEVICE void multiply_halves(const HalfProductArgs& args, const Multiply& multiply) {
  const int in_half = gpu::lane() % 16;
  gpu::FloatAccumulator c = {};
  for (int k0 = 0; k0 < args.k; k0 += 16) {
    gpu::HalfFragment a, b;
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      a.values[i] = args.a[in_half * args.k + k0 + i];
      b.values[i] = args.b[in_half * args.k + k0 + i];
    }
    c = multiply(a, b, c);
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) args.c[(2 * i + gpu::lane() / 16) * 16 + in_half] = c.values[i];
}

HALOD_KERNEL(multiply_f16, HalfProductArgs, 32) {
  multiply_halves(args, [](const gpu::HalfFragment& a, const gpu::HalfFragment& b,
                           const gpu::FloatAccumulator& c) { return gpu::wmma_f16(a, b, c); });
}
HALOD_KERNEL(multiply_bf16, HalfProductArgs, 32) {
  multiply_halves(args, [](const gpu::HalfFragment& a, const gpu::HalfFragment& b,
                           const gpu::FloatAccumulator& c) { return gpu::wmma_bf16(a, b, c); });
}
HALOD_KERNEL(multiply_iu8, ByteProductArgs, 32) {
  const int in_half = gpu::lane() % 16;
  gpu::IntAccumulator c = {};
  for (int k0 = 0; k0 < args.k; k0 += 16) {
    gpu::ByteFragment a = {}, b = {};
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      a.words[i / 4] |= static_cast<uint32_t>(args.a[in_half * args.k + k0 + i]) << (i % 4 * 8);
      b.words[i / 4] |= static_cast<uint32_t>(static_cast<uint8_t>(args.b[in_half * args.k + k0 + i]))
                        << (i % 4 * 8);
    }
    c = gpu::wmma_iu8<false, true>(a, b, c);
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) args.c[(2 * i + gpu::lane() / 16) * 16 + in_half] = c.values[i];
}

HALOD_KERNEL(permute, PermuteArgs, 32) {
  const int i = gpu::lane();
  args.out[i] = gpu::permute_bytes(args.high[i], args.low[i], args.selectors[i]);
}

HALOD_KERNEL(meet, MeetArgs, 64) {
  gpu::SharedArena shared;
  uint32_t* values = shared.take<uint32_t>(64);
  uint32_t* flag = shared.take<uint32_t>(1);
  const int i = gpu::block_x() * 64 + gpu::thread();
  const uint32_t value = args.in[i];
  values[gpu::thread()] = value;
  args.ballots[i] = gpu::ballot(value != 0);
  const auto sum = static_cast<uint32_t>(gpu::wave_sum(static_cast<float>(value)));
  args.sums[i] = sum;
  gpu::sync();
  args.neighbours[i] = values[(gpu::thread() + 1) % 64];
  if (gpu::thread() == 0) args.block_sums[gpu::block_x()] = sum;
  if (!gpu::arrive_last(args.counter, static_cast<uint32_t>(args.n_blocks), flag)) return;
  if (gpu::thread() != 0) return;
  uint32_t total = 0;
  for (int b = 0; b < args.n_blocks; ++b) total += args.block_sums[b];
  *args.total = total;
}

}  // namespace halod::test
