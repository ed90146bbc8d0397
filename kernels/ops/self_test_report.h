// What the parts of the self-test share: the rows that they report.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "base/cpu_features.h"
#include "kernels/ops/check_values.h"
#include "kernels/ops/self_test.h"
#include "kernels/ops/variant.h"

namespace halod::self_test {

// f32 sums of some hundred terms against f64 ones stay a hundred times below it; one wrong value does not.
inline constexpr double kBound = 1e-11;

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
