#include "runtime/backend/tuning/tuning_session.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace halod {
namespace {

using Clock = std::chrono::steady_clock;

// A write is an fsync: not one for every result.
constexpr size_t kResultsPerWrite = 8;

}  // namespace

TuningMode tuning_mode_from(std::string_view name) {
  if (name == "off") return TuningMode::kOff;
  if (name == "tune") return TuningMode::kTune;
  if (name == "background") return TuningMode::kBackground;
  return TuningMode::kUse;
}

TuningSession::TuningSession(Tuner* tuner, TuningOptions options)
    : tuner_(options.mode == TuningMode::kOff ? nullptr : tuner), options_(std::move(options)) {
  if (tuner_ == nullptr) return;
  const std::filesystem::path file = tuning_file_in(options_.directory, tuner_->device());
  if (!file.empty()) store_ = std::make_unique<TuningStore>(file, tuner_->validators());
  use_file();
  const int n = tuner_->n_selections(), n_gaps = tuner_->n_gaps();
  if (n > 0) {
    spdlog::info("tuning: {} of {} kernel selections are tuned ({})", n - n_gaps, n,
                 store_ ? store_->file().string() : "no cache directory");
  }
}

TuningSession::~TuningSession() { flush(); }

void TuningSession::use_file() {
  TuningResults results = store_ ? store_->read() : TuningResults();
  for (const auto& [key, result] : kept_) results[key] = result;
  tuner_->use(results);
}

Result<> TuningSession::fill_gaps(const Progress& progress, const Meanwhile& meanwhile) {
  if (tuner_ == nullptr || options_.mode != TuningMode::kTune) return {};
  const int n_before = tuner_->n_gaps();
  if (n_before == 0) {
    spdlog::info("tuning: nothing to tune");
    return {};
  }
  const auto start = Clock::now();
  Result<> went_on;
  progress(0, static_cast<uint64_t>(n_before));
  while (went_on && Clock::now() - start < options_.budget && tuner_->step()) {
    progress(static_cast<uint64_t>(n_before - tuner_->n_gaps()), static_cast<uint64_t>(n_before));
    if (meanwhile) went_on = meanwhile();
  }
  tuner_->pause();
  const TuningResults found = tuner_->take_found();
  for (const auto& [key, result] : found) kept_[key] = unwritten_[key] = result;
  const int n_left = tuner_->n_gaps();
  spdlog::info("tuning: {} kernel selections measured in {:.1f} s{}", n_before - n_left,
               std::chrono::duration<double>(Clock::now() - start).count(),
               n_left == 0 ? std::string() : fmt::format(", {} are left for the next time", n_left));
  return went_on;
}

bool TuningSession::wants_idle_work() const {
  return tuner_ != nullptr && options_.mode == TuningMode::kBackground && !has_given_up_ &&
         tuner_->n_gaps() > 0;
}

bool TuningSession::idle_step() {
  has_given_up_ = !tuner_->step();
  TuningResults found = tuner_->take_found();
  if (found.empty()) return false;
  for (const auto& [key, result] : found) kept_[key] = unwritten_[key] = result;
  const bool is_last = tuner_->n_gaps() == 0;
  if (is_last) {
    tuner_->pause();
    spdlog::info("tuning: all {} kernel selections are tuned", tuner_->n_selections());
  }
  if (!is_last && unwritten_.size() < kResultsPerWrite) return false;
  flush();
  return true;
}

bool TuningSession::refresh() {
  if (tuner_ == nullptr || !store_ || !store_->has_changed()) return false;
  spdlog::info("tuning: {} has changed", store_->file().string());
  use_file();
  return true;
}

void TuningSession::flush() {
  if (!store_ || unwritten_.empty() || !can_write_) return;
  if (const auto merged = store_->merge(unwritten_); !merged) {
    spdlog::warn("tuning: results are kept until halod ends, and not longer: {}", merged.error().message);
    can_write_ = false;
  }
  unwritten_.clear();
}

}  // namespace halod
