// Choosing kernels by measuring them: what is chosen, what never is, and that results stay the same.
#include "runtime/backend/cpu/cpu_tuner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "base/thread_pool.h"
#include "runtime/backend/tuning/tuning_session.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

constexpr int64_t kRows = 256, kCols = 512, kBytes = 1 << 20;

bool supports_all(Format, int64_t) { return true; }

/// Fast, because it computes nothing.
void compute_nothing(const MatmulArgs& args) {
  for (int64_t t = 0; t < args.n_tokens; ++t)
    std::memset(args.y.row_data(args.y_row(t)) + (args.first_row - args.y_origin), 0,
                static_cast<size_t>(std::min(args.n_rows, args.y.cols)) * sizeof(float));
}
/// Right but for the last bits: as far as rounding goes it could be the reference.
void compute_other_bits(const MatmulArgs& args) {
  select_matmul(args.weight.format, args.weight.cols, false)->run(args);
  args.y(args.y_row(0), args.first_row - args.y_origin) *= 1.0F + 0x1p-22F;
}
void compute_slowly(const MatmulArgs& args) {
  select_matmul(args.weight.format, args.weight.cols, false)->run(args);
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

MatmulVariant variant_like(const MatmulVariant& placed, std::string_view name,
                           void (*run)(const MatmulArgs&)) {
  return {name, placed.isa, placed.layout, placed.needs_codes, placed.results, supports_all, run};
}

class ACpuTuner : public testing::Test {
 protected:
  const MatmulVariant& placed_ = *select_matmul(Format::kQ8_0, kCols, false);
  ThreadPool threads_{2};
  CpuTuner tuner_{threads_};

  const MatmulChoice& place() { return *tuner_.choice(Format::kQ8_0, kRows, kCols, false, false, kBytes); }
  void tune() {
    while (tuner_.step()) {
    }
  }
};

TEST_F(ACpuTuner, NeverTakesAFastKernelThatIsWrong) {
  const MatmulVariant nothing = variant_like(placed_, "test_nothing", compute_nothing),
                      other_bits = variant_like(placed_, "test_other_bits", compute_other_bits);
  tuner_.add_candidate(nothing);
  tuner_.add_candidate(other_bits);
  const MatmulChoice& choice = place();
  ASSERT_GT(tuner_.n_gaps(), 0);
  tune();
  EXPECT_EQ(tuner_.n_gaps(), 0);
  for (const MatmulChoice::PerTokens& chosen : choice.by_tokens) {
    EXPECT_NE(chosen.solution.variant, &nothing);
    EXPECT_NE(chosen.solution.variant, &other_bits);
  }
  for (const auto& [key, result] : tuner_.take_found())
    EXPECT_FALSE(result.solution.starts_with("test_")) << key.params;
}

TEST_F(ACpuTuner, SaysWhatIsWrongWithAKernel) {
  const TrialWeights weights = TrialWeights::make(Format::kQ8_0, kCols, placed_.layout, kBytes).value();
  EXPECT_EQ(why_wrong(placed_, placed_, weights, 8), "");
  EXPECT_THAT(why_wrong(variant_like(placed_, "n", compute_nothing), placed_, weights, 8),
              testing::HasSubstr("reference"));
  EXPECT_THAT(why_wrong(variant_like(placed_, "o", compute_other_bits), placed_, weights, 8),
              testing::HasSubstr("bit for bit"));
}

TEST_F(ACpuTuner, FindsEveryRowOfTheTableRight) {
  for (const FormatTraits& format : all_formats()) {
    const MatmulVariant& placed = *select_matmul(format.format, kCols, false);
    const TrialWeights weights = TrialWeights::make(format.format, kCols, placed.layout, kBytes).value();
    for (const MatmulVariant* candidate : matmul_equals(placed, format.format, kCols))
      EXPECT_EQ(why_wrong(*candidate, placed, weights, 8), "") << candidate->name << " " << format.name;
  }
}

TEST_F(ACpuTuner, TakesTheFasterOfTwoRightOnes) {
  // As if the table's first row were slow: by a millisecond for each task.
  const MatmulVariant slow = variant_like(placed_, "test_slow", compute_slowly);
  const TrialWeights weights = TrialWeights::make(Format::kQ8_0, kCols, placed_.layout, kBytes).value();
  MatmulTrial trial({.shape = shape_class(Format::kQ8_0, kRows, kCols, false, 2),
                     .rows = kRows,
                     .tokens_class = 0,
                     .candidates = {{&slow}, {&placed_}}},
                    weights, threads_);
  while (trial.step()) {
  }
  EXPECT_EQ(trial.outcome().solution.variant, &placed_);
  EXPECT_LT(trial.outcome().seconds, trial.outcome().untuned_seconds);
  MatmulTrial other({.shape = shape_class(Format::kQ8_0, kRows, kCols, false, 2),
                     .rows = kRows,
                     .tokens_class = 0,
                     .candidates = {{&placed_}, {&slow}}},
                    weights, threads_);
  while (other.step()) {
  }
  EXPECT_EQ(other.outcome().solution.variant, &placed_);
}

TEST_F(ACpuTuner, WorksInStepsThatARequestCanWaitFor) {
  place();
  double longest = 0;
  auto start = std::chrono::steady_clock::now();
  while (tuner_.step()) {
    const auto now = std::chrono::steady_clock::now();
    longest = std::max(longest, std::chrono::duration<double>(now - start).count());
    start = now;
  }
  EXPECT_LT(longest, 1.0);  // milliseconds, but the machine may be busy
}

TEST_F(ACpuTuner, UsesResultsOfItsOwnCandidatesAlone) {
  const MatmulChoice& choice = place();
  const TuningKey key = tuning_key(shape_class(Format::kQ8_0, kRows, kCols, false, 2), 0);
  const auto equals = matmul_equals(placed_, Format::kQ8_0, kCols);
  if (equals.size() < 2) GTEST_SKIP() << "this CPU has one kernel for Q8_0";
  tuner_.use({{key, {std::string(equals[1]->name), 1}}});
  EXPECT_EQ(choice.by_tokens[0].solution.variant, equals[1]);
  EXPECT_TRUE(choice.by_tokens[0].is_tuned);
  EXPECT_EQ(choice.by_tokens[1].solution.variant, &placed_);
  const int n_gaps = tuner_.n_gaps();
  // Of another layout, of other results, of nobody.
  for (const char* poison : {"reference", "avx512_vnni_expanded16", "baseline_tiles16", "no_such_kernel"}) {
    tuner_.use({{key, {poison, 1}}});
    EXPECT_EQ(choice.by_tokens[0].solution.variant, &placed_) << poison;
    EXPECT_EQ(tuner_.n_gaps(), n_gaps + 1) << poison;
  }
}

TEST_F(ACpuTuner, ReadsHowRowsAreShared) {
  const std::vector<const MatmulVariant*> variants = {&placed_};
  const std::string name(placed_.name);
  EXPECT_EQ(parse_solution(name, variants), (Solution{&placed_, 0}));
  EXPECT_EQ(parse_solution(name + ":rows_64", variants), (Solution{&placed_, 64}));
  EXPECT_EQ(to_string(Solution{&placed_, 64}), name + ":rows_64");
  for (const char* rows : {":rows_", ":rows_0", ":rows_-16", ":rows_17", ":rows_16x", ":rows_1048576",
                           ":rows_99999999999999999999"})
    EXPECT_EQ(parse_solution(name + rows, variants), std::nullopt) << rows;
}

TEST_F(ACpuTuner, SaysWhatIsTunedAndWhatIsNot) {
  place();
  for (const CpuTuner::Selected& row : tuner_.selected())
    EXPECT_EQ(row.tuning, tuner_.n_gaps() > 0 ? "untuned" : "");
  tune();
  for (const CpuTuner::Selected& row : tuner_.selected()) EXPECT_NE(row.tuning, "untuned");
}

TEST_F(ACpuTuner, HasNothingToChooseForExactComputation) {
  ASSERT_NE(tuner_.choice(Format::kQ8_0, kRows, kCols, false, true, kBytes), nullptr);
  EXPECT_EQ(tuner_.n_selections(), 0);
}

TEST_F(ACpuTuner, TunesNothingAtASecondStart) {
  TemporaryFolder folder;
  const TuningOptions tune{
      .mode = TuningMode::kTune, .budget = std::chrono::minutes(5), .directory = folder.path()};
  place();
  const int n = tuner_.n_gaps();
  uint64_t n_told = 0;
  {
    TuningSession session(&tuner_, tune);
    ASSERT_TRUE(session.fill_gaps([&](uint64_t done, uint64_t) { n_told = done; }, {}));
    EXPECT_EQ(n_told, static_cast<uint64_t>(n));
  }
  CpuTuner second(threads_);
  ASSERT_NE(second.choice(Format::kQ8_0, kRows, kCols, false, false, kBytes), nullptr);
  EXPECT_EQ(second.n_gaps(), n);
  TuningSession session(&second, tune);
  EXPECT_EQ(second.n_gaps(), 0);
  ASSERT_TRUE(session.fill_gaps([](uint64_t, uint64_t) { FAIL() << "it tunes again"; }, {}));
  EXPECT_TRUE(second.take_found().empty());
  // The same for those who only use it; off leaves it alone.
  for (const auto& [mode, n_gaps] : {std::pair(TuningMode::kUse, 0), std::pair(TuningMode::kOff, n)}) {
    CpuTuner third(threads_);
    third.choice(Format::kQ8_0, kRows, kCols, false, false, kBytes);
    const TuningSession of_third(&third, {.mode = mode, .directory = folder.path()});
    EXPECT_EQ(third.n_gaps(), n_gaps);
  }
}

TEST_F(ACpuTuner, KeepsToItsBudget) {
  for (int64_t cols = 512; cols <= 8192; cols += 512)
    tuner_.choice(Format::kQ8_0, 4096, cols, false, false, kBytes);
  TemporaryFolder folder;
  TuningSession session(
      &tuner_,
      {.mode = TuningMode::kTune, .budget = std::chrono::milliseconds(50), .directory = folder.path()});
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(session.fill_gaps([](uint64_t, uint64_t) {}, {}));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  EXPECT_GT(tuner_.n_gaps(), 0);
}

TEST_F(ACpuTuner, GoesOnWithoutAPlaceForItsResults) {
  TemporaryFolder folder;
  place();
  TuningSession session(
      &tuner_, {.mode = TuningMode::kBackground, .directory = folder.write_file("a-file", "") / "below"});
  while (session.wants_idle_work()) session.idle_step();
  EXPECT_EQ(tuner_.n_gaps(), 0);
}

TEST_F(ACpuTuner, TakesOverWhatAnotherProgramWrites) {
  const auto equals = matmul_equals(placed_, Format::kQ8_0, kCols);
  if (equals.size() < 2) GTEST_SKIP() << "this CPU has one kernel for Q8_0";
  TemporaryFolder folder;
  const MatmulChoice& choice = place();
  TuningSession session(&tuner_, {.mode = TuningMode::kUse, .directory = folder.path()});
  EXPECT_FALSE(session.refresh());
  TuningStore other(tuning_file_in(folder.path(), "cpu"), cpu_validators());
  ASSERT_TRUE(other.merge({{tuning_key(shape_class(Format::kQ8_0, kRows, kCols, false, 2), 0),
                            {std::string(equals[1]->name), 1}}}));
  EXPECT_TRUE(session.refresh());
  EXPECT_EQ(choice.by_tokens[0].solution.variant, equals[1]);
  EXPECT_FALSE(session.refresh());
}

}  // namespace
}  // namespace halod
