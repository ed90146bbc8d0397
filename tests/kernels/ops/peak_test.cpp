// Reading that skipped something would make the memory look faster than it is.
#include "kernels/ops/peak.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace halod {
namespace {

TEST(TheReadPeak, ReadsEveryValueOnce) {
  std::vector<float> values(64 * 5);
  std::iota(values.begin(), values.end(), 0.0F);  // sums of whole numbers are exact
  const float expected = std::accumulate(values.begin(), values.end(), 0.0F);
  for (const auto& variant : read_peak_variants()) {
    if (!runs_on(variant.isa, cpu_features())) continue;
    std::vector<float> sums(16);
    variant.run({.values = values.data(), .n_values = std::ssize(values), .result = sums.data()});
    EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), 0.0F), expected) << variant.name;
  }
}

}  // namespace
}  // namespace halod
