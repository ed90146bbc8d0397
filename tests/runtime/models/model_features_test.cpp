// What a model needs of a backend, and what is said where that does not do it.
#include "runtime/models/model_features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace halod {
namespace {

using testing::HasSubstr;

/// Has no operations: models are checked before any of them is called.
class BackendWithoutOrders final : public Backend {
 public:
  std::string name() const override { return "plain"; }
  std::string device_name() const override { return "none"; }
  bool supports(ModelFeature feature) const override { return feature != ModelFeature::kColumnOrder; }

  static Error none() { return {ErrorCode::kUnsupported, "none", ""}; }
  Result<std::unique_ptr<PlacedWeight>> place_weight(const Checkpoint&, const TensorInfo&,
                                                     const std::function<void(uint64_t)>&) override {
    return none();
  }
  Result<std::unique_ptr<PlacedVector>> place_vector(std::span<const float>) override { return none(); }
  uint64_t kv_page_bytes(const KvShape&) const override { return 0; }
  Result<std::unique_ptr<KvStorage>> allocate_kv(const KvShape&, int64_t) override { return none(); }
  Result<MatrixView<float>> allocate_activations(int64_t, int64_t) override { return none(); }
  uint64_t scratch_bytes() const override { return 0; }
  void begin_step(const StepInputs&) override {}
  void embed(const PlacedWeight&, MatrixView<float>) override {}
  void gather_logit_rows(MatrixView<const float>, MatrixView<float>) override {}
  void rms_norm(MatrixView<const float>, const PlacedVector&, float, MatrixView<float>) override {}
  void linear(MatrixView<const float>, std::span<const PlacedWeight* const>,
              std::span<const MatrixView<float>>) override {}
  void linear_add(MatrixView<const float>, const PlacedWeight&, const PlacedVector*,
                  MatrixView<float>) override {}
  void attention(const AttentionArgs&, KvStorage&) override {}
  void moe(const MoeArgs&) override {}
  void dense_ffn(const DenseFfnArgs&) override {}
  void output(const OutputArgs&) override {}
  void synchronize() override {}
};

TEST(AModelsFeatures, AreNamedWhereABackendLacksOne) {
  const BackendWithoutOrders backend;
  ModelConfig config;
  config.architecture = "llama";
  EXPECT_TRUE(check_features(config, backend));
  config.has_column_orders = true;
  const auto checked = check_features(config, backend);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(checked.error().field, "backend");
  EXPECT_THAT(checked.error().message, HasSubstr("backend plain does not do weights in activation order"));
  EXPECT_THAT(checked.error().message, HasSubstr("(llama)"));
}

}  // namespace
}  // namespace halod
