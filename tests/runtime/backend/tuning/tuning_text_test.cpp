#include "runtime/backend/tuning/tuning_text.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace halod {
namespace {

const TuningKey kOneToken = tuning_key(shape_class(Format::kQ4_K, 768, 2048, true, 16), 0);
const Validators kValidators = {{"CPU_MODEL", "AMD RYZEN AI MAX+ 395 w/ Radeon 8060S"},
                                {"KERNEL_HASH", "0f"}};

TEST(TheTuningText, IsTunableOpsGrammar) {
  EXPECT_EQ(format_tuning(kValidators, {{kOneToken, {"avx512_vnni_tiles16_ahead2", 0.0712}}}),
            "Validator,CPU_MODEL,AMD RYZEN AI MAX+ 395 w/ Radeon 8060S\n"
            "Validator,KERNEL_HASH,0f\n"
            "MatmulExperts_Q4_K,cols_2048_rows_1024_tokens_1_threads_16,avx512_vnni_tiles16_ahead2,0.0712\n");
}

TEST(TheTuningText, IsReadAsItWasWritten) {
  const TuningResults results = {{kOneToken, {"a", 1.5}},
                                 {tuning_key(shape_class(Format::kQ8_0, 1, 32, false, 1), 5), {"b", 0}}};
  const TuningText parsed = parse_tuning(format_tuning(kValidators, results));
  EXPECT_EQ(parsed.validators, kValidators);
  EXPECT_EQ(parsed.results, results);
  EXPECT_EQ(parsed.n_skipped, 0);
}

TEST(TheTuningText, LosesDamagedLinesAlone) {
  const struct {
    const char* line;
    const char* why;
  } rows[] = {
      {"Matmul_Q4_K,p,a", "not 'OPERATION,PARAMS,SOLUTION,TIME_MS'"},
      {"Matmul_Q4_K,p,a,1,2", "not 'OPERATION,PARAMS,SOLUTION,TIME_MS'"},
      {"Matmul_Q4_K,p,a,fast", "its time is not a number of milliseconds"},
      {"Matmul_Q4_K,p,a,nan", "its time is not a number of milliseconds"},
      {"Matmul_Q4_K,p,a,inf", "its time is not a number of milliseconds"},
      {"Matmul_Q4_K,p,a,-1", "its time is not a number of milliseconds"},
      {"Matmul_Q4_K,p,a,1e300", "its time is not a number of milliseconds"},
      {"Matmul_Q4_K,p,a,1 ", "its time is not a number of milliseconds"},
      {"Matmul_Q4_K,p,,1", "not a name in it"},
      {"Matmul_Q4_K,p,../../etc/passwd,1", "not a name in it"},
      {"Matmul_Q4_K,p,%s%n,1", "not a name in it"},
      {"Validator,ONLY_A_NAME", "not 'Validator,NAME,VALUE'"},
      {"Matmul_Q4_K,p,\x1b[2J,1", "not text"},
  };
  for (const auto& [line, why] : rows) {
    const TuningText parsed = parse_tuning(std::string("A,p,good,1\n") + line + "\nB,p,good,2\n");
    EXPECT_EQ(parsed.results.size(), 2U) << line;
    EXPECT_EQ(parsed.n_skipped, 1) << line;
    EXPECT_EQ(parsed.first_problem, std::string("line 2: ") + why) << line;
  }
}

TEST(TheTuningText, DistrustsALineWithoutItsEnd) {
  const std::string whole = format_tuning(kValidators, {{kOneToken, {"a", 12.5}}});
  for (size_t n = 0; n < whole.size(); ++n) {
    const TuningText parsed = parse_tuning(whole.substr(0, n));
    EXPECT_TRUE(parsed.results.empty()) << n;
  }
}

TEST(TheTuningText, TakesTheLastOfTwoAndWindowsLineEnds) {
  const TuningText parsed = parse_tuning("A,p,first,1\r\n\r\nA,p,last,2\r\n");
  EXPECT_EQ(parsed.results.at({"A", "p"}), (TuningResult{"last", 2}));
  EXPECT_EQ(parsed.n_skipped, 0);
}

TEST(TheTuningText, HasBounds) {
  std::string many;
  for (int i = 0; i < 30'000; ++i) many += "A,p" + std::to_string(i) + ",s,1\n";
  EXPECT_EQ(parse_tuning(many).results.size(), 20'000U);
  EXPECT_EQ(parse_tuning(std::string(1 << 20, 'x') + "\n").first_problem, "line 1: too long");
}

TEST(TheTuningText, SurvivesNoise) {
  std::mt19937 generator(1);
  const std::string good = format_tuning(kValidators, {{kOneToken, {"a", 12.5}}});
  for (int i = 0; i < 2000; ++i) {
    std::string text = good;
    for (int n = 0; n < 5; ++n) text[generator() % text.size()] = static_cast<char>(generator());
    for (const auto& [key, result] : parse_tuning(text).results) EXPECT_LT(result.solution.size(), 200U);
  }
}

TEST(Validators, AreComparedByName) {
  EXPECT_EQ(first_difference({{"A", "1"}, {"B", "2"}}, {{"B", "2"}, {"A", "1"}}), "");
  EXPECT_EQ(first_difference({{"A", "1"}}, {{"A", "2"}}), "A is '1' there and '2' here");
  EXPECT_EQ(first_difference({}, {{"A", "2"}}), "A is missing there and '2' here");
  EXPECT_EQ(first_difference({{"A", "1"}, {"ROCM", "7"}}, {{"A", "1"}}),
            "ROCM is '7' there and missing here");
}

TEST(TokensClasses, CoverEveryNumber) {
  EXPECT_EQ(kTokensClasses[tokens_class_of(1)].name, "1");
  EXPECT_EQ(kTokensClasses[tokens_class_of(2)].name, "2-4");
  EXPECT_EQ(kTokensClasses[tokens_class_of(4)].name, "2-4");
  EXPECT_EQ(kTokensClasses[tokens_class_of(5)].name, "5-8");
  EXPECT_EQ(kTokensClasses[tokens_class_of(32)].name, "9-32");
  EXPECT_EQ(kTokensClasses[tokens_class_of(33)].name, "33-128");
  EXPECT_EQ(kTokensClasses[tokens_class_of(1 << 20)].name, "129-");
  for (size_t i = 0; i < kTokensClasses.size(); ++i) EXPECT_EQ(tokens_class_of(kTokensClasses[i].typical), i);
}

}  // namespace
}  // namespace halod
