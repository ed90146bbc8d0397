#include "tests/daemon/http/http_fixture.h"

namespace halod {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string prompt_of(const GenerationRequest& request) {
  std::string text;
  for (const int32_t id : request.prompt)
    text += id < 256 ? std::string(1, static_cast<char>(id)) : fmt::format("<{}>", id);
  return text;
}

TEST_F(ADaemon, AnswersAChatAsOpenAiDoes) {
  start_and_wait();
  const HttpReply reply = chat(R"("model": "test-model")");
  ASSERT_EQ(reply.status, 200U) << reply.body;
  EXPECT_EQ(reply.headers.at("content-type"), "application/json");
  const json::value body = reply.json();
  EXPECT_EQ(body.at("object"), "chat.completion");
  EXPECT_EQ(body.at("model"), "test-model");
  EXPECT_THAT(std::string(body.at("id").as_string()), ::testing::StartsWith("chatcmpl-"));
  EXPECT_THAT(std::string(body.at("system_fingerprint").as_string()), ::testing::StartsWith("halod-"));
  const json::value choice = body.at("choices").at(0);
  EXPECT_EQ(json::serialize(choice.at("message")), R"({"role":"assistant","content":"HELLO"})");
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_TRUE(choice.at("logprobs").is_null());
  const auto n_prompt = static_cast<int64_t>(engine_.submitted.at(0).prompt.size());
  EXPECT_EQ(body.at("usage").at("prompt_tokens"), n_prompt);
  EXPECT_EQ(body.at("usage").at("completion_tokens"), 6);
  EXPECT_EQ(body.at("usage").at("total_tokens"), n_prompt + 6);
  EXPECT_EQ(body.at("usage").at("prompt_tokens_details").at("cached_tokens"), 1);
  EXPECT_EQ(prompt_of(engine_.submitted.at(0)), "<257>user:hello<256><257>assistant:");
  EXPECT_THAT(engine_.submitted.at(0).stop_token_ids, ElementsAre(256));
}

TEST_F(ADaemon, StreamsAChatInChunks) {
  start_and_wait();
  const HttpReply reply = chat(R"("stream": true, "stream_options": {"include_usage": true})");
  EXPECT_EQ(reply.headers.at("content-type"), "text/event-stream; charset=utf-8");
  EXPECT_TRUE(reply.body.ends_with("data: [DONE]\n\n"));
  const auto events = reply.events();
  ASSERT_GE(events.size(), 3U);
  EXPECT_EQ(events.front().at("object"), "chat.completion.chunk");
  EXPECT_EQ(events.front().at("choices").at(0).at("delta").at("role"), "assistant");
  EXPECT_TRUE(events.front().at("usage").is_null());
  EXPECT_EQ(events.at(events.size() - 2).at("choices").at(0).at("finish_reason"), "stop");
  EXPECT_TRUE(events.back().at("choices").as_array().empty());
  EXPECT_EQ(events.back().at("usage").at("completion_tokens"), 6);
  EXPECT_EQ(reply.text(), "HELLO");
  for (const json::value& event : events) EXPECT_EQ(event.at("id"), events.front().at("id"));
}

TEST_F(ADaemon, StreamsEachTokenWhenItComes) {
  engine_.automatic = false;
  start_and_wait();
  HttpClient client = connect();
  client.send_request("POST", "/v1/chat/completions", chat_body(R"("stream": true)"));
  client.read_until("\r\n\r\n");  // the head is there before any token
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  for (const char letter : std::string("HELLO")) {
    on_engine([](FakeEngine& engine) { engine.step(1); });
    EXPECT_THAT(client.read_until("\n\n"), HasSubstr(fmt::format("\"content\":\"{}\"", letter)));
  }
}

TEST_F(ADaemon, NeverSendsHalfACodePoint) {
  answer = "gr\xC3\xBC\xC3\x9F \xF0\x9F\x99\x82!";
  start_and_wait();
  engine_.automatic = false;
  HttpClient client = connect();
  client.send_request("POST", "/v1/chat/completions", chat_body(R"("stream": true)"));
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  for (size_t i = 0; i <= answer.size(); ++i) on_engine([](FakeEngine& engine) { engine.step(1); });
  EXPECT_EQ(client.receive().text(), answer);
}

TEST_F(ADaemon, SeparatesReasoningAndToolCalls) {
  answer =
      "<think>hm</think>Let me see.<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>";
  start_and_wait();
  const std::string tools = R"("tools": [{"type": "function", "function": {"name": "add"}}])";
  const json::value body = chat(tools).json();
  const json::value message = body.at("choices").at(0).at("message");
  EXPECT_EQ(message.at("reasoning_content"), "hm");
  EXPECT_EQ(message.at("content"), "Let me see.");
  EXPECT_EQ(message.at("tool_calls").at(0).at("type"), "function");
  EXPECT_EQ(message.at("tool_calls").at(0).at("function").at("name"), "add");
  EXPECT_EQ(message.at("tool_calls").at(0).at("function").at("arguments"), R"({"a": 1})");
  EXPECT_EQ(body.at("choices").at(0).at("finish_reason"), "tool_calls");
  EXPECT_THAT(prompt_of(engine_.submitted.at(0)), ::testing::StartsWith("T1|"));

  const HttpReply streamed = chat(tools + R"(, "stream": true)");
  std::string reasoning;
  json::array calls;
  for (const json::value& event : streamed.events()) {
    const json::object& delta = event.at("choices").at(0).at("delta").as_object();
    if (const auto* part = delta.if_contains("reasoning_content"))
      reasoning += std::string_view(part->get_string());
    if (const auto* part = delta.if_contains("tool_calls")) calls.push_back(part->at(0));
  }
  EXPECT_EQ(reasoning, "hm");
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].at("index"), 0);
  EXPECT_EQ(calls[0].at("function").at("name"), "add");
}

TEST_F(ADaemon, TakesTheThinkTagOfThePromptForTheAnswersBeginning) {
  answer = "hm</think>yes";
  start_and_wait();
  const json::value message =
      chat(R"("chat_template_kwargs": {"enable_thinking": true})").json().at("choices").at(0).at("message");
  EXPECT_EQ(message.at("reasoning_content"), "hm");
  EXPECT_EQ(message.at("content"), "yes");
}

TEST_F(ADaemon, CutsAtAStopStringAndCancelsTheRest) {
  answer = "one two three";
  engine_.automatic = false;
  start_and_wait();
  HttpClient client = connect();
  client.send_request("POST", "/v1/chat/completions", chat_body(R"("stop": ["xyz", "two"])"));
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  on_engine([](FakeEngine& engine) { engine.step(7); });
  const HttpReply reply = client.receive();
  EXPECT_EQ(reply.text(), "one ");
  EXPECT_EQ(reply.json().at("choices").at(0).at("finish_reason"), "stop");
  EXPECT_EQ(reply.json().at("usage").at("completion_tokens"), 7);
  EXPECT_TRUE(wait_until([this] { return engine_.cancelled.size() == 1; }));
}

TEST_F(ADaemon, SaysLengthWhenMaxTokensEndTheAnswer) {
  start_and_wait();
  const json::value body = chat(R"("max_tokens": 3)").json();
  EXPECT_EQ(body.at("choices").at(0).at("finish_reason"), "length");
  EXPECT_EQ(body.at("choices").at(0).at("message").at("content"), "HEL");
}

TEST_F(ADaemon, GivesNChoicesWithSeedsOfTheirOwn) {
  start_and_wait();
  const HttpReply reply = chat(R"("n": 3, "seed": 5, "stream": true)");
  for (size_t choice_idx = 0; choice_idx < 3; ++choice_idx) EXPECT_EQ(reply.text(choice_idx), "HELLO");
  ASSERT_EQ(n_submitted(), 3);
  EXPECT_EQ(engine_.submitted[0].sampling.seed, 5U);
  EXPECT_NE(engine_.submitted[1].sampling.seed, engine_.submitted[2].sampling.seed);
}

TEST_F(ADaemon, ReportsLogprobsWithBytes) {
  answer = "\xC3\xBC";
  start_and_wait();
  const json::value logprobs =
      chat(R"("logprobs": true, "top_logprobs": 2)").json().at("choices").at(0).at("logprobs");
  const json::array& content = logprobs.at("content").as_array();
  ASSERT_EQ(content.size(), 2U) << "one per token of the text; the end token is none of it";
  EXPECT_EQ(json::serialize(content[0].at("bytes")), "[195]");
  EXPECT_EQ(content[0].at("token"), "\xEF\xBF\xBD");
  EXPECT_EQ(content[0].at("logprob"), -0.5);
  EXPECT_EQ(content[0].at("top_logprobs").as_array().size(), 2U);
  EXPECT_EQ(content[0].at("top_logprobs").at(1).at("token"), "z");
}

TEST_F(ADaemon, NamesTheFieldOfABadRequest) {
  start_and_wait();
  const HttpReply bad = chat(R"("temperature": 9)");
  EXPECT_EQ(bad.status, 400U);
  EXPECT_EQ(bad.error("param"), "temperature");
  EXPECT_EQ(bad.error("type"), "invalid_request_error");
  EXPECT_THAT(bad.error("message"), HasSubstr("from 0 to 2"));
  const HttpReply unknown = chat(R"("model": "gpt-4")");
  EXPECT_EQ(unknown.status, 404U);
  EXPECT_EQ(unknown.error("code"), "model_not_found");
  EXPECT_EQ(post("/v1/chat/completions", "{").status, 400U);
  const HttpReply overflow = chat(R"("max_tokens": 4096)");
  EXPECT_EQ(overflow.status, 400U);
  EXPECT_EQ(overflow.error("code"), "context_length_exceeded");
  EXPECT_THAT(overflow.error("message"), HasSubstr("max_tokens is 4096"));
  EXPECT_THAT(overflow.error("message"), HasSubstr("the context holds 4096"));
  EXPECT_EQ(n_submitted(), 0);
}

TEST_F(ADaemon, RefusesRequestsBeyondItsQueue) {
  config_.limits.max_requests = 1;
  engine_.automatic = false;
  start_and_wait();
  HttpClient first = connect();
  first.send_request("POST", "/v1/chat/completions", chat_body());
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  const HttpReply refused = chat("");
  EXPECT_EQ(refused.status, 429U);
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_EQ(refused.error("code"), "queue_full");
  on_engine([](FakeEngine& engine) { engine.step(100); });
  EXPECT_EQ(first.receive().status, 200U);
  EXPECT_TRUE(wait_until([this] { return plane_.models->n_unfinished() == 0; }));
}

}  // namespace
}  // namespace halod
