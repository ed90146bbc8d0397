#include "kernels/hip/dialect/lane_scheduler.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "kernels/quant/half.h"
#include "tests/kernels/hip/dialect_kernels.hip"
#include "tests/support/random_values.h"

namespace halod::test {
namespace {

template <class Args, void (*kernel)(const Args&)>
void call(const void* args) {
  kernel(*static_cast<const Args*>(args));
}

template <class Args, void (*kernel)(const Args&)>
void run(const Args& args, int n_blocks, int n_threads, size_t n_shared_bytes = 0,
         lanes::LaneScheduler scheduler = {}) {
  scheduler.run({.name = "test",
                 .kernel = call<Args, kernel>,
                 .args = &args,
                 .n_blocks_x = n_blocks,
                 .n_threads = n_threads,
                 .n_shared_bytes = n_shared_bytes});
}

struct Halves {
  std::vector<uint16_t> bits;
  std::vector<float> values;
};
template <class Round, class Expand>
Halves halves(int64_t n, uint32_t seed, const Round& round, const Expand& expand) {
  Halves out;
  for (const float value : random_values(n, seed)) {
    out.bits.push_back(round(value));
    out.values.push_back(expand(out.bits.back()));
  }
  return out;
}

std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, int k) {
  std::vector<float> c;
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) {
      double sum = 0;
      for (int p = 0; p < k; ++p)
        sum += static_cast<double>(a[static_cast<size_t>(i * k + p)]) *
               static_cast<double>(b[static_cast<size_t>(j * k + p)]);
      c.push_back(static_cast<float>(sum));
    }
  }
  return c;
}

TEST(TheDialect, MultipliesMatricesOfF16AndBf16) {
  constexpr int kK = 48;
  std::vector<float> c(256);
  const Halves a16 = halves(16 * kK, 1, f32_to_f16, f16_to_f32),
               b16 = halves(16 * kK, 2, f32_to_f16, f16_to_f32);
  run<HalfProductArgs, lanes_multiply_f16>({a16.bits.data(), b16.bits.data(), c.data(), kK}, 1, 32);
  EXPECT_LT(nmse(c, product(a16.values, b16.values, kK)), 1e-12);
  const Halves ab = halves(16 * kK, 3, f32_to_bf16, bf16_to_f32),
               bb = halves(16 * kK, 4, f32_to_bf16, bf16_to_f32);
  run<HalfProductArgs, lanes_multiply_bf16>({ab.bits.data(), bb.bits.data(), c.data(), kK}, 1, 32);
  EXPECT_LT(nmse(c, product(ab.values, bb.values, kK)), 1e-12);
}

TEST(TheDialect, MultipliesMatricesOfBytes) {
  constexpr int kK = 32;
  std::vector<uint8_t> a;
  std::vector<int8_t> b;
  for (int i = 0; i < 16 * kK; ++i) {
    a.push_back(static_cast<uint8_t>(i * 89 + i / 7));
    b.push_back(static_cast<int8_t>(i * 57 + i / 5));
  }
  std::vector<int32_t> c(256);
  run<ByteProductArgs, lanes_multiply_iu8>({a.data(), b.data(), c.data(), kK}, 1, 32);
  for (size_t i = 0; i < 16; ++i) {
    for (size_t j = 0; j < 16; ++j) {
      int expected = 0;
      for (size_t p = 0; p < kK; ++p) expected += a[i * kK + p] * b[j * kK + p];
      ASSERT_EQ(c[i * 16 + j], expected) << i << ", " << j;
    }
  }
}

TEST(TheDialect, PermutesTheBytesOfTwoWords) {
  std::vector<uint32_t> high(32, 0xf7e6d5c4U), low(32, 0xb3a29180U), selectors(32, 0x03020100U), out(32);
  std::vector<uint32_t> expected(32, 0xb3a29180U);
  selectors[1] = 0x07060504U;
  expected[1] = 0xf7e6d5c4U;
  selectors[2] = 0x00040705U;
  expected[2] = 0x80c4f7d5U;
  selectors[31] = 0x06060202U;
  expected[31] = 0xe6e6a2a2U;
  run<PermuteArgs, lanes_permute>({high.data(), low.data(), selectors.data(), out.data()}, 1, 32);
  EXPECT_EQ(out, expected);
}

TEST(TheDialect, LetsLanesWavesAndBlocksMeet) {
  constexpr int kBlocks = 5, kThreads = 64;
  std::vector<uint32_t> in;
  for (uint32_t i = 0; i < kBlocks * kThreads; ++i) in.push_back(i * 2654435761U % 7);
  std::vector<uint32_t> ballots(in.size()), sums(in.size()), neighbours(in.size()), block_sums(kBlocks);
  uint32_t counter = 0, total = 0, expected_total = 0;
  // Twice: the second launch takes the blocks in the other order, and finds the counter at zero again.
  for (int repeat = 0; repeat < 2; ++repeat) {
    total = expected_total = 0;
    run<MeetArgs, lanes_meet>({in.data(), ballots.data(), sums.data(), neighbours.data(), &counter,
                               block_sums.data(), &total, kBlocks},
                              kBlocks, kThreads, 64 * 4 + 16);
    for (size_t wave = 0; wave < in.size(); wave += 32) {
      uint32_t ballot = 0, sum = 0;
      for (size_t i = 0; i < 32; ++i) {
        ballot |= static_cast<uint32_t>(in[wave + i] != 0) << i;
        sum += in[wave + i];
      }
      if (wave % kThreads == 0) expected_total += sum;
      for (size_t i = wave; i < wave + 32; ++i) {
        EXPECT_EQ(ballots[i], ballot);
        EXPECT_EQ(sums[i], sum);
        EXPECT_EQ(neighbours[i], in[i / kThreads * kThreads + (i + 1) % kThreads]);
      }
    }
    EXPECT_EQ(total, expected_total);
    EXPECT_EQ(counter, 0U);
  }
}

// -- kernels with mistakes

struct ResultArgs {
  uint32_t* out;
};

HALOD_KERNEL(reads_unwritten, ResultArgs, 32) {
  gpu::SharedArena shared;
  args.out[gpu::thread()] = gpu::as_bits(shared.take<float>(32)[gpu::thread()]);
}
HALOD_KERNEL(forgets_a_barrier, ResultArgs, 64) {
  gpu::SharedArena shared;
  uint32_t* values = shared.take<uint32_t>(64);
  values[gpu::thread()] = 7;
  args.out[gpu::block_x() * 64 + gpu::thread()] = values[63 - gpu::thread()];
}
HALOD_KERNEL(diverges, ResultArgs, 32) {
  const float value = gpu::lane() < 5 ? gpu::shfl_xor(1.0F, 1) : gpu::shfl_xor(1.0F, 2);
  args.out[gpu::thread()] = gpu::as_bits(value);
}
HALOD_KERNEL(leaves_early, ResultArgs, 32) {
  if (gpu::lane() == 3) return;
  args.out[gpu::thread()] = gpu::ballot(true);
}
HALOD_KERNEL(leaves_before_a_barrier, ResultArgs, 64) {
  if (gpu::thread() == 40) return;
  gpu::sync();
  args.out[gpu::thread()] = 0;
}
HALOD_KERNEL(takes_too_much, ResultArgs, 32) {
  gpu::SharedArena shared;
  args.out[0] = shared.take<uint32_t>(65)[0];
}
HALOD_KERNEL(loads_crookedly, ResultArgs, 32) {
  args.out[0] = gpu::load_piece(reinterpret_cast<const char*>(args.out) + 4).words[0];
}
HALOD_KERNEL(selects_too_high, ResultArgs, 32) { args.out[0] = gpu::permute_bytes(1, 2, 0x03020c00U); }
HALOD_KERNEL(has_uneven_halves, ResultArgs, 32) {
  gpu::HalfFragment a = {}, b = {};
  a.values[3] = static_cast<uint16_t>(gpu::lane());
  args.out[gpu::thread()] = gpu::as_bits(gpu::wmma_f16(a, b, {}).values[0]);
}

TEST(Lanes, FindNotANumberInSharedMemoryThatNobodyWrote) {
  std::vector<uint32_t> out(32);
  run<ResultArgs, lanes_reads_unwritten>({out.data()}, 1, 32, 128);
  for (const uint32_t bits : out) EXPECT_TRUE(std::isnan(std::bit_cast<float>(bits)));
}

TEST(Lanes, ShowAMissingBarrierInOneOrderOfWavesOrTheOther) {
  std::vector<uint32_t> out(128);
  run<ResultArgs, lanes_forgets_a_barrier>({out.data()}, 2, 64, 256);
  EXPECT_NE(out[0], 7U);    // the first wave came first and found nothing of the second
  EXPECT_NE(out[127], 7U);  // in the second block it is the other way round
}

TEST(LanesDeathTest, EndTheProgramWhereAGpuWouldGoOnWithChance) {
  alignas(16) uint32_t memory[64] = {};
  const ResultArgs args{memory};
  EXPECT_DEATH((run<ResultArgs, lanes_diverges>(args, 1, 32)),
               "kernel test, block \\(0, 0\\), thread 5: meets its wave at another");
  EXPECT_DEATH((run<ResultArgs, lanes_leaves_early>(args, 1, 32)),
               "thread 3: is elsewhere than the first lane of its wave");
  EXPECT_DEATH((run<ResultArgs, lanes_leaves_before_a_barrier>(args, 1, 64)), "thread 40: is elsewhere");
  EXPECT_DEATH((run<ResultArgs, lanes_takes_too_much>(args, 1, 32, 256)), "takes more shared memory");
  EXPECT_DEATH((run<ResultArgs, lanes_loads_crookedly>(args, 1, 32)), "not aligned");
  EXPECT_DEATH((run<ResultArgs, lanes_selects_too_high>(args, 1, 32)), "selects a byte above the eight");
  EXPECT_DEATH((run<ResultArgs, lanes_has_uneven_halves>(args, 1, 32)), "do not hold the copy");
}

}  // namespace
}  // namespace halod::test
