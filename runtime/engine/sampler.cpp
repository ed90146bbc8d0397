#include "runtime/engine/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/engine/philox.h"

namespace halod {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kLowestLogWeight = -40;

/// The largest value, or NaN when any value is NaN. Lanes, because the compiler may not reorder a scalar
/// maximum.
float largest(std::span<const float> values) {
  constexpr size_t kLanes = 16;
  float best[kLanes];
  uint32_t nan[kLanes] = {};
  std::fill_n(best, kLanes, -kInfinity);
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float value = values[i + lane];
      best[lane] = value > best[lane] ? value : best[lane];
      nan[lane] |= value != value ? 1U : 0U;
    }
  }
  for (; i < values.size(); ++i) {
    best[0] = values[i] > best[0] ? values[i] : best[0];
    nan[0] |= values[i] != values[i] ? 1U : 0U;
  }
  if (std::ranges::any_of(nan, [](uint32_t n) { return n != 0; }))
    return std::numeric_limits<float>::quiet_NaN();
  return *std::ranges::max_element(best);
}

double log_sum_exp(std::span<const float> logits, double best) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - best);
  return best + std::log(sum);
}

float reported(double logprob) { return std::max(static_cast<float>(logprob), kLowestLogprob); }

/// Why logits whose largest is `best`, at `token_id`, cannot be sampled from: NaN, or nothing finite.
Error unusable_logits(uint32_t answer_idx, float best, int64_t token_id) {
  if (std::isnan(best)) {
    return {ErrorCode::kInternal, fmt::format("the logits of answer token {} hold NaN (first at token id "
                                              "{}): the model's weights or a kernel are broken",
                                              answer_idx, token_id)};
  }
  return {ErrorCode::kInternal,
          fmt::format("the best logit of answer token {} is {}: there is no distribution to draw from",
                      answer_idx, best)};
}

Error not_finite(const Sampler::Input& input, float best) {
  const auto nan = std::ranges::find_if(input.logits, [](float logit) { return std::isnan(logit); });
  const bool has_nan = nan != input.logits.end();
  return unusable_logits(input.answer_idx, has_nan ? *nan : best, nan - input.logits.begin());
}

Error out_of_range(std::string field, double value, std::string_view range) {
  std::string message = fmt::format("{} is {}; it must be {}", field, value, range);
  return {ErrorCode::kInvalidArgument, std::move(message), std::move(field)};
}

}  // namespace

Result<> validate(const SamplingParams& params, int64_t vocab_size) {
  // Written so that NaN fails each of them.
  if (!(params.temperature >= 0 && params.temperature < kInfinity)) {
    return out_of_range("temperature", params.temperature, "0 or a positive number");
  }
  if (params.top_k < 0) return out_of_range("top_k", params.top_k, "0 (off) or positive");
  if (!(params.top_p > 0 && params.top_p <= 1))
    return out_of_range("top_p", params.top_p, "over 0 and at most 1");
  if (!(params.min_p >= 0 && params.min_p < 1))
    return out_of_range("min_p", params.min_p, "at least 0 and under 1");
  if (!(params.repetition_penalty > 0 && params.repetition_penalty < kInfinity)) {
    return out_of_range("repetition_penalty", params.repetition_penalty, "a positive number");
  }
  if (!std::isfinite(params.presence_penalty)) {
    return out_of_range("presence_penalty", params.presence_penalty, "a finite number");
  }
  if (!std::isfinite(params.frequency_penalty)) {
    return out_of_range("frequency_penalty", params.frequency_penalty, "a finite number");
  }
  if (params.n_logprobs < -1 || params.n_logprobs > kMaxLogprobs) {
    return out_of_range("n_logprobs", params.n_logprobs, fmt::format("-1 (none) to {}", kMaxLogprobs));
  }
  for (const LogitBias& entry : params.logit_bias) {
    if (entry.token_id < 0 || entry.token_id >= vocab_size) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("logit_bias names token id {}; the vocabulary has {} tokens", entry.token_id,
                               vocab_size),
                   "logit_bias"};
    }
    if (!std::isfinite(entry.bias)) return out_of_range("logit_bias", entry.bias, "a finite number");
  }
  return {};
}

int32_t n_best_needed(const SamplingParams& params, int64_t vocab_size) {
  if (params.n_logprobs >= 0 || !params.logit_bias.empty() || needs_token_counts(params)) return 0;
  if (params.temperature == 0) return 1;
  return params.top_k < vocab_size ? params.top_k : 0;
}

bool needs_token_counts(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.presence_penalty != 0 || params.frequency_penalty != 0;
}

bool Sampler::is_before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

void Sampler::collect_best(std::span<const float> logits, size_t n) {
  candidates_.clear();
  if (n == 0) return;
  const size_t capacity = std::max<size_t>(2 * n, 1024);
  const auto shrink = [&] {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(n - 1),
                     candidates_.end(), is_before);
    candidates_.resize(n);
  };
  // Later ids lose against equal earlier ones, so "greater" is right for them once n are kept.
  float threshold = -kInfinity;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (!(logits[id] > threshold)) continue;
    candidates_.push_back({.logit = logits[id], .id = static_cast<int32_t>(id)});
    if (candidates_.size() < capacity) continue;
    shrink();
    threshold = candidates_.back().logit;
  }
  if (candidates_.size() > n) shrink();
  std::ranges::sort(candidates_, is_before);
}

void Sampler::collect_above(std::span<const float> logits, float lowest) {
  candidates_.clear();
  for (size_t id = 0; id < logits.size(); ++id) {
    if (logits[id] >= lowest) candidates_.push_back({.logit = logits[id], .id = static_cast<int32_t>(id)});
  }
}

void Sampler::change(std::span<float> logits, int32_t id, float value) {
  float& logit = logits[static_cast<size_t>(id)];
  changed_.push_back({id, logit});
  logit = value;
}

void Sampler::apply_bias_and_penalties(const Input& input) {
  changed_.clear();
  const SamplingParams& params = input.params;
  const auto logit_of = [&](int32_t id) { return input.logits[static_cast<size_t>(id)]; };
  for (const LogitBias& entry : params.logit_bias)
    change(input.logits, entry.token_id, logit_of(entry.token_id) + entry.bias);
  if (!needs_token_counts(params)) return;
  for (const auto& [id, n_in_answer] : input.counts.n_in_answer()) {
    float logit = logit_of(id);
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    if (n_in_answer > 0) {
      logit -= params.presence_penalty + params.frequency_penalty * static_cast<float>(n_in_answer);
    }
    change(input.logits, id, logit);
  }
}

double Sampler::raw_logit(std::span<const float> logits, int32_t id) const {
  // The first change of a token remembers what the model said.
  const auto first = std::ranges::find(changed_, id, &ChangedLogit::id);
  return first != changed_.end() ? first->raw : logits[static_cast<size_t>(id)];
}

void Sampler::keep_nucleus(double total_weight, double top_p) {
  const double wanted = total_weight * top_p;
  // Everything under this weight sums to less than what may be left out, so the nucleus lies above it.
  const double lowest = (total_weight - wanted) / static_cast<double>(candidates_.size());
  std::erase_if(candidates_, [&](const Candidate& candidate) { return candidate.weight < lowest; });
  // Weighted quickselect for the nucleus's last token, which lies in [first, last): a flat distribution has
  // far too many to sort.
  auto first = candidates_.begin();
  auto last = candidates_.end();
  double weight_before = 0;
  while (last - first > 1) {
    const auto middle = first + (last - first) / 2;
    std::nth_element(first, middle, last, is_before);
    double weight = 0;
    for (auto candidate = first; candidate != middle; ++candidate) weight += candidate->weight;
    if (weight_before + weight >= wanted) {
      last = middle;
    } else {
      weight_before += weight;
      first = middle;
    }
  }
  candidates_.erase(last, candidates_.end());
}

void Sampler::collect(const SamplingParams& params, std::span<const float> logits, float best_logit) {
  const bool has_top_k = params.top_k > 0 && static_cast<size_t>(params.top_k) < logits.size();
  if (has_top_k) {
    collect_best(logits, static_cast<size_t>(params.top_k));
  } else {
    // Without top_p nothing under min_p is looked at again; the margin leaves the exact decision to the
    // weights below.
    const double lowest_log_weight =
        params.min_p > 0 && params.top_p == 1 ? std::log(params.min_p) - 0.01 : kLowestLogWeight;
    const double lowest = best_logit + std::max(lowest_log_weight, kLowestLogWeight) * params.temperature;
    collect_above(logits, static_cast<float>(std::max<double>(lowest, std::numeric_limits<float>::lowest())));
  }
}

TokenId Sampler::draw(const SamplingParams& params, uint32_t answer_idx, float best_logit) {
  double total = 0;
  for (Candidate& candidate : candidates_) {
    candidate.weight = std::exp((double{candidate.logit} - best_logit) / params.temperature);
    total += candidate.weight;
  }
  if (params.top_p < 1) keep_nucleus(total, params.top_p);
  // The best token's weight is 1, so weights are already relative to it.
  if (params.min_p > 0) {
    std::erase_if(candidates_,
                  [&](const Candidate& candidate) { return candidate.weight < double{params.min_p}; });
  }
  total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;

  double rest = uniform_draw(params.seed, answer_idx) * total;
  int32_t chosen = candidates_.front().id;
  for (const Candidate& candidate : candidates_) {
    if (candidate.weight == 0) continue;
    chosen = candidate.id;
    rest -= candidate.weight;
    if (rest < 0) break;
  }
  return static_cast<TokenId>(chosen);
}

Result<SampledToken> Sampler::sample(const Input& input) {
  SampledToken sampled;
  double normaliser = 0;
  const bool wants_logprobs = input.params.n_logprobs >= 0;
  if (wants_logprobs) {
    const float best = largest(input.logits);
    if (!std::isfinite(best)) return not_finite(input, best);
    normaliser = log_sum_exp(input.logits, best);
    collect_best(input.logits, static_cast<size_t>(input.params.n_logprobs));
    for (const Candidate& candidate : candidates_) {
      sampled.top_logprobs.push_back({candidate.id, reported(candidate.logit - normaliser)});
    }
  }
  apply_bias_and_penalties(input);
  const float best = largest(input.logits);
  if (!std::isfinite(best)) return not_finite(input, best);
  if (input.params.temperature == 0) {
    sampled.token = static_cast<TokenId>(std::ranges::find(input.logits, best) - input.logits.begin());
  } else {
    collect(input.params, input.logits, best);
    sampled.token = draw(input.params, input.answer_idx, best);
  }
  if (wants_logprobs) sampled.logprob = reported(raw_logit(input.logits, to_int(sampled.token)) - normaliser);
  return sampled;
}

Result<SampledToken> Sampler::sample_best(const SamplingParams& params, uint32_t answer_idx,
                                          std::span<const TokenLogit> best) {
  const TokenLogit& first = best.front();
  if (!std::isfinite(first.logit)) return unusable_logits(answer_idx, first.logit, to_int(first.token));
  if (params.temperature == 0) return SampledToken{.token = first.token, .top_logprobs = {}};
  candidates_.clear();
  for (const TokenLogit& candidate : best) {
    // As collect_best(), which such a logit is not good enough for.
    if (candidate.logit > -kInfinity)
      candidates_.push_back({.logit = candidate.logit, .id = to_int(candidate.token)});
  }
  return SampledToken{.token = draw(params, answer_idx, first.logit), .top_logprobs = {}};
}

}  // namespace halod
