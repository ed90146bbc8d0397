#include "daemon/control/served_model.h"

#include <gtest/gtest.h>

namespace halod {
namespace {

constexpr SamplingDefaults kOfModel{
    .temperature = 0.6, .top_p = 0.95, .min_p = {}, .repetition_penalty = 1.05, .top_k = 20};

TEST(AModelsDefaults, AreItsPublishersWhereTheConfigurationSaysNothing) {
  const DefaultsConfig defaults = defaults_for({}, kOfModel);
  EXPECT_EQ(defaults.temperature, 0.6);
  EXPECT_EQ(defaults.top_p, 0.95);
  EXPECT_EQ(defaults.top_k, 20U);
  EXPECT_EQ(defaults.repetition_penalty, 1.05);
  EXPECT_EQ(defaults.min_p, 0.0) << "of which the publisher says nothing";
}

TEST(AModelsDefaults, AreTheConfigurationsWhereItSaysOne) {
  DefaultsConfig configured;
  configured.temperature = 1;  // as without the key, but written down
  configured.given = {"temperature"};
  const DefaultsConfig defaults = defaults_for(configured, kOfModel);
  EXPECT_EQ(defaults.temperature, 1);
  EXPECT_EQ(defaults.top_p, 0.95);
}

TEST(AModelsDefaults, AreTheConfigurationsAloneWithoutGenerationConfig) {
  const DefaultsConfig defaults = defaults_for({.generation_config = "none"}, kOfModel);
  EXPECT_EQ(defaults.temperature, 1);
  EXPECT_EQ(defaults.top_k, 0U);
}

}  // namespace
}  // namespace halod
