// Splits a model's streamed answer into reasoning, content and tool calls.
#pragma once

#include <boost/json/array.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace halod {

struct ToolCall {
  std::string name;
  std::string arguments;  ///< JSON text; byte for byte what the model wrote where the model writes JSON

  friend bool operator==(const ToolCall&, const ToolCall&) = default;
};

/// What one piece of text added. Append the strings to what came before.
struct OutputDelta {
  std::string reasoning;
  std::string content;
  std::vector<ToolCall> tool_calls;  ///< whole ones only

  bool empty() const { return reasoning.empty() && content.empty() && tool_calls.empty(); }
  friend bool operator==(const OutputDelta&, const OutputDelta&) = default;
};

struct OutputParserOptions {
  /// The prompt ended with an open "<think>": the answer begins inside the reasoning (see
  /// prompt_opens_reasoning).
  bool starts_in_reasoning = false;
  /// Whether "<think>" at the beginning is reasoning or just text.
  bool parse_reasoning = true;
  /// Whether "<tool_call>" is a call or just text: set when the request has tools.
  bool parse_tool_calls = false;
  /// The request's tools (OpenAI's form). Names and parameter types are used, for calls in tags whose values
  /// are untyped.
  boost::json::array tools = {};
};

/// Whether a rendered prompt ends inside a think block that the answer continues.
bool prompt_opens_reasoning(std::string_view prompt);

/// Knows `<think>…</think>` at the beginning and `<tool_call>` with JSON (Hermes, Qwen),
/// `<function=…><parameter=…>` (Qwen3-Coder, Nemotron-3) or a name and `<arg_key>…<arg_value>…` (GLM-4.5)
/// anywhere after it. Holds back what may be the beginning of a
/// tag, and white space that may turn out to surround one. Reasoning comes without the white space around it;
/// white space between the reasoning, tool calls and content is dropped. A tool call that cannot be
/// understood comes out as content, unchanged. The sum of the deltas depends only on the text, not on how it
/// was cut. Feed whole code points and whole ones come out. Thread: one.
class OutputParser {
 public:
  explicit OutputParser(OutputParserOptions options);

  OutputDelta push(std::string_view text);
  /// The end of the answer. An unclosed tool call that is complete counts; else it is content. Nothing may be
  /// pushed afterwards.
  OutputDelta finish();

 private:
  enum class State { kStart, kReasoning, kContent, kToolCall };

  /// One step within the current state; false when it needs more text (or, at the end, when nothing is left).
  bool step(OutputDelta& delta, bool at_end);
  bool step_start(bool at_end);
  bool step_reasoning(OutputDelta& delta, bool at_end);
  bool step_content(OutputDelta& delta, bool at_end);
  bool drop_space(bool at_end);
  bool step_tool_call(OutputDelta& delta, bool at_end);
  void reject_tool_call(OutputDelta& delta);
  void move_to(std::string& out, size_t n_bytes);

  OutputParserOptions options_;
  State state_ = State::kStart;
  std::string buffer_;              // text that has not been given out
  bool has_reasoned_ = false;       // white space at the front of the reasoning is over
  bool drops_space_ = false;        // white space at the front of the buffer belongs to a tag
  bool drops_closing_tag_ = false;  // and so does a "</tool_call>"
  // In kToolCall the buffer is: white space, the opening tag, the call.
  size_t call_begin_ = 0;          // of the opening tag
  bool is_bare_function_ = false;  // "<function=" without "<tool_call>"
  size_t searched_ = 0;            // no closing tag before this
};

}  // namespace halod
