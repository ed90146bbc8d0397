// How long `haloctl pull` puts up with a hub that does not answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/error.h"

namespace halod::cli {

/// Attempts that follow each other without anything gained are at most `n_attempts`; between them it waits,
/// longer each time. Thread: one.
class Patience {
 public:
  explicit Patience(int n_attempts) : n_attempts_(n_attempts) {}

  /// Sleeps before the next attempt and says why on standard error; false when there was the last one.
  /// `retry_after`: seconds that the server asked for.
  bool wait(const Error& because, std::optional<uint32_t> retry_after = {});
  /// Something came: attempts count anew.
  void renew() { n_failed_ = 0; }

 private:
  int n_attempts_;
  int n_failed_ = 0;
};

}  // namespace halod::cli
