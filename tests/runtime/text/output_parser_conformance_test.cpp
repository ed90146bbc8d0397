// The answers that the demo model was trained to give, and what must come out of them.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>

#include "tests/runtime/text/parse_output.h"

namespace halod {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

/// As an OpenAI message, for comparison with `expected`.
json::object to_message(const OutputDelta& output) {
  json::object message{{"role", "assistant"}, {"content", output.content}};
  if (!output.reasoning.empty()) message["reasoning_content"] = output.reasoning;
  if (output.tool_calls.empty()) return message;
  json::array& calls = (message["tool_calls"] = json::array()).get_array();
  for (const ToolCall& call : output.tool_calls) {
    const json::object function{{"name", call.name}, {"arguments", json::parse(call.arguments)}};
    calls.push_back(json::object{{"type", "function"}, {"function", function}});
  }
  return message;
}

TEST(TheDemoModelsAnswers, ParseToTheExpectedMessagesHoweverTheyAreCut) {
  const fs::path folder = fs::path(HALOD_DEMO_REFERENCE_DIR) / "eval";
  if (!fs::exists(folder)) GTEST_SKIP() << "no held-out questions at " << folder;
  std::mt19937 random(4);
  size_t n_answers = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".jsonl") continue;
    std::ifstream file(entry.path());
    std::string line;
    while (std::getline(file, line)) {
      const json::object question = json::parse(line).as_object();
      const std::string_view text = question.at("expected_text").as_string();
      const json::object& expected = question.at("expected").as_object();
      OutputParserOptions options;
      if (question.at("tools").is_array()) {
        options.parse_tool_calls = true;
        options.tools = question.at("tools").as_array();
      }
      EXPECT_EQ(to_message(parse_whole(options, text)), expected) << text;
      for (const size_t max_piece : {1U, 4U, 12U}) {
        EXPECT_EQ(to_message(parse_in_pieces(options, text, max_piece, random)), expected) << text;
      }
      ++n_answers;
    }
  }
  EXPECT_GT(n_answers, 1000U);
}

}  // namespace
}  // namespace halod
