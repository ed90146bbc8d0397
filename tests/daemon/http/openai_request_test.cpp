#include "daemon/http/openai_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "daemon/http/json_body.h"

namespace halod {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kMessages = R"("messages": [{"role": "user", "content": "hi"}])";

Result<ChatRequest> chat(const std::string& members) {
  const auto body =
      parse_json_body(members.find("\"messages\"") != std::string::npos
                          ? "{" + members + "}"
                          : std::string("{") + kMessages + (members.empty() ? "" : ", ") + members + "}");
  if (!body) return body.error();
  return parse_chat_request(*body, DefaultsConfig{});
}

Result<CompletionRequest> completion(const std::string& members) {
  const auto body = parse_json_body("{" + members + "}");
  if (!body) return body.error();
  return parse_completion_request(*body, DefaultsConfig{});
}

TEST(AChatRequest, HasOpenAisDefaults) {
  const ChatRequest request = chat("").value();
  EXPECT_EQ(request.answer.sampling.temperature, 1.0F);
  EXPECT_EQ(request.answer.sampling.top_p, 1.0F);
  EXPECT_EQ(request.answer.sampling.n_logprobs, -1);
  EXPECT_EQ(request.answer.n, 1U);
  EXPECT_EQ(request.answer.max_tokens, 0U);
  EXPECT_FALSE(request.answer.stream);
  EXPECT_FALSE(request.answer.seed);
  EXPECT_TRUE(request.context.at("tools").is_null());
  EXPECT_TRUE(request.context.at("add_generation_prompt").as_bool());
}

TEST(AChatRequest, CarriesEveryField) {
  const ChatRequest request =
      chat(
          R"("model": "m", "temperature": 0, "top_k": 40, "top_p": 0.9, "min_p": 0.05, "n": 2, "stop": ["a", "bc"], "max_tokens": 5,
              "max_completion_tokens": 7, "presence_penalty": 1, "frequency_penalty": -1.5, "repetition_penalty": 1.1,
              "logit_bias": {"5": -100, "6": 2.5}, "seed": -3, "logprobs": true, "top_logprobs": 4, "stream": true,
              "stream_options": {"include_usage": true}, "user": "u", "tool_choice": "auto", "response_format": {"type": "text"},
              "chat_template_kwargs": {"enable_thinking": false}, "reasoning_effort": "low", "ignore_eos": true, "unknown": [1],
              "temperature_": "x", "metadata": null)")
          .value();
  const AnswerRequest& answer = request.answer;
  EXPECT_EQ(answer.sampling.temperature, 0.0F);
  EXPECT_EQ(answer.sampling.top_k, 40);
  EXPECT_EQ(answer.sampling.top_p, 0.9F);
  EXPECT_EQ(answer.sampling.min_p, 0.05F);
  EXPECT_EQ(answer.n, 2U);
  EXPECT_THAT(answer.stop, ElementsAre("a", "bc"));
  EXPECT_EQ(answer.max_tokens, 7U);
  EXPECT_EQ(answer.sampling.presence_penalty, 1.0F);
  EXPECT_EQ(answer.sampling.frequency_penalty, -1.5F);
  EXPECT_EQ(answer.sampling.repetition_penalty, 1.1F);
  ASSERT_EQ(answer.sampling.logit_bias.size(), 2U);
  EXPECT_EQ(answer.sampling.logit_bias[1].token_id, 6);
  EXPECT_EQ(answer.sampling.logit_bias[1].bias, 2.5F);
  EXPECT_EQ(answer.seed, static_cast<uint64_t>(-3));
  EXPECT_EQ(answer.sampling.n_logprobs, 4);
  EXPECT_TRUE(answer.stream);
  EXPECT_TRUE(answer.include_usage);
  EXPECT_TRUE(answer.ignore_eos);
  EXPECT_EQ(request.context.at("enable_thinking"), false);
  EXPECT_EQ(request.context.at("reasoning_effort"), "low");
}

TEST(AChatRequest, TakesNullForAbsentAndOneStopStringForAList) {
  const ChatRequest request =
      chat(R"("temperature": null, "stop": "x", "max_tokens": 5.0, "tools": null, "top_k": -1)").value();
  EXPECT_EQ(request.answer.sampling.temperature, 1.0F);
  EXPECT_THAT(request.answer.stop, ElementsAre("x"));
  EXPECT_EQ(request.answer.max_tokens, 5U);
  EXPECT_EQ(request.answer.sampling.top_k, 0);
}

TEST(AChatRequest, GivesTemplatesPlainTextAndArgumentsAsObjects) {
  const ChatRequest request = chat(R"("messages": [
      {"role": "developer", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
      {"role": "assistant", "content": null, "tool_calls": [
         {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
         {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "not json"}},
         {"id": "c3", "type": "function", "function": {"name": "h", "arguments": ""}}]},
      {"role": "tool", "tool_call_id": "c1", "content": "2"}])")
                                  .value();
  EXPECT_EQ(json::serialize(request.context.at("messages")),
            R"([{"role":"system","content":"one\ntwo"},{"role":"assistant","content":"","tool_calls":[)"
            R"({"id":"c1","type":"function","function":{"name":"f","arguments":{"x":1}}},)"
            R"({"id":"c2","type":"function","function":{"name":"g","arguments":"not json"}},)"
            R"({"id":"c3","type":"function","function":{"name":"h","arguments":{}}}]},)"
            R"({"role":"tool","tool_call_id":"c1","content":"2"}])");
}

TEST(AChatRequest, DropsToolsWhenNoneMayBeCalled) {
  const std::string tools = R"("tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}])";
  EXPECT_EQ(chat(tools).value().context.at("tools").as_array().size(), 1U);
  const ChatRequest without = chat(tools + R"(, "tool_choice": "none")").value();
  EXPECT_TRUE(without.context.at("tools").is_null());
  EXPECT_TRUE(without.tools.empty());
}

struct BadField {
  const char* members;
  const char* field;
  const char* message;
};
void PrintTo(const BadField& bad, std::ostream* out) { *out << bad.members; }

class ABadChatField : public ::testing::TestWithParam<BadField> {};

TEST_P(ABadChatField, IsNamedWithWhatItTakes) {
  const auto request = chat(GetParam().members);
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().field, GetParam().field);
  EXPECT_THAT(request.error().message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, ABadChatField,
    ::testing::Values(
        BadField{R"("temperature": "hot")", "temperature", "is a string; it takes a number"},
        BadField{R"("temperature": -0.1)", "temperature", "from 0 to 2"},
        BadField{R"("temperature": 1e999)", "temperature", "from 0 to 2"},
        BadField{R"("temperature": 2.01)", "temperature", "is 2.01"},
        BadField{R"("top_p": 0)", "top_p", "from above 0 to 1"},
        BadField{R"("top_p": 1e-300)", "top_p", "too small"},
        BadField{R"("min_p": 1)", "min_p", "to below 1"},
        BadField{R"("top_k": 1.5)", "top_k", "whole number"}, BadField{R"("top_k": -2)", "top_k", "from -1"},
        BadField{R"("n": 0)", "n", "from 1 to 8"}, BadField{R"("n": 9)", "n", "from 1 to 8"},
        BadField{R"("n": 1e30)", "n", "from 1 to 8"},
        BadField{R"("n": 18446744073709551615)", "n", "from 1 to 8"},
        BadField{R"("max_tokens": 0)", "max_tokens", "from 1 to 2147483647"},
        BadField{R"("max_tokens": -5)", "max_tokens", "is -5"},
        BadField{R"("max_tokens": "5")", "max_tokens", "is a string"},
        BadField{R"("max_completion_tokens": 2147483648)", "max_completion_tokens", "2147483647"},
        BadField{R"("stop": 5)", "stop", "it takes a string or an array of strings"},
        BadField{R"("stop": ["a", 5])", "stop[1]", "is a number"},
        BadField{R"("stop": ["a", ""])", "stop[1]", "is empty"},
        BadField{R"("stop": ["1","2","3","4","5","6","7","8","9","0","a","b","c","d","e","f","g"])", "stop",
                 "at most 16"},
        BadField{R"("presence_penalty": 3)", "presence_penalty", "from -2 to 2"},
        BadField{R"("frequency_penalty": -3)", "frequency_penalty", "from -2 to 2"},
        BadField{R"("repetition_penalty": 0)", "repetition_penalty", "above 0"},
        BadField{R"("logit_bias": [1])", "logit_bias", "it takes an object"},
        BadField{R"("logit_bias": {"x": 1})", "logit_bias", "its keys are token ids"},
        BadField{R"("logit_bias": {"5": 101})", "logit_bias.5", "from -100 to 100"},
        BadField{R"("seed": 1.5)", "seed", "whole number"},
        BadField{R"("stream": "yes")", "stream", "true or false"},
        BadField{R"("stream_options": {"include_usage": 1})", "stream_options.include_usage",
                 "true or false"},
        BadField{R"("logprobs": 3)", "logprobs", "true or false"},
        BadField{R"("top_logprobs": 3)", "top_logprobs", "needs 'logprobs'"},
        BadField{R"("logprobs": true, "top_logprobs": 21)", "top_logprobs", "from 0 to 20"},
        BadField{R"("user": 5)", "user", "a string"},
        BadField{R"("tools": {})", "tools", "an array"}, BadField{R"("tools": [5])", "tools[0]", "an object"},
        BadField{R"("tools": [{"type": "retrieval"}])", "tools[0].type", "'function' only"},
        BadField{R"("tools": [{"type": "function"}])", "tools[0].function", "is missing"},
        BadField{R"("tools": [{"type": "function", "function": {}}])", "tools[0].function.name",
                 "is missing"},
        BadField{R"("tool_choice": "required")", "tool_choice", "cannot force"},
        BadField{R"("tool_choice": {"type": "function", "function": {"name": "f"}})", "tool_choice",
                 "cannot force"},
        BadField{R"("tool_choice": "sometimes")", "tool_choice", "'auto' or 'none'"},
        BadField{R"("response_format": {"type": "json_object"})", "response_format.type", "'text' only"},
        BadField{R"("response_format": "text")", "response_format", "an object"},
        BadField{R"("chat_template_kwargs": {"messages": []})", "chat_template_kwargs", "'messages'"},
        BadField{R"("messages": [])", "messages", "at least one"},
        BadField{R"("messages": null)", "messages", "is missing"},
        BadField{R"("messages": "hi")", "messages", "an array"},
        BadField{R"("messages": ["hi"])", "messages[0]", "an object"},
        BadField{R"("messages": [{"content": "hi"}])", "messages[0].role", "is missing"},
        BadField{R"("messages": [{"role": "robot", "content": "hi"}])", "messages[0].role", "is 'robot'"},
        BadField{R"("messages": [{"role": 5, "content": "hi"}])", "messages[0].role", "a string"},
        BadField{R"("messages": [{"role": "user"}])", "messages[0].content", "is missing"},
        BadField{R"("messages": [{"role": "user", "content": 5}])", "messages[0].content", "is a number"},
        BadField{
            R"("messages": [{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])",
            "messages[1].content[0].type", "'text' parts only"},
        BadField{R"("messages": [{"role": "user", "content": [{"text": "a"}]}])",
                 "messages[0].content[0].type", "is missing"},
        BadField{R"("messages": [{"role": "user", "content": [{"type": "text"}]}])",
                 "messages[0].content[0].text", "is missing"},
        BadField{R"("messages": [{"role": "user", "content": ["a"]}])", "messages[0].content[0]",
                 "an object"},
        BadField{R"("messages": [{"role": "assistant", "tool_calls": [{}]}])",
                 "messages[0].tool_calls[0].function", "is missing"},
        BadField{
            R"("messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 5}}]}])",
            "messages[0].tool_calls[0].function.arguments", "a string with JSON"}));

TEST(ACompletionRequest, TakesEveryFormOfPrompt) {
  EXPECT_EQ(std::get<std::string>(completion(R"("prompt": "a")").value().prompts.at(0)), "a");
  EXPECT_EQ(completion(R"("prompt": ["a", "b"])").value().prompts.size(), 2U);
  EXPECT_THAT(std::get<std::vector<int32_t>>(completion(R"("prompt": [1, 2, 3])").value().prompts.at(0)),
              ElementsAre(1, 2, 3));
  EXPECT_THAT(std::get<std::vector<int32_t>>(completion(R"("prompt": [[1], [2, 3]])").value().prompts.at(1)),
              ElementsAre(2, 3));
  EXPECT_EQ(completion(R"("prompt": "a")").value().answer.max_tokens, 16U);
  EXPECT_EQ(completion(R"("prompt": "a", "logprobs": 2, "echo": false, "suffix": "", "best_of": 1)")
                .value()
                .answer.sampling.n_logprobs,
            2);
}

class ABadCompletionField : public ::testing::TestWithParam<BadField> {};

TEST_P(ABadCompletionField, IsNamedWithWhatItTakes) {
  const auto request = completion(GetParam().members);
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().field, GetParam().field);
  EXPECT_THAT(request.error().message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, ABadCompletionField,
    ::testing::Values(BadField{R"("model": "m")", "prompt", "is missing"},
                      BadField{R"("prompt": "")", "prompt", "is empty"},
                      BadField{R"("prompt": [])", "prompt", "is empty"},
                      BadField{R"("prompt": {})", "prompt", "is an object"},
                      BadField{R"("prompt": ["a", ""])", "prompt[1]", "is empty"},
                      BadField{R"("prompt": [1, "a"])", "prompt[1]", "is no token id"},
                      BadField{R"("prompt": [1, -2])", "prompt[1]", "is no token id"},
                      BadField{R"("prompt": [1, 2147483648])", "prompt[1]", "is no token id"},
                      BadField{R"("prompt": [[1], [1.5]])", "prompt[1][0]", "is no token id"},
                      BadField{R"("prompt": [[1], true])", "prompt[1]", "is a boolean"},
                      BadField{R"("prompt": "a", "echo": true)", "echo", "false only"},
                      BadField{R"("prompt": "a", "suffix": "b")", "suffix", "not supported"},
                      BadField{R"("prompt": "a", "best_of": 2)", "best_of", "equal 'n'"},
                      BadField{R"("prompt": "a", "logprobs": true)", "logprobs", "whole number"},
                      BadField{R"("prompt": "a", "logprobs": 21)", "logprobs", "from 0 to 20"}));

}  // namespace
}  // namespace halod
