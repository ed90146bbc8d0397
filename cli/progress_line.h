// One line on standard error that says how far something is.
#pragma once

#include <string>

namespace halod::cli {

/// On a terminal the line is redrawn in place, and wiped at the end; elsewhere each new `landmark` is a line
/// of its own, so that logs stay short. Thread: one.
class ProgressLine {
 public:
  explicit ProgressLine(bool quiet);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// `landmark` names the part of the work that `line` is about: a stage, a file.
  void show(const std::string& line, const std::string& landmark);

 private:
  bool quiet_, redraws_;
  std::string last_landmark_;
};

}  // namespace halod::cli
