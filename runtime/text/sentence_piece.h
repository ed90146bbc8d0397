// SentencePiece's byte-pair encoding, of Llama 2, TinyLlama and Mistral: pieces with scores instead of
// merges.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "runtime/weights/tokenizer_data.h"

namespace halod {

/// Appends the bytes that a piece stands for: "▁" is a space, a byte token its byte.
void append_decoded_piece(std::string_view piece, TokenType type, std::string& bytes);

/// Immutable once made. Thread: const methods from any thread at once.
class SentencePieceEncoder {
 public:
  /// REQUIRES: one score and one type per token.
  explicit SentencePieceEncoder(const TokenizerData& data);

  /// Appends the pieces of `text`, which is taken literally: no control token is found in it. The pair of
  /// neighbours whose piece has the best score goes first, the leftmost of equal ones; characters that no
  /// piece has become byte tokens, or the unknown token where the vocabulary has none. Time: O(n log n).
  /// REQUIRES: fewer than 2^31 bytes.
  void encode(std::string_view text, std::vector<TokenId>& out) const;

 private:
  struct Piece {
    TokenId id;
    float score;
  };
  /// The hash of a string's view, so that look-ups need no copy.
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  const Piece* find(std::string_view text) const;
  void append_bytes(std::string_view text, std::vector<TokenId>& out) const;

  std::unordered_map<std::string, Piece, Hash, std::equal_to<>> pieces_;  // as text, with spaces
  size_t longest_ = 0;
  std::array<TokenId, 256> byte_tokens_;
  TokenId unknown_;
};

}  // namespace halod
