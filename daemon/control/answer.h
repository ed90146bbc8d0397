// Events of a generation → text of its choices, as any protocol wants it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "daemon/control/generation.h"
#include "runtime/text/harmony_parser.h"
#include "runtime/text/output_parser.h"
#include "runtime/text/stop_strings.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/utf8_stream.h"

namespace halod {

enum class AnswerEnd : uint8_t { kStop, kLength, kToolCalls };

/// What a batch of events added to one choice.
struct AnswerUpdate {
  uint32_t choice_idx = 0;
  OutputDelta delta;
  std::vector<GeneratedToken> logprobs;  ///< the tokens behind the delta, when the request asked for logprobs
  std::optional<AnswerEnd> end;          ///< set once, in the last update of the choice
};

struct AnswerUsage {
  uint64_t n_prompt_tokens = 0;
  uint64_t n_cached_tokens = 0;
  uint64_t n_completion_tokens = 0;
};

/// One choice: detokenises, cuts at stop strings, separates reasoning and tool calls.
class AnswerText {
 public:
  struct Options {
    std::vector<std::string> stop;
    std::vector<int32_t> stop_token_ids;
    std::optional<OutputParserOptions> parser;  ///< none: everything is content
    /// TextModel::RenderedChat's: not empty for an answer in harmony, which needs a parser too.
    std::vector<TokenId> harmony_message = {};
    bool logprobs = false;
  };
  /// `tokenizer` outlives this.
  AnswerText(const Tokenizer& tokenizer, Options options);

  /// Adds a token to `update`. True when a stop string ended the choice: cancel it.
  bool push(const GeneratedToken& token, AnswerUpdate& update);
  /// The engine's last word, or ours after a stop string.
  void finish(FinishReason reason, AnswerUpdate& update);
  uint32_t n_tokens() const { return n_tokens_; }

 private:
  void add(OutputDelta delta, AnswerUpdate& update);
  void add_text(const std::string& text, AnswerUpdate& update);
  void start_harmony();
  bool push_harmony(const GeneratedToken& token, AnswerUpdate& update);
  void flush_text(AnswerUpdate& update);

  const Tokenizer* tokenizer_;
  Options options_;
  Utf8Stream utf8_;
  StopStrings stop_;
  std::optional<OutputParser> parser_;
  std::optional<HarmonyMarks> marks_;  // with harmony_, instead of parser_
  std::optional<HarmonyParser> harmony_;
  bool called_tools_ = false;
  uint32_t n_tokens_ = 0;
};

/// All choices of one generation. Thread: one.
class Answer {
 public:
  Answer(const Tokenizer& tokenizer, std::vector<AnswerText::Options> choices);

  /// At most one update per choice that got something to show, in order of choice. Cancels choices of
  /// `generation` that met a stop string. Errors: that of a choice which the engine failed.
  Result<std::vector<AnswerUpdate>> apply(const std::vector<GenerationEvent>& events, Generation& generation);

  /// `n_prompt_tokens` counts each different prompt once. Cached tokens are known once a choice has finished
  /// by itself.
  AnswerUsage usage(uint64_t n_prompt_tokens) const;

 private:
  std::vector<AnswerText> choices_;
  uint64_t n_cached_tokens_ = 0;
};

}  // namespace halod
