#include <fmt/format.h>

#include <limits>

#include "daemon/http/openai_request.h"

namespace halod {
namespace {

namespace json = boost::json;

/// OpenAI's default for completions.
constexpr uint32_t kDefaultMaxTokens = 16;

std::vector<int32_t> read_token_ids(const json::array& values, const std::string& at, FieldReader& reader) {
  std::vector<int32_t> ids;
  ids.reserve(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t* id = values[i].if_int64();
    if (!id || *id < 0 || *id > std::numeric_limits<int32_t>::max()) {
      reader.fail(fmt::format("{}[{}]", at, i),
                  "is no token id; a prompt is a string, an array of token ids, or an array of those");
      return ids;
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  if (ids.empty()) reader.fail(at, "is empty; it takes at least one token");
  return ids;
}

CompletionPrompt read_prompt(const json::value& value, const std::string& at, FieldReader& reader) {
  if (const json::array* ids = value.if_array()) return read_token_ids(*ids, at, reader);
  if (!value.is_string()) {
    reader.fail(at, fmt::format("is {}; a prompt is a string, an array of token ids, or an array of those",
                                kind_name(value)));
    return std::string();
  }
  if (value.get_string().empty()) reader.fail(at, "is empty; it takes at least one character");
  return std::string(value.get_string());
}

std::vector<CompletionPrompt> read_prompts(FieldReader& reader) {
  std::vector<CompletionPrompt> prompts;
  const json::value* prompt = reader.find("prompt");
  if (!prompt) {
    reader.fail("prompt", "is missing; it takes a string, an array of token ids, or an array of those");
    return prompts;
  }
  const json::array* list = prompt->if_array();
  const bool is_many = list && !list->empty() && !list->front().is_number();
  if (!is_many) {
    prompts.push_back(read_prompt(*prompt, "prompt", reader));
    return prompts;
  }
  if (list->size() > kMaxPrompts)
    reader.fail("prompt", fmt::format("has {} prompts; at most {} are taken", list->size(), kMaxPrompts));
  for (size_t i = 0; i < list->size() && !reader.failed(); ++i)
    prompts.push_back(read_prompt((*list)[i], fmt::format("prompt[{}]", i), reader));
  return prompts;
}

void refuse_unsupported(FieldReader& reader, uint32_t n) {
  if (reader.boolean("echo").value_or(false))
    reader.fail("echo", "can be false only on this server", ErrorCode::kUnsupported);
  if (!reader.string("suffix").value_or("").empty())
    reader.fail("suffix", "is not supported by this server", ErrorCode::kUnsupported);
  const auto best_of = reader.integer("best_of", 1, 100);
  if (best_of && *best_of != n)
    reader.fail("best_of", "can only equal 'n' on this server", ErrorCode::kUnsupported);
}

}  // namespace

Result<CompletionRequest> parse_completion_request(const json::object& body, const DefaultsConfig& defaults) {
  FieldReader reader(body);
  CompletionRequest request;
  request.answer = read_answer_request(reader, defaults);
  if (request.answer.max_tokens == 0) request.answer.max_tokens = kDefaultMaxTokens;
  if (const auto logprobs = reader.integer("logprobs", 0, kMaxTopLogprobs)) {
    request.answer.sampling.n_logprobs = static_cast<int32_t>(*logprobs);
  }
  refuse_unsupported(reader, request.answer.n);
  request.prompts = read_prompts(reader);
  if (reader.failed()) return reader.error();
  return request;
}

}  // namespace halod
