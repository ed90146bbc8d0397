// Tuning of the CPU backend: matrix products.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "base/thread_pool.h"
#include "runtime/backend/cpu/matmul_choice.h"
#include "runtime/backend/tuning/matmul_trial.h"
#include "runtime/backend/tuning/tuner.h"
#include "runtime/backend/tuning/tuning_store.h"

namespace halod {

/// Owns the choices that the backend's weights refer to. Thread: the backend's.
class CpuTuner final : public Tuner {
 public:
  explicit CpuTuner(ThreadPool& threads) : threads_(threads) {}

  /// The choice for weights of this shape, the same one for all of a class; it stays where it is. nullptr: no
  /// kernel takes them. `n_bytes`: what the weight adds to the model.
  const MatmulChoice* choice(Format format, int64_t rows, int64_t cols, bool experts, bool exact,
                             int64_t n_bytes);

  struct Selected {
    Format format;
    const MatmulVariant* variant;
    std::string_view tuning;  ///< "tuned", "untuned"; empty: there is nothing to choose
    friend auto operator<=>(const Selected&, const Selected&) = default;
  };
  /// What is in force for the weights placed so far, none twice.
  std::vector<Selected> selected() const;

  std::string_view device() const override { return "cpu"; }
  Validators validators() const override { return cpu_validators(); }
  void expect(const Checkpoint& file) override;
  void use(const TuningResults& results) override;
  int n_gaps() const override;
  int n_selections() const override;
  bool step() override;
  TuningResults take_found() override;
  void pause() override;
  std::vector<TuningComparison> compare() override;

  /// For tests: one more candidate for every shape, as if the table had it.
  void add_candidate(const MatmulVariant& variant) { extra_candidates_.push_back(&variant); }

 private:
  struct Tuned {
    MatmulChoice choice;
    int64_t rows = 0;  ///< of the largest matrix
    std::vector<const MatmulVariant*> candidates = {};
  };
  struct Gap {
    ShapeClass shape;
    size_t tokens_class;
  };
  /// The candidates that differ from the first for so many tokens, the first included.
  static bool is_tunable(const Tuned& tuned, size_t tokens_class);
  std::optional<Gap> next_gap() const;
  bool start(const Gap& gap);
  void start_trial(const Gap& gap, std::vector<Solution> candidates);
  /// The kernel first, then how its rows are shared.
  std::vector<Solution> shares_of(const Solution& solution) const;
  void finish();

  ThreadPool& threads_;
  std::map<ShapeClass, Tuned> shapes_;
  int64_t weight_bytes_ = 0;
  std::vector<const MatmulVariant*> extra_candidates_;
  TuningResults found_;
  // What step() is about.
  std::optional<Gap> gap_{};
  std::optional<TrialWeights> weights_{};
  std::optional<MatmulTrial> trial_{};
  bool is_about_shares_ = false;
  double untuned_seconds_ = 0;
};

}  // namespace halod
