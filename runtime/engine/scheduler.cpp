#include "runtime/engine/scheduler.h"

#include <algorithm>

namespace halod {

Scheduler::Scheduler(const SchedulerOptions& options, KvPagePool& pool)
    : options_(options), pool_(pool), state_slots_(options.max_sequences) {
  HALOD_ASSERT(options.page_tokens >= 1 && options.max_sequences >= 1 && options.prefill_chunk >= 1);
  HALOD_ASSERT(options.context_length >= 2 && pages_for(options.context_length) <= pool.n_pages());
}

int64_t Scheduler::max_step_tokens(const SchedulerOptions& options) {
  // With more streams than prefill_chunk, a step is all streams; one of the places may be a prompt's single
  // row.
  return std::max(options.prefill_chunk, options.max_sequences);
}

int64_t Scheduler::pages_for(int64_t n_tokens) const {
  return (n_tokens + options_.page_tokens - 1) / options_.page_tokens;
}

void Scheduler::insert_by_arrival(Queue& queue, std::unique_ptr<Sequence> sequence) {
  const auto place = std::ranges::upper_bound(queue, sequence->arrival, {}, &Sequence::arrival);
  queue.insert(place, std::move(sequence));
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  HALOD_ASSERT(!contains(sequence->id));
  HALOD_ASSERT(sequence->n_tokens() >= 1 && sequence->n_tokens() < options_.context_length);
  sequence->arrival = ++n_arrivals_;
  waiting_.push_back(std::move(sequence));
}

bool Scheduler::contains(RequestId id) const {
  const auto has_id = [id](const std::unique_ptr<Sequence>& sequence) { return sequence->id == id; };
  return std::ranges::any_of(running_, has_id) || std::ranges::any_of(waiting_, has_id);
}

std::unique_ptr<Sequence> Scheduler::remove(RequestId id) {
  HALOD_ASSERT(plan_.empty());
  for (Queue* queue : {&running_, &waiting_}) {
    const auto place = std::ranges::find(*queue, id, &Sequence::id);
    if (place == queue->end()) continue;
    std::unique_ptr<Sequence> sequence = std::move(*place);
    queue->erase(place);
    return sequence;
  }
  return nullptr;
}

std::span<const ScheduledSlice> Scheduler::plan_step() {
  HALOD_ASSERT(plan_.empty());
  grow_streams();
  // A sequence that was just preempted does not come back at once: it needs more than it gave up.
  admit_waiting();

  const auto add_slice = [this](Sequence& sequence, int64_t n_new) {
    plan_.push_back({&sequence, static_cast<int32_t>(n_new), n_new == sequence.n_to_compute()});
  };
  for (const auto& sequence : running_) {
    if (sequence->n_to_compute() == 1) add_slice(*sequence, 1);
  }
  int64_t n_prefill_rows = std::max<int64_t>(1, options_.prefill_chunk - static_cast<int64_t>(plan_.size()));
  for (const auto& sequence : running_) {
    if (sequence->n_to_compute() == 1) continue;
    if (n_prefill_rows == 0) break;
    const int64_t n_new = std::min(sequence->n_to_compute(), n_prefill_rows);
    add_slice(*sequence, n_new);
    n_prefill_rows -= n_new;
  }
  return plan_;
}

void Scheduler::complete_step() {
  for (const ScheduledSlice& slice : plan_) {
    Sequence& sequence = *slice.sequence;
    sequence.n_computed += slice.n_new;
    sequence.cache.index_computed(sequence.tokens, sequence.n_computed);
  }
  plan_.clear();
}

/// Room for one more token of every stream; the youngest sequences give way for it.
void Scheduler::grow_streams() {
  for (size_t i = 0; i < running_.size(); ++i) {
    // The youngest stands last, so preemption may end this loop but never moves a sequence that is still to
    // be looked at.
    while (i < running_.size() && !running_[i]->cache.grow_to(running_[i]->n_tokens())) preempt_youngest();
  }
}

void Scheduler::preempt_youngest() {
  std::unique_ptr<Sequence> sequence = std::move(running_.back());
  running_.pop_back();
  sequence->cache.release();
  sequence->state = {};
  sequence->n_computed = 0;
  ++n_preemptions_;
  insert_by_arrival(waiting_, std::move(sequence));
}

void Scheduler::admit_waiting() {
  size_t n_admitted = 0;
  while (n_admitted < waiting_.size() && n_running() < options_.max_sequences &&
         try_admit(*waiting_[n_admitted])) {
    insert_by_arrival(running_, std::move(waiting_[n_admitted]));
    ++n_admitted;
  }
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(n_admitted));
}

bool Scheduler::try_admit(Sequence& sequence) {
  const int64_t n_growth = std::min(options_.page_tokens, options_.context_length - sequence.n_tokens());
  const int64_t n_wanted = pages_for(sequence.n_tokens() + n_growth);
  const int64_t n_cached = sequence.cache.adopt_prefix(sequence.tokens);
  // Adopted pages are no longer available, so this counts what is left for the rest.
  if (n_wanted - sequence.cache.n_pages() + n_running() > pool_.n_available()) {
    sequence.cache.release();
    return false;
  }
  HALOD_ASSERT(sequence.cache.grow_to(sequence.n_tokens()));
  sequence.state = state_slots_.take();
  sequence.n_computed = n_cached;
  if (!sequence.n_cached) sequence.n_cached = n_cached;
  return true;
}

}  // namespace halod
