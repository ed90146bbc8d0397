#include "runtime/text/harmony_parser.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <random>
#include <vector>

#include "tests/runtime/text/parse_output.h"
#include "tests/runtime/text/tiny_vocabulary.h"

namespace halod {
namespace {

const std::vector<std::string> kHarmonyTokens = {"<|start|>", "<|channel|>", "<|constrain|>", "<|message|>",
                                                 "<|end|>",   "<|call|>",    "<|return|>"};

/// Bytes, then the marks.
Tokenizer harmony_tokenizer(const std::vector<std::string>& control = kHarmonyTokens,
                            const std::vector<std::string>& user_defined = {}) {
  return Tokenizer::create(make_tiny_vocabulary({.control = control, .user_defined = user_defined})).value();
}

OutputParserOptions with_harmony_tool(std::string_view name = "add") {
  return {.parse_tool_calls = true,
          .tools = {boost::json::object{{"type", "function"}, {"function", {{"name", name}}}}}};
}

/// Feeds `answer`, whose marks are tokens and whose text comes in pieces of 1 to `max_piece` code points, or
/// whole up to the next mark where that is 0. `cut`: a byte before which a piece ends in any case.
OutputDelta parse_harmony(const OutputParserOptions& options, std::string_view answer, size_t max_piece = 0,
                          size_t cut = std::string_view::npos, uint32_t seed = 1) {
  static const Tokenizer tokenizer = harmony_tokenizer();
  static const HarmonyMarks marks = HarmonyMarks::find(tokenizer).value();
  const std::vector<TokenId> ids = tokenizer.encode(answer, {.parse_special = true}).value();
  std::mt19937 random(seed);
  HarmonyParser parser(options);
  OutputDelta sum;
  std::string piece;
  size_t n_points = 0;
  size_t done = 0;
  const auto push = [&] {
    append_delta(sum, parser.push(piece));
    piece.clear();
    n_points = 0;
  };
  for (const TokenId id : ids) {
    const auto mark = marks.mark(id);
    const std::string_view text = tokenizer.token_text(id);
    const bool begins_point = mark || (static_cast<unsigned char>(text.front()) & 0xC0) != 0x80;
    const bool is_full = max_piece > 0 && n_points > 0 && n_points >= 1 + random() % max_piece;
    if (begins_point && (mark || is_full || done == cut)) push();
    done += text.size();
    if (mark) {
      append_delta(sum, parser.mark(*mark));
    } else {
      piece += text;
      n_points += begins_point ? 1 : 0;
    }
  }
  push();
  append_delta(sum, parser.finish());
  return sum;
}

void expect_harmony(const OutputParserOptions& options, std::string_view answer,
                    const OutputDelta& expected) {
  EXPECT_EQ(parse_harmony(options, answer), expected) << answer;
  for (size_t cut = 0; cut < answer.size(); ++cut)
    EXPECT_EQ(parse_harmony(options, answer, 0, cut), expected) << answer << " cut at byte " << cut;
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    for (const size_t max_piece : {1U, 2U, 7U}) {
      EXPECT_EQ(parse_harmony(options, answer, max_piece, std::string_view::npos, seed), expected)
          << answer << " in pieces up to " << max_piece;
    }
  }
}

TEST(AHarmonyParser, SeparatesAnalysisFromTheFinalAnswer) {
  const OutputDelta expected{.reasoning = "Größe? <b>", .content = "Yes. 🙂\n"};
  const std::string answer =
      "<|channel|>analysis<|message|>Größe? <b><|end|>"
      "<|start|>assistant<|channel|>final<|message|>Yes. 🙂\n";
  for (const char* end : {"", "<|return|>", "<|end|>"}) {
    expect_harmony({}, answer + end, expected);
    expect_harmony(with_harmony_tool(), answer + end, expected);
  }
}

TEST(AHarmonyParser, ReadsCallsWithTheRecipientBeforeOrBehindTheChannel) {
  const std::string arguments = R"({"a" : 1.50, "b": ["}", "<tool_call>", {}]})";
  for (const char* header : {
           "<|channel|>commentary to=functions.add <|constrain|>json<|message|>",
           "<|channel|>commentary to=functions.add<|constrain|>json<|message|>",
           "<|channel|>commentary to=functions.add json<|message|>",
           "<|channel|>commentary to=functions.add<|message|>",
           "<|channel|>commentary <|constrain|>json to=functions.add<|message|>",
           "<|channel|>analysis to=functions.add code<|message|>",
           "<|channel|>commentary to=add <|constrain|>json<|message|>",
           " to=functions.add<|channel|>commentary <|constrain|>json<|message|>",
           " to=functions.add<|channel|>commentary json<|message|>",
           " to=functions.add<|message|>",
           " to=functions.add<|channel|><|channel|>commentary<|message|>",
       }) {
    for (const char* end : {"", "<|call|>", "<|end|>", "<|return|>"}) {
      expect_harmony(with_harmony_tool(), header + arguments + end, {.tool_calls = {{"add", arguments}}});
    }
  }
}

TEST(AHarmonyParser, ReadsPreamblesAndSeveralCalls) {
  expect_harmony(
      with_harmony_tool(),
      "<|channel|>analysis<|message|>Add.<|end|>"
      "<|start|>assistant<|channel|>commentary<|message|>I add.<|end|>"
      "<|start|>assistant to=functions.add<|channel|>commentary json<|message|>\n{\"a\": 1}\n<|call|>"
      "<|start|>assistant<|channel|>commentary to=functions.now<|message|> <|call|>",
      {.reasoning = "Add.", .content = "I add.", .tool_calls = {{"add", "{\"a\": 1}"}, {"now", "{}"}}});
}

TEST(AHarmonyParser, SeparatesMessagesOfTheSameKind) {
  expect_harmony({},
                 "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>p"
                 "<|end|><|start|>assistant<|channel|>analysis<|message|><|end|><|start|>assistant"
                 "<|channel|>analysis<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>f",
                 {.reasoning = "a\n\nb", .content = "p\n\nf"});
}

TEST(AHarmonyParser, GivesCallsThatCannotBeUnderstoodAsContent) {
  const std::string header = "<|channel|>commentary to=functions.add <|constrain|>json<|message|>";
  for (const char* body : {"{\"a\": 1", "not json", "[1]", "{} {}"}) {
    expect_harmony(with_harmony_tool(), header + body + "<|call|>", {.content = body});
  }
  expect_harmony({}, header + "{}<|call|>", {.content = "{}"});
}

TEST(AHarmonyParser, TakesWhatOtherRecipientsGetForReasoning) {
  expect_harmony(with_harmony_tool(),
                 "<|channel|>analysis to=python code<|message|>1+1<|call|>"
                 "<|start|>assistant to=browser.search<|channel|>commentary<|message|>{}<|call|>"
                 "<|start|>assistant to=all<|channel|>final<|message|>2",
                 {.reasoning = "1+1\n\n{}", .content = "2"});
}

TEST(AHarmonyParser, KeepsMarksThatAreOnlyTextAsText) {
  static const Tokenizer tokenizer = harmony_tokenizer();
  HarmonyParser parser({});
  parser.mark(HarmonyMark::kChannel);
  parser.push("final");
  parser.mark(HarmonyMark::kMessage);
  EXPECT_EQ(parser.push("write <|end|><|start|>").content, "write <|end|><|start|>");
  EXPECT_EQ(parser.push("<think>a</think>").content, "<think>a</think>");
  const HarmonyMarks marks = HarmonyMarks::find(tokenizer).value();
  for (const TokenId id : tokenizer.encode("<|end|>", {.parse_special = false}).value())
    EXPECT_FALSE(marks.mark(id));
  EXPECT_TRUE(parser.finish().empty());
}

TEST(AHarmonyParser, SurvivesMarksThatAreMissingOrOutOfPlace) {
  expect_harmony({}, "<|channel|>analysis<|message|>a<|channel|>final<|message|>b",
                 {.reasoning = "a", .content = "b"});
  expect_harmony({}, "<|channel|>analysis<|message|>a<|start|>assistant<|channel|>final<|message|>b",
                 {.reasoning = "a", .content = "b"});
  expect_harmony({}, "<|channel|>analysis<|message|>a<|end|>assistant<|channel|>final<|message|>b",
                 {.reasoning = "a", .content = "b"});
  expect_harmony({}, "<|message|>a<|message|>b<|constrain|>c", {.content = "abc"});
  expect_harmony({}, "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>fin",
                 {.reasoning = "a"});
  expect_harmony({}, "<|channel|>final", {});
  expect_harmony({}, "<|end|><|end|><|start|><|return|>", {});
}

TEST(AHarmonyParser, TakesAnAnswerWithoutAnyHeaderForContent) {
  for (const char* text : {"", "Hello", " to be", "to", "t", " \n x", "日本語"}) {
    expect_harmony(with_harmony_tool(), text, {.content = text});
  }
  expect_harmony({}, "Hello<|end|><|start|>assistant<|channel|>final<|message|>you",
                 {.content = "Hello\n\nyou"});
}

TEST(AHarmonyParser, GivesTextOutAtOnce) {
  HarmonyParser parser({});
  parser.mark(HarmonyMark::kChannel);
  EXPECT_TRUE(parser.is_header("analysis"));
  parser.push("analysis");
  parser.mark(HarmonyMark::kMessage);
  EXPECT_FALSE(parser.is_header("analysis"));
  EXPECT_EQ(parser.push(" a <").reasoning, " a <");
  EXPECT_EQ(parser.push("|end").reasoning, "|end");
}

TEST(AHarmonyParser, ContinuesAMessageThatThePromptOpened) {
  HarmonyParser role({});
  role.mark(HarmonyMark::kStart);
  role.push("assis");
  role.push("tant");
  role.end_prompt();
  EXPECT_EQ(role.push("Plain").content, "Plain");

  HarmonyParser body({});
  body.mark(HarmonyMark::kStart);
  body.push("assistant");
  body.mark(HarmonyMark::kChannel);
  body.push("analysis");
  body.mark(HarmonyMark::kMessage);
  body.end_prompt();
  EXPECT_EQ(body.push("hm").reasoning, "hm");
}

TEST(HarmonyMarks, AreFoundByTheirTokensAndOnlyWhereTheVocabularyHasThem) {
  const Tokenizer tokenizer = harmony_tokenizer();
  const HarmonyMarks marks = HarmonyMarks::find(tokenizer).value();
  EXPECT_EQ(marks.mark(tokenizer.find_special("<|call|>").value()), HarmonyMark::kCall);
  EXPECT_EQ(marks.mark(TokenId{65}), std::nullopt);
  // Some files have the marks as tokens that the user defined.
  EXPECT_TRUE(HarmonyMarks::find(harmony_tokenizer({}, kHarmonyTokens)));
  EXPECT_FALSE(HarmonyMarks::find(harmony_tokenizer({"<|start|>", "<|message|>", "<|end|>"})));
  EXPECT_FALSE(HarmonyMarks::find(harmony_tokenizer({"<|im_start|>", "<|im_end|>"})));

  const auto open = [&](std::string_view prompt) {
    const std::vector<TokenId> ids = tokenizer.encode(prompt, {.parse_special = true}).value();
    return tokenizer.decode(marks.open_message(ids));
  };
  EXPECT_EQ(open("<|start|>user<|message|>x<|end|><|start|>assistant"), "<|start|>assistant");
  EXPECT_EQ(open("user: x"), "");
}

}  // namespace
}  // namespace halod
