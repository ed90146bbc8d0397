#include "runtime/backend/tuning/trial_rounds.h"

#include <algorithm>

#include "base/error.h"

namespace halod {
namespace {

constexpr int kRounds = 7, kFinalRounds = 15, kRoundsToWin = 12;
constexpr int kRoundsBeforeDropping = 3;
constexpr double kHopeless = 1.15;  // of the best time so far
// What another candidate must gain: less is noise, and the untuned one is the better known.
constexpr double kWorthIt = 0.97;

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace

TrialRounds::TrialRounds(size_t n_candidates)
    : runners_(n_candidates), n_rounds_(n_candidates == 1 ? 0 : kRounds) {
  HALOD_ASSERT(n_candidates > 0);
}

std::optional<size_t> TrialRounds::next() const {
  if (round_ >= n_rounds_) return std::nullopt;
  return next_;
}

void TrialRounds::add(double seconds) {
  HALOD_ASSERT(round_ < n_rounds_);
  runners_[next_].seconds.push_back(seconds);
  do {
    ++next_;
  } while (next_ < runners_.size() && runners_[next_].is_out);
  if (next_ < runners_.size()) return;
  next_ = 0;
  if (++round_ == kRoundsBeforeDropping && !finalist_) drop_the_slow();
  if (round_ == n_rounds_ && !finalist_) begin_final();
}

void TrialRounds::drop_the_slow() {
  double best = 0;
  for (const Runner& runner : runners_) {
    if (!runner.is_out && (best == 0 || median_of(runner.seconds) < best)) best = median_of(runner.seconds);
  }
  // Not the first: it is what the winner is compared with.
  for (size_t i = 1; i < runners_.size(); ++i) {
    if (!runners_[i].is_out && median_of(runners_[i].seconds) > kHopeless * best) runners_[i].is_out = true;
  }
}

/// The best of many has been lucky, too: it has to win once more, against the first alone.
void TrialRounds::begin_final() {
  size_t best = 0;
  for (size_t i = 1; i < runners_.size(); ++i) {
    if (!runners_[i].is_out && median_of(runners_[i].seconds) < median_of(runners_[best].seconds)) best = i;
  }
  if (best == 0 || median_of(runners_[best].seconds) > kWorthIt * median_of(runners_[0].seconds)) return;
  for (size_t i = 1; i < runners_.size(); ++i) runners_[i].is_out |= i != best;
  runners_[0].seconds.clear();
  runners_[best].seconds.clear();
  finalist_ = best;
  round_ = 0;
  n_rounds_ = kFinalRounds;
}

size_t TrialRounds::winner() const {
  HALOD_ASSERT(round_ >= n_rounds_);
  if (!finalist_) return 0;
  // Round by round, because what else the machine does changes from one to the next.
  const std::vector<double>&first = runners_.front().seconds, &other = runners_[*finalist_].seconds;
  std::vector<double> ratios;
  for (size_t i = 0; i < other.size(); ++i) ratios.push_back(other[i] / first[i]);
  const auto n_won = std::ranges::count_if(ratios, [](double ratio) { return ratio < 1; });
  return median_of(ratios) > kWorthIt || n_won < kRoundsToWin ? 0 : *finalist_;
}

double TrialRounds::median(size_t candidate) const {
  const std::vector<double>& seconds = runners_.at(candidate).seconds;
  return seconds.empty() ? 0 : median_of(seconds);
}

}  // namespace halod
