// Answers → OpenAI's JSON: whole, or in chunks of a stream.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/control/answer.h"

namespace halod {

struct AnswerHead {
  std::string id;       ///< without the kind's prefix: hexadecimal digits
  int64_t created = 0;  ///< Unix seconds
  std::string model;
  std::string fingerprint;
};

/// One answer's JSON. It keeps what a stream's chunks must count (tool calls, text offsets). Thread: one.
class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;
  virtual boost::json::object chunk(const AnswerUpdate& update) = 0;
  /// The last chunk of a stream with stream_options.include_usage: no choices.
  virtual boost::json::object usage_chunk(const AnswerUsage& usage) = 0;
  /// `choices`: all updates of each choice put together.
  virtual boost::json::object whole(const std::vector<AnswerUpdate>& choices, const AnswerUsage& usage) = 0;
};

/// `include_usage`: chunks carry "usage": null, as OpenAI's do then. `tokenizer` outlives the format.
struct AnswerFormatArgs {
  AnswerHead head;
  const Tokenizer& tokenizer;
  size_t n_choices = 1;
  bool include_usage = false;
  bool logprobs = false;
};
std::unique_ptr<AnswerFormat> make_chat_format(AnswerFormatArgs args);
std::unique_ptr<AnswerFormat> make_completion_format(AnswerFormatArgs args);

/// "stop", "length", "tool_calls".
std::string_view finish_reason(AnswerEnd end);
boost::json::object usage_json(const AnswerUsage& usage);
/// Adds what `more` brought to `sum`.
void merge(AnswerUpdate& sum, AnswerUpdate more);

}  // namespace halod
