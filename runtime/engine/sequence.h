// One request inside the engine.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "runtime/cache/sequence_cache.h"
#include "runtime/cache/state_slots.h"
#include "runtime/engine/request.h"
#include "runtime/engine/sampler.h"

namespace halod {

/// Prefill and decode are one thing: tokens that are known but whose KV is not there yet are computed, a
/// prompt's in chunks, an answer's one by one. When the last of them has been computed its logits give the
/// next token.
struct Sequence {
  /// Arguments as SequenceCache's.
  Sequence(KvPagePool& pool, PrefixIndex* index, int64_t page_tokens) : cache(pool, index, page_tokens) {}

  RequestId id{};
  uint32_t max_tokens = 0;
  std::vector<int32_t> stop_token_ids;
  SamplingParams sampling;

  std::vector<TokenId> tokens;  ///< prompt, then answer
  int64_t n_prompt = 0;
  int64_t n_computed = 0;  ///< leading tokens whose KV is in `cache`
  SequenceCache cache;
  StateSlotPool::Lease state;  ///< held while it runs
  TokenCounts counts;          ///< kept only when the sampling parameters need it

  uint64_t arrival = 0;               ///< order of submission; set by the scheduler
  std::optional<int64_t> n_cached{};  ///< tokens found in the prefix index when it was first admitted

  // Seconds on the engine's clock.
  std::optional<double> first_step_at{};
  std::optional<double> first_token_at{};

  int64_t n_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t n_answer() const { return n_tokens() - n_prompt; }
  int64_t n_to_compute() const { return n_tokens() - n_computed; }
};

}  // namespace halod
