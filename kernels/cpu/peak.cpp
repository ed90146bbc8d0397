// Products: registers of operands meet broadcasts, the loop of a matrix product without unpacking, scales and
// memory. Reading: sums.
#include "kernels/ops/peak.h"

#include "kernels/cpu/simd.h"
#include "kernels/cpu/tables.h"

namespace halod::HALOD_ISA {
namespace {

constexpr int kBroadcasts = 8;
#if defined(__AVX512VNNI__)
// Everything stays in registers: an accumulator for each operand and broadcast, so that none waits for
// another.
constexpr int kOperands = 2, kSharers = 2, kAccumulators = 16;
constexpr bool kLoads = false;
#else
// Each accumulator takes two of sixteen registers. Operands are loaded, and no two products of a round are
// the same, because half of a product could be kept for the next.
constexpr int kOperands = 8, kSharers = 1, kAccumulators = 4;
constexpr bool kLoads = true;
#endif
constexpr int kBroadcastsAtOnce = kAccumulators / kSharers;
constexpr int kRepeats = 8 / kOperands;  // 64 registers of products make a round

/// acc += every operand times every broadcast. broadcast(i) and operand(i) give what multiply_add(acc,
/// operand, broadcast) takes.
template <class Sum, class Operand, class Broadcast, class MultiplyAdd>
void multiply_round(Sum (&acc)[kAccumulators], const Operand& operand, const Broadcast& broadcast,
                    const MultiplyAdd& multiply_add) {
#pragma GCC unroll 8
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    for (int first = 0; first < kBroadcasts; first += kBroadcastsAtOnce) {
#pragma GCC unroll 8
      for (int i = 0; i < kOperands; ++i) {
        const auto left = operand(i);
#pragma GCC unroll 8
        for (int b = 0; b < kBroadcastsAtOnce; ++b) {
          Sum& sum = acc[kSharers * b + i % kSharers];
          sum = multiply_add(sum, left, broadcast((kLoads ? kBroadcasts * i : 0) + first + b));
        }
      }
    }
  }
}

}  // namespace

void read_peak(const ReadPeakArgs& args) {
  constexpr int kSums = 4;  // so that one addition need not wait for another
  F32x16 sums[kSums];
  for (auto& sum : sums) sum = zero_f32();
  for (int64_t i = 0; i < args.n_values; i += 16 * kSums) {
#pragma GCC unroll 4
    for (int k = 0; k < kSums; ++k) sums[k] = sums[k] + load(args.values + i + 16 * k);
  }
  store(args.result, (sums[0] + sums[1]) + (sums[2] + sums[3]));
}

void integer_peak(const PeakArgs& args) {
  alignas(64) std::byte codes[64 * kOperands];
  alignas(64) int32_t quads[kOperands * kBroadcasts];
  for (int i = 0; i < 64 * kOperands; ++i) codes[i] = static_cast<std::byte>(i % 16);
  for (int i = 0; i < kOperands * kBroadcasts; ++i) quads[i] = 0x01010101 * (i % 100);
  I32x16 acc[kAccumulators];
  for (auto& a : acc) a = broadcast_i32(0);
  for (int64_t round = 0; round < args.n_rounds; ++round) {
    if constexpr (kLoads) asm volatile("" ::"r"(codes), "r"(quads) : "memory");
    multiply_round(
        acc, [&](int i) { return load_bytes(codes + 64 * i); }, [&](int i) { return quads[i]; },
        [](I32x16 sum, U8x64 code, int32_t quad) { return dot_quad(sum, code, quad); });
  }
  F32x16 sum = zero_f32();
  for (const auto& a : acc) sum = sum + to_f32(a);
  store(args.result, sum);
}

void float_peak(const PeakArgs& args) {
  alignas(64) float left[16 * kOperands], right[kOperands * kBroadcasts];
  for (int i = 0; i < 16 * kOperands; ++i) left[i] = 1e-3F * static_cast<float>(i);
  for (int i = 0; i < kOperands * kBroadcasts; ++i) right[i] = 1e-3F * static_cast<float>(i - 32);
  F32x16 acc[kAccumulators];
  for (auto& a : acc) a = zero_f32();
  for (int64_t round = 0; round < args.n_rounds; ++round) {
    if constexpr (kLoads) asm volatile("" ::"r"(left), "r"(right) : "memory");
    multiply_round(
        acc, [&](int i) { return load(left + 16 * i); }, [&](int i) { return right[i]; },
        [](F32x16 sum, F32x16 value, float factor) { return fma(broadcast(factor), value, sum); });
  }
  F32x16 sum = zero_f32();
  for (const auto& a : acc) sum = sum + a;
  store(args.result, sum);
}

}  // namespace halod::HALOD_ISA
