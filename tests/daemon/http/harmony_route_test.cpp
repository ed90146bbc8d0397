// Chats of a model that answers in gpt-oss' harmony format.
#include <boost/json/parse.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/daemon/http/http_fixture.h"
#include "tests/runtime/text/tiny_vocabulary.h"

namespace halod {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;

constexpr std::string_view kHarmonyTemplate =
    "{% for message in messages %}<|start|>{{ message.role }}<|message|>{{ message.content }}<|end|>"
    "{% endfor %}<|start|>assistant{{ prefill }}";

const std::vector<std::string> kHarmonyControl = {"<|return|>",    "<|call|>",    "<|start|>", "<|channel|>",
                                                  "<|constrain|>", "<|message|>", "<|end|>"};

/// 256 byte tokens, then the marks; <|return|> and <|call|> end answers.
TokenizerData harmony_vocabulary() {
  TokenizerData data = make_tiny_vocabulary({.control = kHarmonyControl});
  data.eos = TokenId{256};
  data.end_of_generation = {TokenId{256}, TokenId{257}};
  return data;
}

class AHarmonyDaemon : public ADaemon {
 protected:
  AHarmonyDaemon()
      : ADaemon([](const ModelSpec&) { return TextModel::create(harmony_vocabulary(), kHarmonyTemplate); }) {
    engine_.next_token = [this](const GenerationRequest&, uint32_t answer_idx) {
      const auto ids = tokenizer_.encode(answer, {.parse_special = true}).value();
      return answer_idx < ids.size() ? to_int(ids[answer_idx]) : 256;
    };
  }

  /// The whole answer's message; a streamed answer must add up to the same.
  json::object ask(const std::string& members, std::string_view end) {
    const json::value body = chat(members).json();
    const json::value& choice = body.at("choices").at(0);
    EXPECT_EQ(choice.at("finish_reason").as_string(), end);
    json::object message = choice.at("message").as_object();
    const HttpReply streamed = chat(members + (members.empty() ? "" : ", ") + R"("stream": true)");
    EXPECT_EQ(streamed.body.find("<|"), std::string::npos) << streamed.body;
    EXPECT_EQ(streamed.text(), text_of(message, "content"));
    std::string reasoning;
    json::array calls;
    for (const json::value& event : streamed.events()) {
      const json::object& delta = event.at("choices").at(0).at("delta").as_object();
      reasoning += text_of(delta, "reasoning_content");
      if (const auto* part = delta.if_contains("tool_calls")) calls.push_back(part->at(0).at("function"));
    }
    EXPECT_EQ(reasoning, text_of(message, "reasoning_content"));
    json::array whole_calls;
    if (const auto* whole = message.if_contains("tool_calls")) {
      for (const json::value& call : whole->as_array()) whole_calls.push_back(call.at("function"));
    }
    EXPECT_EQ(calls, whole_calls);
    return message;
  }

  static std::string text_of(const json::object& object, std::string_view member) {
    const json::value* text = object.if_contains(member);
    return text && text->is_string() ? std::string(text->get_string()) : std::string();
  }

  Tokenizer tokenizer_ = Tokenizer::create(harmony_vocabulary()).value();
};

constexpr std::string_view kAddTool = R"("tools": [{"type": "function", "function": {"name": "add"}}])";

TEST_F(AHarmonyDaemon, ShowsTheFinalChannelAndTheAnalysisAsReasoning) {
  answer =
      "<|channel|>analysis<|message|>They greet. Grüß 🙂<|end|>"
      "<|start|>assistant<|channel|>final<|message|>Hello <b>!";
  start_and_wait();
  const json::object message = ask("", "stop");
  EXPECT_EQ(message.at("reasoning_content"), "They greet. Grüß 🙂");
  EXPECT_EQ(message.at("content"), "Hello <b>!");
  EXPECT_FALSE(message.contains("tool_calls"));
  EXPECT_THAT(engine_.submitted.at(0).stop_token_ids, ElementsAre(256, 257));
}

TEST_F(AHarmonyDaemon, MakesToolCallsOfMessagesToFunctions) {
  answer =
      "<|channel|>analysis<|message|>Add.<|end|><|start|>assistant<|channel|>commentary<|message|>I add."
      "<|end|><|start|>assistant<|channel|>commentary to=functions.add <|constrain|>json<|message|>"
      "{\"a\": 1}<|call|>";
  start_and_wait();
  const json::object message = ask(std::string(kAddTool), "tool_calls");
  EXPECT_EQ(message.at("reasoning_content"), "Add.");
  EXPECT_EQ(message.at("content"), "I add.");
  const json::value& function = message.at("tool_calls").at(0).at("function");
  EXPECT_EQ(function.at("name"), "add");
  EXPECT_EQ(function.at("arguments"), R"({"a": 1})");

  answer = " to=functions.add<|channel|>commentary json<|message|>{\"b\": 2}<|call|>";
  const json::object second = ask(std::string(kAddTool), "tool_calls");
  EXPECT_EQ(second.at("tool_calls").at(0).at("function").at("arguments"), R"({"b": 2})");
}

TEST_F(AHarmonyDaemon, LooksForStopStringsInMessagesOnly) {
  answer =
      "<|channel|>analysis<|message|>ab<|end|><|start|>assistant<|channel|>final<|message|>one final word";
  start_and_wait();
  const json::object message = ask(R"("stop": ["assistant", "ba", "final w"])", "stop");
  EXPECT_EQ(message.at("reasoning_content"), "ab");
  EXPECT_EQ(message.at("content"), "one ");
}

TEST_F(AHarmonyDaemon, GivesLogprobsOfTheTextAndNotOfHeaders) {
  answer = "<|channel|>final<|message|>Hey";
  start_and_wait();
  const json::value body = chat(R"("logprobs": true)").json();
  std::string text;
  for (const json::value& token : body.at("choices").at(0).at("logprobs").at("content").as_array())
    text += std::string_view(token.at("token").as_string());
  EXPECT_EQ(text, "Hey");
  EXPECT_EQ(body.at("usage").at("completion_tokens"), 11) << "headers, marks and the end count as usage";
}

TEST_F(AHarmonyDaemon, ContinuesAMessageThatTheTemplateOpened) {
  answer = "Hello.";
  start_and_wait();
  const json::object message =
      ask(R"("chat_template_kwargs": {"prefill": "<|channel|>analysis<|message|>"})", "stop");
  EXPECT_EQ(message.at("reasoning_content"), "Hello.");
}

TEST(GptOssTemplate, GetsTheReasoningBehindAToolCallBack) {
  const std::filesystem::path file =
      std::filesystem::path(HALOD_CONFORMANCE_DIR) / "templates/openai-gpt-oss-120b.jinja";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no template at " << file;
  std::ostringstream source;
  source << std::ifstream(file, std::ios::binary).rdbuf();
  const TextModel model = TextModel::create(harmony_vocabulary(), source.str()).value();
  json::object context = json::parse(R"({"tools": null, "add_generation_prompt": true, "messages": [
      {"role": "user", "content": "1+1?"},
      {"role": "assistant", "content": "I add.", "reasoning_content": "Add.",
       "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]},
      {"role": "tool", "content": "2"}]})")
                             .as_object();
  const auto rendered = model.render_chat(context);
  ASSERT_TRUE(rendered) << rendered.error().message;
  std::vector<TokenId> ids;
  for (const int32_t id : rendered->prompt) ids.push_back(TokenId{id});
  EXPECT_THAT(model.tokenizer().decode(ids),
              ::testing::EndsWith("<|start|>assistant<|channel|>analysis<|message|>Add.\n\nI add.<|end|>"
                                  "<|start|>assistant to=functions.add<|channel|>commentary json<|message|>"
                                  "{\"a\": 1}<|call|><|start|>functions.add to=assistant"
                                  "<|channel|>commentary<|message|>\"2\"<|end|><|start|>assistant"));
  EXPECT_EQ(model.tokenizer().decode(rendered->harmony_message), "<|start|>assistant");
}

TEST_F(AHarmonyDaemon, ShowsAnAnswerWithoutHeadersAsItIs) {
  answer = "at to the end";
  start_and_wait();
  EXPECT_EQ(ask("", "stop").at("content"), "at to the end");
  EXPECT_EQ(ask(R"("stop": ["at the", "the e"])", "stop").at("content"), "at to ");
}

}  // namespace
}  // namespace halod
