// The families of models that Hugging Face folders hold, in halod's words: what each one's file in
// runtime/weights/hf/families says. Another family is another file there.
#pragma once

#include <cstdint>
#include <functional>
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

/// How GGUF's rows come out of the files' where they are not the same.
enum class HfForm : uint8_t {
  kAsItIs,
  kNeighbourPairs,     ///< queries and keys, whose heads' rows GGUF's llama has in another order
  kPlusOne,            ///< norms that the files have less one
  kNegatedExp,         ///< -exp(x)
  kFlat,               ///< without extents of 1: [1, n] as [n], [channels, 1, taps] as [channels, taps]
  kQueriesKeysValues,  ///< of linear_attn.in_proj_qkvz, which has q, k, v and z of a key head together
  kGates,              ///< its z
  kEvenRows,           ///< of experts whose gate and up are in turns: the gate's
  kOddRows,            ///< and up's
};

/// A module with weights: "self_attn.q_proj" of a layer, "mlp.experts.*.up_proj" of each of its experts, or
/// outside of the layers "model.norm"; and the stem of GGUF's tensor names, "attn_q". Two rows of one name
/// are two of GGUF's tensors. A name that ends in "_" has its parameters right behind it.
struct HfModule {
  std::string_view name;
  std::string_view gguf;
  bool has_bias = false;
  HfForm form = HfForm::kAsItIs;
  /// The names are a parameter's own, such as "linear_attn.A_log" and "ssm_a"; of experts, a stack of them.
  bool is_parameter = false;
};

struct HfFamily;

/// Puts "<architecture>.<gguf>" into the metadata; messages call it what `name`, config.json's key, says.
using HfInsert = std::function<void(std::string_view gguf, MetadataValue value, std::string_view name)>;

struct HfFamily {
  std::string_view model_type;    ///< config.json
  std::string_view architecture;  ///< general.architecture
  std::span<const HfKey> keys;
  std::span<const HfExpectation> expectations;
  std::span<const std::span<const HfModule>> modules;
  double rope_theta = 10000;  ///< where config.json has none
  /// The share of a head's values that rotary embedding turns, where config.json has none; 0: all, always.
  double partial_rotary_factor = 0;
  bool truncates_yarn = true;  ///< rope_scaling.truncate: whole frequencies bound the correction's range
  /// What rows cannot say. Throws ErrorException. May be null.
  void (*translate)(const JsonObject& config, const HfInsert& insert) = nullptr;
  std::string_view model_prefix = "model.";        ///< where other models lie beside it, its own
  std::span<const std::string_view> ignored = {};  ///< what names of tensors that no answer needs begin with
  /// Of several families with one model_type, whether this is config.json's. Null: it is.
  bool (*describes)(const JsonObject& config) = nullptr;
};

/// One of GGUF's tensors that a file's goes into.
struct HfTensorName {
  std::string gguf_stem;  ///< "blk.3.attn_q"; the whole name where the parameter is ""
  std::optional<int64_t> expert_idx;
  std::string parameter;  ///< "weight", "bias", "qweight" …
  HfForm form = HfForm::kAsItIs;
};

/// nullptr when halod has no such family. `config` is text_config()'s.
const HfFamily* find_hf_family(std::string_view model_type, const JsonObject& config);
/// "qwen3, qwen3_moe": for messages.
std::string hf_family_names();

/// "model.layers.3.self_attn.q_proj.weight" taken apart; empty when the family has no such module.
std::vector<HfTensorName> parse_hf_tensor_name(const HfFamily& family, std::string_view name);
/// The other way: what the files call "blk.3.attn_q.weight"; of expert stacks, the first expert's. GGUF's
/// name where there is none.
std::string hf_tensor_name(const HfFamily& family, std::string_view gguf_name);
/// Whether halod leaves this tensor out, and nobody misses it.
bool is_ignored_hf_tensor(const HfFamily& family, std::string_view name);

}  // namespace halod
