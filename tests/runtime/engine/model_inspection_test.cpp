#include "runtime/engine/model_inspection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/models/model.h"
#include "runtime/weights/gguf_file.h"
#include "tests/support/memory_file.h"
#include "tests/support/small_gguf.h"

namespace halod {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kGib = uint64_t{1} << 30;

class AModelInspection : public ::testing::Test {
 protected:
  static std::filesystem::path demo() {
    return std::filesystem::path(HALOD_SOURCE_DIR) / "models/demo-moe-Q8_0.gguf";
  }
  Result<ModelInspection> inspect(const std::filesystem::path& path, wire::LoadModel request,
                                  MachineMemory memory = {.total_bytes = 8 * kGib,
                                                          .available_bytes = 4 * kGib}) {
    request.path = path.string();
    return inspect_model(GgufFile::open_to_inspect(path).value(), request, *backend_, memory);
  }

  std::unique_ptr<Backend> backend_ = make_backend({.n_threads = 1}).value();
};

TEST_F(AModelInspection, NeedsWhatALoadedModelTakes) {
  const ModelInspection found = inspect(demo(), {.context_length = 512, .max_sequences = 2}).value();
  ASSERT_TRUE(found.problems.empty());
  const MemoryInspection& memory = found.memory.value();
  const GgufFile file = GgufFile::open(demo()).value();
  const auto model =
      load_model(file, *backend_,
                 {.n_kv_pages = 2 * 512 / kKvPageTokens, .max_batch_tokens = 512, .max_logit_rows = 2}, {})
          .value();
  EXPECT_EQ(memory.need.kv_cache_bytes, 2 * 512 / kKvPageTokens * model->kv_page_bytes());
  EXPECT_EQ(memory.kv_bytes_per_token, model->kv_page_bytes() / kKvPageTokens);
  EXPECT_NEAR(static_cast<double>(memory.need.weight_bytes), static_cast<double>(model->weight_bytes()),
              0.01 * static_cast<double>(model->weight_bytes()));
  EXPECT_NEAR(static_cast<double>(found.summary.weight_bytes_per_token),
              static_cast<double>(model->weight_bytes_per_token()),
              0.01 * static_cast<double>(model->weight_bytes_per_token()));
  EXPECT_GE(memory.need.scratch_bytes, model->scratch_bytes());
}

TEST_F(AModelInspection, NamesTheLongestContextThatFits) {
  const wire::LoadModel request{.context_length = 1024, .max_sequences = 8, .kv_cache_tokens = 8 * 1024};
  const MemoryInspection roomy = inspect(demo(), request).value().memory.value();
  EXPECT_TRUE(roomy.plan);
  EXPECT_EQ(roomy.longest_context, 1024);  // its own, not more
  // Room for half of it.
  const MachineMemory tight{
      .total_bytes = 8 * kGib,
      .available_bytes = kGib + roomy.need.total_bytes() - roomy.need.kv_cache_bytes / 2};
  const MemoryInspection found = inspect(demo(), request, tight).value().memory.value();
  EXPECT_FALSE(found.plan);
  ASSERT_TRUE(found.refusal);
  EXPECT_EQ(found.refusal->code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(found.longest_context, 512);
  EXPECT_EQ(found.longest_single_context, 1024);
  const auto context = static_cast<uint32_t>(found.longest_context);
  const auto fits = [&](uint32_t n) {
    return inspect(demo(), {.context_length = n, .max_sequences = 8, .kv_cache_tokens = uint64_t{8} * n},
                   tight)
        .value()
        .memory->plan.has_value();
  };
  EXPECT_TRUE(fits(context));
  EXPECT_FALSE(fits(context + static_cast<uint32_t>(kKvPageTokens)));
}

TEST_F(AModelInspection, FindsNoContextWhereNotEvenTheWeightsFit) {
  const MemoryInspection found =
      inspect(demo(), {}, {.total_bytes = 8 * kGib, .available_bytes = kGib}).value().memory.value();
  EXPECT_FALSE(found.plan);
  EXPECT_EQ(found.longest_context, 0);
  EXPECT_EQ(found.longest_single_context, 0);
}

TEST_F(AModelInspection, RefusesAContextThatTheModelDoesNotHave) {
  const auto found = inspect(demo(), {.context_length = 1U << 30});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(found.error().field, "context_length");
}

TEST_F(AModelInspection, FindsEveryModelOfTheKitFitToRun) {
  const std::filesystem::path folder = std::filesystem::path(HALOD_CONFORMANCE_DIR) / "gguf";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no conformance kit at " << folder;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto found = inspect(entry.path(), {});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_TRUE(found->problems.empty()) << entry.path() << ": " << found->problems.front().message;
    EXPECT_TRUE(found->memory.has_value()) << entry.path();
  }
}

TEST_F(AModelInspection, NamesWhatKeepsAModelFromRunning) {
  std::string bytes = to_bytes(small_moe_model());
  const std::string known = "qwen3moe";
  for (size_t at = bytes.find(known); at != std::string::npos; at = bytes.find(known, at))
    bytes.replace(at, known.size(), "qwen9moe");
  const MemoryFile file;
  file.set_content(bytes);
  const ModelInspection found = inspect(file.path(), {}).value();
  ASSERT_EQ(found.problems.size(), 1);
  EXPECT_EQ(found.problems.front().code, ErrorCode::kUnsupported);
  EXPECT_THAT(found.problems.front().message, HasSubstr("general.architecture is 'qwen9moe'"));
  EXPECT_FALSE(found.memory.has_value());
}

}  // namespace
}  // namespace halod
