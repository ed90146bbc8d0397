#include "runtime/engine/serving_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "runtime/backend/backend.h"

namespace halod {
namespace {

constexpr uint64_t kGibibyte = uint64_t{1} << 30;
constexpr int64_t kMaxSequencesLimit = 1024;
constexpr int64_t kPrefillChunkLimit = 65536;
/// Less than this is no use to anybody: an error serves better than a model that can hardly answer.
constexpr int64_t kSmallestContext = 512;

uint64_t minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

int64_t pages_for(int64_t n_tokens) { return (n_tokens + kKvPageTokens - 1) / kKvPageTokens; }

std::string gib(uint64_t n_bytes) {
  return fmt::format("{} bytes ({:.2f} GiB)", n_bytes,
                     static_cast<double>(n_bytes) / static_cast<double>(kGibibyte));
}

Error out_of_range(std::string field, uint64_t value, int64_t limit) {
  std::string message = fmt::format("{} is {}; the limit is {}", field, value, limit);
  return {ErrorCode::kInvalidArgument, std::move(message), std::move(field)};
}

struct Budget {
  uint64_t kept_free = 0;
  uint64_t beside_kv = 0;  // weights and activations
  uint64_t available = 0;
  uint64_t for_kv() const { return minus(minus(available, kept_free), beside_kv); }
};

Error too_large(const ServingDemand& demand, const Budget& budget, int64_t n_tokens, int64_t n_pages_fit) {
  const uint64_t needed =
      budget.beside_kv + static_cast<uint64_t>(pages_for(n_tokens)) * demand.kv_page_bytes;
  const std::string field = demand.request.kv_cache_tokens > 0 ? "kv_cache_tokens" : "context_length";
  std::string remedy = "free memory or choose a smaller model or quantisation";
  if (n_pages_fit > 0) {
    // Fits as a context of one sequence too: it is less than what was asked for.
    remedy = fmt::format("a {} of {} would fit", field, n_pages_fit * kKvPageTokens);
  }
  return {ErrorCode::kOutOfMemory,
          fmt::format("{} with a KV cache of {} tokens needs {}, of which weights are {}; available are {} "
                      "({} less the {} that stay free for the rest of the machine); {}",
                      demand.request.path, n_tokens, gib(needed), gib(demand.weight_bytes),
                      gib(minus(budget.available, budget.kept_free)), gib(budget.available),
                      gib(budget.kept_free), remedy),
          field, needed, minus(budget.available, budget.kept_free)};
}

Result<> check_limits(const ServingDemand& demand) {
  const wire::LoadModel& request = demand.request;
  if (request.max_sequences > kMaxSequencesLimit)
    return out_of_range("max_sequences", request.max_sequences, kMaxSequencesLimit);
  if (request.prefill_chunk > kPrefillChunkLimit)
    return out_of_range("prefill_chunk", request.prefill_chunk, kPrefillChunkLimit);
  if (request.context_length > demand.config.context_length) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("context_length is {}, but {} was trained for {}; ask for at most that",
                             request.context_length, request.path, demand.config.context_length),
                 "context_length"};
  }
  if (request.context_length == 1)
    return Error{ErrorCode::kInvalidArgument, "context_length is 1; it must be at least 2", "context_length"};
  if (request.kv_cache_tokens > 0 && request.kv_cache_tokens < request.context_length) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("kv_cache_tokens is {}, less than one context of {}", request.kv_cache_tokens,
                             request.context_length),
                 "kv_cache_tokens"};
  }
  // Far beyond any machine's memory, and small enough that nothing below overflows.
  constexpr int64_t kMaxKvTokens = int64_t{1} << 36;
  if (request.kv_cache_tokens > kMaxKvTokens)
    return out_of_range("kv_cache_tokens", request.kv_cache_tokens, kMaxKvTokens);
  return {};
}

}  // namespace

uint64_t estimated_scratch_bytes(const ModelConfig& config, int64_t n_rows, int64_t n_logit_rows) {
  const int64_t n_attention = (2 * config.n_heads + 2 * config.n_kv_heads) * config.head_dim;
  const int64_t n_ffn =
      config.is_moe() ? config.n_experts_per_token * (3 * config.moe_intermediate_size + config.hidden_size)
                      : 3 * config.intermediate_size;
  const int64_t n_per_row = 4 * config.hidden_size + n_attention + n_ffn + config.n_experts;
  return static_cast<uint64_t>(n_rows * n_per_row + n_logit_rows * config.vocab_size) * sizeof(float);
}

Result<ServingPlan> plan_serving(const ServingDemand& demand, const MachineMemory& memory) {
  if (const auto checked = check_limits(demand); !checked) return checked.error();
  const wire::LoadModel& request = demand.request;
  ServingPlan plan;
  plan.max_sequences = request.max_sequences > 0 ? request.max_sequences : kDefaultMaxSequences;
  plan.prefill_chunk = request.prefill_chunk > 0 ? request.prefill_chunk : kDefaultPrefillChunk;
  plan.context_length = request.context_length > 0
                            ? request.context_length
                            : std::min(demand.config.context_length, kDefaultContextLength);
  if (request.kv_cache_tokens > 0) {
    plan.context_length = std::min(plan.context_length, static_cast<int64_t>(request.kv_cache_tokens));
  }

  const int64_t n_rows = std::max(plan.prefill_chunk, plan.max_sequences);
  // The engine holds one copy of the logits besides the model's activations.
  const uint64_t scratch_bytes = estimated_scratch_bytes(demand.config, n_rows, 2 * plan.max_sequences);
  const Budget budget{.kept_free = std::max(kGibibyte, memory.total_bytes / 20),
                      .beside_kv = demand.weight_bytes + scratch_bytes,
                      .available = memory.available_bytes};
  const auto n_pages_fit = static_cast<int64_t>(budget.for_kv() / demand.kv_page_bytes);

  const int64_t n_tokens_wanted = request.kv_cache_tokens > 0 ? static_cast<int64_t>(request.kv_cache_tokens)
                                                              : plan.context_length * plan.max_sequences;
  plan.n_kv_pages = pages_for(n_tokens_wanted);
  if (plan.n_kv_pages <= n_pages_fit) return plan;
  if (request.kv_cache_tokens > 0) return too_large(demand, budget, n_tokens_wanted, n_pages_fit);
  plan.n_kv_pages = n_pages_fit;
  if (pages_for(plan.context_length) <= n_pages_fit) return plan;
  const int64_t smallest = std::min(plan.context_length, kSmallestContext);
  if (request.context_length > 0 || n_pages_fit < pages_for(smallest)) {
    return too_large(demand, budget, plan.context_length, n_pages_fit);
  }
  plan.context_length = n_pages_fit * kKvPageTokens;
  return plan;
}

}  // namespace halod
