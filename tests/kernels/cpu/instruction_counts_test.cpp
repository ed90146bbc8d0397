// The hot loops' instructions per 32 columns of a tile of 16 rows, counted, against those of
// instruction_counts.txt: a regression shows whatever else the machine does. Where a change is meant, write
// the new figures: HALOD_WRITE_INSTRUCTION_COUNTS=tests/kernels/cpu/instruction_counts.txt
// kernels_instructions_test
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cpu/tile_layout.h"
#include "kernels/ops/matmul.h"
#include "tests/kernels/cpu/single_step.h"

namespace halod {
namespace {

constexpr int64_t kCols = 256;
/// A step takes some ten microseconds: the rows that run untuned, on tiles.
/// Counted without asking for one token's stream ahead and with asking for more tokens' (row_counted), as
/// they run where hardware prefetchers suffice, so that the figures are those of any CPU.
const std::set<std::string_view> kCounted = {"avx512_vnni_tiles16", "avx2_tiles16"};
constexpr const char* kFile = HALOD_SOURCE_DIR "/tests/kernels/cpu/instruction_counts.txt";

/// Zeros: how many instructions a kernel takes does not depend on what it multiplies.
struct Operands {
  std::vector<std::byte> weights = std::vector<std::byte>(64 * kCols * 4);
  std::vector<float> values = std::vector<float>(8 * kCols), scales = values, scaled_sums = values,
                     y = values;
  std::vector<int8_t> codes = std::vector<int8_t>(8 * kCols);
  std::vector<int32_t> sums = std::vector<int32_t>(8 * kCols);

  MatmulArgs args(const MatmulVariant& variant, Format format, int64_t n_rows, int64_t n_tokens) {
    return {.weight = {format, variant.layout, weights.data(), 64, kCols},
            .n_rows = n_rows,
            .x = {.values = {values.data(), 8, kCols},
                  .codes = codes.data(),
                  .scales = scales.data(),
                  .scaled_sums = scaled_sums.data(),
                  .negated_sums16 = sums.data()},
            .n_tokens = n_tokens,
            .y = {y.data(), 8, 64}};
  }
};

const MatmulVariant& row_counted(const MatmulVariant& variant, int64_t n_tokens) {
  const std::string name = fmt::format("{}_ahead{}", variant.name, n_tokens == 1 ? 0 : 1);
  return *std::ranges::find(matmul_variants(), std::string_view(name), &MatmulVariant::name);
}

/// Of 32 columns of 16 rows, all tokens together: what 16 more rows take, so that nothing of the call counts.
std::optional<double> instructions_per_group(const MatmulVariant& variant, Format format, int64_t n_tokens) {
  Operands operands;
  const auto count = [&](int64_t n_rows) {
    const MatmulArgs args = operands.args(variant, format, n_rows, n_tokens);
    return test::count_instructions([&] { row_counted(variant, n_tokens).run(args); });
  };
  const auto few = count(16), more = count(32);
  if (!few || !more) return std::nullopt;
  return static_cast<double>(*more - *few) / (kCols / 32);
}

/// "avx512_vnni_tiles16 Q4_K 1" and the count.
std::map<std::string, double> read_counts() {
  std::map<std::string, double> counts;
  std::ifstream file(kFile);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string variant, format, n_tokens;
    double count = 0;
    if (words >> variant >> format >> n_tokens >> count)
      counts[fmt::format("{} {} {}", variant, format, n_tokens)] = count;
  }
  return counts;
}

TEST(KernelInstructions, AreNoMoreThanTheyWere) {
#if !defined(__GNUC__) || defined(__clang__) || __GNUC__ != 12
  GTEST_SKIP() << "the figures of instruction_counts.txt are GCC 12's; this is another compiler";
#endif
  const std::map<std::string, double> known = read_counts();
  const char* write_to = std::getenv("HALOD_WRITE_INSTRUCTION_COUNTS");
  std::string written =
      "# Instructions per 32 columns of 16 rows: variant, format, tokens, count. GCC 12; "
      "instruction_counts_test.cpp.\n";
  for (const MatmulVariant& variant : matmul_variants()) {
    if (!kCounted.contains(variant.name) || !runs_on(variant.isa, cpu_features())) continue;
    for (const FormatTraits& format : all_formats()) {
      if (!variant.supports(format.format, kCols)) continue;
      for (const int64_t n_tokens : {1, 8}) {
        if (n_tokens < variant.min_tokens || n_tokens > variant.max_tokens) continue;
        const auto count = instructions_per_group(variant, format.format, n_tokens);
        if (!count)
          GTEST_SKIP() << "this process may not trace a child (ptrace): instructions are not counted";
        const std::string key = fmt::format("{} {} {}", variant.name, format.name, n_tokens);
        written += fmt::format("{} {:.2f}\n", key, *count);
        if (write_to) continue;
        const auto was = known.find(key);
        ASSERT_NE(was, known.end()) << key << " takes " << *count << " instructions and has no figure in "
                                    << kFile;
        EXPECT_LE(*count, 1.03 * was->second + 0.5) << key << ": more instructions than in " << kFile;
        EXPECT_GE(*count, 0.9 * was->second - 0.5) << key << ": fewer; write the new figure into " << kFile;
      }
    }
  }
  if (write_to) std::ofstream(write_to) << written;
}

}  // namespace
}  // namespace halod
