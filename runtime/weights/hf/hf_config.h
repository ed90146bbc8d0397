// config.json in GGUF's words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/weights/hf/hf_families.h"
#include "runtime/weights/hf/json_file.h"
#include "runtime/weights/metadata.h"

namespace halod {

/// The part of config.json that describes the language model: all of it, or its "text_config".
JsonObject text_config(const JsonObject& config);

/// `config` is text_config()'s. Throws ErrorException: kCorruptFile, kUnsupported naming the key.
Metadata translate_hf_config(const JsonObject& config, const HfFamily& family, std::string model_name);

/// Until transformers 4 rope_theta and rope_scaling, since 5 rope_parameters with both.
std::optional<JsonObject> rope_parameters(const JsonObject& config);

/// Throws kUnsupported unless layer i, as config.json's "layer_types" names them, is `full` for each
/// (i + 1) % interval == 0, and `other` elsewhere. Without the key nothing is said.
void check_layer_types(const JsonObject& config, int64_t interval, std::string_view full,
                       std::string_view other);

/// Llama 3's scaling of rotary embedding, which GGUF files have as a tensor, "rope_freqs.weight": what each
/// frequency is divided by, for heads of `head_dim` values. Empty where config.json does not ask for it.
/// Throws ErrorException: kCorruptFile naming the key.
std::vector<float> llama3_rope_divisors(const JsonObject& config, const HfFamily& family, int64_t head_dim);

}  // namespace halod
