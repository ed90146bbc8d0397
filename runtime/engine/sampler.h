// From logits to a token.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "runtime/backend/backend.h"
#include "runtime/engine/request.h"

namespace halod {

/// Which tokens a sequence holds and how often its answer does: what the penalties need.
class TokenCounts {
 public:
  void add_prompt_token(TokenId token) { n_in_answer_.try_emplace(to_int(token), 0); }
  void add_answer_token(TokenId token) { ++n_in_answer_[to_int(token)]; }
  /// Every token of prompt and answer with its occurrences in the answer.
  const std::unordered_map<int32_t, uint32_t>& n_in_answer() const { return n_in_answer_; }

 private:
  std::unordered_map<int32_t, uint32_t> n_in_answer_;
};

struct SampledToken {
  TokenId token{};
  float logprob = 0;  ///< of the raw logits, at least kLowestLogprob; 0 when n_logprobs < 0
  std::vector<TokenLogprob> top_logprobs;  ///< best first; equal ones by lower id
};

/// Reported for anything less probable, because JSON has no minus infinity (as the OpenAI API does).
inline constexpr float kLowestLogprob = -9999.0F;
inline constexpr int32_t kMaxLogprobs = 20;

/// Errors: kInvalidArgument naming the field, its value and its range.
Result<> validate(const SamplingParams& params, int64_t vocab_size);
/// How many of the best raw logits decide everything: 1 for plain greedy, top_k where it bounds the draw. 0:
/// all logits are needed, for penalties, biases, log-probabilities, or a draw that top_k does not bound.
int32_t n_best_needed(const SamplingParams& params, int64_t vocab_size);
/// True when the parameters look at the tokens so far, so that a TokenCounts must be kept.
bool needs_token_counts(const SamplingParams& params);

/// Chooses one token per call, as request.h defines it. Holds scratch memory only: the result depends on the
/// arguments alone. The draw is uniform_draw(seed, answer_idx). Candidates whose probability is under e^-40
/// of the best one's cannot be drawn (all of them together weigh less than the 53 bits of a draw can tell).
/// Thread: one at a time per Sampler.
class Sampler {
 public:
  struct Input {
    const SamplingParams& params;  ///< validated
    const TokenCounts& counts;     ///< ignored unless needs_token_counts(params)
    uint32_t answer_idx = 0;       ///< tokens of the answer so far
    std::span<float> logits;       ///< [vocab_size] raw; overwritten
  };
  /// Errors: kInternal when a logit is NaN or +infinity, or all are -infinity.
  Result<SampledToken> sample(const Input& input);
  /// The same token from the best logits alone, as BestTokens::found has them. REQUIRES: as many as
  /// n_best_needed(). Errors: as sample().
  Result<SampledToken> sample_best(const SamplingParams& params, uint32_t answer_idx,
                                   std::span<const TokenLogit> best);

 private:
  struct Candidate {
    double weight = 0;  // exp((logit - best) / temperature)
    float logit = 0;
    int32_t id = 0;
  };
  struct ChangedLogit {
    int32_t id = 0;
    float raw = 0;
  };

  static bool is_before(const Candidate& a, const Candidate& b);
  void collect_best(std::span<const float> logits, size_t n);
  void collect_above(std::span<const float> logits, float lowest);
  void change(std::span<float> logits, int32_t id, float value);
  void apply_bias_and_penalties(const Input& input);
  double raw_logit(std::span<const float> logits, int32_t id) const;
  void keep_nucleus(double total_weight, double top_p);
  void collect(const SamplingParams& params, std::span<const float> logits, float best_logit);
  TokenId draw(const SamplingParams& params, uint32_t answer_idx, float best_logit);

  std::vector<Candidate> candidates_;
  std::vector<ChangedLogit> changed_;
};

}  // namespace halod
