// How fast bytes come, for people who wait.
#pragma once

#include <chrono>
#include <cstdint>

namespace halod::cli {

/// A moving average over some seconds. Thread: one.
class TransferRate {
 public:
  using Clock = std::chrono::steady_clock;

  /// `n_bytes` have come in all (0: none yet, the clock begins anew). True when it is time to show something:
  /// a few times a second.
  bool add(uint64_t n_bytes, Clock::time_point now = Clock::now());
  double bytes_per_second() const { return rate_; }
  /// What `n_bytes` more take at this rate; 0 before there is one.
  double seconds_for(uint64_t n_bytes) const { return rate_ > 0 ? static_cast<double>(n_bytes) / rate_ : 0; }

 private:
  Clock::time_point shown_at_{}, measured_at_{};
  uint64_t measured_bytes_ = 0;
  double rate_ = 0;
};

}  // namespace halod::cli
