#include "runtime/engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace halod {
namespace {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

EngineOptions completed(EngineOptions options, const Model& model) {
  if (options.context_length == 0) options.context_length = model.config().context_length;
  options.context_length = std::min(options.context_length, model.n_kv_pages() * kKvPageTokens);
  // A prefix's pages without the state at its end are no use.
  if (model.config().has_recurrent_state()) options.prefix_caching = false;
  if (!options.now_seconds) options.now_seconds = steady_seconds;
  return options;
}

SchedulerOptions scheduler_options(const EngineOptions& options) {
  return {.context_length = options.context_length,
          .max_sequences = options.max_sequences,
          .prefill_chunk = options.prefill_chunk,
          .page_tokens = kKvPageTokens};
}

Result<> check_token_ids(const std::vector<int32_t>& ids, std::string_view name, int64_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("{}[{}] is token id {}; the vocabulary has {} tokens", name, i, ids[i], vocab_size),
        std::string(name)};
  }
  return {};
}

}  // namespace

int64_t max_batch_tokens(const EngineOptions& options) {
  return Scheduler::max_step_tokens(scheduler_options(options));
}

Engine::Engine(Model& model, const EngineOptions& options, GenerationSink& sink)
    : model_(model),
      options_(completed(options, model)),
      sink_(sink),
      pool_(model.n_kv_pages()),
      prefix_index_(pool_, kKvPageTokens),
      scheduler_(scheduler_options(options_), pool_) {
  logits_.resize(static_cast<size_t>(options_.max_sequences * model.config().vocab_size));
}

Result<> Engine::check(const GenerationRequest& request) const {
  const auto n_prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t vocab_size = model_.config().vocab_size;
  if (n_prompt == 0)
    return Error{ErrorCode::kInvalidArgument, "the prompt is empty; it needs at least one token", "prompt"};
  if (n_prompt >= options_.context_length) {
    return Error{ErrorCode::kContextOverflow,
                 fmt::format("the prompt has {} tokens, but the context is {} tokens, of which the answer "
                             "needs at least one; shorten the "
                             "prompt or load the model with a longer context",
                             n_prompt, options_.context_length),
                 "prompt"};
  }
  if (request.max_tokens == 0)
    return Error{ErrorCode::kInvalidArgument, "max_tokens is 0; it must be at least 1", "max_tokens"};
  if (auto checked = check_token_ids(request.prompt, "prompt", vocab_size); !checked) return checked;
  if (auto checked = check_token_ids(request.generated, "generated", vocab_size); !checked) return checked;
  return validate(request.sampling, vocab_size);
}

void Engine::submit(GenerationRequest request) {
  HALOD_ASSERT(!contains(RequestId{request.request_id}));
  auto sequence =
      std::make_unique<Sequence>(pool_, options_.prefix_caching ? &prefix_index_ : nullptr, kKvPageTokens);
  sequence->id = RequestId{request.request_id};
  sequence->n_prompt = static_cast<int64_t>(request.prompt.size());
  sequence->tokens.reserve(request.prompt.size() + request.generated.size());
  for (const std::vector<int32_t>* part : {&request.prompt, &request.generated}) {
    for (const int32_t id : *part) sequence->tokens.push_back(TokenId{id});
  }
  if (const auto checked = check(request); !checked) {
    finish(*sequence, FinishReason::error, checked.error());
    return;
  }
  sequence->max_tokens = request.max_tokens;
  sequence->stop_token_ids = std::move(request.stop_token_ids);
  sequence->sampling = std::move(request.sampling);
  if (const auto reason = finish_reason(*sequence, options_.context_length)) {
    finish(*sequence, *reason);
    return;
  }
  if (needs_token_counts(sequence->sampling)) {
    for (const int32_t id : request.prompt) sequence->counts.add_prompt_token(TokenId{id});
    for (const int32_t id : request.generated) sequence->counts.add_answer_token(TokenId{id});
  }
  scheduler_.add(std::move(sequence));
}

void Engine::cancel(RequestId id) {
  if (const auto sequence = scheduler_.remove(id)) finish(*sequence, FinishReason::cancelled);
}

bool Engine::step() {
  const auto plan = scheduler_.plan_step();
  if (plan.empty()) return false;
  const double started_at = options_.now_seconds();
  for (const ScheduledSlice& slice : plan) {
    Sequence& sequence = *slice.sequence;
    if (!sequence.first_step_at) {
      sequence.first_step_at = started_at;
      stats_.n_cached_tokens += static_cast<uint64_t>(sequence.n_cached.value_or(0));
    }
    stats_.n_prompt_tokens +=
        static_cast<uint64_t>(std::clamp<int64_t>(sequence.n_prompt - sequence.n_computed, 0, slice.n_new));
  }
  compute(plan);
  scheduler_.complete_step();
  const auto vocab_size = static_cast<size_t>(model_.config().vocab_size);
  for (size_t row = 0; row < sampled_.size(); ++row) {
    Sequence& sequence = *sampled_[row];
    deliver(sequence, sample(sequence, std::span(logits_).subspan(row * vocab_size, vocab_size), best_[row]));
  }
  ++stats_.n_steps;
  stats_.busy_seconds += options_.now_seconds() - started_at;
  return true;
}

void Engine::compute(std::span<const ScheduledSlice> plan) {
  tokens_.clear();
  slices_.clear();
  logit_rows_.clear();
  sampled_.clear();
  best_.clear();
  for (const ScheduledSlice& slice : plan) {
    const Sequence& sequence = *slice.sequence;
    const auto first = sequence.tokens.begin() + sequence.n_computed;
    tokens_.insert(tokens_.end(), first, first + slice.n_new);
    slices_.push_back({.pages = sequence.cache.pages(),
                       .n_past = static_cast<int32_t>(sequence.n_computed),
                       .n_new = slice.n_new,
                       .state_slot = sequence.state.slot()});
    if (!slice.gives_token) continue;
    logit_rows_.push_back(static_cast<int32_t>(tokens_.size()) - 1);
    sampled_.push_back(slice.sequence);
    best_.push_back({.n_wanted = n_best_needed(sequence.sampling, model_.config().vocab_size), .found = {}});
  }
  const MatrixView<float> logits(logits_.data(), static_cast<int64_t>(logit_rows_.size()),
                                 model_.config().vocab_size);
  model_.forward({.tokens = tokens_, .sequences = slices_, .logit_rows = logit_rows_, .best = best_}, logits);
}

Result<SampledToken> Engine::sample(const Sequence& sequence, std::span<float> logits,
                                    const BestTokens& best) {
  const auto answer_idx = static_cast<uint32_t>(sequence.n_answer());
  if (!best.found.empty()) return sampler_.sample_best(sequence.sampling, answer_idx, best.found);
  return sampler_.sample(
      {.params = sequence.sampling, .counts = sequence.counts, .answer_idx = answer_idx, .logits = logits});
}

void Engine::deliver(Sequence& sequence, Result<SampledToken> sampled) {
  const auto answer_idx = static_cast<uint32_t>(sequence.n_answer());
  if (!sampled) {
    // Its KV is as suspect as its logits, whatever the cause, and must not reach the next request with this
    // prompt.
    sequence.cache.discard();
    finish(*scheduler_.remove(sequence.id), FinishReason::error, sampled.error());
    return;
  }
  sequence.tokens.push_back(sampled->token);
  if (needs_token_counts(sequence.sampling)) sequence.counts.add_answer_token(sampled->token);
  if (!sequence.first_token_at) sequence.first_token_at = options_.now_seconds();
  ++stats_.n_generated_tokens;
  sink_.on_token({.request_id = to_int(sequence.id),
                  .answer_idx = answer_idx,
                  .token_id = to_int(sampled->token),
                  .logprob = sampled->logprob,
                  .top_logprobs = std::move(sampled->top_logprobs)});
  if (const auto reason = finish_reason(sequence, options_.context_length))
    finish(*scheduler_.remove(sequence.id), *reason);
}

/// Looks at the answer's end alone, so that it says the same about a resumed request as it did when the token
/// was new.
std::optional<FinishReason> Engine::finish_reason(const Sequence& sequence, int64_t context_length) {
  if (sequence.n_answer() == 0) return std::nullopt;
  if (std::ranges::count(sequence.stop_token_ids, to_int(sequence.tokens.back())) > 0)
    return FinishReason::stop;
  if (sequence.n_answer() >= sequence.max_tokens || sequence.n_tokens() >= context_length)
    return FinishReason::length;
  return std::nullopt;
}

void Engine::finish(const Sequence& sequence, FinishReason reason, const std::optional<Error>& error) {
  RequestFinished finished{.request_id = to_int(sequence.id), .reason = reason};
  if (error) {
    finished.error_code = to_string(error->code);
    finished.error_message = error->message;
  }
  finished.n_prompt_tokens = static_cast<uint32_t>(sequence.n_prompt);
  finished.n_cached_tokens =
      static_cast<uint32_t>(std::min(sequence.n_cached.value_or(0), sequence.n_prompt));
  finished.n_generated_tokens = static_cast<uint32_t>(sequence.n_answer());
  if (sequence.first_step_at) {
    const double now = options_.now_seconds();
    finished.prefill_seconds = sequence.first_token_at.value_or(now) - *sequence.first_step_at;
    finished.decode_seconds = now - sequence.first_token_at.value_or(now);
  }
  sink_.on_finished(finished);
}

void Engine::warm_up() {
  HALOD_ASSERT(!has_work() && stats_.n_steps == 0);
  // The pages are all free, so what is written into them is never read.
  const int64_t n_rows = std::min({options_.prefill_chunk, options_.context_length, int64_t{64}});
  std::vector<PageId> pages;
  for (int64_t i = 0; i * kKvPageTokens < n_rows; ++i) pages.push_back(static_cast<PageId>(i));
  const std::vector<TokenId> tokens(static_cast<size_t>(n_rows), TokenId{0});
  for (const int64_t n_new : {n_rows, int64_t{1}}) {
    const SequenceSlice slice{
        .pages = pages, .n_past = static_cast<int32_t>(n_rows - n_new), .n_new = static_cast<int32_t>(n_new)};
    const auto logit_row = static_cast<int32_t>(n_new - 1);
    model_.forward({.tokens = std::span(tokens).first(static_cast<size_t>(n_new)),
                    .sequences = {&slice, 1},
                    .logit_rows = {&logit_row, 1}},
                   MatrixView<float>(logits_.data(), 1, model_.config().vocab_size));
  }
}

EngineStats Engine::stats() const {
  EngineStats stats = stats_;
  stats.n_running = scheduler_.n_running();
  stats.n_waiting = scheduler_.n_waiting();
  stats.n_pages_used = pool_.n_used();
  stats.n_pages = pool_.n_pages();
  stats.n_preemptions = scheduler_.n_preemptions();
  return stats;
}

}  // namespace halod
