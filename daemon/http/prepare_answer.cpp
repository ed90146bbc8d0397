#include "daemon/http/prepare_answer.h"

#include <fmt/format.h>

#include <random>

#include "daemon/http/json_body.h"

namespace halod {
namespace {

namespace json = boost::json;

uint64_t random_seed() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

struct Prompt {
  std::vector<int32_t> ids;
  bool opens_reasoning = false;
};

/// The engine's requests for `prompts`, each `n` times.
void add_sequences(const std::vector<Prompt>& prompts, const ServedModel& model, PreparedAnswer& answer) {
  const AnswerRequest& request = answer.request;
  const std::vector<int32_t> stop_ids =
      request.ignore_eos ? std::vector<int32_t>() : model.text->stop_token_ids();
  const uint64_t seed = request.seed.value_or(random_seed());
  for (const Prompt& prompt : prompts) {
    answer.n_prompt_tokens += prompt.ids.size();
    for (uint32_t i = 0; i < request.n; ++i) {
      GenerationRequest sequence{.prompt = prompt.ids,
                                 .max_tokens = request.max_tokens,
                                 .stop_token_ids = stop_ids,
                                 .sampling = request.sampling};
      // The first choice has the client's own seed; the others are far from it and from each other (the
      // golden ratio's 64 bits).
      sequence.sampling.seed = seed + answer.sequences.size() * 0x9E3779B97F4A7C15ULL;
      answer.sequences.push_back(std::move(sequence));
      answer.choices.push_back(
          {.stop = request.stop, .stop_token_ids = stop_ids, .logprobs = request.sampling.n_logprobs >= 0});
    }
  }
}

Result<Prompt> encode(const CompletionPrompt& prompt, const TextModel& text) {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) return Prompt{.ids = *ids};
  Result<std::vector<int32_t>> ids = text.encode_prompt(std::get<std::string>(prompt));
  if (!ids) return ids.error();
  return Prompt{.ids = std::move(*ids)};
}

}  // namespace

Result<std::string> requested_model(const json::object& body) {
  const json::value* model = body.if_contains("model");
  if (!model || model->is_null()) return std::string();
  if (!model->is_string())
    return Error{ErrorCode::kInvalidArgument, "model: expected a string, the name of a model", "model"};
  return std::string(model->get_string());
}

Result<PreparedAnswer> prepare_chat(const json::object& body, const ServedModel& model) {
  Result<ChatRequest> request = parse_chat_request(body, model.defaults);
  if (!request) return request.error();
  Result<TextModel::RenderedChat> rendered = model.text->render_chat(std::move(request->context));
  if (!rendered) return rendered.error();
  PreparedAnswer answer{.request = std::move(request->answer)};
  if (answer.request.max_tokens == 0) answer.request.max_tokens = model.defaults.max_tokens;
  const OutputParserOptions parser{.starts_in_reasoning = rendered->opens_reasoning,
                                   .parse_tool_calls = !request->tools.empty(),
                                   .tools = std::move(request->tools)};
  std::vector<Prompt> prompts(1);
  prompts.front().ids = std::move(rendered->prompt);
  add_sequences(prompts, model, answer);
  for (AnswerText::Options& choice : answer.choices) {
    choice.parser = parser;
    choice.harmony_message = rendered->harmony_message;
  }
  return answer;
}

Result<PreparedAnswer> prepare_completion(const json::object& body, const ServedModel& model) {
  Result<CompletionRequest> request = parse_completion_request(body, model.defaults);
  if (!request) return request.error();
  std::vector<Prompt> prompts;
  for (const CompletionPrompt& prompt : request->prompts) {
    Result<Prompt> encoded = encode(prompt, *model.text);
    if (!encoded) return encoded.error();
    prompts.push_back(std::move(*encoded));
  }
  PreparedAnswer answer{.request = std::move(request->answer)};
  add_sequences(prompts, model, answer);
  return answer;
}

}  // namespace halod
