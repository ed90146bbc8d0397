// Hugging Face folders of a few KB: fixtures of tests and seeds of the fuzzer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace halod {

/// One safetensors file in memory.
class SafetensorsWriter {
 public:
  /// Without `bytes`, a pattern: byte i of the tensor is i * 37 + the tensor's number, mod 256.
  void add(std::string name, std::string dtype, std::vector<int64_t> shape, std::string bytes = {});
  std::string bytes() const;

 private:
  struct Tensor {
    std::string name, dtype;
    std::vector<int64_t> shape;
    std::string bytes;
  };
  std::vector<Tensor> tensors_;
};

/// `header` and its length before `data`.
std::string safetensors_bytes(std::string_view header, std::string_view data);

/// The files of a folder by name.
using HfFiles = std::map<std::string, std::string>;

/// A qwen3 / qwen3_moe model (hidden size 8, one layer, 20 tokens, 2 experts) with everything that a
/// published one has. Two shards, or one file.
HfFiles small_hf_model(bool is_moe, bool is_sharded = false);

/// What the fuzzer changes; the first byte of its input says which, by this order.
inline constexpr const char* kFuzzedHfFiles[] = {"model.safetensors",     "config.json",
                                                 "tokenizer.json",        "tokenizer_config.json",
                                                 "generation_config.json", "model.safetensors.index.json"};

/// Writes the files into a folder, which must be there.
void write_files(const HfFiles& files, const std::filesystem::path& folder);

}  // namespace halod
