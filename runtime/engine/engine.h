// Requests in, tokens out: the loop body that a thread drives.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "runtime/cache/kv_page_pool.h"
#include "runtime/cache/prefix_index.h"
#include "runtime/engine/request.h"
#include "runtime/engine/sampler.h"
#include "runtime/engine/scheduler.h"
#include "runtime/models/model.h"

namespace halod {

struct EngineOptions {
  int64_t context_length =
      0;  ///< tokens of prompt and answer, >= 2; 0 = the model's. At most what the model's KV pages hold.
  int64_t max_sequences = 8;    ///< running at once
  int64_t prefill_chunk = 512;  ///< see SchedulerOptions
  bool prefix_caching = true;   ///< answers are the same without it, only later; never for recurrent models
  std::function<double()> now_seconds = {};  ///< a monotonic clock; empty = std::chrono::steady_clock
};

/// What ModelOptions must allow for an engine of these options.
int64_t max_batch_tokens(const EngineOptions& options);

struct EngineStats {
  int64_t n_running = 0;
  int64_t n_waiting = 0;
  int64_t n_pages_used = 0;
  int64_t n_pages = 0;
  uint64_t n_prompt_tokens = 0;     ///< computed; those computed again after a preemption count again
  uint64_t n_cached_tokens = 0;     ///< prompt tokens that the prefix index spared
  uint64_t n_generated_tokens = 0;  ///< delivered by this engine
  uint64_t n_steps = 0;
  uint64_t n_preemptions = 0;
  double busy_seconds = 0;  ///< inside step()
};

/// Runs any number of requests over one model. Answers do not depend on what else runs, on prefill_chunk, on
/// preemption, on the prefix cache, or on whether a request was interrupted and resubmitted with what it had.
/// Every submitted request ends in exactly one on_finished. Thread: one, which is also the one that the sink
/// is called on.
class Engine {
 public:
  /// Model and sink must outlive the engine, and the model's ModelOptions must allow
  /// max_batch_tokens(options) and max_sequences.
  Engine(Model& model, const EngineOptions& options, GenerationSink& sink);

  /// Checks and queues the request; one that cannot run is finished with an error at once, and one that needs
  /// nothing more (a resumed one that had its last token) is finished at once. REQUIRES: no live request has
  /// this id. Errors, by on_finished: kInvalidArgument, kContextOverflow with both numbers.
  void submit(GenerationRequest request);
  /// Ends the request with FinishReason::cancelled and frees its pages. Nothing happens when there is none of
  /// that id (it may just have finished).
  void cancel(RequestId id);
  bool contains(RequestId id) const { return scheduler_.contains(id); }

  /// Computes one step and delivers its tokens. False, and nothing done, when there is no work.
  /// Throws DeviceError when the model does; the engine is then unusable.
  bool step();
  bool has_work() const { return scheduler_.n_running() + scheduler_.n_waiting() > 0; }

  /// Runs the model once over some tokens and once over a single one, so that the first request finds
  /// everything mapped and tuned. REQUIRES: nothing was submitted yet.
  void warm_up();

  EngineStats stats() const;
  int64_t context_length() const { return options_.context_length; }

 private:
  Result<> check(const GenerationRequest& request) const;
  static std::optional<FinishReason> finish_reason(const Sequence& sequence, int64_t context_length);
  void compute(std::span<const ScheduledSlice> plan);
  Result<SampledToken> sample(const Sequence& sequence, std::span<float> logits, const BestTokens& best);
  void deliver(Sequence& sequence, Result<SampledToken> sampled);
  void finish(const Sequence& sequence, FinishReason reason,
              const std::optional<Error>& error = std::nullopt);

  Model& model_;
  const EngineOptions options_;
  GenerationSink& sink_;
  KvPagePool pool_;
  PrefixIndex prefix_index_;
  Scheduler scheduler_;  // after the pool and the index: its sequences give their pages back first
  Sampler sampler_;
  EngineStats stats_;

  // One step's batch; members only so that they keep their memory.
  std::vector<TokenId> tokens_;
  std::vector<SequenceSlice> slices_;
  std::vector<int32_t> logit_rows_;
  std::vector<Sequence*> sampled_;  // one per logit row
  std::vector<BestTokens> best_;    // likewise
  std::vector<float> logits_;       // [max_sequences, vocab_size]
};

}  // namespace halod
