#include "kernels/quant/iq3.h"

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

float iq3_xxs_scale(float d, uint32_t s) { return d * (0.5f + static_cast<float>(s)) * 0.5f; }
float iq3_s_scale(float d, uint32_t s) { return d * static_cast<float>(1 + 2 * s); }

uint64_t both(uint32_t low, uint32_t high) { return low | static_cast<uint64_t>(high) << 32; }

// -- the encoder

struct Iq3Book {
  std::span<const uint32_t> entries;
  NearestEntries nearest;
  float step;  // between levels; the lowest is half of it
  float largest;
  bool has_even_signs;
};

const Iq3Book& iq3_xxs_book() {
  static const Iq3Book kBook = {kIq3XxsEntries, NearestEntries(kIq3XxsLevels, 4, 3, 8), 8.0f, 62.0f, true};
  return kBook;
}
const Iq3Book& iq3_s_book() {
  static const Iq3Book kBook = {kIq3SEntries, NearestEntries(kIq3SLevels, 4, 3, 8), 2.0f, 15.0f, false};
  return kBook;
}

struct Iq3Octet {
  unsigned entry_idx[2];
  unsigned signs;
};

Iq3Octet encode_iq3_octet(const float* x, float scale, const Iq3Book& book) {
  Iq3Octet octet = {};
  for (unsigned j = 0; j < 8; ++j) octet.signs |= (x[j] < 0.0f ? 1U : 0U) << j;
  const auto smallest =
      std::min_element(x, x + 8, [](float a, float b) { return std::fabs(a) < std::fabs(b); }) - x;
  if (book.has_even_signs && std::popcount(octet.signs) % 2 != 0) octet.signs ^= 1U << smallest;
  uint8_t levels[8];
  const float inverse = scale != 0.0f ? 1.0f / (scale * book.step) : 0.0f;
  for (int j = 0; j < 8; ++j) {
    const float magnitude = ((octet.signs >> j) & 1U) != 0 ? -x[j] * inverse : x[j] * inverse;
    levels[j] = static_cast<uint8_t>(std::clamp(std::nearbyint(magnitude - 0.5f), 0.0f, 7.0f));
  }
  for (size_t half = 0; half < 2; ++half)
    octet.entry_idx[half] = static_cast<unsigned>(book.nearest.find({levels + 4 * half, 4}));
  return octet;
}

float search_iq3_scale(const float* x, const Iq3Book& book) {
  return search_scale({x, 32}, book.largest, [&](float scale, int8_t* codes) {
    for (int i = 0; i < 32; i += 8) {
      const Iq3Octet octet = encode_iq3_octet(x + i, scale, book);
      const uint64_t expanded = signed_codes(
          both(book.entries[octet.entry_idx[0]], book.entries[octet.entry_idx[1]]), kSignMasks[octet.signs]);
      for (int j = 0; j < 8; ++j)
        codes[i + j] = static_cast<int8_t>(static_cast<int>((expanded >> (8 * j)) & 0xff) - kCodeOffset);
    }
  });
}

}  // namespace

void expand_iq3_xxs(const std::byte* bytes, const CodeSink& out) {
  BlockIq3Xxs block;
  std::memcpy(&block, bytes, sizeof block);
  const float d = f16_to_f32(block.d);
  for (int g = 0; g < 8; ++g) {
    uint32_t signs_and_s;
    std::memcpy(&signs_and_s, block.signs_and_s + 4 * g, 4);
    put_scale32(out, g, iq3_xxs_scale(d, signs_and_s >> 28));
    for (int i = 0; i < 4; ++i) {
      const uint8_t* entries = block.qs + 8 * g + 2 * i;
      const uint64_t signs = kEvenSignMasks[(signs_and_s >> (7 * i)) & 127U];
      put_octet(out, 4 * g + i,
                signed_codes(both(kIq3XxsEntries[entries[0]], kIq3XxsEntries[entries[1]]), signs));
    }
  }
}

void expand_iq3_s(const std::byte* bytes, const CodeSink& out) {
  BlockIq3S block;
  std::memcpy(&block, bytes, sizeof block);
  const float d = f16_to_f32(block.d);
  for (int g = 0; g < 8; ++g) {
    put_scale32(out, g, iq3_s_scale(d, (static_cast<uint32_t>(block.scales[g / 2]) >> (4 * (g % 2))) & 15U));
    const uint32_t qh = block.qh[g];
    for (int i = 0; i < 4; ++i) {
      const uint8_t* qs = block.qs + 8 * g + 2 * i;
      const size_t low = qs[0] | ((qh << (8 - 2 * i)) & 0x100U),
                   high = qs[1] | ((qh << (7 - 2 * i)) & 0x100U);
      put_octet(
          out, 4 * g + i,
          signed_codes(both(kIq3SEntries[low], kIq3SEntries[high]), kSignMasks[block.signs[4 * g + i]]));
    }
  }
}

void dequantize_iq3_xxs(const std::byte* blocks, int64_t n, float* out) {
  dequantize_code_blocks<expand_iq3_xxs, sizeof(BlockIq3Xxs)>(blocks, n, out);
}
void dequantize_iq3_s(const std::byte* blocks, int64_t n, float* out) {
  dequantize_code_blocks<expand_iq3_s, sizeof(BlockIq3S)>(blocks, n, out);
}

void quantize_iq3_xxs(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockIq3Xxs::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockIq3Xxs::kElements, blocks += sizeof(BlockIq3Xxs)) {
    const float* x = values + first;
    float scales[8];
    for (int g = 0; g < 8; ++g) scales[g] = search_iq3_scale(x + 32 * g, iq3_xxs_book());
    BlockIq3Xxs block;
    block.d = f32_to_f16(*std::max_element(scales, scales + 8) * (2.0f / 15.5f));
    const float d = f16_to_f32(block.d);
    for (int g = 0; g < 8; ++g) {
      const float wanted = d != 0.0f ? std::nearbyint(2.0f * scales[g] / d - 0.5f) : 0.0f;
      const auto s = static_cast<uint32_t>(std::clamp(wanted, 0.0f, 15.0f));
      uint32_t signs_and_s = s << 28;
      for (int i = 0; i < 4; ++i) {
        const Iq3Octet octet = encode_iq3_octet(x + 32 * g + 8 * i, iq3_xxs_scale(d, s), iq3_xxs_book());
        block.qs[8 * g + 2 * i] = static_cast<uint8_t>(octet.entry_idx[0]);
        block.qs[8 * g + 2 * i + 1] = static_cast<uint8_t>(octet.entry_idx[1]);
        signs_and_s |= (octet.signs & 127U) << (7 * i);
      }
      std::memcpy(block.signs_and_s + 4 * g, &signs_and_s, 4);
    }
    std::memcpy(blocks, &block, sizeof block);
  }
}

void quantize_iq3_s(const float* values, int64_t n, std::byte* blocks) {
  HALOD_ASSERT(n % BlockIq3S::kElements == 0);
  for (int64_t first = 0; first < n; first += BlockIq3S::kElements, blocks += sizeof(BlockIq3S)) {
    const float* x = values + first;
    float scales[8];
    for (int g = 0; g < 8; ++g) scales[g] = search_iq3_scale(x + 32 * g, iq3_s_book());
    BlockIq3S block = {};
    block.d = f32_to_f16(*std::max_element(scales, scales + 8) / 31.0f);
    const float d = f16_to_f32(block.d);
    for (int g = 0; g < 8; ++g) {
      const float wanted = d != 0.0f ? std::nearbyint((scales[g] / d - 1.0f) * 0.5f) : 0.0f;
      const auto s = static_cast<uint32_t>(std::clamp(wanted, 0.0f, 15.0f));
      block.scales[g / 2] = static_cast<uint8_t>(block.scales[g / 2] | s << (4 * (g % 2)));
      unsigned qh = 0;
      for (int i = 0; i < 4; ++i) {
        const Iq3Octet octet = encode_iq3_octet(x + 32 * g + 8 * i, iq3_s_scale(d, s), iq3_s_book());
        for (int half = 0; half < 2; ++half) {
          block.qs[8 * g + 2 * i + half] = static_cast<uint8_t>(octet.entry_idx[half]);
          qh |= (octet.entry_idx[half] >> 8) << (2 * i + half);
        }
        block.signs[4 * g + i] = static_cast<uint8_t>(octet.signs);
      }
      block.qh[g] = static_cast<uint8_t>(qh);
    }
    std::memcpy(blocks, &block, sizeof block);
  }
}

}  // namespace halod
