// Which way through a product is fastest on this device: each is checked, then timed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "runtime/backend/hip/check_inputs.h"
#include "runtime/backend/hip/device.h"
#include "runtime/backend/hip/product_choice.h"
#include "runtime/backend/tuning/trial_rounds.h"

namespace halod::hip {

/// Rows of random weights on the device, over and over until they fill as much memory as a model's do (at
/// most kMaxBytes): what a step reads has not been read since the step before, so caches hold no more of it
/// than they would of a model.
class ProductWeights {
 public:
  /// Eight times the last cache of a Strix Halo.
  static constexpr int64_t kMaxBytes = 256 << 20;
  static constexpr int64_t kRows = 64;  ///< that differ

  /// Errors: kOutOfMemory.
  static Result<ProductWeights> make(Device& device, Format format, int64_t cols, int64_t n_bytes);

  Format format() const { return format_; }
  int64_t cols() const { return cols_; }
  int64_t n_rows() const { return n_rows_; }  ///< at least 2 * kRows
  /// Matrices of so many rows, one after the other. REQUIRES: those that are read fit behind first_row.
  WeightRows matrices(int64_t first_row, int64_t rows) const;

 private:
  Format format_ = Format::kF32;
  int64_t cols_ = 0, n_rows_ = 0, row_bytes_ = 0;
  DeviceMemory memory_;
};

/// Why a tile must not be used for weights of this shape; empty: its results are those of decode's kernels,
/// bit for bit, and the reference's but for rounding. Throws ErrorException where there is no memory.
std::string why_wrong(Device& device, const ProductShape& shape, const PromptTile& tile);

/// What why_wrong() said, by shapes without their rows.
using KnownProblems = std::map<std::pair<ProductShape, KernelId>, std::string>;

/// One shape and class of tokens. Thread: the device's.
class ProductTrial {
 public:
  struct Setup {
    ProductShape shape;
    int64_t rows = 0;  ///< of one matrix
    size_t tokens_class = 0;
    /// The one that runs untuned comes first.
    std::vector<ProductWay> ways = {};
  };
  /// Device, weights and problems must outlive it; `problems` are looked up and added to. Throws
  /// ErrorException where there is no memory.
  ProductTrial(Device& device, const ProductWeights& weights, KnownProblems& problems, Setup setup);

  /// Does some milliseconds of work. False: there is nothing left to do.
  bool step();

  // REQUIRES: step() has returned false.

  /// The first way unless another one is faster by more than noise.
  const ProductWay& winner() const { return setup_.ways[rounds_.winner()]; }
  /// Of a way's runs, for all rows and experts; 0: it never ran.
  double median_seconds(size_t way) const;

 private:
  void check_next();
  bool is_right(const PromptTile* tile);
  void cut_to_size();
  void route();
  double seconds(const ProductWay& way);
  void launch_once(const ProductWay& way);
  void launch_linear(const ProductWay& way, const WeightRows& weights);
  void launch_gate_up(const ProductWay& way, const WeightRows& gate, const WeightRows& up);
  RowGroups groups() const;
  bool is_linear() const { return setup_.shape.product == Product::kLinear; }
  /// Matrices that a row meets.
  int64_t n_halves() const { return setup_.shape.product == Product::kGateUp ? 2 : 1; }

  Device& device_;
  const ProductWeights& weights_;
  KnownProblems& problems_;
  const Setup setup_;
  int64_t n_tokens_ = 0;
  // What is measured of it.
  int64_t rows_ = 0, n_experts_ = 1, n_slots_ = 0;
  int64_t first_row_ = 0;
  std::optional<CheckActivations> x_{}, h_{};
  std::optional<DeviceArray<float>> y_{};
  std::optional<DeviceArray<int32_t>> offsets_{}, order_{};
  TrialRounds rounds_;
  size_t n_checked_ = 0;
  int64_t n_repeats_ = 0;  ///< 0: not known yet
};

}  // namespace halod::hip
