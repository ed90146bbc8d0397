// A small numeric check of every kernel that this CPU can run: seconds at most, for machines whose memory,
// microcode or compiler nobody has tested. The unit tests go over many more shapes.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace halod {

enum class SelfTestResult : uint8_t { kPassed, kFailed, kNotRun };
std::string_view to_string(SelfTestResult result);  ///< "ok", "failed", "not_run"

struct SelfTestRow {
  std::string_view operation;  ///< "matmul"
  std::string_view variant;    ///< its name in the operation's table
  std::string_view format;     ///< of the weights or the cache; empty where there is none
  SelfTestResult result = SelfTestResult::kNotRun;  ///< kNotRun: this CPU cannot
  double nmse = 0;  ///< squared error against the reference, relative to its power
};

/// Every row of every kernel table against the reference on a few rows with outliers. Thread: any; uses the
/// calling one.
std::vector<SelfTestRow> run_kernel_self_test();

}  // namespace halod
