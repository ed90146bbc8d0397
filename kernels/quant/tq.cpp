#include "kernels/quant/tq.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/code_blocks.h"
#include "kernels/quant/crumbs.h"
#include "kernels/quant/half.h"
#include "kernels/quant/scale_search.h"

namespace halod {
namespace {

/// d's bits, and trit i = 0 … 2 of each weight.
uint16_t encode_trits(const float* x, uint8_t trits[256]) {
  const auto trit = [](float in_steps) {
    return static_cast<int>(std::clamp(std::nearbyint(in_steps), -1.0f, 1.0f));
  };
  const uint16_t d_bits = f32_to_f16(search_scale({x, 256}, 1.0f, [&](float scale, int8_t* codes) {
    for (int i = 0; i < 256; ++i) codes[i] = static_cast<int8_t>(trit(x[i] / scale));
  }));
  const float d = f16_to_f32(d_bits);
  for (int i = 0; i < 256; ++i) trits[i] = static_cast<uint8_t>(d != 0.0f ? trit(x[i] / d) + 1 : 1);
  return d_bits;
}

/// n_digits digits, `stride` weights apart, to one byte.
uint8_t pack_trits(const uint8_t* trits, int n_digits, int stride) {
  unsigned value = 0;
  for (int n = 0; n < 5; ++n) value = value * 3 + (n < n_digits ? trits[n * stride] : 0U);
  return static_cast<uint8_t>((value * 256 + 242) / 243);  // rounded up
}

/// Digits of four bytes, one after the other; even and odd bytes in 16 bits each, so that the products by
/// three fit.
class TritReader {
 public:
  explicit TritReader(const uint8_t* bytes) {
    uint32_t word;
    std::memcpy(&word, bytes, 4);
    even_ = word & kBytes;
    odd_ = (word >> 8) & kBytes;
  }
  /// The next digits as codes (minus one) plus kCodeOffset.
  uint32_t next() {
    even_ *= 3;
    odd_ *= 3;
    const uint32_t digits = ((even_ >> 8) & kBytes) | (odd_ & ~kBytes);
    even_ &= kBytes;
    odd_ &= kBytes;
    return digits + 0x01010101U * (kCodeOffset - 1);
  }

 private:
  static constexpr uint32_t kBytes = 0x00ff00ffU;
  uint32_t even_, odd_;
};

}  // namespace

void expand_tq1_0(const std::byte* blocks, const CodeSink& out) {
  BlockTq1_0 block;
  std::memcpy(&block, blocks, sizeof block);
  const float d = f16_to_f32(block.d);
  for (int64_t group = 0; group < 8; ++group) put_scale32(out, group, d);
  const auto put = [&out](int64_t column, uint32_t codes) { out.quads[column / 4 * out.stride] = codes; };
  for (int64_t m = 0; m < 32; m += 4) {
    TritReader digits(block.qs + m);
    for (int64_t n = 0; n < 5; ++n) put(32 * n + m, digits.next());
  }
  for (int64_t m = 0; m < 16; m += 4) {
    TritReader digits(block.qs + 32 + m);
    for (int64_t n = 0; n < 5; ++n) put(160 + 16 * n + m, digits.next());
  }
  TritReader digits(block.qh);
  for (int64_t n = 0; n < 4; ++n) put(240 + 4 * n, digits.next());
}

void dequantize_tq1_0(const std::byte* blocks, int64_t n, float* out) {
  dequantize_code_blocks<expand_tq1_0, sizeof(BlockTq1_0)>(blocks, n, out);
}

void dequantize_tq2_0(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % BlockTq2_0::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockTq2_0::kElements, blocks += sizeof(BlockTq2_0)) {
    BlockTq2_0 block;
    std::memcpy(&block, blocks, sizeof block);
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < 256; ++i) {
      out[first + i] = static_cast<float>(static_cast<int>(crumb_at(block.qs, i)) - 1) * d;
    }
  }
}

void quantize_tq1_0(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockTq1_0::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockTq1_0::kElements, blocks += sizeof(BlockTq1_0)) {
    uint8_t trits[256];
    BlockTq1_0 block;
    block.d = encode_trits(values + first, trits);
    for (int m = 0; m < 32; ++m) block.qs[m] = pack_trits(trits + m, 5, 32);
    for (int m = 0; m < 16; ++m) block.qs[32 + m] = pack_trits(trits + 160 + m, 5, 16);
    for (int m = 0; m < 4; ++m) block.qh[m] = pack_trits(trits + 240 + m, 4, 4);
    std::memcpy(blocks, &block, sizeof block);
  }
}

void quantize_tq2_0(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockTq2_0::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockTq2_0::kElements, blocks += sizeof(BlockTq2_0)) {
    uint8_t trits[256];
    BlockTq2_0 block = {};
    block.d = encode_trits(values + first, trits);
    for (int i = 0; i < 256; ++i) set_crumb(block.qs, i, trits[i]);
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
