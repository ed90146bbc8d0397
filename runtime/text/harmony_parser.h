// Splits a streamed answer in gpt-oss' harmony format into reasoning, content and tool calls.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "runtime/text/output_parser.h"
#include "runtime/text/tokenizer.h"

namespace halod {

/// The tokens between which harmony writes its messages:
/// `<|start|>assistant<|channel|>analysis<|message|>…<|end|>`.
enum class HarmonyMark : uint8_t { kStart, kChannel, kConstrain, kMessage, kEnd, kCall, kReturn };

/// Which tokens of a vocabulary are marks. By id, so that the same characters written as plain text stay
/// text. Thread: any.
class HarmonyMarks {
 public:
  /// Nothing where the vocabulary lacks <|start|>, <|channel|>, <|message|> or <|end|>.
  static std::optional<HarmonyMarks> find(const Tokenizer& tokenizer);

  std::optional<HarmonyMark> mark(TokenId id) const;
  /// The tokens of a prompt from its last <|start|> on: the message that the answer continues. Empty where
  /// the prompt has none.
  std::span<const TokenId> open_message(std::span<const TokenId> prompt) const;

 private:
  static constexpr size_t kNumMarks = 7;
  std::array<std::optional<TokenId>, kNumMarks> ids_;  // by mark
};

/// Channel `analysis` is reasoning, other channels are content. A message to `functions.NAME`, or to the bare
/// name of one of the request's tools, is a call of that tool, whatever its channel and whether the recipient
/// stands before or behind the channel; its body, a JSON object, becomes the arguments byte for byte. A body
/// that is none, and any call where the request has no tools, comes out as content. What is written to other
/// recipients (`python`, `browser.search`) is reasoning. Headers are dropped; an empty line separates
/// messages of the same kind. A mark that is missing or out of place costs no text of a body. An answer that
/// begins with neither a mark nor a recipient is not harmony, and content up to its first mark. The sum of
/// the deltas depends only on text and marks, not on how the text was cut. Feed whole code points and whole
/// ones come out. Thread: one.
class HarmonyParser {
 public:
  /// Of `options`, parse_tool_calls and tools count. The answer continues the header `<|start|>assistant`.
  explicit HarmonyParser(OutputParserOptions options);

  /// What came so far was the prompt's; say so where it opened a message by itself.
  void end_prompt();

  OutputDelta push(std::string_view text);
  OutputDelta mark(HarmonyMark mark);
  /// The end of the answer: a call that is complete without its closing mark counts. Nothing may follow.
  OutputDelta finish();

  /// Whether `text`, pushed now, would be part of a header rather than of a message.
  bool is_header(std::string_view text) const;
  /// Text of a message follows, though it may be held back before it is pushed. Needed where is_header() is
  /// false and push() does not come at once.
  OutputDelta begin_text();

 private:
  enum class Kind : uint8_t { kReasoning, kContent, kToolCall };

  void begin_message();
  void end_message(OutputDelta& delta);
  void write(Kind kind, std::string_view text, OutputDelta& delta);
  /// The tool that the header addresses; empty when it addresses none. `recipient`: not empty.
  std::string called_tool(std::string_view recipient) const;

  OutputParserOptions options_;
  bool in_header_ = true;
  bool has_marks_ = false;           // so this is harmony
  std::optional<std::string> role_;  // the header's text before its channel,
  std::string header_;               // and what came since
  Kind kind_ = Kind::kContent;       // of the message
  std::string tool_, arguments_;     // of a call
  bool has_written_ = false;         // in this message
  std::array<bool, 2> has_any_{};    // reasoning, content: in the answer
};

}  // namespace halod
