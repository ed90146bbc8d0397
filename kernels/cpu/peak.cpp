// Products: eight registers of operands meet eight accumulators' broadcasts, the loop of a matrix product
// without unpacking, scales and memory. Reading: sums.
#include "kernels/ops/peak.h"

#include "kernels/cpu/simd.h"
#include "kernels/cpu/tables.h"

namespace halod::HALOD_ISA {
namespace {

constexpr int kRegisters = 8;
#if defined(__AVX512VNNI__)
constexpr int kAccumulators = 8;
#else
constexpr int kAccumulators = 4;  // each takes two of sixteen registers
#endif

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
  alignas(64) std::byte codes[64 * kRegisters];
  alignas(64) int32_t quads[kRegisters * 8];
  for (int i = 0; i < 64 * kRegisters; ++i) codes[i] = static_cast<std::byte>(i % 16);
  for (int i = 0; i < kRegisters * 8; ++i) quads[i] = 0x01010101 * (i % 100);
  I32x16 acc[kAccumulators];
  for (auto& a : acc) a = broadcast_i32(0);
  for (int64_t round = 0; round < args.n_rounds; ++round) {
    for (int part = 0; part < 8; part += kAccumulators) {
      asm volatile("" ::"r"(codes), "r"(quads)
                   : "memory");  // operands are loaded each time, not products kept
#pragma GCC unroll 8
      for (int i = 0; i < kRegisters; ++i) {
        const U8x64 code = load_bytes(codes + 64 * i);
#pragma GCC unroll 8
        for (int a = 0; a < kAccumulators; ++a) acc[a] = dot_quad(acc[a], code, quads[8 * i + part + a]);
      }
    }
  }
  F32x16 sum = zero_f32();
  for (const auto& a : acc) sum = sum + to_f32(a);
  store(args.result, sum);
}

void float_peak(const PeakArgs& args) {
  alignas(64) float left[16 * kRegisters], right[kRegisters * 8];
  for (int i = 0; i < 16 * kRegisters; ++i) left[i] = 1e-3F * static_cast<float>(i);
  for (int i = 0; i < kRegisters * 8; ++i) right[i] = 1e-3F * static_cast<float>(i - 32);
  F32x16 acc[kAccumulators];
  for (auto& a : acc) a = zero_f32();
  for (int64_t round = 0; round < args.n_rounds; ++round) {
    for (int part = 0; part < 8; part += kAccumulators) {
      asm volatile("" ::"r"(left), "r"(right) : "memory");
#pragma GCC unroll 8
      for (int i = 0; i < kRegisters; ++i) {
        const F32x16 value = load(left + 16 * i);
#pragma GCC unroll 8
        for (int a = 0; a < kAccumulators; ++a)
          acc[a] = fma(broadcast(right[8 * i + part + a]), value, acc[a]);
      }
    }
  }
  F32x16 sum = zero_f32();
  for (const auto& a : acc) sum = sum + a;
  store(args.result, sum);
}

}  // namespace halod::HALOD_ISA
