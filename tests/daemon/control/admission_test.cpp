#include "daemon/control/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace halod {
namespace {

using ::testing::HasSubstr;

constexpr AdmissionLimits kLimits{
    .n_unfinished = 2, .max_requests = 4, .context_length = 10, .vocab_size = 100};

Result<> admit_one(GenerationRequest& request) { return admit({&request, 1}, kLimits); }

TEST(Admission, GivesARequestWithoutMaxTokensTheRestOfTheContext) {
  GenerationRequest request{.prompt = {1, 2, 3}};
  ASSERT_TRUE(admit_one(request));
  EXPECT_EQ(request.max_tokens, 7U);
}

TEST(Admission, AcceptsWhatFitsExactlyAndStatesTheNumbersOfWhatDoesNot) {
  GenerationRequest fits{.prompt = {1, 2, 3}, .max_tokens = 7};
  EXPECT_TRUE(admit_one(fits));
  GenerationRequest too_long{.prompt = {1, 2, 3}, .max_tokens = 8};
  const auto refused = admit_one(too_long);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kContextOverflow);
  EXPECT_EQ(refused.error().field, "max_tokens");
  EXPECT_THAT(refused.error().message,
              HasSubstr("3 tokens and max_tokens is 8, together 11; the context holds 10"));
}

TEST(Admission, RefusesAPromptThatFillsTheContext) {
  GenerationRequest request{.prompt = std::vector<int32_t>(10, 1)};
  const auto refused = admit_one(request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kContextOverflow);
  EXPECT_THAT(refused.error().message, HasSubstr("10 tokens and the context holds 10"));
}

TEST(Admission, RefusesTokensOutsideTheVocabulary) {
  for (const int32_t token_id : {-1, 100, std::numeric_limits<int32_t>::max()}) {
    GenerationRequest request{.prompt = {1, token_id}};
    const auto refused = admit_one(request);
    ASSERT_FALSE(refused) << token_id;
    EXPECT_EQ(refused.error().field, "prompt");
  }
  GenerationRequest biased{.prompt = {1}, .sampling = {.logit_bias = {{100, 1.0F}}}};
  EXPECT_EQ(admit_one(biased).error().field, "logit_bias");
  GenerationRequest empty;
  EXPECT_EQ(admit_one(empty).error().field, "prompt");
}

TEST(Admission, TakesAllChoicesOrNone) {
  std::vector<GenerationRequest> requests(2, GenerationRequest{.prompt = {1}});
  EXPECT_TRUE(admit(requests, kLimits));
  requests.resize(3, GenerationRequest{.prompt = {1}});
  EXPECT_EQ(admit(requests, kLimits).error().code, ErrorCode::kQueueFull);
  requests.resize(5, GenerationRequest{.prompt = {1}});
  EXPECT_EQ(admit(requests, kLimits).error().code, ErrorCode::kInvalidArgument) << "waiting would never help";
}

}  // namespace
}  // namespace halod
