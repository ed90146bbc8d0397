#include "runtime/backend/tuning/matmul_trial.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "kernels/cpu/tile_layout.h"
#include "kernels/ops/check_values.h"
#include "kernels/ops/reference.h"

namespace halod {
namespace {

using Clock = std::chrono::steady_clock;

/// A run is long enough for the clock and for the threads' start to matter little, ...
constexpr double kShortestSeconds = 500e-6;
/// ... and short enough that a request which arrives during one does not wait for it: 3 ms of one core.
constexpr int64_t kProductsPerThread = 1 << 28;
// f32 sums of some hundred terms against f64 ones stay a hundred times below it (kernels/ops/self_test.cpp).
constexpr double kMaxError = 1e-11;

}  // namespace

int64_t matmul_rows_per_task(int64_t n_rows, int n_threads) {
  const int64_t wanted = n_rows / (8 * n_threads);
  return std::clamp<int64_t>(wanted / kTileRows * kTileRows, kTileRows, 16 * kTileRows);
}

Result<TrialWeights> TrialWeights::make(Format format, int64_t cols, WeightLayout layout, int64_t n_bytes) {
  const FormatTraits& f = traits(format);
  const int64_t row_bytes = f.row_bytes(cols);
  TrialWeights weights;
  // Quantising is slow for some formats: a few tiles' worth, repeated.
  constexpr int64_t kRows = (kCheckedRows + kTileRows - 1) / kTileRows * kTileRows;
  const std::vector<float> values = check_values(kRows * cols, 1);
  weights.file_.resize(static_cast<size_t>(kRows * row_bytes));
  for (int64_t row = 0; row < kRows; ++row)
    f.quantize(values.data() + row * cols, cols, weights.file_.data() + row * row_bytes);
  std::vector<std::byte> unit = weights.file_;
  if (layout == WeightLayout::kTiles16) {
    const TileLayout& tiles = *find_tile_layout(format);
    unit.resize(static_cast<size_t>(tiles.matrix_bytes(kRows, cols)));
    for (int64_t row = 0; row < kRows; row += kTileRows) {
      tiles.pack(weights.file_.data() + row * row_bytes, row_bytes, kTileRows, cols,
                 unit.data() + row / kTileRows * tiles.tile_bytes(cols));
    }
  }
  const auto n_units = static_cast<size_t>(
      std::max<int64_t>(1, std::min(n_bytes, kMaxBytes) / static_cast<int64_t>(unit.size())));
  auto memory = MappedMemory::allocate(n_units * unit.size());
  if (!memory) return memory.error();
  for (size_t i = 0; i < n_units; ++i)
    std::memcpy(memory->data() + i * unit.size(), unit.data(), unit.size());
  weights.memory_ = std::move(*memory);
  weights.matrix_ = {format, layout, weights.memory_.data(), static_cast<int64_t>(n_units) * kRows, cols};
  return weights;
}

TrialActivations::TrialActivations(int64_t n_rows, int64_t cols)
    : values_(check_values(n_rows * cols, 2)), codes_(values_.size()) {
  view_ = {.values = {values_.data(), n_rows, cols}};
  if (cols % kActivationGroup != 0) return;
  scales_.resize(values_.size() / kActivationGroup);
  scaled_sums_.resize(scales_.size());
  negated_sums_.resize(2 * scales_.size());
  reference::quantize_activations(
      {view_.values, codes_.data(), scales_.data(), scaled_sums_.data(), negated_sums_.data()});
  view_.codes = codes_.data();
  view_.scales = scales_.data();
  view_.scaled_sums = scaled_sums_.data();
  view_.negated_sums16 = negated_sums_.data();
}

std::vector<float> TrialActivations::rounded() const {
  if (scales_.empty()) return values_;
  std::vector<float> out(values_.size());
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<float>(codes_[i]) * scales_[i / static_cast<size_t>(kActivationGroup)];
  return out;
}

std::string why_wrong(const MatmulVariant& candidate, const MatmulVariant& placed,
                      const TrialWeights& weights, int64_t n_tokens) {
  constexpr int64_t kRows = TrialWeights::kCheckedRows;
  const int64_t cols = weights.matrix().cols;
  const TrialActivations x(n_tokens, cols);
  const auto product = [&](void (*run)(const MatmulArgs&), const WeightMatrix& weight,
                           const Activations& of) {
    std::vector<float> y(static_cast<size_t>(n_tokens * kRows));
    WeightMatrix part = weight;
    part.rows = kRows;
    run({.weight = part, .n_rows = kRows, .x = of, .n_tokens = n_tokens, .y = {y.data(), n_tokens, kRows}});
    return y;
  };
  const std::vector<float> got = product(candidate.run, weights.matrix(), x.view());
  const std::vector<float> rounded = x.rounded();
  Activations exact = x.view();
  // The rounding of x is no mistake of a kernel that reads codes.
  if (candidate.needs_codes) exact.values = {rounded.data(), n_tokens, cols};
  const double error = check_nmse(got, product(reference::matmul, weights.file_rows(), exact));
  // Not `error > kMaxError`: NaN has to fail.
  if (!(error <= kMaxError))
    return fmt::format("its error against the reference is {:.1e}; {:.0e} is the limit", error, kMaxError);
  if (&candidate != &placed && got != product(placed.run, weights.matrix(), x.view()))
    return fmt::format("its results are not those of {} bit for bit", placed.name);
  return {};
}

MatmulTrial::MatmulTrial(Setup setup, const TrialWeights& weights, ThreadPool& threads)
    : setup_(std::move(setup)),
      weights_(weights),
      threads_(threads),
      x_(kTokensClasses[setup_.tokens_class].typical, setup_.shape.cols) {
  const int64_t n_tokens = x_.view().n_rows(), per_row = setup_.shape.cols * n_tokens;
  // Whole tasks, and all threads busy.
  const int64_t most =
      std::max(kProductsPerThread * threads_.n_threads() / per_row, kTileRows * threads_.n_threads() * 4);
  rows_per_task_ =
      setup_.shape.experts ? kExpertRowsPerTask : matmul_rows_per_task(setup_.rows, threads_.n_threads());
  n_rows_ = std::min({setup_.shape.experts ? most : setup_.rows, most, weights_.matrix().rows});
  n_rows_ = std::max(n_rows_ / kTileRows * kTileRows, kTileRows);
  rows_per_task_ = std::min(rows_per_task_, n_rows_);
  y_.resize(static_cast<size_t>(n_tokens * n_rows_));
  for (const Solution& solution : setup_.candidates) {
    // The rest would do as the first one does.
    if (solutions_.empty() ||
        (n_tokens >= solution.variant->min_tokens && n_tokens <= solution.variant->max_tokens))
      solutions_.push_back(solution);
  }
  rounds_.emplace(solutions_.size());
}

void MatmulTrial::check_next() {
  // As many tokens as fill every block of registers once.
  constexpr int64_t kMostTokens = 24;
  const size_t candidate = n_checked_++;
  const MatmulVariant &variant = *solutions_[candidate].variant, &placed = *solutions_.front().variant;
  if (&variant == &placed) return;
  const std::string why = why_wrong(variant, placed, weights_, std::min(x_.view().n_rows(), kMostTokens));
  if (why.empty()) return;
  const TuningKey key = tuning_key(setup_.shape, setup_.tokens_class);
  spdlog::warn("tuning: {} is not used for {} {}: {}", variant.name, key.operation, key.params, why);
  rounds_->drop(candidate);
}

double MatmulTrial::seconds_per_row(const Solution& solution) {
  const int64_t rows_per_task =
      solution.rows_per_task > 0 ? std::min(solution.rows_per_task, n_rows_) : rows_per_task_;
  const WeightMatrix& matrix = weights_.matrix();
  const int64_t n_tokens = x_.view().n_rows();
  int64_t n_rows = 0;
  const auto start = Clock::now();
  std::chrono::duration<double> elapsed{};
  while (elapsed.count() < kShortestSeconds) {
    if (first_row_ + n_rows_ > matrix.rows) first_row_ = 0;
    const auto multiply = [&](int64_t begin, int64_t end, int) {
      solution.variant->run({.weight = matrix,
                             .first_row = first_row_ + begin,
                             .n_rows = end - begin,
                             .x = x_.view(),
                             .n_tokens = n_tokens,
                             .y = {y_.data(), n_tokens, n_rows_},
                             .y_origin = first_row_});
    };
    if (n_rows_ * matrix.cols * n_tokens >= kWorthForking) {
      threads_.parallel_for(n_rows_, rows_per_task, multiply);
    } else {
      multiply(0, n_rows_, 0);
    }
    first_row_ += n_rows_;
    n_rows += n_rows_;
    elapsed = Clock::now() - start;
  }
  return elapsed.count() / static_cast<double>(n_rows);
}

bool MatmulTrial::step() {
  if (n_checked_ < solutions_.size()) {
    check_next();
    return true;
  }
  const std::optional<size_t> candidate = rounds_->next();
  if (!candidate) return false;
  rounds_->add(seconds_per_row(solutions_[*candidate]));
  return rounds_->next().has_value();
}

MatmulTrial::Outcome MatmulTrial::outcome() const {
  const size_t winner = rounds_->winner();
  return {.solution = solutions_[winner],
          .seconds = median_seconds(winner),
          .untuned_seconds = median_seconds(0)};
}

double MatmulTrial::median_seconds(size_t candidate) const {
  return rounds_->median(candidate) * static_cast<double>(setup_.rows);
}

}  // namespace halod
