// The raw material of a tokenizer, independent of the file format that it came from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "runtime/weights/metadata.h"

namespace halod {

/// How a vocabulary entry is treated (GGUF `tokenizer.ggml.token_type`).
enum class TokenType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

/// How the model's publisher samples (generation_config.json); nothing where that is not said.
struct SamplingDefaults {
  std::optional<double> temperature;         ///< 0 … 2
  std::optional<double> top_p;               ///< > 0 … 1
  std::optional<double> min_p;               ///< 0 … < 1
  std::optional<double> repetition_penalty;  ///< > 0 … 10
  std::optional<int64_t> top_k;              ///< 0 … 1 Mi; 0 = off
};

struct TokenizerData {
  std::string model;                ///< "gpt2" for byte-level BPE, "llama" for SentencePiece
  std::string pre;                  ///< pre-tokenizer name: "qwen2", "llama-bpe", "gpt-2"
  std::vector<std::string> tokens;  ///< byte-level text by token id; of SentencePiece the pieces
  std::vector<TokenType> token_types;
  std::vector<std::string> merges;    ///< "left right", best first; not of SentencePiece
  std::vector<float> scores;          ///< of SentencePiece alone: by token id, the best merge has the largest
  bool add_space_prefix = false;      ///< of SentencePiece alone: text begins with a space
  bool prefixes_first_alone = false;  ///< and not again behind special tokens
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  std::vector<TokenId> end_of_generation;  ///< eos, eot and the like: all that end an answer
  bool add_bos = false;
  /// A word that is in the vocabulary as a whole is one token, whatever the merges would give. Absent: as the
  /// pre-tokenizer's rule says.
  std::optional<bool> ignores_merges = {};
  std::vector<TokenId> strips_left = {};   ///< special tokens that swallow the white space before them
  std::vector<TokenId> strips_right = {};  ///< and after them
  std::string chat_template;               ///< Jinja source; empty when the model has none
  std::string model_name;                  ///< general.name; may be empty
  SamplingDefaults sampling = {};
};

/// Reads `tokenizer.*` keys. Errors: kCorruptFile / kUnsupported naming file and key.
Result<TokenizerData> read_tokenizer_data(const Metadata& metadata);

}  // namespace halod
