#include "runtime/engine/serving_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "runtime/models/model.h"
#include "runtime/weights/model_summary.h"

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

int64_t n_pages_that_fit(const ServingDemand& demand, const ServingNeed& need, const MemoryBudget& budget) {
  const uint64_t beside_kv = need.weight_bytes + need.scratch_bytes;
  return static_cast<int64_t>(minus(budget.usable_bytes(), beside_kv) / demand.kv_page_bytes);
}

Error too_large(const ServingDemand& demand, const ServingNeed& need, const MemoryBudget& budget,
                int64_t n_tokens) {
  const uint64_t needed = need.weight_bytes + need.scratch_bytes +
                          static_cast<uint64_t>(pages_for(n_tokens)) * demand.kv_page_bytes;
  const int64_t n_pages_fit = n_pages_that_fit(demand, need, budget);
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
                      gib(budget.usable_bytes()), gib(budget.available_bytes), gib(budget.kept_free_bytes),
                      remedy),
          field, needed, budget.usable_bytes()};
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

/// With everything that was asked for, whatever memory there is. REQUIRES: the limits are kept.
ServingPlan wanted_plan(const ServingDemand& demand) {
  const wire::LoadModel& request = demand.request;
  ServingPlan plan;
  plan.max_sequences = request.max_sequences > 0 ? request.max_sequences : kDefaultMaxSequences;
  plan.prefill_chunk = request.prefill_chunk > 0 ? request.prefill_chunk : kDefaultPrefillChunk;
  plan.context_length = request.context_length > 0
                            ? request.context_length
                            : std::min(demand.config.context_length, kDefaultContextLength);
  if (request.kv_cache_tokens > 0)
    plan.context_length = std::min(plan.context_length, static_cast<int64_t>(request.kv_cache_tokens));
  plan.n_kv_pages = pages_for(request.kv_cache_tokens > 0 ? static_cast<int64_t>(request.kv_cache_tokens)
                                                          : plan.context_length * plan.max_sequences);
  return plan;
}

}  // namespace

uint64_t estimated_scratch_bytes(const ModelConfig& config, int64_t n_rows, int64_t n_logit_rows) {
  const int64_t n_attention = (2 * config.n_heads + 2 * config.n_kv_heads) * config.head_dim;
  const int64_t n_ffn =
      config.is_moe() ? config.n_experts_per_token * (3 * config.moe_intermediate_size + config.hidden_size)
                      : 3 * config.intermediate_size;
  const RecurrentConfig& recurrent = config.recurrent;
  const int64_t q_size = config.has_gated_attention ? config.n_heads * config.head_dim : 0;
  // Mamba-2 has its gate beside what its convolution goes over.
  const bool has_mamba2 = config.n_layers_with(Mixer::kMamba2) > 0;
  const int64_t n_gates = std::max(2 * q_size, recurrent.conv_channels()) +
                          (has_mamba2 ? 2 : 1) * std::max(q_size, recurrent.value_size()) +
                          6 * recurrent.n_value_heads;
  // Each expert's columns have an order of their own, so each slot has a row of its own.
  const int64_t ordered_size =
      config.is_moe()
          ? config.n_experts_per_token * std::max(config.hidden_size, config.moe_intermediate_size)
          : std::max(config.hidden_size, config.intermediate_size);
  const int64_t n_ordered = config.has_column_orders ? ordered_size : 0;
  const int64_t n_per_row = 4 * config.hidden_size + 2 * config.expert_latent_size + n_attention + n_ffn +
                            config.n_experts + n_gates + n_ordered +
                            3 * config.shared_expert_intermediate_size;
  return static_cast<uint64_t>(n_rows * n_per_row + n_logit_rows * config.vocab_size) * sizeof(float);
}

ServingDemand serving_demand(const wire::LoadModel& request, const ModelConfig& config,
                             const Checkpoint& file, const Backend& backend) {
  return {.request = request,
          .config = config,
          .weight_bytes = used_tensor_bytes(file, config),
          .kv_page_bytes = kv_page_bytes(config, backend)};
}

Result<ServingNeed> serving_need(const ServingDemand& demand) {
  if (const auto checked = check_limits(demand); !checked) return checked.error();
  const ServingPlan plan = wanted_plan(demand);
  // The engine holds one copy of the logits besides the model's activations.
  const int64_t n_rows = std::max(plan.prefill_chunk, plan.max_sequences);
  return ServingNeed{.context_length = plan.context_length,
                     .max_sequences = plan.max_sequences,
                     .weight_bytes = demand.weight_bytes,
                     .kv_cache_bytes = static_cast<uint64_t>(plan.n_kv_pages) * demand.kv_page_bytes,
                     .scratch_bytes = estimated_scratch_bytes(demand.config, n_rows, 2 * plan.max_sequences) +
                                      static_cast<uint64_t>(plan.max_sequences) *
                                          recurrent_shape(demand.config).bytes_per_slot()};
}

MemoryBudget memory_budget(const MachineMemory& memory) {
  return {.available_bytes = memory.available_bytes,
          .kept_free_bytes = std::max(kGibibyte, memory.total_bytes / 20)};
}

int64_t longest_context(const ServingDemand& demand, const ServingNeed& need, const MemoryBudget& budget,
                        int64_t n_sequences) {
  const int64_t n_pages_each = n_pages_that_fit(demand, need, budget) / n_sequences;
  return std::min(n_pages_each * kKvPageTokens, demand.config.context_length);
}

Result<ServingPlan> plan_serving(const ServingDemand& demand, const MachineMemory& memory) {
  const auto need = serving_need(demand);
  if (!need) return need.error();
  const MemoryBudget budget = memory_budget(memory);
  const int64_t n_pages_fit = n_pages_that_fit(demand, *need, budget);
  const wire::LoadModel& request = demand.request;
  ServingPlan plan = wanted_plan(demand);
  if (plan.n_kv_pages <= n_pages_fit) return plan;
  if (request.kv_cache_tokens > 0) {
    const auto n_tokens = static_cast<int64_t>(request.kv_cache_tokens);
    return too_large(demand, *need, budget, n_tokens);
  }
  plan.n_kv_pages = n_pages_fit;
  if (pages_for(plan.context_length) <= n_pages_fit) return plan;
  const int64_t smallest = std::min(plan.context_length, kSmallestContext);
  if (request.context_length > 0 || n_pages_fit < pages_for(smallest))
    return too_large(demand, *need, budget, plan.context_length);
  plan.context_length = n_pages_fit * kKvPageTokens;
  return plan;
}

}  // namespace halod
