// Which of several kernels multiplies a shape fastest here: each is checked against the reference, then
// timed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/mapped_memory.h"
#include "base/thread_pool.h"
#include "kernels/ops/matmul.h"
#include "runtime/backend/tuning/solution.h"
#include "runtime/backend/tuning/trial_rounds.h"
#include "runtime/backend/tuning/tuning_key.h"

namespace halod {

/// Rows that one task of a parallel product takes: several tiles, so that a task is tens of microseconds, but
/// enough tasks that threads finish together.
int64_t matmul_rows_per_task(int64_t n_rows, int n_threads);
/// The same for experts, whose matrices are small and many.
inline constexpr int64_t kExpertRowsPerTask = 64;
/// Products of fewer multiplications are not shared: waking the other threads and waiting for them costs a
/// few microseconds, ten times that when the machine is busy with other work; a core does a million in ten.
inline constexpr int64_t kWorthForking = 1 << 20;

/// A matrix of random weights, over and over until it fills as much memory as a model's weights do (at most
/// kMaxBytes): what a step reads has not been read since the step before, so caches hold no more of it than
/// they would of a model.
class TrialWeights {
 public:
  static constexpr int64_t kMaxBytes = 128 << 20;

  /// Errors: kOutOfMemory.
  static Result<TrialWeights> make(Format format, int64_t cols, WeightLayout layout, int64_t n_bytes);

  /// As one matrix of so many rows as there is room for.
  const WeightMatrix& matrix() const { return matrix_; }
  /// The first kCheckedRows rows in the file's layout, for the reference.
  WeightMatrix file_rows() const {
    return {matrix_.format, WeightLayout::kRows, file_.data(), kCheckedRows, matrix_.cols};
  }
  static constexpr int64_t kCheckedRows = 51;  ///< three tiles and a part of one

 private:
  std::vector<std::byte> file_;
  MappedMemory memory_;
  WeightMatrix matrix_;
};

/// Activations in both forms.
class TrialActivations {
 public:
  TrialActivations(int64_t n_rows, int64_t cols);
  const Activations& view() const { return view_; }
  /// What the 8-bit form stands for.
  std::vector<float> rounded() const;

 private:
  std::vector<float> values_, scales_, scaled_sums_;
  std::vector<int8_t> codes_;
  std::vector<int32_t> negated_sums_;
  Activations view_;
};

/// Why a kernel must not be used for this shape; empty: its results are those of `placed`, bit for bit, and
/// the reference's but for rounding.
std::string why_wrong(const MatmulVariant& candidate, const MatmulVariant& placed,
                      const TrialWeights& weights, int64_t n_tokens);

/// One shape and class of tokens. Thread: one, which `threads` work for.
class MatmulTrial {
 public:
  struct Setup {
    ShapeClass shape;
    int64_t rows = 0;  ///< of one matrix
    size_t tokens_class = 0;
    /// The one that runs untuned comes first.
    std::vector<Solution> candidates = {};
  };
  /// The weights and the threads must outlive it.
  MatmulTrial(Setup setup, const TrialWeights& weights, ThreadPool& threads);

  /// Does some milliseconds of work. False: there is nothing left to do.
  bool step();

  struct Outcome {
    Solution solution = {};
    double seconds = 0;          ///< the median of its runs, for the whole matrix
    double untuned_seconds = 0;  ///< that of the first candidate
  };
  /// REQUIRES: step() has returned false. The first candidate unless another one is faster by more than
  /// noise.
  Outcome outcome() const;
  /// Of a candidate's runs, for the whole matrix, in the order of the setup; 0: it never ran, because it is
  /// wrong. REQUIRES: as outcome(), and each of them differs from the first for so many tokens.
  double median_seconds(size_t candidate) const;

 private:
  void check_next();
  double seconds_per_row(const Solution& solution);

  const Setup setup_;
  const TrialWeights& weights_;
  ThreadPool& threads_;
  TrialActivations x_;
  std::vector<float> y_;
  int64_t n_rows_ = 0, rows_per_task_ = 0, first_row_ = 0;
  std::vector<Solution> solutions_;
  size_t n_checked_ = 1;  // the first candidate is what the others are checked against
  std::optional<TrialRounds> rounds_{};
};

}  // namespace halod
