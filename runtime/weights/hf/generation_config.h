// generation_config.json: how an answer is sampled, and what ends it.
#pragma once

#include <optional>

#include "runtime/weights/hf/json_file.h"
#include "runtime/weights/tokenizer_data.h"

namespace halod {

/// eos_token_id of generation_config.json and config.json, one id or several, goes to the ends of `data`.
/// Throws ErrorException: kCorruptFile naming the key.
void add_ends_of_generation(const std::optional<JsonObject>& config, TokenizerData& data);

/// The parameters that vLLM takes of it too, whatever do_sample says. Throws ErrorException: kCorruptFile
/// naming the key when one is out of the range that requests have.
SamplingDefaults read_sampling_defaults(const JsonObject& config);

}  // namespace halod
