// The dialect on the CPU: every lane is a fiber, and what lanes do together is a rendezvous
// (lane_scheduler.h).
//
// Written to be right, not fast: it is how kernels run where there is no GPU.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/hip/dialect/lane_scheduler.h"
#include "kernels/quant/half.h"

#define HALOD_DEVICE inline
#define HALOD_TABLE inline constexpr
// The number of threads is kept, so that the table of kernels can be held against it.
#define HALOD_KERNEL(name, Args, n_threads)                \
  inline constexpr int lanes_##name##_threads = n_threads; \
  static void lanes_##name(const Args& args)

namespace halod::gpu {

inline int thread() { return lanes::current().thread; }
inline int lane() { return thread() % kWave; }
inline int wave() { return thread() / kWave; }
inline int block_x() { return lanes::current().block_x; }
inline int block_y() { return lanes::current().block_y; }
inline unsigned char* shared_memory() { return lanes::current().shared_memory; }
inline void check_shared_memory(const unsigned char* end) {
  if (end > lanes::current().shared_memory_end)
    lanes::fail("takes more shared memory than the launch gave it");
}
inline void sync() { lanes::meet_block(); }
inline void sync_shared() { lanes::meet_block(); }
inline void sync_wave() { lanes::meet_wave(lanes::Meeting::kSyncWave, 0, nullptr, 0); }

template <class T>
T shfl(T value, int source_lane) {
  const auto* slots = lanes::meet_wave(lanes::Meeting::kShfl, 0, &value, sizeof value);
  T result;
  std::memcpy(&result, slots[source_lane & (kWave - 1)].bytes, sizeof result);
  return result;
}
template <class T>
T shfl_xor(T value, int mask) {
  const auto* slots = lanes::meet_wave(lanes::Meeting::kShflXor, mask, &value, sizeof value);
  T result;
  std::memcpy(&result, slots[lane() ^ mask].bytes, sizeof result);
  return result;
}
inline void schedule_barrier() {}
/// Checks what the device takes on trust.
inline int uniform(int value) {
  const auto* slots = lanes::meet_wave(lanes::Meeting::kShfl, 1, &value, sizeof value);
  if (std::memcmp(slots[0].bytes, &value, sizeof value) != 0)
    lanes::fail("takes a value as the same for all lanes of its wave which is not");
  return value;
}
inline int opaque(int value) { return value; }
inline int popcount(uint32_t bits) { return std::popcount(bits); }
inline uint32_t ballot(bool predicate) {
  const auto* slots = lanes::meet_wave(lanes::Meeting::kBallot, 0, &predicate, sizeof predicate);
  uint32_t bits = 0;
  for (int i = 0; i < kWave; ++i) bits |= static_cast<uint32_t>(slots[i].bytes[0] & 1U) << i;
  return bits;
}

/// Checks the selectors: devices mean different things by those above 7.
inline uint32_t permute_bytes(uint32_t high, uint32_t low, uint32_t selectors) {
  if ((selectors & 0xf8f8f8f8U) != 0) lanes::fail("selects a byte above the eight that there are");
  const uint64_t both = static_cast<uint64_t>(high) << 32 | low;
  uint32_t result = 0;
  for (int i = 0; i < 32; i += 8)
    result |= static_cast<uint32_t>((both >> (((selectors >> i) & 7U) * 8)) & 255U) << i;
  return result;
}
inline int dot4_ss(uint32_t a, uint32_t b, int sum) {
  for (int i = 0; i < 4; ++i) {
    sum += static_cast<int>(static_cast<int8_t>(a >> (8 * i))) *
           static_cast<int>(static_cast<int8_t>(b >> (8 * i)));
  }
  return sum;
}

/// The loads check what the device demands, because the CPU would not mind.
inline void check_aligned(const void* p, uintptr_t n) {
  if (reinterpret_cast<uintptr_t>(p) % n != 0) lanes::fail("loads from an address that is not aligned");
}
inline Piece load_piece(const void* p) {
  check_aligned(p, 16);
  Piece piece;
  std::memcpy(&piece, p, sizeof piece);
  return piece;
}
inline void load_words2(const void* p, uint32_t (&words)[2]) {
  check_aligned(p, 8);
  std::memcpy(words, p, sizeof words);
}
inline uint32_t load_word(const unsigned char* p) {
  check_aligned(p, 4);
  uint32_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}
inline uint32_t load_half_word(const unsigned char* p) {
  check_aligned(p, 2);
  uint16_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}
inline float load_float(const float* p) {
  check_aligned(p, 4);
  return *p;
}
inline void load_floats4(const float* p, float (&values)[4]) {
  check_aligned(p, 4);
  std::memcpy(values, p, sizeof values);
}

inline float half_to_float(uint16_t half) { return f16_to_f32(half); }
inline uint16_t float_to_half(float value) { return f32_to_f16(value); }
inline float as_float(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t as_bits(float value) { return std::bit_cast<uint32_t>(value); }
inline float fma(float a, float b, float c) { return std::fma(a, b, c); }
inline float exp(float x) { return std::exp(x); }
inline float log(float x) { return std::log(x); }
inline float sqrt(float x) { return std::sqrt(x); }
inline float round(float x) { return std::nearbyint(x); }
inline float abs(float x) { return std::fabs(x); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline float min(float a, float b) { return std::fmin(a, b); }

/// Blocks run one after the other on one thread: nothing is to be ordered.
inline uint32_t atomic_add(uint32_t* p, uint32_t value) {
  const uint32_t before = *p;
  *p += value;
  return before;
}
inline void fence_release() {}
inline void fence_acquire() {}

/// All lanes' fragments; fails where lanes 16 … 31 do not hold what lanes 0 … 15 do.
template <class Fragment>
void meet_with_fragments(lanes::Meeting meeting, const Fragment& mine, Fragment (&all)[16]) {
  const auto* slots = lanes::meet_wave(meeting, 0, &mine, sizeof mine);
  for (int i = 0; i < 16; ++i) {
    std::memcpy(&all[i], slots[i].bytes, sizeof all[i]);
    if (std::memcmp(slots[i].bytes, slots[i + 16].bytes, sizeof mine) != 0)
      lanes::fail("multiplies matrices of which lanes 16 to 31 do not hold the copy of lanes 0 to 15");
  }
}

template <class Value>
FloatAccumulator wmma_halves(const HalfFragment& a, const HalfFragment& b, FloatAccumulator c,
                             const Value& value) {
  HalfFragment rows[16], columns[16];
  meet_with_fragments(lanes::Meeting::kWmmaA, a, rows);
  meet_with_fragments(lanes::Meeting::kWmmaB, b, columns);
  for (int i = 0; i < 8; ++i) {
    for (int k = 0; k < 16; ++k) {
      c.values[i] =
          fma(value(rows[2 * i + lane() / 16].values[k]), value(columns[lane() % 16].values[k]), c.values[i]);
    }
  }
  return c;
}
inline FloatAccumulator wmma_f16(const HalfFragment& a, const HalfFragment& b, const FloatAccumulator& c) {
  return wmma_halves(a, b, c, [](uint16_t half) { return f16_to_f32(half); });
}
inline FloatAccumulator wmma_bf16(const HalfFragment& a, const HalfFragment& b, const FloatAccumulator& c) {
  return wmma_halves(a, b, c, [](uint16_t half) { return bf16_to_f32(half); });
}
template <bool is_signed>
int byte_value(uint32_t word, int i) {
  const uint32_t byte = (word >> (8 * i)) & 255U;
  return is_signed ? static_cast<int>(static_cast<int8_t>(byte)) : static_cast<int>(byte);
}
template <bool a_signed, bool b_signed>
IntAccumulator wmma_iu8(const ByteFragment& a, const ByteFragment& b, IntAccumulator c) {
  ByteFragment rows[16], columns[16];
  meet_with_fragments(lanes::Meeting::kWmmaA, a, rows);
  meet_with_fragments(lanes::Meeting::kWmmaB, b, columns);
  for (int i = 0; i < 8; ++i) {
    for (int k = 0; k < 16; ++k) {
      c.values[i] += byte_value<a_signed>(rows[2 * i + lane() / 16].words[k / 4], k % 4) *
                     byte_value<b_signed>(columns[lane() % 16].words[k / 4], k % 4);
    }
  }
  return c;
}

}  // namespace halod::gpu
