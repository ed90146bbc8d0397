#include "runtime/text/output_parser.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <random>

#include "tests/runtime/text/parse_output.h"

namespace halod {
namespace {

OutputParserOptions with_tools() { return {.parse_tool_calls = true}; }

void expect_output(const OutputParserOptions& options, std::string_view text, const OutputDelta& expected) {
  EXPECT_EQ(parse_whole(options, text), expected) << text;
  std::mt19937 random(1);
  for (size_t max_piece : {1U, 2U, 3U, 9U}) {
    for (int round = 0; round < 5; ++round) {
      EXPECT_EQ(parse_in_pieces(options, text, max_piece, random), expected)
          << text << " in pieces up to " << max_piece;
    }
  }
}

TEST(AnOutputParser, PassesPlainTextOnUnchanged) {
  for (const char* text :
       {"", "Hello", " \n leading", "trailing \n", "a < b <thin </think> c", "日本語 🙂"}) {
    expect_output({}, text, {.content = text});
    expect_output(with_tools(), text, {.content = text});
  }
}

TEST(AnOutputParser, SeparatesReasoningFromContent) {
  expect_output({}, "<think>\nLet me\n\nsee.\n</think>\n\nYes.",
                {.reasoning = "Let me\n\nsee.", .content = "Yes."});
  expect_output({}, "\n<think>a</think>b", {.reasoning = "a", .content = "b"});
  expect_output({}, "<think>\n\n</think>\n\nYes.", {.content = "Yes."});
  expect_output({}, "<think>a < b </thin", {.reasoning = "a < b </thin"});
  expect_output({}, "<think>cut off \n", {.reasoning = "cut off"});
  expect_output({}, "x <think>no</think>", {.content = "x <think>no</think>"});
  expect_output({}, "<thin", {.content = "<thin"});
}

TEST(AnOutputParser, StartsInReasoningWhereThePromptOpenedIt) {
  const OutputParserOptions options{.starts_in_reasoning = true};
  expect_output(options, "\nSo.\n</think>\n\nYes.", {.reasoning = "So.", .content = "Yes."});
  expect_output(options, "<think>So.</think>Yes.", {.reasoning = "So.", .content = "Yes."});
  expect_output(options, "</think>Yes.", {.content = "Yes."});
  EXPECT_TRUE(prompt_opens_reasoning("<|im_start|>assistant\n<think>\n"));
  EXPECT_FALSE(prompt_opens_reasoning("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
  EXPECT_FALSE(prompt_opens_reasoning(""));
}

TEST(AnOutputParser, LeavesReasoningTagsAloneWhenAskedTo) {
  expect_output({.parse_reasoning = false}, "<think>a</think>b", {.content = "<think>a</think>b"});
}

TEST(AnOutputParser, KeepsTheArgumentsOfJsonCallsByteForByte) {
  expect_output(
      with_tools(),
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\" : 1.50,\"b\":[\"}\", {}]}}\n</tool_call>",
      {.tool_calls = {{"f", "{\"a\" : 1.50,\"b\":[\"}\", {}]}"}}});
  expect_output(with_tools(), "<tool_call>{\"arguments\": {}, \"name\": \"f\"}</tool_call>",
                {.tool_calls = {{"f", "{}"}}});
  expect_output(with_tools(), "<tool_call>{\"name\": \"f\"}</tool_call>", {.tool_calls = {{"f", "{}"}}});
  expect_output(with_tools(), R"(<tool_call>{"name": "f", "arguments": "{\"a\": 1}"}</tool_call>)",
                {.tool_calls = {{"f", "{\"a\": 1}"}}});
}

TEST(AnOutputParser, DropsTheWhiteSpaceAroundCalls) {
  expect_output(with_tools(),
                "<think>\nt\n</think>\n\nLooking.\n\n<tool_call>\n{\"name\": \"f\"}\n</tool_call>\n"
                "<tool_call>\n{\"name\": \"g\"}\n</tool_call>\n",
                {.reasoning = "t", .content = "Looking.", .tool_calls = {{"f", "{}"}, {"g", "{}"}}});
}

TEST(AnOutputParser, TakesAClosingTagInsideAnArgumentAsText) {
  expect_output(with_tools(), R"(<tool_call>{"name": "f", "arguments": {"a": "</tool_call>"}}</tool_call>)",
                {.tool_calls = {{"f", R"({"a": "</tool_call>"})"}}});
}

TEST(AnOutputParser, AcceptsACompleteCallWithoutItsClosingTag) {
  expect_output(with_tools(), "<tool_call>\n{\"name\": \"f\"}\n", {.tool_calls = {{"f", "{}"}}});
}

TEST(AnOutputParser, GivesMalformedCallsBackAsContent) {
  for (const char* text : {
           "a\n<tool_call>\nnot json\n</tool_call> b",
           "<tool_call>{\"name\": 3}</tool_call>",
           "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}</tool_call>",
           "<tool_call>[1]</tool_call>",
           "<tool_call>{\"name\": \"f\"",
           "<tool_call><function=></function></tool_call>",
           "<function=f><parameter=a>1</function>",
           "see <function=f",
           "x <tool_cal",
       }) {
    expect_output(with_tools(), text, {.content = text});
  }
}

TEST(AnOutputParser, FindsACallBehindAMalformedOne) {
  expect_output(with_tools(), "<tool_call>oops\n<tool_call>{\"name\": \"f\"}</tool_call>",
                {.content = "<tool_call>oops", .tool_calls = {{"f", "{}"}}});
}

TEST(AnOutputParser, LeavesCallsAloneWhenTheRequestHasNoTools) {
  expect_output({}, "<tool_call>{\"name\": \"f\"}</tool_call>",
                {.content = "<tool_call>{\"name\": \"f\"}</tool_call>"});
}

TEST(AnOutputParser, ReadsXmlCallsWithTheTypesOfTheTools) {
  OutputParserOptions options = with_tools();
  options.tools =
      boost::json::parse(R"([{"type": "function", "function": {"name": "f", "parameters": {"properties": {
      "s": {"type": "string"}, "n": {"type": "number"}, "b": {"type": "boolean"}, "o": {"type": "object"}}}}}])")
          .as_array();
  const std::string call =
      "<function=f>\n<parameter=s>\n12\nx\n</parameter>\n<parameter=n>\n1.50\n</parameter>\n"
      "<parameter=b>True</parameter><parameter=o>{\"a\": "
      "[1]}</parameter><parameter=u>7</parameter>\n</function>";
  const OutputDelta expected{
      .tool_calls = {{"f", R"({"s": "12\nx", "n": 1.50, "b": true, "o": {"a": [1]}, "u": "7"})"}}};
  expect_output(options, "<tool_call>\n" + call + "\n</tool_call>", expected);
  expect_output(options, call + "\n</tool_call>\n", expected);
  expect_output(options, call, expected);
  expect_output(options, "<tool_call><function=g></function></tool_call>", {.tool_calls = {{"g", "{}"}}});
}

TEST(AnOutputParser, ReadsCallsOfKeysAndValuesWhoseNameIsATool) {
  OutputParserOptions options = with_tools();
  options.tools = boost::json::parse(R"([{"type": "function", "function": {"name": "f", "parameters": {
      "properties": {"s": {"type": "string"}, "n": {"type": "number"}}}}}])")
                      .as_array();
  expect_output(options,
                "So.\n<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>12\n</tool_call> x</arg_value>\n"
                "<arg_key>n</arg_key>\n<arg_value>1.50</arg_value>\n</tool_call>",
                {.content = "So.", .tool_calls = {{"f", R"({"s": "12\n</tool_call> x", "n": 1.50})"}}});
  expect_output(options, "<tool_call>f<arg_key>n</arg_key><arg_value>7</arg_value></tool_call>",
                {.tool_calls = {{"f", R"({"n": 7})"}}});
  expect_output(options, "<tool_call>f</tool_call>", {.tool_calls = {{"f", "{}"}}});
  for (const char* text :
       {"<tool_call>g<arg_key>n</arg_key><arg_value>7</arg_value></tool_call>",
        "<tool_call>f<arg_key>n</arg_key></tool_call>", "<tool_call>f<arg_key>n</arg_key>7</tool_call>",
        "<tool_call>f<arg_key>n</arg_key><arg_value>7", "<tool_call></tool_call>"})
    expect_output(options, text, {.content = text});
}

TEST(AnOutputParser, GivesTextOutAsSoonAsItCannotBeATag) {
  OutputParser parser(with_tools());
  EXPECT_EQ(parser.push("Hello <").content, "Hello");
  EXPECT_EQ(parser.push("b> ").content, " <b>");
  EXPECT_EQ(parser.push("x").content, " x");
}

TEST(AnOutputParser, NeverLosesTextOfPlainAnswers) {
  std::mt19937 random(9);
  const std::vector<std::string> parts = {"<",  "</", "think>", "tool_call>", "<function=", "f>",
                                          "\n", " ",  "{",      "}",          "\"",         "x"};
  for (int round = 0; round < 3000; ++round) {
    std::string text = "x";
    for (int i = 0; i < 12; ++i) text += parts[random() % parts.size()];
    const OutputDelta whole = parse_whole(with_tools(), text);
    EXPECT_EQ(parse_in_pieces(with_tools(), text, 3, random), whole) << text;
    if (whole.tool_calls.empty()) {
      EXPECT_EQ(whole.content, text);
    }
  }
}

}  // namespace
}  // namespace halod
