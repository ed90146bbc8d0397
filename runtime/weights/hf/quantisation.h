// How a Hugging Face folder says that its linear layers are quantised.
#pragma once

#include <cstdint>

#include "runtime/weights/hf/json_file.h"

namespace halod {

/// config.json's quantization_config.
struct HfQuantisation {
  enum class Method { kGptq, kAwq, kCompressedTensors, kFp8, kMxfp4 };
  Method method = Method::kGptq;
  int bits = 4;
  int64_t group_size = 128;            ///< input features that share a scale; -1: all of a row
  bool stores_zeros_less_one = false;  ///< GPTQ's first version
  bool may_reorder_columns = false;    ///< GPTQ with activation order: g_idx says the groups
  /// Of kFp8: outputs and inputs that share a scale; 0: scales are one for all, or one for each output.
  int64_t block_rows = 0, block_cols = 0;
};

/// Throws ErrorException: kUnsupported naming the key for methods, widths and orders that halod does not
/// read.
HfQuantisation read_quantisation(const JsonObject& config);

}  // namespace halod
