// Decides what each step computes. Pure: no threads, no clock, no I/O, no model.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/ids.h"
#include "runtime/cache/kv_page_pool.h"
#include "runtime/engine/sequence.h"

namespace halod {

struct SchedulerOptions {
  int64_t context_length = 0;   ///< tokens of prompt and answer; >= 2, and so many fit into the pool
  int64_t max_sequences = 8;    ///< running at once; >= 1
  int64_t prefill_chunk = 512;  ///< tokens per step as long as it holds more prompt than streams; >= 1
  int64_t page_tokens = 0;      ///< tokens per KV page
};

/// One sequence's share of a step: its tokens [n_computed, n_computed + n_new).
struct ScheduledSlice {
  Sequence* sequence = nullptr;  ///< owned by the scheduler until it is removed
  int32_t n_new = 0;
  /// The slice ends with the last token known, so its logits give the next one.
  bool gives_token = false;
};

/// Continuous batching with chunked prefill over a paged KV cache.
///
/// Every step holds one row of each stream, so that a long prompt never stalls them; what is left of
/// prefill_chunk, but at least one row, goes to unfinished prompts in order of arrival, so that streams never
/// stall a prompt. Sequences are admitted in order of arrival, when a place is free and the pool has pages
/// for all their tokens, one more page of growth, and one page for every running stream. When the pool runs
/// dry all the same, the youngest running sequence gives its pages back and waits, at its old place in the
/// queue, to be computed again: its tokens stay, so its receiver notices a pause at most. The oldest sequence
/// always advances. Thread: the engine thread alone.
class Scheduler {
 public:
  /// REQUIRES: context_length tokens fit into the pool. The pool must outlive the scheduler.
  Scheduler(const SchedulerOptions& options, KvPagePool& pool);

  /// The most rows that a step can have.
  static int64_t max_step_tokens(const SchedulerOptions& options);

  /// Queues the sequence. REQUIRES: a new id, 1 <= n_tokens < context_length.
  void add(std::unique_ptr<Sequence> sequence);
  /// Takes a sequence out, running or waiting, because it finished or was cancelled; null when there is none
  /// of that id. Destroying it gives its pages back. Not between plan_step() and complete_step().
  std::unique_ptr<Sequence> remove(RequestId id);
  bool contains(RequestId id) const;

  /// Admits and preempts, then shares out the rows of the next step. Empty only when there are no sequences.
  /// The span is valid until the next call; complete_step() must come first.
  std::span<const ScheduledSlice> plan_step();
  /// The planned rows are computed: their KV is there, and full pages can be found by other prompts.
  void complete_step();

  int64_t n_running() const { return static_cast<int64_t>(running_.size()); }
  int64_t n_waiting() const { return static_cast<int64_t>(waiting_.size()); }
  uint64_t n_preemptions() const { return n_preemptions_; }

 private:
  using Queue = std::vector<std::unique_ptr<Sequence>>;

  static void insert_by_arrival(Queue& queue, std::unique_ptr<Sequence> sequence);
  int64_t pages_for(int64_t n_tokens) const;
  void grow_streams();
  void preempt_youngest();
  void admit_waiting();
  bool try_admit(Sequence& sequence);

  const SchedulerOptions options_;
  KvPagePool& pool_;
  StateSlotPool state_slots_;  // before the queues: their sequences give their slots back
  Queue running_;              // by arrival
  Queue waiting_;              // by arrival
  std::vector<ScheduledSlice> plan_;
  uint64_t n_arrivals_ = 0;
  uint64_t n_preemptions_ = 0;
};

}  // namespace halod
