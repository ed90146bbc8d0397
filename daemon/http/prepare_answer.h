// A request's body → sequences for the engine and the way their text is shown. Pure work for the worker pool.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "daemon/config/config.h"
#include "daemon/control/answer.h"
#include "daemon/control/text_model.h"
#include "daemon/http/openai_request.h"
#include "runtime/engine/request.h"

namespace halod {

/// The model as the API offers it. `text` and `defaults` outlive every request.
struct ServedModel {
  std::string name;
  const TextModel& text;
  const DefaultsConfig& defaults;
  int64_t created = 0;  ///< Unix seconds
};

struct PreparedAnswer {
  AnswerRequest request;
  std::vector<GenerationRequest> sequences;  ///< each prompt n times, in OpenAI's order of choices
  std::vector<AnswerText::Options> choices;  ///< one per sequence
  uint64_t n_prompt_tokens = 0;              ///< each prompt once
};

/// Errors: those of parsing; kNotFound for another model's name; kInvalidArgument from the chat template.
/// Thread: any.
Result<PreparedAnswer> prepare_chat(std::string_view body, const ServedModel& model);
Result<PreparedAnswer> prepare_completion(std::string_view body, const ServedModel& model);

}  // namespace halod
