#include "daemon/http/answer_format.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace halod {

namespace json = boost::json;

std::string_view finish_reason(AnswerEnd end) {
  switch (end) {
    case AnswerEnd::kStop:
      return "stop";
    case AnswerEnd::kLength:
      return "length";
    case AnswerEnd::kToolCalls:
      return "tool_calls";
  }
  return "stop";
}

json::object usage_json(const AnswerUsage& usage) {
  json::object object;
  object["prompt_tokens"] = usage.n_prompt_tokens;
  object["completion_tokens"] = usage.n_completion_tokens;
  object["total_tokens"] = usage.n_prompt_tokens + usage.n_completion_tokens;
  object["prompt_tokens_details"] = json::object{{"cached_tokens", usage.n_cached_tokens}};
  return object;
}

void merge(AnswerUpdate& sum, AnswerUpdate more) {
  sum.delta.reasoning += more.delta.reasoning;
  sum.delta.content += more.delta.content;
  std::ranges::move(more.delta.tool_calls, std::back_inserter(sum.delta.tool_calls));
  std::ranges::move(more.logprobs, std::back_inserter(sum.logprobs));
  if (more.end) sum.end = more.end;
}

}  // namespace halod
