#include "kernels/quant/iq1.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/code_blocks.h"
#include "kernels/quant/code_books.h"
#include "kernels/quant/half.h"
#include "kernels/quant/scale_search.h"

namespace halod {
namespace {

constexpr uint64_t kOnes = 0x0101010101010101u;

/// Codes are eighths: 8 * entry ± 1, from entries that carry kCodeOffset. Without a branch, which would be
/// guessed wrong every other time.
uint64_t moved(uint64_t entry, bool down) { return entry + kOnes - (uint64_t{down} * 2) * kOnes; }

// -- the encoder

struct Iq1Octet {
  int entry_idx;
  bool down;
  int8_t codes[8];
  float error;  // squared, in steps of the scale
};

/// x in steps of an eighth.
Iq1Octet encode_iq1_octet(const float* x, float inverse_scale, bool down) {
  static const NearestEntries kNearest(kIq1Levels, 8, 2, 3);
  const float move = down ? -1.0f : 1.0f;
  uint8_t levels[8];
  for (int j = 0; j < 8; ++j) {
    const float in_steps = std::nearbyint((x[j] * inverse_scale - move) / 8.0f);
    levels[j] = static_cast<uint8_t>(std::clamp(in_steps, -1.0f, 1.0f) + 1.0f);
  }
  Iq1Octet octet = {.entry_idx = kNearest.find(levels), .down = down, .codes = {}, .error = 0};
  const uint64_t codes = moved(kIq1Entries[static_cast<size_t>(octet.entry_idx)], down);
  for (int j = 0; j < 8; ++j) {
    octet.codes[j] = static_cast<int8_t>(static_cast<int>((codes >> (8 * j)) & 0xff) - kCodeOffset);
    const float difference = x[j] * inverse_scale - static_cast<float>(octet.codes[j]);
    octet.error += difference * difference;
  }
  return octet;
}

/// n octets that share a move.
void encode_iq1_octets(const float* x, int n, float scale, Iq1Octet* octets) {
  const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  float errors[2] = {};
  for (int down = 0; down < 2; ++down) {
    for (int i = 0; i < n; ++i) errors[down] += encode_iq1_octet(x + 8 * i, inverse, down != 0).error;
  }
  for (int i = 0; i < n; ++i) octets[i] = encode_iq1_octet(x + 8 * i, inverse, errors[1] < errors[0]);
}

/// The scale of eighths for n_octets octets, of which octets_per_move share a move.
float search_iq1_scale(const float* x, int n_octets, int octets_per_move) {
  return search_scale({x, static_cast<size_t>(8 * n_octets)}, 9.0f, [=](float scale, int8_t* codes) {
    Iq1Octet octets[4];
    for (int i = 0; i < n_octets; i += octets_per_move)
      encode_iq1_octets(x + 8 * i, octets_per_move, scale, octets + i);
    for (int i = 0; i < 8 * n_octets; ++i) codes[i] = octets[i / 8].codes[i % 8];
  });
}

unsigned to_3_bits(float scale_of_eighths, float d) {
  // 8 * scale = d * (2 s + 1)
  const float s = d != 0.0f ? std::nearbyint((8.0f * scale_of_eighths / d - 1.0f) * 0.5f) : 0.0f;
  return static_cast<unsigned>(std::clamp(s, 0.0f, 7.0f));
}

float scale_of_eighths(float d, unsigned s) { return d * static_cast<float>(2 * s + 1) * 0.125f; }

}  // namespace

void expand_iq1_s(const std::byte* bytes, const CodeSink& out) {
  BlockIq1S block;
  std::memcpy(&block, bytes, sizeof block);
  const float d = f16_to_f32(block.d);
  for (int g = 0; g < 8; ++g) {
    const uint32_t qh = block.qh[g];
    put_scale32(out, g, scale_of_eighths(d, (qh >> 12) & 7U));
    for (int i = 0; i < 4; ++i) {
      const size_t entry_idx = block.qs[4 * g + i] | ((qh >> (3 * i)) & 7U) << 8;
      put_octet(out, 4 * g + i, moved(kIq1Entries[entry_idx], (qh & 0x8000U) != 0));
    }
  }
}

void expand_iq1_m(const std::byte* bytes, const CodeSink& out) {
  BlockIq1M block;
  std::memcpy(&block, bytes, sizeof block);
  uint32_t d_bits = 0;
  for (int k = 0; k < 4; ++k) d_bits |= static_cast<uint32_t>(block.scales[k] >> 12) << (4 * k);
  const float d = f16_to_f32(static_cast<uint16_t>(d_bits));
  for (int run = 0; run < 16; ++run) {
    const unsigned s = (static_cast<unsigned>(block.scales[run / 4]) >> (3 * (run % 4))) & 7U;
    out.scales[run * out.stride] = scale_of_eighths(d, s);
  }
  for (int pair = 0; pair < 16; ++pair) {
    const uint32_t qh = block.qh[pair];
    for (int i = 0; i < 2; ++i) {
      const size_t entry_idx = block.qs[2 * pair + i] | ((qh << (8 - 4 * i)) & 0x700U);
      put_octet(out, 2 * pair + i, moved(kIq1Entries[entry_idx], ((qh >> (4 * i)) & 8U) != 0));
    }
  }
}

void dequantize_iq1_s(const std::byte* blocks, int64_t n, float* out) {
  dequantize_code_blocks<expand_iq1_s, sizeof(BlockIq1S)>(blocks, n, out);
}

void dequantize_iq1_m(const std::byte* blocks, int64_t n, float* out) {
  dequantize_code_blocks<expand_iq1_m, sizeof(BlockIq1M)>(blocks, n, out);
}

void quantize_iq1_s(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockIq1S::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockIq1S::kElements, blocks += sizeof(BlockIq1S)) {
    const float* x = values + first;
    float scales[8];
    for (int g = 0; g < 8; ++g) scales[g] = search_iq1_scale(x + 32 * g, 4, 4);
    BlockIq1S block = {};
    block.d = f32_to_f16(*std::max_element(scales, scales + 8) * (8.0f / 15.0f));
    const float d = f16_to_f32(block.d);
    for (int g = 0; g < 8; ++g) {
      const unsigned s = to_3_bits(scales[g], d);
      Iq1Octet octets[4];
      encode_iq1_octets(x + 32 * g, 4, scale_of_eighths(d, s), octets);
      unsigned qh = s << 12 | (octets[0].down ? 0x8000U : 0U);
      for (int i = 0; i < 4; ++i) {
        const auto entry_idx = static_cast<unsigned>(octets[i].entry_idx);
        block.qs[4 * g + i] = static_cast<uint8_t>(entry_idx);
        qh |= (entry_idx >> 8) << (3 * i);
      }
      block.qh[g] = static_cast<uint16_t>(qh);
    }
    std::memcpy(blocks, &block, sizeof block);
  }
}

void quantize_iq1_m(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockIq1M::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockIq1M::kElements, blocks += sizeof(BlockIq1M)) {
    const float* x = values + first;
    float scales[16];
    for (int run = 0; run < 16; ++run) scales[run] = search_iq1_scale(x + 16 * run, 2, 1);
    const uint16_t d_bits = f32_to_f16(*std::max_element(scales, scales + 16) * (8.0f / 15.0f));
    const float d = f16_to_f32(d_bits);
    BlockIq1M block = {};
    for (int k = 0; k < 4; ++k) block.scales[k] = static_cast<uint16_t>((d_bits >> (4 * k)) << 12);
    for (int run = 0; run < 16; ++run) {
      const unsigned s = to_3_bits(scales[run], d);
      block.scales[run / 4] = static_cast<uint16_t>(block.scales[run / 4] | s << (3 * (run % 4)));
      for (int octet = 2 * run; octet < 2 * run + 2; ++octet) {
        Iq1Octet best;
        encode_iq1_octets(x + 8 * octet, 1, scale_of_eighths(d, s), &best);
        const auto entry_idx = static_cast<unsigned>(best.entry_idx);
        block.qs[octet] = static_cast<uint8_t>(entry_idx);
        const unsigned nibble = entry_idx >> 8 | (best.down ? 8U : 0U);
        block.qh[octet / 2] = static_cast<uint8_t>(block.qh[octet / 2] | nibble << (4 * (octet % 2)));
      }
    }
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
