#include "runtime/weights/hf/quantisation.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <memory>
#include <utility>

namespace halod {
namespace {

using Method = HfQuantisation::Method;

HfQuantisation read_json(const char* text) {
  return read_quantisation(
      JsonObject("config.json", std::make_shared<const boost::json::value>(boost::json::parse(text))));
}

TEST(AQuantisationsConfiguration, SaysHowCodesAreStored) {
  const HfQuantisation first = read_json(R"({"quant_method": "gptq", "bits": 4, "group_size": 128})");
  EXPECT_TRUE(first.stores_zeros_less_one);
  EXPECT_EQ(first.group_size, 128);
  EXPECT_FALSE(read_json(R"({"bits": 8, "group_size": -1, "checkpoint_format": "gptq_v2", "desc_act": true})")
                   .stores_zeros_less_one);
  EXPECT_EQ(
      read_json(R"({"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "version": "GEMM"})").group_size,
      64);
  EXPECT_TRUE(read_json(R"({"bits": 4, "group_size": 128, "desc_act": true})").may_reorder_columns);
  EXPECT_FALSE(read_json(R"({"bits": 4, "group_size": -1, "desc_act": true})").may_reorder_columns);
  const HfQuantisation blocks =
      read_json(R"({"quant_method": "fp8", "fmt": "float8_e4m3fn", "weight_block_size": [128, 64]})");
  EXPECT_EQ(blocks.method, Method::kFp8);
  EXPECT_EQ(blocks.block_rows, 128);
  EXPECT_EQ(blocks.block_cols, 64);
  const HfQuantisation packed =
      read_json(R"({"quant_method": "compressed-tensors", "format": "pack-quantized",
      "config_groups": {"group_0": {"targets": ["Linear"], "input_activations": null, "weights": {"num_bits": 8,
      "type": "int", "symmetric": true, "strategy": "channel", "group_size": null}}}, "ignore": ["lm_head"]})");
  EXPECT_EQ(packed.method, Method::kCompressedTensors);
  EXPECT_EQ(packed.bits, 8);
  EXPECT_EQ(packed.group_size, -1);
  EXPECT_EQ(read_json(R"({"bits": 4, "group_size": 32, "dynamic": {"-:.*gate": {}}})").bits, 4);
}

TEST(AQuantisationsConfiguration, IsRefusedNamingTheKeyWhereItAsksForMore) {
  constexpr std::pair<const char*, const char*> kCases[] = {
      {R"({"quant_method": "fbgemm_fp8"})", "quant_method"},
      {R"({"quant_method": "fp8", "activation_scheme": "static"})", "activation_scheme"},
      {R"({"quant_method": "fp8", "fmt": "e5m2"})", "fmt"},
      {R"({"quant_method": "fp8", "weight_block_size": [128]})", "weight_block_size"},
      {R"({"quant_method": "fp8", "weight_block_size": [128, 0]})", "weight_block_size"},
      {R"({"quant_method": "gptq", "bits": 3, "group_size": 128})", "bits"},
      {R"({"quant_method": "awq", "bits": 8, "group_size": 128})", "bits"},
      {R"({"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemv"})", "version"},
      {R"({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": false})", "zero_point"},
      {R"({"bits": 4, "group_size": 128, "checkpoint_format": "marlin"})", "checkpoint_format"},
      {R"({"bits": 4, "group_size": 128, "pack_dtype": "int16"})", "pack_dtype"},
      {R"({"bits": 4, "group_size": 128, "dynamic": {"+:.*": {"bits": 8}}})", "dynamic.+:.*"},
      {R"({"bits": 4, "group_size": 0})", "group_size"},
      {R"({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"})", "format"},
      {R"({"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"a": {
          "targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "token"}}}})",
       "config_groups.a.weights.strategy"},
      {R"({"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"a": {
          "targets": ["Linear"], "input_activations": {"dynamic": false}}}})",
       "config_groups.a.input_activations"},
      {R"({"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"a": {
          "targets": ["Linear"], "weights": {"num_bits": 4, "type": "float", "strategy": "channel"}}}})",
       "config_groups.a.weights.type"},
      {R"({"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"a": {
          "targets": ["Linear"], "input_activations": {"num_bits": 8}}}})",
       "config_groups.a.input_activations"},
      {R"({"bits": 4})", "group_size"},
  };
  for (const auto& [text, field] : kCases) {
    try {
      read_json(text);
      ADD_FAILURE() << text << " was taken";
    } catch (const ErrorException& exception) {
      EXPECT_EQ(exception.error().field, field) << text;
    }
  }
}

}  // namespace
}  // namespace halod
