#include "runtime/text/harmony_parser.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "runtime/text/tool_call_text.h"

namespace halod {
namespace {

constexpr std::string_view kHeaderSpace = " \t\r\n";
constexpr std::string_view kRecipientOpen = "to=";
constexpr std::string_view kFunctionNamespace = "functions.";
constexpr std::string_view kMessageSeparator = "\n\n";

// By HarmonyMark.
constexpr std::string_view kMarkTexts[] = {"<|start|>", "<|channel|>", "<|constrain|>", "<|message|>",
                                           "<|end|>",   "<|call|>",    "<|return|>"};
constexpr HarmonyMark kNeededMarks[] = {HarmonyMark::kStart, HarmonyMark::kChannel, HarmonyMark::kMessage,
                                        HarmonyMark::kEnd};

/// Takes the first word off `text`; empty when there is none.
std::string_view take_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(kHeaderSpace), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(kHeaderSpace));
  text.remove_prefix(word.size());
  return word;
}

/// The last of the header's `to=` words; empty where there is none.
std::string_view find_recipient(std::string_view header) {
  std::string_view recipient;
  for (std::string_view word = take_word(header); !word.empty(); word = take_word(header)) {
    if (word.starts_with(kRecipientOpen)) recipient = word.substr(kRecipientOpen.size());
  }
  return recipient;
}

bool could_be_recipient(std::string_view text) {
  const std::string_view word = take_word(text);
  return word.starts_with(kRecipientOpen) || kRecipientOpen.starts_with(word);
}

}  // namespace

std::optional<HarmonyMarks> HarmonyMarks::find(const Tokenizer& tokenizer) {
  static_assert(std::size(kMarkTexts) == kNumMarks);
  HarmonyMarks marks;
  for (size_t i = 0; i < kNumMarks; ++i) marks.ids_[i] = tokenizer.find_special(kMarkTexts[i]);
  const bool has_all = std::ranges::all_of(
      kNeededMarks, [&](HarmonyMark mark) { return marks.ids_[static_cast<size_t>(mark)].has_value(); });
  return has_all ? std::optional(marks) : std::nullopt;
}

std::optional<HarmonyMark> HarmonyMarks::mark(TokenId id) const {
  const auto found = std::ranges::find(ids_, std::optional(id));
  if (found == ids_.end()) return std::nullopt;
  return static_cast<HarmonyMark>(found - ids_.begin());
}

std::span<const TokenId> HarmonyMarks::open_message(std::span<const TokenId> prompt) const {
  size_t begin = prompt.size();
  while (begin > 0 && mark(prompt[begin - 1]) != HarmonyMark::kStart) --begin;
  return begin > 0 ? prompt.subspan(begin - 1) : std::span<const TokenId>();
}

HarmonyParser::HarmonyParser(OutputParserOptions options) : options_(std::move(options)) {}

void HarmonyParser::end_prompt() {
  if (!in_header_ || role_ || !find_recipient(header_).empty()) return;
  header_.clear();  // "assistant"
  has_marks_ = false;
}

bool HarmonyParser::is_header(std::string_view text) const {
  return in_header_ && (has_marks_ || could_be_recipient(header_ + std::string(text)));
}

OutputDelta HarmonyParser::begin_text() {
  OutputDelta delta;
  if (!in_header_ || has_marks_) return delta;
  in_header_ = false;
  write(Kind::kContent, std::exchange(header_, {}), delta);
  return delta;
}

OutputDelta HarmonyParser::push(std::string_view text) {
  if (is_header(text)) {
    header_ += text;
    return {};
  }
  OutputDelta delta = begin_text();
  if (kind_ == Kind::kToolCall) {
    arguments_ += text;
  } else {
    write(kind_, text, delta);
  }
  return delta;
}

OutputDelta HarmonyParser::mark(HarmonyMark mark) {
  OutputDelta delta;
  has_marks_ = true;
  switch (mark) {
    case HarmonyMark::kChannel:
      if (!in_header_) end_message(delta);
      role_ = role_.value_or("") + ' ' + std::exchange(header_, {});
      break;
    case HarmonyMark::kConstrain:
      if (in_header_) header_ += ' ';  // it ends the word before it
      break;
    case HarmonyMark::kMessage:
      if (in_header_) begin_message();
      break;
    case HarmonyMark::kStart:
    case HarmonyMark::kEnd:
    case HarmonyMark::kCall:
    case HarmonyMark::kReturn:
      end_message(delta);
      break;
  }
  return delta;
}

OutputDelta HarmonyParser::finish() {
  OutputDelta delta;
  if (in_header_ && !has_marks_ && find_recipient(header_).empty())
    write(Kind::kContent, std::exchange(header_, {}), delta);
  end_message(delta);
  return delta;
}

void HarmonyParser::begin_message() {
  in_header_ = false;
  has_written_ = false;
  kind_ = Kind::kContent;
  std::string_view recipient = find_recipient(header_);
  if (recipient.empty() && role_) recipient = find_recipient(*role_);
  std::string_view words = header_;
  if (role_ && take_word(words) == "analysis") kind_ = Kind::kReasoning;
  if (recipient.empty() || recipient == "all") return;
  tool_ = called_tool(recipient);
  if (tool_.empty()) {
    kind_ = Kind::kReasoning;
  } else {
    kind_ = options_.parse_tool_calls ? Kind::kToolCall : Kind::kContent;
  }
}

void HarmonyParser::end_message(OutputDelta& delta) {
  if (!in_header_ && kind_ == Kind::kToolCall) {
    if (auto arguments = parse_tool_arguments(arguments_)) {
      delta.tool_calls.push_back({.name = std::move(tool_), .arguments = std::move(*arguments)});
    } else {
      write(Kind::kContent, arguments_, delta);
    }
  }
  in_header_ = true;
  role_.reset();
  header_.clear();
  tool_.clear();
  arguments_.clear();
}

void HarmonyParser::write(Kind kind, std::string_view text, OutputDelta& delta) {
  if (text.empty()) return;
  std::string& out = kind == Kind::kReasoning ? delta.reasoning : delta.content;
  bool& has_any = has_any_[kind == Kind::kReasoning ? 0 : 1];
  if (!has_written_ && has_any) out += kMessageSeparator;
  out += text;
  has_written_ = true;
  has_any = true;
}

std::string HarmonyParser::called_tool(std::string_view recipient) const {
  if (recipient.starts_with(kFunctionNamespace))
    return std::string(recipient.substr(kFunctionNamespace.size()));
  const bool is_tool = std::ranges::any_of(options_.tools, [&](const boost::json::value& tool) {
    boost::system::error_code error;
    const boost::json::value* name = tool.find_pointer("/function/name", error);
    return name != nullptr && name->is_string() && name->get_string() == recipient;
  });
  return is_tool ? std::string(recipient) : std::string();
}

}  // namespace halod
