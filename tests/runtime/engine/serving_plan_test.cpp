#include "runtime/engine/serving_plan.h"

#include <gtest/gtest.h>

#include <sstream>

namespace halod {
namespace {

constexpr uint64_t kPlanGib = uint64_t{1} << 30;
constexpr uint64_t kMib = uint64_t{1} << 20;

ModelConfig qwen3_30b() {
  return {.vocab_size = 151936,
          .hidden_size = 2048,
          .n_layers = 48,
          .n_heads = 32,
          .n_kv_heads = 4,
          .head_dim = 128,
          .n_experts = 128,
          .n_experts_per_token = 8,
          .moe_intermediate_size = 768,
          .context_length = 262144};
}

/// A page of 1 MiB: 32 KiB per token.
Result<ServingPlan> plan(const wire::LoadModel& request, uint64_t available, uint64_t total = 128 * kPlanGib,
                         uint64_t weights = 18 * kPlanGib) {
  const ModelConfig config = qwen3_30b();
  return plan_serving({.request = request, .config = config, .weight_bytes = weights, .kv_page_bytes = kMib},
                      {total, available});
}

TEST(AServingPlan, DecidesEverythingThatIsLeftOpen) {
  const ServingPlan decided = plan({}, 120 * kPlanGib).value();
  EXPECT_EQ(decided.context_length, 32768);
  EXPECT_EQ(decided.max_sequences, 8);
  EXPECT_EQ(decided.prefill_chunk, 512);
  EXPECT_EQ(decided.n_kv_pages, 8 * 1024);
}

TEST(AServingPlan, KeepsNumbersThatWereAskedFor) {
  const ServingPlan kept =
      plan({.context_length = 100000, .max_sequences = 2, .kv_cache_tokens = 150000, .prefill_chunk = 64},
           120 * kPlanGib)
          .value();
  EXPECT_EQ(kept.context_length, 100000);
  EXPECT_EQ(kept.max_sequences, 2);
  EXPECT_EQ(kept.prefill_chunk, 64);
  EXPECT_EQ(kept.n_kv_pages, 4688);
}

TEST(AServingPlan, ShrinksThePoolBeforeTheContext) {
  // 24 GiB less 6.4 GiB reserve less 12 GiB weights: room for one context of 4 GiB, not for eight... of 1 GiB
  // each.
  const ServingPlan shrunk = plan({}, 24 * kPlanGib, 128 * kPlanGib, 12 * kPlanGib).value();
  EXPECT_EQ(shrunk.context_length, 32768);
  EXPECT_GE(shrunk.n_kv_pages, 1024);
  EXPECT_LT(shrunk.n_kv_pages, 8 * 1024);
}

TEST(AServingPlan, ShrinksAnOpenContextToWhatFits) {
  const ServingPlan shrunk = plan({}, 19 * kPlanGib, 128 * kPlanGib, 12 * kPlanGib).value();
  EXPECT_LT(shrunk.context_length, 32768);
  EXPECT_GE(shrunk.context_length, 8192);
  EXPECT_EQ(shrunk.context_length, shrunk.n_kv_pages * 32);
}

TEST(AServingPlan, KeepsAPartOfTheMemoryFree) {
  // Small machine: 1 GiB. Large machine: 5 %.
  for (const auto& [total, reserve] : {std::pair{8 * kPlanGib, kPlanGib}, {200 * kPlanGib, 10 * kPlanGib}}) {
    const uint64_t weights = 2 * kPlanGib;
    const ServingPlan decided = plan({}, reserve + weights + 3 * kPlanGib, total, weights).value();
    EXPECT_LT(static_cast<uint64_t>(decided.n_kv_pages) * kMib, 3 * kPlanGib);
    EXPECT_GT(static_cast<uint64_t>(decided.n_kv_pages) * kMib, 2 * kPlanGib + 512 * kMib)
        << "only activations come off besides";
  }
}

TEST(AServingPlan, RefusesAContextThatDoesNotFitAndNamesOneThatDoes) {
  const auto refused = plan({.context_length = 262144}, 24 * kPlanGib, 128 * kPlanGib, 12 * kPlanGib);
  ASSERT_FALSE(refused);
  const Error error = refused.error();
  EXPECT_EQ(error.code, ErrorCode::kOutOfMemory);
  EXPECT_NE(error.message.find(std::to_string(24 * kPlanGib)), std::string::npos) << error.message;
  const std::string remedy = "a context_length of ";
  ASSERT_NE(error.message.find(remedy), std::string::npos) << error.message;
  const auto smaller =
      static_cast<uint32_t>(std::stoul(error.message.substr(error.message.find(remedy) + remedy.size())));
  EXPECT_TRUE(plan({.context_length = smaller}, 24 * kPlanGib, 128 * kPlanGib, 12 * kPlanGib)) << smaller;
}

TEST(AServingPlan, RefusesAPoolThatDoesNotFitAndNamesOneThatDoes) {
  const auto refused = plan({.kv_cache_tokens = uint64_t{1} << 30}, 40 * kPlanGib);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(refused.error().field, "kv_cache_tokens");
  const std::string message = refused.error().message;
  const std::string remedy = "a kv_cache_tokens of ";
  ASSERT_NE(message.find(remedy), std::string::npos) << message;
  const uint64_t smaller = std::stoull(message.substr(message.find(remedy) + remedy.size()));
  EXPECT_TRUE(plan({.kv_cache_tokens = smaller}, 40 * kPlanGib)) << smaller;
}

TEST(AServingPlan, RefusesAModelThatDoesNotFitAtAll) {
  for (const uint64_t available : {uint64_t{0}, kPlanGib, 24 * kPlanGib}) {
    const auto refused = plan({}, available);
    ASSERT_FALSE(refused) << available;
    EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
    EXPECT_NE(refused.error().message.find("smaller model"), std::string::npos) << refused.error().message;
  }
}

TEST(AServingPlan, RefusesNumbersOutOfRange) {
  const std::vector<std::pair<wire::LoadModel, std::string>> cases = {
      {{.context_length = 262145}, "context_length"},
      {{.context_length = 1}, "context_length"},
      {{.context_length = 4096, .kv_cache_tokens = 4095}, "kv_cache_tokens"},
      {{.kv_cache_tokens = ~uint64_t{0}}, "kv_cache_tokens"},
      {{.max_sequences = 4000000000U}, "max_sequences"},
      {{.prefill_chunk = 4000000000U}, "prefill_chunk"},
  };
  for (const auto& [request, field] : cases) {
    const auto refused = plan(request, 120 * kPlanGib);
    ASSERT_FALSE(refused) << field;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(refused.error().field, field);
  }
}

}  // namespace
}  // namespace halod
