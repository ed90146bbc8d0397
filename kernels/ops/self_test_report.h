// What the parts of the self-test share: values to compute on, and the rows that they report.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/cpu_features.h"
#include "kernels/ops/self_test.h"
#include "kernels/ops/variant.h"

namespace halod::self_test {

// f32 sums of some hundred terms against f64 ones stay a hundred times below it; one wrong value does not.
inline constexpr double kBound = 1e-11;

/// -1 … 1, one in 64 twenty times larger: without outliers, rounding hides mistakes in scales.
inline std::vector<float> test_values(int64_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) {
    value = static_cast<float>(generator()) / 2147483648.0F - 1.0F;
    if (generator() % 64 == 0) value *= 20.0F;
  }
  return values;
}

inline double nmse(std::span<const float> values, std::span<const float> expected) {
  double error = 0, power = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double difference = static_cast<double>(values[i]) - static_cast<double>(expected[i]);
    error += difference * difference;
    power += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
  }
  return power > 0 ? error / power : error;
}

inline SelfTestResult judge(double error) {
  // Not `error > kBound`: NaN has to fail.
  return error <= kBound ? SelfTestResult::kPassed : SelfTestResult::kFailed;
}

class Report {
 public:
  /// Runs `measure`, which returns the error, where this CPU can run `variant`.
  template <class Variant, class Measure>
  void add(std::string_view operation, const Variant& variant, std::string_view format,
           const Measure& measure) {
    SelfTestRow row{.operation = operation, .variant = variant.name, .format = format};
    if (runs_on(variant.isa, cpu_features())) {
      row.nmse = measure();
      row.result = judge(row.nmse);
    }
    rows_.push_back(row);
  }
  std::vector<SelfTestRow> take() { return std::move(rows_); }

 private:
  std::vector<SelfTestRow> rows_;
};

/// The operations of recurrent layers, in self_test_recurrent.cpp.
void test_recurrent(Report& report);
void test_ssm(Report& report);

}  // namespace halod::self_test
