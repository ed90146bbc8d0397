#include "kernels/quant/iq2.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>

#include "base/error.h"
#include "kernels/quant/code_blocks.h"
#include "kernels/quant/code_books.h"
#include "kernels/quant/half.h"
#include "kernels/quant/scale_search.h"

namespace halod {
namespace {

float iq2_scale(float d, uint32_t s) { return d * (0.5f + static_cast<float>(s)) * 0.25f; }

uint32_t nibble_of(const uint8_t* bytes, int i) {
  return (static_cast<uint32_t>(bytes[i / 2]) >> (4 * (i % 2))) & 15U;
}

// -- the encoder

struct Iq2Book {
  std::span<const uint64_t> entries;
  NearestEntries nearest;
  bool has_even_signs;
};

const Iq2Book& iq2_xxs_book() {
  static const Iq2Book kBook = {kIq2XxsEntries, NearestEntries(kIq2XxsLevels, 8, 2, 3), true};
  return kBook;
}
const Iq2Book& iq2_xs_book() {
  static const Iq2Book kBook = {kIq2XsEntries, NearestEntries(kIq2XsLevels, 8, 2, 3), true};
  return kBook;
}
const Iq2Book& iq2_s_book() {
  static const Iq2Book kBook = {kIq2SEntries, NearestEntries(kIq2SLevels, 8, 2, 3), false};
  return kBook;
}

struct Iq2Octet {
  unsigned entry_idx;
  unsigned signs;
};

Iq2Octet encode_iq2_octet(const float* x, float scale, const Iq2Book& book) {
  unsigned signs = 0;
  for (unsigned j = 0; j < 8; ++j) signs |= (x[j] < 0.0f ? 1U : 0U) << j;
  const auto smallest =
      std::min_element(x, x + 8, [](float a, float b) { return std::fabs(a) < std::fabs(b); }) - x;
  if (book.has_even_signs && std::popcount(signs) % 2 != 0) signs ^= 1U << smallest;
  uint8_t levels[8];
  const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  for (int j = 0; j < 8; ++j) {
    const float magnitude = ((signs >> j) & 1U) != 0 ? -x[j] * inverse : x[j] * inverse;
    // 8, 25 and 43 are near 8 * (2 level + 1).
    levels[j] =
        static_cast<uint8_t>(std::clamp(std::nearbyint((magnitude / 8.0f - 1.0f) * 0.5f), 0.0f, 2.0f));
  }
  return {static_cast<unsigned>(book.nearest.find(levels)), signs};
}

float search_iq2_scale(const float* x, int n, const Iq2Book& book) {
  return search_scale({x, static_cast<size_t>(n)}, 43.0f, [&](float scale, int8_t* codes) {
    for (int i = 0; i < n; i += 8) {
      const Iq2Octet octet = encode_iq2_octet(x + i, scale, book);
      const uint64_t expanded = signed_codes(book.entries[octet.entry_idx], kSignMasks[octet.signs]);
      for (int j = 0; j < 8; ++j)
        codes[i + j] = static_cast<int8_t>(static_cast<int>((expanded >> (8 * j)) & 0xff) - kCodeOffset);
    }
  });
}

/// d's bits and the s of each run of n_per_run weights.
uint16_t encode_iq2_scales(const float* x, int n_per_run, const Iq2Book& book, unsigned* s) {
  const int n_runs = 256 / n_per_run;
  float scales[16];
  for (int j = 0; j < n_runs; ++j) scales[j] = search_iq2_scale(x + j * n_per_run, n_per_run, book);
  const uint16_t d_bits = f32_to_f16(*std::max_element(scales, scales + n_runs) * (4.0f / 15.5f));
  const float d = f16_to_f32(d_bits);
  for (int j = 0; j < n_runs; ++j) {
    const float wanted = d != 0.0f ? std::nearbyint(4.0f * scales[j] / d - 0.5f) : 0.0f;
    s[j] = static_cast<unsigned>(std::clamp(wanted, 0.0f, 15.0f));
  }
  return d_bits;
}

}  // namespace

void expand_iq2_xxs(const std::byte* bytes, const CodeSink& out) {
  BlockIq2Xxs block;
  std::memcpy(&block, bytes, sizeof block);
  const float d = f16_to_f32(block.d);
  for (int g = 0; g < 8; ++g) {
    const uint8_t* entries = block.qs + 8 * g;
    uint32_t signs_and_s;
    std::memcpy(&signs_and_s, entries + 4, 4);
    put_scale32(out, g, iq2_scale(d, signs_and_s >> 28));
    for (int i = 0; i < 4; ++i) {
      const uint64_t signs = kEvenSignMasks[(signs_and_s >> (7 * i)) & 127U];
      put_octet(out, 4 * g + i, signed_codes(kIq2XxsEntries[entries[i]], signs));
    }
  }
}

void expand_iq2_xs(const std::byte* bytes, const CodeSink& out) {
  BlockIq2Xs block;
  std::memcpy(&block, bytes, sizeof block);
  const float d = f16_to_f32(block.d);
  for (int run = 0; run < 16; ++run)
    out.scales[run * out.stride] = iq2_scale(d, nibble_of(block.scales, run));
  for (int octet = 0; octet < 32; ++octet) {
    const uint32_t q = block.qs[octet];
    put_octet(out, octet, signed_codes(kIq2XsEntries[q & 511U], kEvenSignMasks[q >> 9]));
  }
}

void expand_iq2_s(const std::byte* bytes, const CodeSink& out) {
  BlockIq2S block;
  std::memcpy(&block, bytes, sizeof block);
  const float d = f16_to_f32(block.d);
  for (int run = 0; run < 16; ++run)
    out.scales[run * out.stride] = iq2_scale(d, nibble_of(block.scales, run));
  for (int g = 0; g < 8; ++g) {
    const uint32_t qh = block.qh[g];
    for (int i = 0; i < 4; ++i) {
      const int octet = 4 * g + i;
      const size_t entry_idx = block.qs[octet] | ((qh << (8 - 2 * i)) & 0x300U);
      put_octet(out, octet, signed_codes(kIq2SEntries[entry_idx], kSignMasks[block.signs[octet]]));
    }
  }
}

void dequantize_iq2_xxs(const std::byte* blocks, int64_t n, float* out) {
  dequantize_code_blocks<expand_iq2_xxs, sizeof(BlockIq2Xxs)>(blocks, n, out);
}
void dequantize_iq2_xs(const std::byte* blocks, int64_t n, float* out) {
  dequantize_code_blocks<expand_iq2_xs, sizeof(BlockIq2Xs)>(blocks, n, out);
}
void dequantize_iq2_s(const std::byte* blocks, int64_t n, float* out) {
  dequantize_code_blocks<expand_iq2_s, sizeof(BlockIq2S)>(blocks, n, out);
}

void quantize_iq2_xxs(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockIq2Xxs::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockIq2Xxs::kElements, blocks += sizeof(BlockIq2Xxs)) {
    const float* x = values + first;
    unsigned s[8];
    BlockIq2Xxs block;
    block.d = encode_iq2_scales(x, 32, iq2_xxs_book(), s);
    for (int g = 0; g < 8; ++g) {
      uint32_t signs_and_s = s[g] << 28;
      for (int i = 0; i < 4; ++i) {
        const Iq2Octet octet =
            encode_iq2_octet(x + 32 * g + 8 * i, iq2_scale(f16_to_f32(block.d), s[g]), iq2_xxs_book());
        block.qs[8 * g + i] = static_cast<uint8_t>(octet.entry_idx);
        signs_and_s |= (octet.signs & 127U) << (7 * i);
      }
      std::memcpy(block.qs + 8 * g + 4, &signs_and_s, 4);
    }
    std::memcpy(blocks, &block, sizeof block);
  }
}

void quantize_iq2_xs(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockIq2Xs::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockIq2Xs::kElements, blocks += sizeof(BlockIq2Xs)) {
    const float* x = values + first;
    unsigned s[16];
    BlockIq2Xs block = {};
    block.d = encode_iq2_scales(x, 16, iq2_xs_book(), s);
    for (int octet_idx = 0; octet_idx < 32; ++octet_idx) {
      const unsigned run_s = s[octet_idx / 2];
      const Iq2Octet octet =
          encode_iq2_octet(x + 8 * octet_idx, iq2_scale(f16_to_f32(block.d), run_s), iq2_xs_book());
      block.qs[octet_idx] = static_cast<uint16_t>(octet.entry_idx | (octet.signs & 127U) << 9);
    }
    for (int j = 0; j < 8; ++j) block.scales[j] = static_cast<uint8_t>(s[2 * j] | s[2 * j + 1] << 4);
    std::memcpy(blocks, &block, sizeof block);
  }
}

void quantize_iq2_s(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockIq2S::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockIq2S::kElements, blocks += sizeof(BlockIq2S)) {
    const float* x = values + first;
    unsigned s[16];
    BlockIq2S block = {};
    block.d = encode_iq2_scales(x, 16, iq2_s_book(), s);
    for (int octet_idx = 0; octet_idx < 32; ++octet_idx) {
      const unsigned run_s = s[octet_idx / 2];
      const Iq2Octet octet =
          encode_iq2_octet(x + 8 * octet_idx, iq2_scale(f16_to_f32(block.d), run_s), iq2_s_book());
      block.qs[octet_idx] = static_cast<uint8_t>(octet.entry_idx);
      block.signs[octet_idx] = static_cast<uint8_t>(octet.signs);
      uint8_t& high = block.qh[octet_idx / 4];
      high = static_cast<uint8_t>(high | (octet.entry_idx >> 8) << (2 * (octet_idx % 4)));
    }
    for (int j = 0; j < 8; ++j) block.scales[j] = static_cast<uint8_t>(s[2 * j] | s[2 * j + 1] << 4);
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
