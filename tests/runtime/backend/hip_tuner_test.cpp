// Choosing a GPU's kernels by measuring them, on the lanes: times come from a script, so that choices do not
// depend on what else the machine does.
#include "runtime/backend/hip/hip_tuner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/backend/hip/graph_device.h"
#include "runtime/backend/tuning/tuning_session.h"
#include "tests/support/scripted_device.h"
#include "tests/support/temporary_folder.h"

namespace halod::hip {
namespace {

using test::Script;
using test::ScriptedDevice;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

/// Tensors without data.
class TableOfTensors final : public Checkpoint {
 public:
  TableOfTensors() : Checkpoint("table") {
    metadata_.insert("general.architecture", std::string("qwen3moe"));
    metadata_.insert("qwen3moe.expert_used_count", int64_t{2});
  }
  TableOfTensors& add(const std::string& name, Format format, std::vector<int64_t> shape) {
    const int64_t row_bytes = traits(format).row_bytes(shape.back());
    TensorInfo tensor{.name = name, .format = format, .shape = std::move(shape)};
    tensor.size_bytes = static_cast<uint64_t>(tensor.rows() * row_bytes);
    EXPECT_TRUE(add_tensor(tensor));
    return *this;
  }
  uint64_t file_bytes() const override { return 0; }
  Result<TokenizerData> tokenizer_data() const override { return Error{ErrorCode::kUnsupported, "none"}; }
  Result<> read(const TensorInfo&, uint64_t, std::span<std::byte>) const override {
    ADD_FAILURE() << "a weight is read";
    return {};
  }
  void prefetch(const TensorInfo&, uint64_t, uint64_t) const override {}
};

class AHipTuner : public testing::Test {
 protected:
  void tune() {
    while (tuner_.step()) {
    }
    EXPECT_EQ(tuner_.n_gaps(), 0);
  }
  const ProductChoice& choice(const std::string& name) {
    return *tuner_.choice(table_, *table_.find_tensor(name));
  }
  /// Ways by class of tokens, of those that are chosen.
  static std::vector<std::string> ways_of(const ProductChoice& choice) {
    std::vector<std::string> ways;
    for (const TokensClass& tokens : kPromptClassesOfTokens)
      ways.emplace_back(choice.way(tokens.typical).name);
    return ways;
  }

  Script script_;
  ScriptedDevice device_{script_};
  HipTuner tuner_{device_};
  TableOfTensors table_;
};

TEST_F(AHipTuner, KnowsByItsNameWhatATensorTakesPartIn) {
  table_.add("token_embd.weight", Format::kQ4_K, {320, 256})
      .add("output.weight", Format::kQ6_K, {320, 256})
      .add("blk.0.attn_norm.weight", Format::kF32, {256})
      .add("blk.0.attn_q.weight", Format::kQ4_K, {512, 256})
      .add("blk.0.ffn_gate_inp.weight", Format::kF32, {8, 256})
      .add("blk.0.ffn_gate_exps.weight", Format::kQ4_K, {8, 200, 256})
      .add("blk.0.ffn_up_exps.weight", Format::kQ4_K, {8, 200, 256})
      .add("blk.0.ffn_down_exps.weight", Format::kQ6_K, {8, 256, 256})
      .add("blk.1.ffn_gate_up_exps.weight", Format::kQ8_0, {8, 512, 256})
      .add("blk.2.ffn_up.weight", Format::kQ4_0, {512, 256})
      .add("blk.2.ssm_conv1d.weight", Format::kF32, {512, 4});
  const auto key_of = [&](const std::string& name) -> std::string {
    const auto product = placed_product(table_, *table_.find_tensor(name));
    if (!product) return "none";
    const TuningKey key = product_key(product->shape, 7);
    return key.operation + "," + key.params;
  };
  EXPECT_EQ(key_of("output.weight"), "PromptLinear_Q6_K,cols_256_rows_512_tokens_257-512");
  EXPECT_EQ(key_of("blk.0.attn_q.weight"), "PromptLinear_Q4_K,cols_256_rows_512_tokens_257-512");
  EXPECT_EQ(key_of("blk.0.ffn_gate_exps.weight"),
            "PromptGateUpExperts_Q4_K,cols_256_rows_256_experts_2_of_8_tokens_257-512");
  EXPECT_EQ(key_of("blk.0.ffn_down_exps.weight"),
            "PromptLinearExperts_Q6_K,cols_256_rows_256_experts_2_of_8_tokens_257-512");
  EXPECT_EQ(key_of("blk.1.ffn_gate_up_exps.weight"),
            "PromptGateUpExperts_Q8_0,cols_256_rows_256_experts_2_of_8_tokens_257-512");
  EXPECT_EQ(key_of("blk.2.ffn_up.weight"), "PromptUp_Q4_0,cols_256_rows_512_tokens_257-512");
  for (const char* name : {"token_embd.weight", "blk.0.attn_norm.weight", "blk.0.ffn_gate_inp.weight",
                           "blk.0.ffn_up_exps.weight", "blk.2.ssm_conv1d.weight"})
    EXPECT_EQ(key_of(name), "none") << name;
}

TEST_F(AHipTuner, DoesAsTheTablesSayWhereNothingIsTuned) {
  table_.add("a.weight", Format::kQ4_K, {512, 256}).add("blk.0.ffn_gate.weight", Format::kQ4_K, {512, 256});
  EXPECT_EQ(ways_of(choice("a.weight")),
            (std::vector<std::string>{"linear", "linear", "prompt_linear_16", "prompt_linear_32",
                                      "prompt_linear_32", "prompt_linear_32", "prompt_linear_32",
                                      "prompt_linear_32", "prompt_linear_32"}));
  EXPECT_EQ(choice("blk.0.ffn_gate.weight").way(8).name, "gate_up");
  EXPECT_EQ(choice("blk.0.ffn_gate.weight").way(9).name, "prompt_gate_up_16");
  EXPECT_EQ(choice("a.weight").way(1).name, "linear");
  for (const HipTuner::Selected& row : tuner_.selected()) EXPECT_EQ(row.tuning, "untuned");
}

TEST_F(AHipTuner, TakesWhatIsFastest) {
  table_.add("a.weight", Format::kQ4_K, {512, 256}).add("blk.0.ffn_gate.weight", Format::kQ8_0, {512, 256});
  script_.seconds = {
      {"prompt_linear_64", 0.5e-3}, {"prompt_gate_up_16", 0.6e-3}, {"linear_4", 2e-3}, {"linear_8", 0.3e-3}};
  const ProductChoice &linear = choice("a.weight"), &gate_up = choice("blk.0.ffn_gate.weight");
  tune();
  // linear_8 takes two launches for 16 rows and four for 32.
  EXPECT_EQ(ways_of(linear),
            (std::vector<std::string>{"prompt_linear_16", "linear", "linear", "prompt_linear_32",
                                      "prompt_linear_64", "prompt_linear_64", "prompt_linear_64",
                                      "prompt_linear_64", "prompt_linear_64"}));
  for (const std::string& way : ways_of(gate_up)) EXPECT_EQ(way, "prompt_gate_up_16");
  EXPECT_FALSE(script_.timed.contains("linear_1"));
  for (const HipTuner::Selected& row : tuner_.selected()) EXPECT_EQ(row.tuning, "tuned");
}

TEST_F(AHipTuner, StaysWithTheTablesOrderWhereNothingIsFaster) {
  table_.add("blk.0.ffn_down_exps.weight", Format::kQ6_K, {32, 256, 256});
  const ProductChoice& choice = this->choice("blk.0.ffn_down_exps.weight");
  tune();
  for (size_t i = 0; i < kPromptClassesOfTokens.size(); ++i) {
    EXPECT_EQ(choice.by_tokens[i].is_tuned, product_ways(choice.shape, i).size() > 1);
    EXPECT_FALSE(choice.by_tokens[i].way) << "a class may have rows that the table has another tile for";
  }
  EXPECT_TRUE(choice.by_tokens[8].is_tuned);
  EXPECT_FALSE(choice.by_tokens[0].is_tuned) << "experts of few tokens have no choice";
}

TEST_F(AHipTuner, NeverTakesAFastTileThatIsWrong) {
  std::ostringstream log;
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
  table_.add("a.weight", Format::kQ4_K, {512, 256})
      .add("blk.0.ffn_down_exps.weight", Format::kQ6_K, {8, 256, 256})
      .add("blk.0.ffn_gate_exps.weight", Format::kQ4_K, {8, 256, 256});
  script_.seconds = {{"prompt_linear_64", 1e-6}, {"prompt_gate_up_16", 1e-6}};
  script_.inexact_kernel = "prompt_linear_64";
  script_.idle_kernel = "prompt_gate_up_16";
  choice("a.weight");
  choice("blk.0.ffn_down_exps.weight");
  choice("blk.0.ffn_gate_exps.weight");
  tune();
  spdlog::set_default_logger(before);
  EXPECT_THAT(script_.timed, Not(Contains("prompt_linear_64")));
  for (const auto& [key, result] : tuner_.take_found()) {
    EXPECT_NE(result.solution, "prompt_linear_64") << key.operation << " " << key.params;
    EXPECT_NE(result.solution, "prompt_gate_up_16") << key.operation << " " << key.params;
  }
  EXPECT_THAT(log.str(), HasSubstr("tuning: prompt_linear_64 is not used for PromptLinear_Q4_K"));
  EXPECT_THAT(log.str(), HasSubstr("bits' finds an error of 1.0e+00"));
  EXPECT_THAT(log.str(), HasSubstr("tuning: prompt_gate_up_16 is not used for PromptGateUpExperts_Q4_K"));
}

TEST_F(AHipTuner, TakesNothingElseWhereTheUntunedTileIsWrong) {
  table_.add("a.weight", Format::kQ4_K, {512, 256});
  script_.seconds = {{"prompt_linear_64", 1e-6}};
  script_.inexact_kernel = "prompt_linear_32";
  const ProductChoice& choice = this->choice("a.weight");
  tune();
  EXPECT_EQ(choice.way(512).name, "prompt_linear_32");
}

TEST_F(AHipTuner, UsesResultsOfItsOwnWaysAlone) {
  table_.add("a.weight", Format::kQ4_K, {512, 256});
  const ProductChoice& choice = this->choice("a.weight");
  const TuningKey key = product_key(choice.shape, 7);
  tuner_.use({{key, {"prompt_linear_64", 1}}});
  EXPECT_EQ(choice.way(300).name, "prompt_linear_64");
  EXPECT_EQ(choice.way(200).name, "prompt_linear_32");
  const int n_gaps = tuner_.n_gaps();
  EXPECT_EQ(n_gaps, tuner_.n_selections() - 1);
  // Of another product, of other weights, too slow to be measured, of nobody.
  for (const char* poison :
       {"prompt_gate_up_16", "prompt_linear_floats", "linear", "linear_8", "no_such_kernel"}) {
    tuner_.use({{key, {poison, 1}}});
    EXPECT_EQ(choice.way(300).name, "prompt_linear_32") << poison;
    EXPECT_EQ(tuner_.n_gaps(), n_gaps + 1) << poison;
  }
}

TEST_F(AHipTuner, TunesNothingAtASecondStart) {
  const TemporaryFolder folder;
  const TuningOptions options{
      .mode = TuningMode::kTune, .budget = std::chrono::minutes(5), .directory = folder.path()};
  table_.add("a.weight", Format::kQ4_K, {512, 256});
  script_.seconds = {{"prompt_linear_64", 0.5e-3}};
  tuner_.expect(table_);
  {
    TuningSession session(&tuner_, options);
    ASSERT_TRUE(session.fill_gaps([](uint64_t, uint64_t) {}, {}));
  }
  std::ifstream file(folder.path() / "tuning-lanes.csv");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(text, HasSubstr("Validator,GCN_ARCH_NAME,lanes\n"));
  EXPECT_THAT(text, HasSubstr("\nPromptLinear_Q4_K,cols_256_rows_512_tokens_257-512,prompt_linear_64,4\n"));
  HipTuner second(device_);
  second.expect(table_);
  TuningSession session(&second, options);
  EXPECT_EQ(second.n_gaps(), 0);
  ASSERT_TRUE(session.fill_gaps([](uint64_t, uint64_t) { FAIL() << "it tunes again"; }, {}));
  EXPECT_EQ(second.choice(table_, table_.tensors()[0])->way(512).name, "prompt_linear_64");
}

TEST_F(AHipTuner, SetsTheFileOfAnotherDeviceAside) {
  const TemporaryFolder folder;
  table_.add("a.weight", Format::kQ4_K, {512, 256});
  tuner_.expect(table_);
  Validators others = tuner_.validators();
  others[1].value = "gfx1151";
  const TuningKey key = product_key(tuner_.choice(table_, table_.tensors()[0])->shape, 7);
  ASSERT_TRUE(write_tuning(folder.path() / "tuning-lanes.csv", others, {{key, {"prompt_linear_64", 1}}}));
  const TuningSession session(&tuner_, {.mode = TuningMode::kUse, .directory = folder.path()});
  EXPECT_EQ(tuner_.n_gaps(), tuner_.n_selections());
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "tuning-lanes.csv.aside"));
}

TEST_F(AHipTuner, NamesWhatItsResultsDependOn) {
  std::vector<std::string> names;
  for (const Validator& validator : tuner_.validators()) {
    names.push_back(validator.name);
    EXPECT_FALSE(validator.value.empty()) << validator.name;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"HALOD_TUNING_VERSION", "GCN_ARCH_NAME", "COMPUTE_UNITS",
                                             "HIP_VERSION", "DRIVER", "KERNEL_HASH"}));
}

TEST_F(AHipTuner, GivesUpWhereThereIsNoMemoryToMeasureOn) {
  table_.add("a.weight", Format::kQ4_K, {512, 256});
  tuner_.expect(table_);
  script_.most_bytes = 1 << 16;
  while (tuner_.step()) {
  }
  EXPECT_EQ(tuner_.n_gaps(), tuner_.n_selections());
  script_.most_bytes = UINT64_MAX;
  tune();
}

TEST_F(AHipTuner, ComparesWhatItHasChosenWithTheDefault) {
  table_.add("a.weight", Format::kQ4_K, {512, 256});
  script_.seconds = {{"prompt_linear_64", 0.5e-3}};
  tuner_.expect(table_);
  tune();
  const std::vector<TuningComparison> compared = tuner_.compare();
  ASSERT_FALSE(compared.empty());
  for (const TuningComparison& row : compared) {
    EXPECT_EQ(row.solution, "prompt_linear_64");
    EXPECT_NEAR(row.untuned_ms / row.tuned_ms, 2, 1e-9) << row.key.params;
  }
}

TEST(TimedLaunches, PassAGraphDeviceByAndBecomeNoGraph) {
  Script script;
  const auto graphs = make_graph_device(std::make_unique<ScriptedDevice>(script));
  script.seconds = {{"gather", 0.25}};
  const GatherArgs args{};
  const double seconds = graphs->seconds_of([&] {
    for (int i = 0; i < 12; ++i) graphs->launch(KernelId::gather, {}, 0, &args);
  });
  EXPECT_EQ(seconds, 3);
  graphs->synchronize();
  EXPECT_TRUE(script.launches.empty());
}

}  // namespace
}  // namespace halod::hip
