#include "runtime/weights/hf/quantisation.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cctype>
#include <string>
#include <string_view>

#include "runtime/weights/gguf_reader.h"

namespace halod {
namespace {

using Method = HfQuantisation::Method;

/// A key that may be absent but not say anything else; upper and lower case are one.
void only(const JsonObject& config, std::string_view key, std::string_view wanted) {
  std::string value = config.string(key).value_or(std::string(wanted));
  std::ranges::transform(value, value.begin(), [](unsigned char c) { return std::tolower(c); });
  if (value != wanted)
    config.fail_unsupported(key, fmt::format("is '{}'; only '{}' is supported", printable(value), wanted));
}

int read_bits(const JsonObject& config, std::string_view key, bool may_be_8) {
  const int64_t bits = config.required_integer(key);
  if (bits != 4 && (bits != 8 || !may_be_8))
    config.fail_unsupported(key, fmt::format("is {}; supported are 4{}", bits, may_be_8 ? " and 8" : ""));
  return static_cast<int>(bits);
}

int64_t read_group_size(const JsonObject& config, std::string_view key) {
  const int64_t group_size = config.required_integer(key);
  if (group_size < -1 || group_size == 0) config.fail_corrupt(key, fmt::format("is {}", group_size));
  return group_size;
}

/// Keys of GPTQModel's `dynamic`: what it leaves as it is begins with "-:"; the rest asks for other numbers.
void check_dynamic(const JsonObject& config) {
  const auto rules = config.object("dynamic");
  if (!rules) return;
  for (const auto& [pattern, value] : rules->fields()) {
    if (!std::string_view(pattern).starts_with("-:"))
      rules->fail_unsupported(pattern, "asks for other numbers for some layers, which is not supported");
  }
}

HfQuantisation read_gptq(const JsonObject& config) {
  HfQuantisation quantisation{.method = Method::kGptq,
                              .bits = read_bits(config, "bits", true),
                              .group_size = read_group_size(config, "group_size")};
  const std::string format = config.string("checkpoint_format").value_or("gptq");
  if (format != "gptq" && format != "gptq_v2") {
    config.fail_unsupported("checkpoint_format",
                            fmt::format("is '{}'; supported are gptq, gptq_v2", printable(format)));
  }
  quantisation.stores_zeros_less_one = format == "gptq";
  only(config, "pack_dtype", "int32");
  check_dynamic(config);
  // One group needs no order.
  quantisation.may_reorder_columns =
      config.boolean("desc_act").value_or(false) && quantisation.group_size > 0;
  return quantisation;
}

HfQuantisation read_awq(const JsonObject& config) {
  only(config, "version", "gemm");
  if (!config.boolean("zero_point").value_or(true)) config.fail_unsupported("zero_point", "is false");
  return {
      .method = Method::kAwq,
      .bits = read_bits(config, config.contains("w_bit") ? "w_bit" : "bits", false),
      .group_size = read_group_size(config, config.contains("q_group_size") ? "q_group_size" : "group_size")};
}

/// "weight_block_size": [128, 128].
void read_block(const JsonObject& config, std::string_view key, HfQuantisation& quantisation) {
  const auto block = config.array(key);
  if (block.size() != 2 || !block[0].is_int64() || !block[1].is_int64() || block[0].get_int64() < 1 ||
      block[1].get_int64() < 1) {
    config.fail_corrupt(key, "is not two numbers of 1 or more, rows and columns of a block");
  }
  quantisation.block_rows = block[0].get_int64();
  quantisation.block_cols = block[1].get_int64();
}

HfQuantisation read_fp8(const JsonObject& config) {
  only(config, "activation_scheme", "dynamic");
  const std::string fmt = config.string("fmt").value_or("e4m3");
  if (fmt != "e4m3" && fmt != "float8_e4m3fn")
    config.fail_unsupported("fmt", fmt::format("is '{}'; supported are e4m3, float8_e4m3fn", printable(fmt)));
  HfQuantisation quantisation{.method = Method::kFp8, .bits = 8};
  if (config.contains("weight_block_size")) read_block(config, "weight_block_size", quantisation);
  return quantisation;
}

/// 8-bit floats of compressed-tensors.
HfQuantisation read_float_quantized(const JsonObject& weights) {
  only(weights, "type", "float");
  const int64_t bits = weights.required_integer("num_bits");
  if (bits != 8)
    weights.fail_unsupported("num_bits", fmt::format("is {}; of floats only 8 are supported", bits));
  HfQuantisation quantisation{.method = Method::kFp8, .bits = 8};
  const std::string strategy = weights.required_string("strategy");
  if (strategy == "block") {
    read_block(weights, "block_structure", quantisation);
  } else if (strategy != "tensor" && strategy != "channel") {
    weights.fail_unsupported(
        "strategy", fmt::format("is '{}'; supported are tensor, channel, block", printable(strategy)));
  }
  return quantisation;
}

/// One group of layers for all linear ones, weights alone.
HfQuantisation read_compressed_tensors(const JsonObject& config) {
  const std::string format = config.required_string("format");
  const bool is_float = format == "float-quantized";
  if (format != "pack-quantized" && !is_float) {
    config.fail_unsupported(
        "format", fmt::format("is '{}'; supported are pack-quantized, float-quantized", printable(format)));
  }
  const auto groups = config.object("config_groups");
  if (!groups || groups->fields().size() != 1)
    config.fail_unsupported("config_groups", "does not hold one group, which alone is supported");
  const JsonObject group = *groups->object(groups->fields().begin()->key());
  const auto targets = group.array("targets");
  if (targets.size() != 1 || !targets.front().is_string() || targets.front().get_string() != "Linear")
    group.fail_unsupported("targets", "is not [\"Linear\"], which alone is supported");
  if (group.contains("output_activations"))
    group.fail_unsupported("output_activations", "is set; only weights may be quantised");
  // Rounding activations to 8-bit floats only serves hardware that multiplies them; here they stay finer.
  const auto activations = is_float ? group.object("input_activations") : std::nullopt;
  if (group.contains("input_activations") &&
      !(activations && activations->boolean("dynamic").value_or(false)))
    group.fail_unsupported("input_activations", "is set; only weights may be quantised");
  const auto weights = group.object("weights");
  if (!weights) group.fail_corrupt("weights", "is missing");
  if (is_float) return read_float_quantized(*weights);
  only(*weights, "type", "int");
  const std::string strategy = weights->required_string("strategy");
  if (strategy != "group" && strategy != "channel") {
    weights->fail_unsupported("strategy",
                              fmt::format("is '{}'; supported are group, channel", printable(strategy)));
  }
  return {.method = Method::kCompressedTensors,
          .bits = read_bits(*weights, "num_bits", true),
          .group_size = strategy == "channel" ? -1 : read_group_size(*weights, "group_size")};
}

}  // namespace

HfQuantisation read_quantisation(const JsonObject& config) {
  // Files of their own (quantize_config.json) do not say the method: they are GPTQ's.
  const std::string method = config.string("quant_method").value_or("gptq");
  if (method == "gptq") return read_gptq(config);
  if (method == "awq") return read_awq(config);
  if (method == "compressed-tensors") return read_compressed_tensors(config);
  if (method == "fp8") return read_fp8(config);
  if (method == "mxfp4") return {.method = Method::kMxfp4, .bits = 4, .group_size = 32};
  config.fail_unsupported(
      "quant_method",
      fmt::format("is '{}'; supported are gptq, awq, compressed-tensors, fp8, mxfp4", printable(method)));
}

}  // namespace halod
