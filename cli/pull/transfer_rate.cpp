#include "cli/pull/transfer_rate.h"

namespace halod::cli {
namespace {

constexpr std::chrono::milliseconds kShowInterval{100};
constexpr std::chrono::milliseconds kMeasureInterval{500};
/// Of each new measurement: several seconds count.
constexpr double kWeight = 0.2;

}  // namespace

bool TransferRate::add(uint64_t n_bytes, Clock::time_point now) {
  if (n_bytes < measured_bytes_ || measured_at_ == Clock::time_point{}) {
    measured_at_ = now;
    measured_bytes_ = n_bytes;
  } else if (now - measured_at_ >= kMeasureInterval) {
    const double measured = static_cast<double>(n_bytes - measured_bytes_) /
                            std::chrono::duration<double>(now - measured_at_).count();
    rate_ = rate_ > 0 ? rate_ + kWeight * (measured - rate_) : measured;
    measured_at_ = now;
    measured_bytes_ = n_bytes;
  }
  if (now - shown_at_ < kShowInterval) return false;
  shown_at_ = now;
  return true;
}

}  // namespace halod::cli
