#include "tests/daemon/http/http_fixture.h"

namespace halod {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;

TEST_F(ADaemon, CompletesTextAsOpenAiDoes) {
  start_and_wait();
  const HttpReply reply = complete("");
  ASSERT_EQ(reply.status, 200U) << reply.body;
  EXPECT_EQ(reply.json().at("object"), "text_completion");
  EXPECT_EQ(reply.json().at("choices").at(0).at("text"), "HELLO");
  EXPECT_EQ(reply.json().at("usage").at("prompt_tokens"), 5);
  EXPECT_THAT(engine_.submitted.at(0).prompt, ElementsAre('h', 'e', 'l', 'l', 'o'));
  EXPECT_EQ(complete(R"("stream": true)").text(), "HELLO");
}

TEST_F(ADaemon, CompletesSeveralPromptsSeveralTimes) {
  start_and_wait();
  const HttpReply reply = post("/v1/completions", R"({"prompt": [[65], [66, 67]], "n": 2, "max_tokens": 1})");
  ASSERT_EQ(reply.status, 200U) << reply.body;
  const json::array choices = reply.json().at("choices").as_array();
  ASSERT_EQ(choices.size(), 4U);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(choices[i].at("index"), i);
    EXPECT_EQ(choices[i].at("text"), "H");
  }
  EXPECT_THAT(engine_.submitted[1].prompt, ElementsAre(65));
  EXPECT_THAT(engine_.submitted[2].prompt, ElementsAre(66, 67));
  EXPECT_EQ(reply.json().at("usage").at("prompt_tokens"), 3) << "each prompt once";
  EXPECT_EQ(reply.json().at("usage").at("completion_tokens"), 4);
}

TEST_F(ADaemon, ReportsLogprobsOfCompletions) {
  answer = "\xC3\xBC!";
  start_and_wait();
  const json::value logprobs = complete(R"("logprobs": 1)").json().at("choices").at(0).at("logprobs");
  EXPECT_EQ(logprobs.at("tokens").as_array().size(), 3U);
  EXPECT_EQ(logprobs.at("token_logprobs").at(2), -0.5);
  EXPECT_EQ(logprobs.at("text_offset").at(2), 2);
  EXPECT_EQ(logprobs.at("top_logprobs").at(2).at("!"), -0.5);
}

TEST_F(ADaemon, GoesOnPastTheEndTokenWhenAsked) {
  start_and_wait();
  complete(R"("ignore_eos": true)");
  EXPECT_TRUE(engine_.submitted.at(0).stop_token_ids.empty());
}

TEST_F(ADaemon, RefusesTokenIdsOutsideTheVocabulary) {
  start_and_wait();
  const HttpReply reply = post("/v1/completions", R"({"prompt": [1, 512]})");
  EXPECT_EQ(reply.status, 400U);
  EXPECT_EQ(reply.error("param"), "prompt");
}

}  // namespace
}  // namespace halod
