#include "daemon/control/admission.h"

#include <fmt/format.h>

#include <algorithm>

namespace halod {
namespace {

Result<> check_token_ids(const GenerationRequest& request, uint32_t vocab_size) {
  const auto outside = [vocab_size](int32_t token_id) {
    return token_id < 0 || static_cast<uint32_t>(token_id) >= vocab_size;
  };
  if (request.prompt.empty()) {
    return Error{ErrorCode::kInvalidArgument, "the prompt has no tokens; it takes at least one", "prompt"};
  }
  if (const auto bad = std::ranges::find_if(request.prompt, outside); bad != request.prompt.end()) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("prompt: token id {} at position {} is outside the vocabulary of {} tokens",
                             *bad, bad - request.prompt.begin(), vocab_size),
                 "prompt"};
  }
  for (const LogitBias& bias : request.sampling.logit_bias) {
    if (outside(bias.token_id)) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("logit_bias: token id {} is outside the vocabulary of {} tokens",
                               bias.token_id, vocab_size),
                   "logit_bias"};
    }
  }
  return {};
}

Result<> fit_context(GenerationRequest& request, uint32_t context_length) {
  const size_t n_prompt = request.prompt.size();
  if (request.max_tokens == 0 && n_prompt < context_length)
    request.max_tokens = context_length - static_cast<uint32_t>(n_prompt);
  if (request.max_tokens > 0 && n_prompt + request.max_tokens <= context_length) return {};
  if (request.max_tokens == 0) {
    return Error{ErrorCode::kContextOverflow,
                 fmt::format("the prompt has {} tokens and the context holds {}, prompt and answer together: "
                             "shorten the prompt",
                             n_prompt, context_length),
                 "messages"};
  }
  return Error{ErrorCode::kContextOverflow,
               fmt::format("the prompt has {} tokens and max_tokens is {}, together {}; the context holds "
                           "{}: shorten the prompt or lower "
                           "max_tokens",
                           n_prompt, request.max_tokens, n_prompt + request.max_tokens, context_length),
               "max_tokens"};
}

}  // namespace

Result<> admit(std::span<GenerationRequest> requests, const AdmissionLimits& limits) {
  for (GenerationRequest& request : requests) {
    if (auto checked = check_token_ids(request, limits.vocab_size); !checked) return checked;
    if (auto fitted = fit_context(request, limits.context_length); !fitted) return fitted;
  }
  if (requests.size() > limits.max_requests) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("this request asks for {} answers at once and the server takes {} in all: ask for "
                    "fewer (n, prompts)",
                    requests.size(), limits.max_requests),
        "n"};
  }
  if (limits.n_unfinished + requests.size() > limits.max_requests) {
    return Error{
        ErrorCode::kQueueFull,
        fmt::format("{} requests are running or waiting and {} more would pass the limit of {}: retry later",
                    limits.n_unfinished, requests.size(), limits.max_requests)};
  }
  return {};
}

}  // namespace halod
