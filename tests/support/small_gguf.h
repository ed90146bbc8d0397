// GGUF files of a few KB that have everything a model file has: fixtures of tests and seeds of the fuzzer.
#pragma once

#include <string>
#include <vector>

#include "runtime/weights/gguf_writer.h"

namespace halod {

/// The file as bytes, its tensor data a fixed pattern: byte i of the data section is i * 37 mod 256.
std::string to_bytes(const GgufWriter& writer);

/// A valid qwen3 / qwen3moe model (hidden size 8, one layer, 20 tokens) as far as GgufFile, read_model_config
/// and read_tokenizer_data look.
GgufWriter small_dense_model();
GgufWriter small_moe_model();

struct NamedGguf {
  std::string name;
  std::string bytes;
};

/// The models above, a vocabulary without tensors, every metadata type, every weight format.
std::vector<NamedGguf> small_ggufs();

}  // namespace halod
