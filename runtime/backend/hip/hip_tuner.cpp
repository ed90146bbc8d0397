#include "runtime/backend/hip/hip_tuner.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <utility>

#include "runtime/backend/tuning/tuning_store.h"
#include "runtime/backend/tuning/unknown_solutions.h"

namespace halod::hip {
namespace {

/// What a prompt's steps have unless engine.prefill_chunk says otherwise: measured first.
constexpr size_t kUsualClass = 7;
static_assert(kPromptClassesOfTokens[kUsualClass].typical == 512);

bool has_choice(const ProductShape& shape, size_t tokens_class) {
  return product_ways(shape, tokens_class).size() > 1;
}

int64_t typical(size_t tokens_class) { return kPromptClassesOfTokens[tokens_class].typical; }

}  // namespace

const ProductChoice* HipTuner::choice(const Checkpoint& file, const TensorInfo& tensor) {
  weight_bytes_ += static_cast<int64_t>(tensor.size_bytes);
  const std::optional<PlacedProduct> product = placed_product(file, tensor);
  if (!product) return nullptr;
  Tuned& tuned = shapes_[product->shape];
  tuned.choice.shape = product->shape;
  tuned.rows = std::max(tuned.rows, product->rows);
  return &tuned.choice;
}

void HipTuner::expect(const Checkpoint& file) {
  for (const TensorInfo& tensor : file.tensors()) choice(file, tensor);
}

Validators HipTuner::validators() const {
  const DeviceInfo& info = device_.info();
  return {{"HALOD_TUNING_VERSION", kTuningVersion},
          {"GCN_ARCH_NAME", validator_value(info.target)},
          {"COMPUTE_UNITS", std::to_string(info.n_compute_units)},
          {"HIP_VERSION", validator_value(info.runtime_version)},
          {"DRIVER", validator_value(info.driver_version)},
          {"KERNEL_HASH", validator_value(info.kernel_hash)}};
}

std::vector<HipTuner::Selected> HipTuner::selected() const {
  std::set<Selected> all;
  for (const auto& [shape, tuned] : shapes_) {
    for (size_t i = 0; i < kPromptClassesOfTokens.size(); ++i) {
      if (!has_choice(shape, i)) continue;
      all.insert({shape.product == Product::kLinear ? "matmul" : "gate_up", shape.format,
                  tuned.choice.way(typical(i)).name,
                  tuned.choice.by_tokens[i].is_tuned ? "tuned" : "untuned"});
    }
  }
  return {all.begin(), all.end()};
}

void HipTuner::use(const TuningResults& results) {
  UnknownSolutions unknown;
  for (auto& [shape, tuned] : shapes_) {
    for (size_t i = 0; i < kPromptClassesOfTokens.size(); ++i) {
      ProductChoice::PerTokens& chosen = tuned.choice.by_tokens[i];
      chosen = {};
      const TuningKey key = product_key(shape, i);
      const auto result = results.find(key);
      const std::vector<ProductWay> ways = product_ways(shape, i);
      if (result == results.end() || ways.size() < 2) continue;
      // From these ways alone: whatever a file says, the results are the same bits.
      const auto way = std::ranges::find(ways, result->second.solution, &ProductWay::name);
      if (way != ways.end()) {
        chosen.is_tuned = true;
        // The table's order is no fixed tile: within a class it follows the number of rows.
        if (way != ways.begin()) chosen.way = *way;
      } else {
        unknown.add(result->second.solution, key);
      }
    }
  }
  unknown.warn();
}

int HipTuner::n_selections() const {
  int n = 0;
  for (const auto& [shape, tuned] : shapes_) {
    for (size_t i = 0; i < kPromptClassesOfTokens.size(); ++i) n += has_choice(shape, i);
  }
  return n;
}

int HipTuner::n_gaps() const {
  int n = 0;
  for (const auto& [shape, tuned] : shapes_) {
    for (size_t i = 0; i < kPromptClassesOfTokens.size(); ++i)
      n += has_choice(shape, i) && !tuned.choice.by_tokens[i].is_tuned;
  }
  return n;
}

/// What prompts' steps usually have first, for all shapes; then shape by shape, each with the weights that it
/// is measured on.
std::optional<HipTuner::Gap> HipTuner::next_gap() const {
  const auto has_gap = [](const ProductShape& shape, const Tuned& tuned, size_t tokens_class) {
    return !tuned.choice.by_tokens[tokens_class].is_tuned && has_choice(shape, tokens_class);
  };
  for (const auto& [shape, tuned] : shapes_) {
    if (has_gap(shape, tuned, kUsualClass)) return Gap{shape, kUsualClass};
  }
  for (const auto& [shape, tuned] : shapes_) {
    for (size_t i = 0; i < kPromptClassesOfTokens.size(); ++i) {
      if (has_gap(shape, tuned, i)) return Gap{shape, i};
    }
  }
  return std::nullopt;
}

bool HipTuner::has_weights_for(const ProductShape& shape) const {
  return weights_ && weights_->format() == shape.format && weights_->cols() == shape.cols;
}

Result<> HipTuner::make_weights_for(const ProductShape& shape) {
  weights_.reset();  // before the next ones take their place
  auto weights = ProductWeights::make(device_, shape.format, shape.cols, weight_bytes_);
  if (!weights) return weights.error();
  weights_.emplace(std::move(*weights));
  return {};
}

/// Weights, checks and times are steps of their own, so that none takes long.
Result<> HipTuner::advance() {
  if (trial_) {
    if (!trial_->step()) finish();
    return {};
  }
  if (!has_weights_for(gap_->shape)) return make_weights_for(gap_->shape);
  trial_.emplace(device_, *weights_, problems_,
                 ProductTrial::Setup{.shape = gap_->shape,
                                     .rows = shapes_.at(gap_->shape).rows,
                                     .tokens_class = gap_->tokens_class,
                                     .ways = product_ways(gap_->shape, gap_->tokens_class)});
  return {};
}

bool HipTuner::step() {
  if (!gap_) gap_ = next_gap();
  if (!gap_) {
    pause();
    return false;
  }
  Result<> advanced;
  try {
    advanced = advance();
  } catch (const ErrorException& failed) {
    advanced = failed.error();
  }
  if (advanced) return true;
  spdlog::warn("tuning: {}", advanced.error().message);
  pause();
  return false;
}

void HipTuner::finish() {
  const ProductWay winner = trial_->winner();
  const std::vector<ProductWay> ways = product_ways(gap_->shape, gap_->tokens_class);
  const auto at = static_cast<size_t>(std::ranges::find(ways, winner) - ways.begin());
  const double seconds = trial_->median_seconds(at), untuned_seconds = trial_->median_seconds(0);
  trial_.reset();
  ProductChoice::PerTokens& chosen = shapes_.at(gap_->shape).choice.by_tokens[gap_->tokens_class];
  chosen = {.is_tuned = true};
  if (at > 0) chosen.way = winner;
  const TuningKey key = product_key(gap_->shape, gap_->tokens_class);
  spdlog::debug("tuning: {} {}: {} in {:.4f} ms, untuned {:.4f} ms", key.operation, key.params, winner.name,
                1e3 * seconds, 1e3 * untuned_seconds);
  found_[key] = {std::string(winner.name), 1e3 * seconds};
  gap_.reset();
}

TuningResults HipTuner::take_found() { return std::exchange(found_, {}); }

void HipTuner::pause() {
  trial_.reset();
  gap_.reset();
  weights_.reset();
  problems_.clear();
}

std::vector<TuningComparison> HipTuner::compare() {
  pause();
  std::vector<TuningComparison> all;
  for (const auto& [shape, tuned] : shapes_) {
    for (size_t i = 0; i < kPromptClassesOfTokens.size(); ++i) {
      const std::optional<ProductWay>& way = tuned.choice.by_tokens[i].way;
      if (!way) continue;
      if (!has_weights_for(shape)) make_weights_for(shape).value();
      ProductTrial trial(device_, *weights_, problems_,
                         {.shape = shape,
                          .rows = tuned.rows,
                          .tokens_class = i,
                          .ways = {untuned_way(shape, typical(i)), *way}});
      while (trial.step()) {
      }
      if (trial.median_seconds(1) == 0) continue;
      all.push_back({product_key(shape, i), std::string(way->name), 1e3 * trial.median_seconds(0),
                     1e3 * trial.median_seconds(1)});
    }
  }
  pause();
  return all;
}

}  // namespace halod::hip
