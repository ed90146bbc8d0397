#include "tests/support/small_hf_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <numeric>

#include "runtime/weights/hf/safetensors_parser.h"

namespace halod {
namespace {

constexpr std::string_view kConfig = R"({{
  "architectures": ["{}"], "model_type": "{}", "hidden_size": 8, "num_hidden_layers": 1,
  "max_position_embeddings": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
  "intermediate_size": 12, "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
  "rope_scaling": null, "attention_bias": false, "use_sliding_window": false, "sliding_window": null,
  "tie_word_embeddings": false, "vocab_size": 20, "torch_dtype": "bfloat16"{}
}})";
constexpr std::string_view kExpertKeys = R"(, "num_experts": 2, "num_experts_per_tok": 1,
  "moe_intermediate_size": 12, "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [])";

constexpr std::string_view kTokenizer = R"({
  "version": "1.0",
  "added_tokens": [
    {"id": 18, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
    {"id": 19, "content": "<|im_end|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
  "normalizer": {"type": "NFC"},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": false},
    {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}]},
  "post_processor": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
  "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
  "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
    "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
    "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5, "g": 6, "h": 7, "i": 8, "j": 9, "k": 10, "l": 11, "m": 12,
      "n": 13, "o": 14, "p": 15, "ab": 16, "abc": 17},
    "merges": ["a b", "ab c"]}
})";
constexpr std::string_view kTokenizerConfig = R"({
  "add_bos_token": false, "bos_token": null, "eos_token": "<|im_end|>", "tokenizer_class": "Qwen2Tokenizer",
  "chat_template": "{{ messages[0].content }}"
})";
constexpr std::string_view kGenerationConfig =
    R"({"bos_token_id": 18, "eos_token_id": [19, 18], "do_sample": true, "temperature": 0.6})";

/// Adds a tensor to the file that it belongs into.
using Add = std::function<void(const std::string& name, std::vector<int64_t> shape)>;

void add_tensors(bool is_moe, const Add& add) {
  add("model.embed_tokens.weight", {20, 8});
  const std::string layer = "model.layers.0.";
  add(layer + "input_layernorm.weight", {8});
  add(layer + "self_attn.q_proj.weight", {16, 8});
  add(layer + "self_attn.k_proj.weight", {8, 8});
  add(layer + "self_attn.v_proj.weight", {8, 8});
  add(layer + "self_attn.o_proj.weight", {8, 16});
  add(layer + "self_attn.q_norm.weight", {4});
  add(layer + "self_attn.k_norm.weight", {4});
  add(layer + "post_attention_layernorm.weight", {8});
  if (is_moe) add(layer + "mlp.gate.weight", {2, 8});
  for (const char* expert : {"experts.0.", "experts.1."}) {
    const std::string mlp = layer + "mlp." + (is_moe ? expert : "");
    add(mlp + "gate_proj.weight", {12, 8});
    add(mlp + "up_proj.weight", {12, 8});
    add(mlp + "down_proj.weight", {8, 12});
    if (!is_moe) break;
  }
  add("model.norm.weight", {8});
  add("lm_head.weight", {20, 8});
}

}  // namespace

void SafetensorsWriter::add(std::string name, std::string dtype, std::vector<int64_t> shape,
                            std::string bytes) {
  if (bytes.empty()) {
    const int64_t n_elements = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
    bytes.resize(static_cast<size_t>(n_elements * dtype_bytes(dtype)));
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 37 + tensors_.size());
  }
  tensors_.push_back({std::move(name), std::move(dtype), std::move(shape), std::move(bytes)});
}

std::string SafetensorsWriter::bytes() const {
  std::string header = R"({"__metadata__":{"format":"pt"})";
  std::string data;
  for (const Tensor& tensor : tensors_) {
    header += fmt::format(R"(,"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", tensor.name,
                          tensor.dtype, fmt::join(tensor.shape, ","), data.size(),
                          data.size() + tensor.bytes.size());
    data += tensor.bytes;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return safetensors_bytes(header, data);
}

std::string safetensors_bytes(std::string_view header, std::string_view data) {
  const uint64_t n_bytes = header.size();
  std::string file(sizeof n_bytes, '\0');
  std::memcpy(file.data(), &n_bytes, sizeof n_bytes);
  return file.append(header).append(data);
}

HfFiles small_hf_model(bool is_moe, bool is_sharded) {
  HfFiles files;
  files["config.json"] = fmt::format(kConfig, is_moe ? "Qwen3MoeForCausalLM" : "Qwen3ForCausalLM",
                                     is_moe ? "qwen3_moe" : "qwen3", is_moe ? kExpertKeys : "");
  files["tokenizer.json"] = kTokenizer;
  files["tokenizer_config.json"] = kTokenizerConfig;
  files["generation_config.json"] = kGenerationConfig;
  SafetensorsWriter writers[2];
  const std::string names[] = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"};
  std::string weight_map;
  int n_tensors = 0;
  add_tensors(is_moe, [&](const std::string& name, std::vector<int64_t> shape) {
    // Experts and their layer lie in both.
    const size_t shard = is_sharded && ++n_tensors % 3 == 0 ? 1 : 0;
    writers[shard].add(name, "BF16", std::move(shape));
    weight_map += fmt::format(R"({}"{}":"{}")", weight_map.empty() ? "" : ",", name, names[shard]);
  });
  if (!is_sharded) {
    files["model.safetensors"] = writers[0].bytes();
    return files;
  }
  for (size_t shard : {0, 1}) files[names[shard]] = writers[shard].bytes();
  files["model.safetensors.index.json"] =
      fmt::format(R"({{"metadata":{{"total_size":1}},"weight_map":{{{}}}}})", weight_map);
  return files;
}

void write_files(const HfFiles& files, const std::filesystem::path& folder) {
  for (const auto& [name, content] : files) {
    std::ofstream stream(folder / name, std::ios::binary | std::ios::trunc);
    stream << content;
    if (!stream.flush()) throw std::runtime_error("cannot write " + (folder / name).string());
  }
}

}  // namespace halod
