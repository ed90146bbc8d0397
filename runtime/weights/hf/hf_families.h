// The families of models that Hugging Face folders hold, in halod's words: one row each. Another family is
// another row.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/weights/hf/json_file.h"
#include "runtime/weights/metadata.h"

namespace halod {

/// A key of config.json and what GGUF calls it: "<architecture>.<gguf>". Where it is absent, `fallback`,
/// which is what the family's own code takes; empty: the reader of the configuration decides.
struct HfKey {
  enum class Kind { kInteger, kReal, kBoolean };
  std::string_view name;
  std::string_view gguf;
  Kind kind = Kind::kInteger;
  std::string_view fallback = {};  ///< JSON
};

/// A key that must have this value where it is there, because another would change the results.
struct HfExpectation {
  std::string_view name;
  std::string_view value;  ///< JSON
};

/// A module with weights: "self_attn.q_proj" of a layer, "mlp.experts.*.up_proj" of each of its experts, or
/// outside of the layers "model.norm"; and the stem of GGUF's tensor names, "attn_q".
struct HfModule {
  std::string_view name;
  std::string_view gguf;
  bool has_bias = false;
  bool pairs_neighbours =
      false;  ///< queries and keys whose heads GGUF keeps in another order (tensor_source.h)
};

struct HfFamily {
  std::string_view model_type;    ///< config.json
  std::string_view architecture;  ///< general.architecture
  std::span<const HfKey> keys;
  std::span<const HfExpectation> expectations;
  std::span<const std::span<const HfModule>> modules;
};

/// One tensor of a family.
struct HfTensorName {
  std::string gguf_stem;  ///< "blk.3.attn_q"
  std::optional<int64_t> expert_idx;
  std::string parameter;  ///< "weight", "bias", "qweight" …
  bool pairs_neighbours = false;
};

/// nullptr when halod has no such family.
const HfFamily* find_hf_family(std::string_view model_type);
/// "qwen3, qwen3_moe": for messages.
std::string hf_family_names();

/// "model.layers.3.self_attn.q_proj.weight" taken apart; nothing when the family has no such module.
std::optional<HfTensorName> parse_hf_tensor_name(const HfFamily& family, std::string_view name);
/// The other way: what the files call "blk.3.attn_q.weight"; of expert stacks, the first expert's. GGUF's
/// name where there is none.
std::string hf_tensor_name(const HfFamily& family, std::string_view gguf_name);

/// Llama 3's scaling of rotary embedding, which GGUF files have as a tensor, "rope_freqs.weight": what each
/// frequency is divided by, for heads of `head_dim` values. Empty where config.json does not ask for it.
/// Throws ErrorException: kCorruptFile naming the key.
std::vector<float> llama3_rope_divisors(const JsonObject& config, int64_t head_dim);

/// config.json in GGUF's words. Throws ErrorException: kCorruptFile, kUnsupported naming the key.
Metadata translate_hf_config(const JsonObject& config, const HfFamily& family, std::string model_name);

}  // namespace halod
