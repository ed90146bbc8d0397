// Tuning of the GPU backend: which way rows go through matrix products.
#pragma once

#include <compare>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "runtime/backend/hip/device.h"
#include "runtime/backend/hip/product_choice.h"
#include "runtime/backend/hip/product_trial.h"
#include "runtime/backend/tuning/tuner.h"

namespace halod::hip {

/// Owns the choices that the backend's weights refer to. Thread: the backend's.
class HipTuner final : public Tuner {
 public:
  /// The device must outlive it.
  explicit HipTuner(Device& device) : device_(device) {}

  /// The choice for a tensor that is placed, the same one for all of its shape; it stays where it is.
  /// nullptr: no choice of kernels concerns it.
  const ProductChoice* choice(const Checkpoint& file, const TensorInfo& tensor);

  struct Selected {
    std::string_view operation;
    Format format;
    std::string_view way;
    std::string_view tuning;  ///< "tuned", "untuned"
    friend auto operator<=>(const Selected&, const Selected&) = default;
  };
  /// What is in force where there is a choice, none twice.
  std::vector<Selected> selected() const;

  std::string_view device() const override { return device_.info().target; }
  Validators validators() const override;
  void expect(const Checkpoint& file) override;
  void use(const TuningResults& results) override;
  int n_gaps() const override;
  int n_selections() const override;
  bool step() override;
  TuningResults take_found() override;
  void pause() override;
  std::vector<TuningComparison> compare() override;

 private:
  struct Tuned {
    ProductChoice choice;
    int64_t rows = 0;  ///< of the largest matrix
  };
  struct Gap {
    ProductShape shape;
    size_t tokens_class;
  };
  std::optional<Gap> next_gap() const;
  bool has_weights_for(const ProductShape& shape) const;
  Result<> make_weights_for(const ProductShape& shape);
  Result<> advance();
  void finish();

  Device& device_;
  std::map<ProductShape, Tuned> shapes_;
  int64_t weight_bytes_ = 0;
  TuningResults found_;
  // What step() is about.
  std::optional<Gap> gap_{};
  std::optional<ProductWeights> weights_{};
  KnownProblems problems_;
  std::optional<ProductTrial> trial_{};
};

}  // namespace halod::hip
