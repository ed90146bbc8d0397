// Solutions of a file that a tuner does not have, counted for one warning.
#pragma once

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <string>
#include <string_view>

#include "runtime/backend/tuning/tuning_key.h"

namespace halod {

class UnknownSolutions {
 public:
  void add(std::string_view solution, const TuningKey& key) {
    if (n_++ == 0) first_ = fmt::format("'{}' for {} {}", solution, key.operation, key.params);
  }
  /// Nothing where there was none.
  void warn() const {
    if (n_ == 0) return;
    spdlog::warn(
        "tuning: {} solution{} none that this halod can take, and the default is used instead; the first is "
        "{}",
        n_, n_ == 1 ? " is" : "s are", first_);
  }

 private:
  int n_ = 0;
  std::string first_;
};

}  // namespace halod
