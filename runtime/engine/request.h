// The contract between whoever wants text (the daemon, halo-bench, tests) and the engine. Token ids only:
// text is the caller's business.
#pragma once

#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/ids.h"

namespace halod {

struct LogitBias {
  int32_t token_id = 0;
  float bias = 0;  ///< added to the logit before anything else; -100 bans in practice
};
BOOST_DESCRIBE_STRUCT(LogitBias, (), (token_id, bias))

/// Defaults sample from the model's plain distribution; temperature 0 is exact argmax (lowest id wins ties).
/// Order: logit_bias, penalties, temperature, top_k, top_p, min_p, draw.
struct SamplingParams {
  float temperature = 1.0F;  ///< 0 = greedy
  int32_t top_k = 0;         ///< 0 = off
  float top_p = 1.0F;        ///< (0, 1]
  float min_p = 0.0F;        ///< [0, 1): relative to the best token's probability
  float repetition_penalty =
      1.0F;  ///< > 0; divides positive and multiplies negative logits of tokens in prompt or answer
  float presence_penalty = 0.0F;   ///< subtracted once from tokens in the answer
  float frequency_penalty = 0.0F;  ///< subtracted per occurrence in the answer
  std::vector<LogitBias> logit_bias;
  uint64_t seed = 0;        ///< draws are keyed by (seed, position), so a resumed request continues its own
  int32_t n_logprobs = -1;  ///< -1 = none; 0 = of the chosen token; n = also of the n best (<= 20)
};
BOOST_DESCRIBE_STRUCT(SamplingParams, (),
                      (temperature, top_k, top_p, min_p, repetition_penalty, presence_penalty,
                       frequency_penalty, logit_bias, seed, n_logprobs))

/// One sequence to generate. A request that survives an engine restart is resubmitted with what it has as
/// `generated`.
struct GenerationRequest {
  uint64_t request_id = 0;              ///< unique among the requests alive in one engine
  std::vector<int32_t> prompt;          ///< at least one token
  std::vector<int32_t> generated;       ///< answer tokens already delivered before a restart; normally empty
  uint32_t max_tokens = 0;              ///< of the whole answer, `generated` included; >= 1
  std::vector<int32_t> stop_token_ids;  ///< generation ends after one of these (it is delivered)
  SamplingParams sampling;
};
BOOST_DESCRIBE_STRUCT(GenerationRequest, (),
                      (request_id, prompt, generated, max_tokens, stop_token_ids, sampling))

struct TokenLogprob {
  int32_t token_id = 0;
  float logprob = 0;  ///< natural log of softmax of the raw logits (before penalties and temperature)
};
BOOST_DESCRIBE_STRUCT(TokenLogprob, (), (token_id, logprob))

/// One more token of an answer. `answer_idx` counts from 0 over the whole answer, restarts included: a
/// receiver can check that nothing is lost or sent twice.
struct GeneratedToken {
  uint64_t request_id = 0;
  uint32_t answer_idx = 0;
  int32_t token_id = 0;
  float logprob = 0;  ///< meaningful when n_logprobs >= 0
  std::vector<TokenLogprob> top_logprobs;
};
BOOST_DESCRIBE_STRUCT(GeneratedToken, (), (request_id, answer_idx, token_id, logprob, top_logprobs))

enum class FinishReason : uint8_t { stop, length, cancelled, error };
BOOST_DESCRIBE_ENUM(FinishReason, stop, length, cancelled, error)

/// The last word about a request; nothing follows it.
struct RequestFinished {
  uint64_t request_id = 0;
  FinishReason reason = FinishReason::stop;
  std::string error_code;  ///< to_string(ErrorCode), when reason is error
  std::string error_message;
  uint32_t n_prompt_tokens = 0;
  uint32_t n_cached_tokens = 0;     ///< prompt tokens that were not computed because their KV was kept
  uint32_t n_generated_tokens = 0;  ///< of the whole answer
  double prefill_seconds = 0;
  double decode_seconds = 0;
};
BOOST_DESCRIBE_STRUCT(RequestFinished, (),
                      (request_id, reason, error_code, error_message, n_prompt_tokens, n_cached_tokens,
                       n_generated_tokens, prefill_seconds, decode_seconds))

/// Where the engine delivers; called on the engine thread, must not block.
class GenerationSink {
 public:
  virtual ~GenerationSink() = default;
  virtual void on_token(const GeneratedToken& token) = 0;
  virtual void on_finished(const RequestFinished& finished) = 0;
};

}  // namespace halod
