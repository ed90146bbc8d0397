#include "tests/support/small_gguf.h"

#include <fmt/format.h>

namespace halod {
namespace {

constexpr int64_t kVocabSize = 20;
constexpr int64_t kHiddenSize = 8;

void add_vocabulary(GgufWriter& writer) {
  std::vector<std::string> tokens;
  for (char letter = 'a'; letter < 'a' + 16; ++letter) tokens.emplace_back(1, letter);
  for (const char* text : {"ab", "abc", "<|endoftext|>", "<|im_end|>"}) tokens.emplace_back(text);
  std::vector<int64_t> types(static_cast<size_t>(kVocabSize), 1);
  types[18] = types[19] = 3;
  writer.add_metadata("tokenizer.ggml.model", "gpt2");
  writer.add_metadata("tokenizer.ggml.pre", "qwen2");
  writer.add_metadata("tokenizer.ggml.tokens", MetadataArray(std::move(tokens)));
  writer.add_metadata("tokenizer.ggml.token_type", MetadataArray(std::move(types)));
  writer.add_metadata("tokenizer.ggml.merges", MetadataArray(std::vector<std::string>{"a b", "ab c"}));
  writer.add_metadata("tokenizer.ggml.bos_token_id", int64_t{18});
  writer.add_metadata("tokenizer.ggml.eos_token_id", int64_t{19});
  writer.add_metadata("tokenizer.ggml.add_bos_token", false);
  writer.add_metadata("tokenizer.chat_template", "{{ messages[0].content }}");
}

void add_configuration(GgufWriter& writer, const std::string& architecture) {
  writer.add_metadata("general.architecture", architecture);
  writer.add_metadata("general.name", "small");
  writer.add_metadata(architecture + ".block_count", int64_t{1});
  writer.add_metadata(architecture + ".context_length", int64_t{64});
  writer.add_metadata(architecture + ".embedding_length", kHiddenSize);
  writer.add_metadata(architecture + ".attention.head_count", int64_t{4});
  writer.add_metadata(architecture + ".attention.head_count_kv", int64_t{2});
  writer.add_metadata(architecture + ".attention.key_length", int64_t{4});
  writer.add_metadata(architecture + ".attention.value_length", int64_t{4});
  writer.add_metadata(architecture + ".attention.layer_norm_rms_epsilon", 1e-6);
  writer.add_metadata(architecture + ".rope.freq_base", 10000.0);
}

void add_tensors(GgufWriter& writer) {
  writer.add_tensor("token_embd.weight", Format::kF16, {kVocabSize, kHiddenSize});
  writer.add_tensor("output_norm.weight", Format::kF32, {kHiddenSize});
  writer.add_tensor("blk.0.attn_q.weight", Format::kBF16, {16, kHiddenSize});
}

GgufWriter every_metadata_type() {
  GgufWriter writer;
  writer.add_metadata("general.architecture", "qwen3");
  writer.add_metadata("general.alignment", int64_t{32});
  writer.add_metadata("a.boolean", true);
  writer.add_metadata("a.small", int64_t{7});
  writer.add_metadata("a.negative", int64_t{-7});
  writer.add_metadata("a.huge", ~uint64_t{0});
  writer.add_metadata("a.number", 0.5);
  writer.add_metadata("some.integers", MetadataArray(std::vector<int64_t>{1, -2, 3}));
  writer.add_metadata("some.large_integers", MetadataArray(std::vector<int64_t>{int64_t{1} << 40}));
  writer.add_metadata("some.numbers", MetadataArray(std::vector<double>{0.25, -1.5}));
  writer.add_metadata("some.strings", MetadataArray(std::vector<std::string>{"x", "", "yz"}));
  writer.add_metadata("some.booleans", MetadataArray(std::vector<bool>{true, false, true}));
  writer.add_metadata("no.strings", MetadataArray(std::vector<std::string>{}));
  return writer;
}

GgufWriter every_format() {
  GgufWriter writer;
  writer.add_metadata("general.architecture", "qwen3");
  for (const FormatTraits& format : all_formats()) {
    if (format.ggml_type == kNoGgmlType) continue;
    writer.add_tensor(fmt::format("weights.{}", format.name), format.format, {2, format.block_elements});
  }
  return writer;
}

GgufWriter vocabulary_only() {
  GgufWriter writer;
  writer.add_metadata("general.architecture", "qwen2");
  add_vocabulary(writer);
  return writer;
}

GgufWriter part_of_a_split_model() {
  GgufWriter writer = small_dense_model();
  writer.add_metadata("split.count", int64_t{2});
  writer.add_metadata("split.no", int64_t{0});
  writer.add_metadata("split.tensors.count", int64_t{3});
  return writer;
}

}  // namespace

std::string to_bytes(const GgufWriter& writer) {
  std::string bytes = writer.header();
  const size_t data_bytes = static_cast<size_t>(writer.file_bytes()) - bytes.size();
  for (size_t i = 0; i < data_bytes; ++i) bytes.push_back(static_cast<char>(i * 37));
  return bytes;
}

GgufWriter small_dense_model() {
  GgufWriter writer;
  add_configuration(writer, "qwen3");
  writer.add_metadata("qwen3.feed_forward_length", int64_t{16});
  add_vocabulary(writer);
  add_tensors(writer);
  return writer;
}

GgufWriter small_moe_model() {
  GgufWriter writer;
  add_configuration(writer, "qwen3moe");
  writer.add_metadata("qwen3moe.expert_count", int64_t{4});
  writer.add_metadata("qwen3moe.expert_used_count", int64_t{2});
  writer.add_metadata("qwen3moe.expert_feed_forward_length", int64_t{8});
  add_vocabulary(writer);
  add_tensors(writer);
  writer.add_tensor("blk.0.ffn_up_exps.weight", Format::kF32, {4, 8, kHiddenSize});
  return writer;
}

std::vector<NamedGguf> small_ggufs() {
  return {{"dense", to_bytes(small_dense_model())},    {"moe", to_bytes(small_moe_model())},
          {"vocabulary", to_bytes(vocabulary_only())}, {"metadata_types", to_bytes(every_metadata_type())},
          {"formats", to_bytes(every_format())},       {"split_part", to_bytes(part_of_a_split_model())}};
}

}  // namespace halod
