// The code books of IQ1, IQ2 and IQ3: which combinations of eight (IQ1, IQ2) or four (IQ3) small values
// exist.
//
// Stored a few bits per value (code_book_levels.h) and expanded by the compiler to the bytes that the
// decoders copy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/quant/code_book_levels.h"

namespace halod {

// Value j in byte j. IQ1: 64 + 8 * (level - 1). IQ2: magnitudes 8, 25, 43. IQ3_XXS: magnitudes 4, 12, 20, 28,
// 36, 44, 52, 62. IQ3_S: 2 * level + 1.
extern const std::array<uint64_t, 2048> kIq1Entries;
extern const std::array<uint64_t, 256> kIq2XxsEntries;
extern const std::array<uint64_t, 512> kIq2XsEntries;
extern const std::array<uint64_t, 1024> kIq2SEntries;
extern const std::array<uint32_t, 256> kIq3XxsEntries;
extern const std::array<uint32_t, 512> kIq3SEntries;

/// For encoders: the entry nearest to any combination of levels. Thread: any, once constructed.
class NearestEntries {
 public:
  /// For levels of n_values values of n_bits bits each, of which n_levels are in use. Takes some
  /// milliseconds.
  NearestEntries(std::span<const uint16_t> levels, int n_values, int n_bits, int n_levels);

  /// The first of the entries with the least sum of squared differences of levels.
  int find(std::span<const uint8_t> levels) const;

 private:
  int n_bits_;
  std::vector<uint16_t> nearest_;  // by the levels, packed as the entries are
};

}  // namespace halod
