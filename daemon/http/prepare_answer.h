// A request's body → sequences for the engine and the way their text is shown. Pure work for the worker pool.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "daemon/config/config.h"
#include "daemon/control/answer.h"
#include "daemon/control/served_model.h"
#include "daemon/http/openai_request.h"
#include "runtime/engine/request.h"

namespace halod {

struct PreparedAnswer {
  AnswerRequest request;
  std::vector<GenerationRequest> sequences;  ///< each prompt n times, in OpenAI's order of choices
  std::vector<AnswerText::Options> choices;  ///< one per sequence
  uint64_t n_prompt_tokens = 0;              ///< each prompt once
};

/// Errors: those of parsing; kInvalidArgument from the chat template. Thread: any.
Result<PreparedAnswer> prepare_chat(const boost::json::object& body, const ServedModel& model);
Result<PreparedAnswer> prepare_completion(const boost::json::object& body, const ServedModel& model);

/// The model that the body asks for; empty when it names none. Errors: kInvalidArgument when it is no string.
Result<std::string> requested_model(const boost::json::object& body);

}  // namespace halod
