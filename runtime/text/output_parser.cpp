#include "runtime/text/output_parser.h"

#include <algorithm>

#include "runtime/text/tool_call_text.h"

namespace halod {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kThinkOpen = "<think>";
constexpr std::string_view kThinkClose = "</think>";
constexpr std::string_view kToolCallOpen = "<tool_call>";
constexpr std::string_view kToolCallClose = "</tool_call>";
constexpr std::string_view kFunctionOpen = "<function=";
constexpr std::string_view kFunctionClose = "</function>";

/// Where the white space at the end of `text` begins.
size_t end_of_words(std::string_view text) {
  const size_t last = text.find_last_not_of(kSpace);
  return last == std::string_view::npos ? 0 : last + 1;
}

size_t begin_of_words(std::string_view text) { return std::min(text.find_first_not_of(kSpace), text.size()); }

/// Where the longest end of `text` begins that could grow into `tag`; text.size() when none could.
size_t partial_tag(std::string_view text, std::string_view tag) {
  const size_t longest = std::min(text.size(), tag.size() - 1);
  for (size_t n = longest; n > 0; --n) {
    if (text.ends_with(tag.substr(0, n))) return text.size() - n;
  }
  return text.size();
}

bool could_become(std::string_view text, std::string_view tag) {
  return text.size() < tag.size() && tag.starts_with(text);
}

}  // namespace

bool prompt_opens_reasoning(std::string_view prompt) {
  return prompt.substr(0, end_of_words(prompt)).ends_with(kThinkOpen);
}

OutputParser::OutputParser(OutputParserOptions options) : options_(std::move(options)) {
  if (!options_.parse_reasoning) state_ = State::kContent;
}

OutputDelta OutputParser::push(std::string_view text) {
  buffer_ += text;
  OutputDelta delta;
  while (step(delta, false)) {
  }
  return delta;
}

OutputDelta OutputParser::finish() {
  OutputDelta delta;
  while (step(delta, true)) {
  }
  return delta;
}

bool OutputParser::step(OutputDelta& delta, bool at_end) {
  switch (state_) {
    case State::kStart:
      return step_start(at_end);
    case State::kReasoning:
      return step_reasoning(delta, at_end);
    case State::kContent:
      return step_content(delta, at_end);
    case State::kToolCall:
      return step_tool_call(delta, at_end);
  }
  return false;
}

void OutputParser::move_to(std::string& out, size_t n_bytes) {
  out.append(buffer_, 0, n_bytes);
  buffer_.erase(0, n_bytes);
}

bool OutputParser::step_start(bool at_end) {
  const size_t begin = begin_of_words(buffer_);
  const std::string_view words = std::string_view(buffer_).substr(begin);
  if (words.starts_with(kThinkOpen)) {
    // Also where the prompt has opened the block already: some models open it again.
    buffer_.erase(0, begin + kThinkOpen.size());
    state_ = State::kReasoning;
    return true;
  }
  if (!at_end && could_become(words, kThinkOpen)) return false;
  state_ = options_.starts_in_reasoning ? State::kReasoning : State::kContent;
  return true;
}

bool OutputParser::step_reasoning(OutputDelta& delta, bool at_end) {
  if (!has_reasoned_) buffer_.erase(0, begin_of_words(buffer_));
  const size_t close = buffer_.find(kThinkClose);
  const bool is_closed = close != std::string::npos;
  const size_t limit = is_closed ? close : at_end ? buffer_.size() : partial_tag(buffer_, kThinkClose);
  const size_t n_words = end_of_words(std::string_view(buffer_).substr(0, limit));
  move_to(delta.reasoning, n_words);
  has_reasoned_ = has_reasoned_ || n_words > 0;
  if (is_closed) {
    buffer_.erase(0, close - n_words + kThinkClose.size());
    state_ = State::kContent;
    drops_space_ = true;
    return true;
  }
  if (at_end) buffer_.clear();
  return false;
}

bool OutputParser::drop_space(bool at_end) {
  buffer_.erase(0, begin_of_words(buffer_));
  if (drops_closing_tag_ && buffer_.starts_with(kToolCallClose)) {
    buffer_.erase(0, kToolCallClose.size());
    drops_closing_tag_ = false;
    return drop_space(at_end);
  }
  const bool may_close = drops_closing_tag_ && could_become(buffer_, kToolCallClose);
  if (buffer_.empty() || (may_close && !at_end)) return false;
  drops_space_ = false;
  drops_closing_tag_ = false;
  return true;
}

bool OutputParser::step_content(OutputDelta& delta, bool at_end) {
  if (drops_space_ && !drop_space(at_end)) return false;
  if (!options_.parse_tool_calls) {
    move_to(delta.content, buffer_.size());
    return false;
  }
  const size_t tool_call = buffer_.find(kToolCallOpen);
  const size_t function = buffer_.find(kFunctionOpen);
  const size_t open = std::min(tool_call, function);
  if (open != std::string::npos) {
    const size_t n_words = end_of_words(std::string_view(buffer_).substr(0, open));
    move_to(delta.content, n_words);
    state_ = State::kToolCall;
    call_begin_ = open - n_words;
    is_bare_function_ = function < tool_call;
    searched_ = call_begin_;
    return true;
  }
  if (at_end) {
    move_to(delta.content, buffer_.size());
    return false;
  }
  const size_t limit = std::min(partial_tag(buffer_, kToolCallOpen), partial_tag(buffer_, kFunctionOpen));
  move_to(delta.content, end_of_words(std::string_view(buffer_).substr(0, limit)));
  return false;
}

/// What looked like a call is content. Only its opening tag: a real call may follow inside.
void OutputParser::reject_tool_call(OutputDelta& delta) {
  move_to(delta.content, call_begin_ + (is_bare_function_ ? kFunctionOpen : kToolCallOpen).size());
  state_ = State::kContent;
}

bool OutputParser::step_tool_call(OutputDelta& delta, bool at_end) {
  const std::string_view close_tag = is_bare_function_ ? kFunctionClose : kToolCallClose;
  const size_t body_begin = call_begin_ + (is_bare_function_ ? 0 : kToolCallOpen.size());
  const std::string_view text = buffer_;
  const size_t close = text.find(close_tag, std::max(searched_, body_begin));
  const bool is_closed = close != std::string_view::npos;
  if (!is_closed && !at_end) {
    searched_ = partial_tag(text, close_tag);
    return false;
  }
  const std::string_view body =
      text.substr(body_begin, is_closed ? close - body_begin : std::string_view::npos);
  const size_t first_word = body_begin + begin_of_words(body);
  const std::string_view words = text.substr(first_word);
  ParsedToolCall parsed = words.starts_with(kFunctionOpen) ? parse_xml_tool_call(body, options_.tools)
                          : words.starts_with('{')         ? parse_json_tool_call(body)
                                                           : parse_keyed_tool_call(body, options_.tools);
  if (parsed.outcome == ToolCallOutcome::kIncomplete && is_closed) {
    // The closing tag may be part of an argument.
    searched_ = close + close_tag.size();
    return true;
  }
  if (parsed.outcome != ToolCallOutcome::kComplete) {
    reject_tool_call(delta);
    return true;
  }
  buffer_.erase(0, is_closed ? close + close_tag.size() : buffer_.size());
  delta.tool_calls.push_back(std::move(parsed.call));
  state_ = State::kContent;
  drops_space_ = true;
  drops_closing_tag_ = is_bare_function_;
  return true;
}

}  // namespace halod
