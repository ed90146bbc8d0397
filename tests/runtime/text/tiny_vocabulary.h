// A vocabulary small enough to work out by hand.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/text/byte_level.h"
#include "runtime/weights/tokenizer_data.h"

namespace halod {

struct TinyVocabularyOptions {
  std::string pre = "qwen2";
  std::vector<std::pair<std::string, std::string>> merges;  ///< plain text, best first
  std::vector<std::string> whole_words;                     ///< tokens that no merge makes
  std::vector<std::string> control;
  std::vector<std::string> user_defined;
};

/// Ids: 0..255 the bytes, then one per merge, then whole words, control and user-defined tokens.
inline TokenizerData make_tiny_vocabulary(const TinyVocabularyOptions& options) {
  TokenizerData data;
  data.model = "gpt2";
  data.pre = options.pre;
  const auto add = [&data](std::string text, TokenType type) {
    data.tokens.push_back(std::move(text));
    data.token_types.push_back(type);
  };
  for (int byte = 0; byte < 256; ++byte) {
    add(encode_byte_level(std::string(1, static_cast<char>(byte))), TokenType::kNormal);
  }
  for (const auto& [left, right] : options.merges) {
    add(encode_byte_level(left + right), TokenType::kNormal);
    data.merges.push_back(encode_byte_level(left) + " " + encode_byte_level(right));
  }
  for (const std::string& word : options.whole_words) add(encode_byte_level(word), TokenType::kNormal);
  for (const std::string& name : options.control) add(name, TokenType::kControl);
  for (const std::string& name : options.user_defined) add(name, TokenType::kUserDefined);
  return data;
}

}  // namespace halod
