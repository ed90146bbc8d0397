// OpenAI's request bodies → what they ask for. Every mistake names its field; unknown fields are ignored, as
// OpenAI-compatible servers do.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "daemon/config/config.h"
#include "daemon/http/field_reader.h"
#include "runtime/engine/request.h"

namespace halod {

inline constexpr int64_t kMaxChoices = 8;
inline constexpr size_t kMaxStopStrings = 16;
inline constexpr size_t kMaxPrompts = 256;
inline constexpr int64_t kMaxTopLogprobs = 20;

/// What chats and completions share.
struct AnswerRequest {
  SamplingParams sampling;       ///< the seed is in `seed`
  std::optional<uint64_t> seed;  ///< none: a new one for each answer
  uint32_t n = 1;
  uint32_t max_tokens = 0;  ///< 0 = not said
  std::vector<std::string> stop;
  bool ignore_eos = false;  ///< go on to max_tokens; for measurements
  bool stream = false;
  bool include_usage = false;  ///< a last chunk of the stream with the counts
};

struct ChatRequest {
  AnswerRequest answer;
  boost::json::object context;  ///< the template's variables: messages, tools, add_generation_prompt, …
  boost::json::array tools;     ///< empty when there are none, or tool_choice is "none"
};

using CompletionPrompt = std::variant<std::string, std::vector<int32_t>>;

struct CompletionRequest {
  AnswerRequest answer;
  std::vector<CompletionPrompt> prompts;  ///< at least one
};

/// Errors: kInvalidArgument, and kUnsupported for what OpenAI has and this server does not (never silently
/// dropped when it would change the answer). Thread: any.
Result<ChatRequest> parse_chat_request(const boost::json::object& body, const DefaultsConfig& defaults);
Result<CompletionRequest> parse_completion_request(const boost::json::object& body,
                                                   const DefaultsConfig& defaults);

/// The fields of AnswerRequest, read through `reader`; logprobs are the callers' own, as chats and
/// completions write them differently.
AnswerRequest read_answer_request(FieldReader& reader, const DefaultsConfig& defaults);
/// Messages as templates want them: text content as one string, tool-call arguments as objects.
boost::json::array read_messages(FieldReader& reader);

}  // namespace halod
