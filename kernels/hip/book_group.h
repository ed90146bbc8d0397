// How a group of 32 columns of IQ1, IQ2, IQ3 or TQ1_0 is unpacked to codes, as weight_group.h does for the
// other formats. All of them are w = scale * code with codes of -64 … 63 (kernels/quant/code_blocks.h), one
// or two scales to a group.
//
// The books are constant tables of the code object, in device memory: 2 bytes for each entry (the levels of
// its values), 9 kB all together, 4 kB at most for one format. A lane looks its entries up by loads of its
// own and makes bytes of the levels in registers, 5 instructions for four weights. Expanded to bytes the
// books would be four times as large (16 kB for IQ1) in a CU's first-level cache of 32 kB, through which the
// weights stream. In shared memory a look-up would cost fewer cycles, but every block of 16 weight rows would
// first have to bring the book there, up to half of what it reads of weights, and wait for it. On paper a
// look-up touches some 20 lines of the cache, four of them for 1024 weights of IQ2_XXS: 80 cycles, in which
// memory delivers 190 of their 264 bytes to a CU. Which is quicker must be measured on a GPU.
#pragma once

#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/weight_group.h"
#include "kernels/quant/code_book_levels.h"

namespace halod::hip {

HALOD_TABLE std::array<uint16_t, 2048> kIq1Book = kIq1Levels;
HALOD_TABLE std::array<uint16_t, 256> kIq2XxsBook = kIq2XxsLevels;
HALOD_TABLE std::array<uint16_t, 512> kIq2XsBook = kIq2XsLevels;
HALOD_TABLE std::array<uint16_t, 1024> kIq2SBook = kIq2SLevels;
HALOD_TABLE std::array<uint16_t, 256> kIq3XxsBook = kIq3XxsLevels;
HALOD_TABLE std::array<uint16_t, 512> kIq3SBook = kIq3SLevels;

constexpr bool has_book(Format format) { return format >= Format::kIQ3_XXS && format <= Format::kIQ1_M; }

template <class Book>
HALOD_DEVICE uint32_t book_levels(const Book& book, uint32_t entry) {
  return gpu::load_half_word(reinterpret_cast<const unsigned char*>(&book) + 2 * entry);
}

// -- bits of four values to a byte each

/// Two bits of each, of the lowest eight; nothing above bit 15.
HALOD_DEVICE uint32_t spread_pairs(uint32_t levels) {
  const uint32_t halves = (levels | levels << 12) & 0x000f000fU;
  return (halves | halves << 6) & 0x03030303U;
}
/// Three bits of each; nothing above bit 11.
HALOD_DEVICE uint32_t spread_triples(uint32_t levels) {
  const uint32_t halves = (levels | levels << 10) & 0x003f003fU;
  return (halves | halves << 5) & 0x07070707U;
}
/// One bit of each; nothing above bit 3. The product puts bit k to bit 8 k.
HALOD_DEVICE uint32_t spread_bits(uint32_t bits) { return (bits * 0x00204081U) & 0x01010101U; }

HALOD_DEVICE uint32_t byte_of(uint32_t word, int i) { return (word >> (8 * i)) & 255U; }

// -- signs

/// Seven stored signs, and an eighth that makes the number of minus signs even.
HALOD_DEVICE uint32_t even_signs(uint32_t seven) {
  return seven | (static_cast<uint32_t>(gpu::popcount(seven)) & 1U) << 7;
}
/// Four magnitudes of 1 … 127, minus where a bit of four is set: the complement plus one, which no byte
/// carries to the next.
HALOD_DEVICE uint32_t with_signs(uint32_t magnitudes, uint32_t signs) {
  const uint32_t bits = spread_bits(signs);
  return (magnitudes ^ ((bits << 8) - bits)) + bits;
}

// -- IQ2: eight values an entry, of three magnitudes

/// The level and the sign together name one of eight bytes.
HALOD_DEVICE void unpack_iq2_octet(uint32_t levels, uint32_t signs, uint32_t (&quads)[8], int octet) {
  constexpr uint32_t kPlus = 0x002b1908U, kMinus = 0x00d5e7f8U;  // 8, 25, 43
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint32_t selectors = spread_pairs(levels >> (8 * half)) | spread_bits((signs >> (4 * half)) & 15U)
                                                                        << 2;
    quads[2 * octet + half] = gpu::permute_bytes(kMinus, kPlus, selectors);
  }
}
HALOD_DEVICE float iq2_scale(float d, uint32_t s) { return d * (0.5F + static_cast<float>(s)) * 0.25F; }

template <>
struct WeightGroup<Format::kIQ2_XXS> : OneScale<0> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    uint32_t words[2];  // four entries; signs and s
    gpu::load_words2(row + 8 * group, words);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      unpack_iq2_octet(book_levels(kIq2XxsBook, byte_of(words[0], i)),
                       even_signs((words[1] >> (7 * i)) & 127U), quads, i);
    }
    scale = iq2_scale(load_half(row + row_shape<Format::kIQ2_XXS>().d_offset(cols) + 2 * (group / 8)),
                      words[1] >> 28);
  }
};

template <>
struct WeightGroup<Format::kIQ2_XS> : TwoScales<0> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kIQ2_XS>();
    uint32_t words[2];
    gpu::load_words2(row + 8 * group, words);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t entry_and_signs = (words[i / 2] >> (16 * (i % 2))) & 0xffffU;
      unpack_iq2_octet(book_levels(kIq2XsBook, entry_and_signs & 511U), even_signs(entry_and_signs >> 9),
                       quads, i);
    }
    const uint32_t both =
        gpu::load_half_word(row + kShape.scale_offset(cols) + group / 2 * 2) >> (group % 2 * 8);
    const float d = load_half(row + kShape.d_offset(cols) + 2 * (group / 8));
    scales[0] = iq2_scale(d, both & 15U);
    scales[1] = iq2_scale(d, (both >> 4) & 15U);
  }
};

template <>
struct WeightGroup<Format::kIQ2_S> : TwoScales<0> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kIQ2_S>();
    uint32_t words[2];  // low bytes of the entries; signs
    gpu::load_words2(row + 8 * group, words);
    const uint32_t high = gpu::load_half_word(row + kShape.high_offset(cols) + 2 * group);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t entry = byte_of(words[0], i) | ((high >> (2 * i)) & 3U) << 8;
      unpack_iq2_octet(book_levels(kIq2SBook, entry), byte_of(words[1], i), quads, i);
    }
    const float d = load_half(row + kShape.d_offset(cols) + 2 * (group / 8));
    scales[0] = iq2_scale(d, (high >> 8) & 15U);
    scales[1] = iq2_scale(d, high >> 12);
  }
};

// -- IQ3: four values an entry, of eight magnitudes
//
// Look-ups go in two batches of four a row: eight at once take 16 registers more.

template <>
struct WeightGroup<Format::kIQ3_XXS> : OneScale<0> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kIQ3_XXS>();
    uint32_t entries[2];
    gpu::load_words2(row + 8 * group, entries);
    const uint32_t signs_and_s = gpu::load_word(row + kShape.high_offset(cols) + 4 * group);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const uint32_t levels = book_levels(kIq3XxsBook, byte_of(entries[i / 4], i % 4));
      const uint32_t signs = even_signs((signs_and_s >> (7 * (i / 2))) & 127U);
      // 4, 12, 20, 28; 36, 44, 52, 62
      quads[i] = with_signs(gpu::permute_bytes(0x3e342c24U, 0x1c140c04U, spread_triples(levels)),
                            (signs >> (4 * (i % 2))) & 15U);
      if (i == 3) gpu::schedule_barrier();
    }
    const float d = load_half(row + kShape.d_offset(cols) + 2 * (group / 8));
    scale = d * (0.5F + static_cast<float>(signs_and_s >> 28)) * 0.5F;
  }
};

template <>
struct WeightGroup<Format::kIQ3_S> : OneScale<0> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kIQ3_S>();
    uint32_t entries[2];  // their low bytes
    gpu::load_words2(row + 8 * group, entries);
    const uint32_t signs = gpu::load_word(row + kShape.high_offset(cols) + 4 * group);
    const int j = group % 8;
    const unsigned char* block = row + kShape.scale_offset(cols) + kShape.scale_bytes_per_block * (group / 8);
    const uint32_t high = gpu::load_half_word(block + j / 2 * 2) >> (j % 2 * 8);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const uint32_t entry = byte_of(entries[i / 4], i % 4) | ((high >> i) & 1U) << 8;
      const uint32_t magnitudes = 2 * spread_triples(book_levels(kIq3SBook, entry)) + 0x01010101U;
      quads[i] = with_signs(magnitudes, (signs >> (4 * i)) & 15U);
      if (i == 3) gpu::schedule_barrier();
    }
    const uint32_t s = (gpu::load_half_word(block + 8 + j / 4 * 2) >> (j % 4 * 4)) & 15U;
    scale = load_half(row + kShape.d_offset(cols) + 2 * (group / 8)) * static_cast<float>(1 + 2 * s);
  }
};

// -- IQ1: eight values an entry, -8, 0 and 8, all moved up or down by one

HALOD_DEVICE void unpack_iq1_octet(uint32_t levels, bool is_down, uint32_t (&quads)[8], int octet) {
  const uint32_t values = is_down ? 0x0007fff7U : 0x000901f9U;  // -9, -1, 7; -7, 1, 9
#pragma unroll
  for (int half = 0; half < 2; ++half)
    quads[2 * octet + half] = gpu::permute_bytes(0, values, spread_pairs(levels >> (8 * half)));
}
HALOD_DEVICE float iq1_scale(float d, uint32_t s) { return d * static_cast<float>(2 * s + 1) * 0.125F; }

template <>
struct WeightGroup<Format::kIQ1_S> : OneScale<0> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kIQ1_S>();
    const uint32_t entries = gpu::load_word(row + 4 * group);  // their low bytes
    const uint32_t high = gpu::load_half_word(row + kShape.high_offset(cols) + 2 * group);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t entry = byte_of(entries, i) | ((high >> (3 * i)) & 7U) << 8;
      unpack_iq1_octet(book_levels(kIq1Book, entry), (high & 0x8000U) != 0, quads, i);
    }
    scale = iq1_scale(load_half(row + kShape.d_offset(cols) + 2 * (group / 8)), (high >> 12) & 7U);
  }
};

template <>
struct WeightGroup<Format::kIQ1_M> : TwoScales<0> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kIQ1_M>();
    const uint32_t entries = gpu::load_word(row + 4 * group);  // their low bytes
    const uint32_t high = gpu::load_half_word(row + kShape.high_offset(cols) + 2 * group);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t nibble = high >> (4 * i);
      unpack_iq1_octet(book_levels(kIq1Book, byte_of(entries, i) | (nibble & 7U) << 8), (nibble & 8U) != 0,
                       quads, i);
    }
    uint32_t words[2];  // 16 bits for four runs: three bits of s each, four of d
    gpu::load_words2(row + kShape.scale_offset(cols) + 8 * (group / 8), words);
    const float d =
        gpu::half_to_float(static_cast<uint16_t>(((words[0] >> 12) & 0xfU) | ((words[0] >> 24) & 0xf0U) |
                                                 ((words[1] >> 4) & 0xf00U) | ((words[1] >> 16) & 0xf000U)));
    const int j = group % 8;
    const uint32_t s = (j < 4 ? words[0] : words[1]) >> (j / 2 % 2 * 16 + j % 2 * 6);
    scales[0] = iq1_scale(d, s & 7U);
    scales[1] = iq1_scale(d, (s >> 3) & 7U);
  }
};

// -- TQ1_0: five digits of base 3 in a byte (kernels/quant/tq.h)

/// Three to the power of 0 … 4.
HALOD_DEVICE uint32_t power_of_three(int n) { return n < 4 ? (0x1b090301U >> (8 * n)) & 255U : 81U; }

/// The digit of each of four bytes that the power brings to the front. Even and odd bytes in 16 bits each, so
/// that the products fit.
HALOD_DEVICE uint32_t unpack_trits(uint32_t bytes, uint32_t power) {
  constexpr uint32_t kEven = 0x00ff00ffU;
  const uint32_t even = (((bytes & kEven) * power) & kEven) * 3;
  const uint32_t odd = ((((bytes >> 8) & kEven) * power) & kEven) * 3;
  return ((even >> 8) & kEven) | (odd & ~kEven);
}

template <>
struct WeightGroup<Format::kTQ1_0> : OneScale<1> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kTQ1_0>();
    constexpr int kBlockCodes = 8 * kShape.code_bytes_per_group;
    const unsigned char* codes = row + kBlockCodes * (group / 8);
    const int j = group % 8;
    // The groups 0 … 4 are digit j of 32 bytes; 5, 6 and half of 7 the digits of the next 16; the rest of 7
    // the digits of the last four.
    const int first_digit = j < 5 ? j : 2 * (j - 5), second_digit = j < 5 ? j : first_digit + 1;
    const gpu::Piece first = gpu::load_piece(codes + (j < 5 ? 0 : 32)),
                     second = gpu::load_piece(codes + (j < 5 ? 16 : 32));
    const uint32_t last = gpu::load_word(row + kShape.scale_offset(cols) + 4 * (group / 8));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      quads[i] = unpack_trits(first.words[i], power_of_three(first_digit));
      quads[i + 4] = unpack_trits(j == 7 ? last : second.words[i], power_of_three(j == 7 ? i : second_digit));
    }
    scale = load_half(row + kShape.d_offset(cols) + 2 * (group / 8));
  }
};

}  // namespace halod::hip
