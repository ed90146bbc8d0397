// Whole models before, during and after tuning: other kernels, the same bits.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/backend/hip/hip_backend.h"
#include "runtime/backend/tuning/tuning_session.h"
#include "runtime/models/model.h"
#include "runtime/weights/gguf_file.h"
#include "tests/runtime/models/temporary_model.h"
#include "tests/support/scripted_device.h"

namespace halod::hip {
namespace {

using test::Script;
using test::ScriptedDevice;

/// A small model whose steps can be taken before, during and after tuning.
class TunedModel {
 public:
  explicit TunedModel(Script& script, const char* shape = "tiny-moe")
      : path_(shape, "Q4_K_M"),
        backend_(HipBackend::open_untested(std::make_unique<ScriptedDevice>(script), 1)),
        model_(
            load_model(file_, *backend_, {.n_kv_pages = 4, .max_batch_tokens = 64, .max_logit_rows = 1}, {})
                .value()) {}
  /// Logits after so many tokens in one step.
  std::vector<float> step(int32_t n_tokens) {
    const std::vector<PageId> pages = {PageId{2}, PageId{0}};
    std::vector<TokenId> tokens;
    for (int32_t i = 0; i < n_tokens; ++i) tokens.push_back(TokenId{7 * i + 3});
    const SequenceSlice slice{.pages = pages, .n_past = 0, .n_new = n_tokens};
    const int32_t row = n_tokens - 1;
    std::vector<float> logits(static_cast<size_t>(model_->config().vocab_size));
    model_->forward({.tokens = tokens, .sequences = {&slice, 1}, .logit_rows = {&row, 1}},
                    {logits.data(), 1, model_->config().vocab_size});
    return logits;
  }
  Backend& backend() { return *backend_; }

 private:
  test::TemporaryModel path_;
  GgufFile file_ = GgufFile::open(path_.path()).value();
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
};

TEST(ATunedModel, TakesWhatIsChosenAndGivesTheSameBits) {
  for (const char* shape : {"tiny-moe", "tiny-dense"}) {
    Script script;
    // Few rows by the smallest tile, many by the largest.
    script.seconds = {{"linear_8", 1},
                      {"linear_4", 1},
                      {"gate_up_4", 1},
                      {"prompt_linear_16", 0.01},
                      {"prompt_linear_64", 1e-3},
                      {"prompt_linear_32", 0.1},
                      {"prompt_gate_up_32", 0.1},
                      {"prompt_gate_up_16", 0.01}};
    TunedModel model(script, shape);
    const std::vector<float> of_6 = model.step(6), of_40 = model.step(40);
    EXPECT_TRUE(script.launches.contains("linear_8"));
    EXPECT_FALSE(script.launches.contains("prompt_linear_64"));
    Tuner& tuner = *model.backend().tuner();
    const int n = tuner.n_selections();
    EXPECT_GT(n, 0);
    EXPECT_EQ(tuner.n_gaps(), n);
    // As the background does: a request in between is answered as ever.
    for (int i = 0; tuner.step(); ++i) {
      if (i % 500 != 250) continue;
      EXPECT_EQ(model.step(6), of_6) << "in the middle of tuning";
    }
    EXPECT_EQ(tuner.n_gaps(), 0);
    script.launches.clear();
    EXPECT_EQ(model.step(6), of_6);
    EXPECT_FALSE(script.launches.contains("linear_8")) << shape;
    EXPECT_TRUE(script.launches.contains("prompt_linear_16")) << shape;
    script.launches.clear();
    EXPECT_EQ(model.step(40), of_40);
    EXPECT_TRUE(script.launches.contains("prompt_linear_64")) << shape;
    EXPECT_TRUE(script.launches.contains("prompt_gate_up_16")) << shape;
    EXPECT_FALSE(script.launches.contains("prompt_gate_up_32")) << shape;
    for (const SelectedKernel& kernel : model.backend().selections()) EXPECT_EQ(kernel.tuning, "tuned");
  }
}

TEST(ATunedModel, TakesDecodesKernelsForMoreRowsWhereTheyAreFaster) {
  Script script;
  script.seconds = {{"linear_8", 1e-6}, {"gate_up_4", 1e-6}};
  TunedModel model(script, "tiny-dense");
  const std::vector<float> of_24 = model.step(24);
  while (model.backend().tuner()->step()) {
  }
  script.launches.clear();
  EXPECT_EQ(model.step(24), of_24);
  EXPECT_TRUE(script.launches.contains("linear_8"));
  EXPECT_TRUE(script.launches.contains("gate_up_4"));
  EXPECT_FALSE(script.launches.contains("prompt_linear_32"));
  EXPECT_FALSE(script.launches.contains("prompt_gate_up_32"));
}

TEST(ATunedModel, IsMeasuredInStepsOfOneRun) {
  // So that a request waits for no more: what a step launches is one way's run, its repeats 0.5 ms together.
  Script script;
  TunedModel model(script, "tiny-dense");
  TuningSession session(model.backend().tuner(), {.mode = TuningMode::kBackground, .directory = {}});
  int n_steps = 0;
  while (session.wants_idle_work()) {
    script.timed.clear();
    session.idle_step();
    ++n_steps;
    // linear_1 to _8, or one tile.
    EXPECT_LE(script.timed.size(), 1U);
  }
  EXPECT_GT(n_steps, model.backend().tuner()->n_selections());
}

}  // namespace
}  // namespace halod::hip
