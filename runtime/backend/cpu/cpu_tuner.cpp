#include "runtime/backend/cpu/cpu_tuner.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <utility>

#include "runtime/backend/cpu/cpu_weights.h"
#include "runtime/backend/tuning/unknown_solutions.h"
#include "runtime/weights/checkpoint.h"

namespace halod {

const MatmulChoice* CpuTuner::choice(Format format, int64_t rows, int64_t cols, bool experts, bool exact,
                                     int64_t n_bytes) {
  const MatmulVariant* placed = select_matmul(format, cols, exact);
  if (placed == nullptr) return nullptr;
  weight_bytes_ += n_bytes;
  Tuned& tuned = shapes_[shape_class(format, rows, cols, experts, threads_.n_threads())];
  tuned.rows = std::max(tuned.rows, rows);
  if (tuned.choice.placed == nullptr) {
    tuned.choice.placed = placed;
    tuned.choice.by_tokens.fill({.solution = {placed}});
    tuned.candidates = matmul_equals(*placed, format, cols);
    tuned.candidates.insert(tuned.candidates.end(), extra_candidates_.begin(), extra_candidates_.end());
  }
  return &tuned.choice;
}

void CpuTuner::expect(const Checkpoint& file) {
  for (const TensorInfo& tensor : file.tensors()) {
    if (tensor.shape.size() < 2) continue;
    choice(tensor.format, CpuWeight::n_rows(tensor), tensor.cols(), CpuWeight::n_matrices(tensor) > 1, false,
           static_cast<int64_t>(tensor.size_bytes));
  }
}

bool CpuTuner::is_tunable(const Tuned& tuned, size_t tokens_class) {
  const int64_t n_tokens = kTokensClasses[tokens_class].typical;
  return std::ranges::any_of(tuned.candidates, [&](const MatmulVariant* candidate) {
    return candidate != tuned.choice.placed && n_tokens >= candidate->min_tokens &&
           n_tokens <= candidate->max_tokens;
  });
}

std::vector<CpuTuner::Selected> CpuTuner::selected() const {
  std::set<Selected> all;
  for (const auto& [shape, tuned] : shapes_) {
    for (size_t i = 0; i < kTokensClasses.size(); ++i) {
      const MatmulChoice::PerTokens& chosen = tuned.choice.by_tokens[i];
      all.insert({shape.format, chosen.solution.variant,
                  !is_tunable(tuned, i) ? ""
                  : chosen.is_tuned     ? "tuned"
                                        : "untuned"});
    }
  }
  return {all.begin(), all.end()};
}

void CpuTuner::use(const TuningResults& results) {
  UnknownSolutions unknown;
  for (auto& [shape, tuned] : shapes_) {
    for (size_t i = 0; i < kTokensClasses.size(); ++i) {
      MatmulChoice::PerTokens& chosen = tuned.choice.by_tokens[i];
      chosen = {.solution = {tuned.choice.placed}};
      const TuningKey key = tuning_key(shape, i);
      const auto result = results.find(key);
      if (result == results.end() || !is_tunable(tuned, i)) continue;
      // From the candidates alone: whatever a file says, the results are the same bits.
      const auto solution = parse_solution(result->second.solution, tuned.candidates);
      if (solution) {
        chosen = {.solution = *solution, .is_tuned = true};
      } else {
        unknown.add(result->second.solution, key);
      }
    }
  }
  unknown.warn();
}

int CpuTuner::n_gaps() const {
  int n = 0;
  for (const auto& [shape, tuned] : shapes_) {
    for (size_t i = 0; i < kTokensClasses.size(); ++i)
      n += is_tunable(tuned, i) && !tuned.choice.by_tokens[i].is_tuned;
  }
  return n;
}

int CpuTuner::n_selections() const {
  int n = 0;
  for (const auto& [shape, tuned] : shapes_) {
    for (size_t i = 0; i < kTokensClasses.size(); ++i) n += is_tunable(tuned, i);
  }
  return n;
}

/// One token first, for all shapes: it is what answers are made of. Then shape by shape, each with the
/// weights that it is measured on.
std::optional<CpuTuner::Gap> CpuTuner::next_gap() const {
  const auto has_gap = [](const Tuned& tuned, size_t tokens_class) {
    return is_tunable(tuned, tokens_class) && !tuned.choice.by_tokens[tokens_class].is_tuned;
  };
  for (const auto& [shape, tuned] : shapes_) {
    if (has_gap(tuned, 0)) return Gap{shape, 0};
  }
  for (const auto& [shape, tuned] : shapes_) {
    for (size_t i = 1; i < kTokensClasses.size(); ++i) {
      if (has_gap(tuned, i)) return Gap{shape, i};
    }
  }
  return std::nullopt;
}

bool CpuTuner::start(const Gap& gap) {
  const Tuned& tuned = shapes_.at(gap.shape);
  const WeightLayout layout = tuned.choice.placed->layout;
  if (!weights_ || weights_->matrix().format != gap.shape.format ||
      weights_->matrix().cols != gap.shape.cols) {
    weights_.reset();  // before the next ones take their place
    auto weights = TrialWeights::make(gap.shape.format, gap.shape.cols, layout, weight_bytes_);
    if (!weights) {
      spdlog::warn("tuning: {}", weights.error().message);
      return false;
    }
    weights_ = std::move(*weights);
  }
  std::vector<Solution> candidates;
  for (const MatmulVariant* candidate : tuned.candidates) candidates.push_back({candidate});
  start_trial(gap, std::move(candidates));
  is_about_shares_ = false;
  gap_ = gap;
  return true;
}

bool CpuTuner::step() {
  if (!trial_) {
    const std::optional<Gap> gap = next_gap();
    if (!gap) {
      pause();
      return false;
    }
    return start(*gap);
  }
  if (!trial_->step()) finish();
  return true;
}

void CpuTuner::start_trial(const Gap& gap, std::vector<Solution> candidates) {
  trial_.emplace(MatmulTrial::Setup{.shape = gap.shape,
                                    .rows = shapes_.at(gap.shape).rows,
                                    .tokens_class = gap.tokens_class,
                                    .candidates = std::move(candidates)},
                 *weights_, threads_);
}

std::vector<Solution> CpuTuner::shares_of(const Solution& solution) const {
  std::vector<Solution> shares = {solution};
  const int64_t rows = shapes_.at(gap_->shape).rows,
                n_products = rows * gap_->shape.cols * kTokensClasses[gap_->tokens_class].typical;
  // Experts' tasks are of one size, and small products have none.
  if (gap_->shape.experts || threads_.n_threads() == 1 || n_products < kWorthForking) return shares;
  for (const int64_t share : {16, 32, 64, 128, 256, 512}) {
    if (share * threads_.n_threads() <= rows && share != matmul_rows_per_task(rows, threads_.n_threads()))
      shares.push_back({solution.variant, share});
  }
  return shares;
}

void CpuTuner::finish() {
  const MatmulTrial::Outcome outcome = trial_->outcome();
  trial_.reset();
  if (!is_about_shares_) {
    untuned_seconds_ = outcome.untuned_seconds;
    if (std::vector<Solution> shares = shares_of(outcome.solution); shares.size() > 1) {
      start_trial(*gap_, std::move(shares));
      is_about_shares_ = true;
      return;
    }
  }
  shapes_.at(gap_->shape).choice.by_tokens[gap_->tokens_class] = {.solution = outcome.solution,
                                                                  .is_tuned = true};
  const TuningKey key = tuning_key(gap_->shape, gap_->tokens_class);
  const std::string text = to_string(outcome.solution);
  spdlog::debug("tuning: {} {}: {} in {:.4f} ms, untuned {:.4f} ms", key.operation, key.params, text,
                1e3 * outcome.seconds, 1e3 * untuned_seconds_);
  found_[key] = {text, 1e3 * outcome.seconds};
}

TuningResults CpuTuner::take_found() { return std::exchange(found_, {}); }

void CpuTuner::pause() {
  trial_.reset();
  gap_.reset();
  weights_.reset();
}

std::vector<TuningComparison> CpuTuner::compare() {
  pause();
  std::vector<TuningComparison> all;
  for (const auto& [shape, tuned] : shapes_) {
    const Solution untuned = {tuned.choice.placed};
    const auto weights =
        TrialWeights::make(shape.format, shape.cols, untuned.variant->layout, weight_bytes_).value();
    for (size_t i = 0; i < kTokensClasses.size(); ++i) {
      const Solution& solution = tuned.choice.by_tokens[i].solution;
      if (solution == untuned) continue;
      MatmulTrial trial(
          {.shape = shape, .rows = tuned.rows, .tokens_class = i, .candidates = {untuned, solution}}, weights,
          threads_);
      while (trial.step()) {
      }
      if (trial.median_seconds(1) == 0) continue;
      all.push_back({tuning_key(shape, i), to_string(solution), 1e3 * trial.median_seconds(0),
                     1e3 * trial.median_seconds(1)});
    }
  }
  return all;
}

}  // namespace halod
