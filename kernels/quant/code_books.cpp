#include "kernels/quant/code_books.h"

#include <algorithm>
#include <compare>
#include <limits>

#include "base/error.h"
#include "kernels/quant/code_blocks.h"

namespace halod {
namespace {

/// Each level replaced by its value, one byte each.
template <class Entry, size_t n_entries, size_t n_levels>
constexpr std::array<Entry, n_entries> expanded(const std::array<uint16_t, n_entries>& levels,
                                                const std::array<uint8_t, n_levels>& values) {
  constexpr size_t kBits = sizeof(Entry) == 8 ? 2 : 3;
  std::array<Entry, n_entries> entries = {};
  for (size_t i = 0; i < n_entries; ++i) {
    for (size_t j = 0; j < sizeof(Entry); ++j) {
      const size_t level = (static_cast<size_t>(levels[i]) >> (kBits * j)) & ((1U << kBits) - 1);
      entries[i] |= static_cast<Entry>(Entry{values[level]} << (8 * j));
    }
  }
  return entries;
}

constexpr std::array<uint8_t, 3> kIq1Values = {kCodeOffset - 8, kCodeOffset, kCodeOffset + 8};
constexpr std::array<uint8_t, 3> kIq2Values = {8, 25, 43};
constexpr std::array<uint8_t, 8> kIq3XxsValues = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr std::array<uint8_t, 8> kIq3SValues = {1, 3, 5, 7, 9, 11, 13, 15};

}  // namespace

NearestEntries::NearestEntries(std::span<const uint16_t> levels, int n_values, int n_bits, int n_levels)
    : n_bits_(n_bits), nearest_(size_t{1} << (n_values * n_bits)) {
  // A distance transform, one value after the other: squared differences add up, so the nearest entry overall
  // is the nearest of those that were nearest for each other level of this value.
  struct Candidate {
    int distance;
    uint16_t entry_idx;
    auto operator<=>(const Candidate&) const = default;
  };
  constexpr Candidate kNone = {std::numeric_limits<int>::max() / 2, std::numeric_limits<uint16_t>::max()};
  std::vector<Candidate> best(nearest_.size(), kNone);
  for (size_t i = 0; i < levels.size(); ++i) best[levels[i]] = {0, static_cast<uint16_t>(i)};
  for (int j = 0; j < n_values; ++j) {
    const std::vector<Candidate> before = best;
    const int shift = n_bits * j;
    for (size_t packed = 0; packed < best.size(); ++packed) {
      const int level = static_cast<int>(packed >> shift) & ((1 << n_bits) - 1);
      const size_t others = packed - (static_cast<size_t>(level) << shift);
      for (int other = 0; other < n_levels; ++other) {
        Candidate candidate = before[others + (static_cast<size_t>(other) << shift)];
        candidate.distance += (level - other) * (level - other);
        best[packed] = std::min(best[packed], candidate);
      }
    }
  }
  for (size_t packed = 0; packed < best.size(); ++packed) nearest_[packed] = best[packed].entry_idx;
}

int NearestEntries::find(std::span<const uint8_t> levels) const {
  size_t packed = 0;
  for (size_t j = 0; j < levels.size(); ++j) {
    packed |= static_cast<size_t>(levels[j]) << (static_cast<size_t>(n_bits_) * j);
  }
  HALOD_ASSERT(packed < nearest_.size());
  return nearest_[packed];
}

constexpr std::array<uint64_t, 2048> kIq1Entries = expanded<uint64_t>(kIq1Levels, kIq1Values);
constexpr std::array<uint64_t, 256> kIq2XxsEntries = expanded<uint64_t>(kIq2XxsLevels, kIq2Values);
constexpr std::array<uint64_t, 512> kIq2XsEntries = expanded<uint64_t>(kIq2XsLevels, kIq2Values);
constexpr std::array<uint64_t, 1024> kIq2SEntries = expanded<uint64_t>(kIq2SLevels, kIq2Values);
constexpr std::array<uint32_t, 256> kIq3XxsEntries = expanded<uint32_t>(kIq3XxsLevels, kIq3XxsValues);
constexpr std::array<uint32_t, 512> kIq3SEntries = expanded<uint32_t>(kIq3SLevels, kIq3SValues);

}  // namespace halod
