// Text to token ids and back, for byte-level BPE and SentencePiece vocabularies.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "runtime/weights/tokenizer_data.h"

namespace halod {

struct EncodeOptions {
  bool add_special = false;  ///< put the beginning-of-sequence token in front where the model wants one
  bool parse_special =
      false;  ///< "<|im_end|>" in the text becomes that control token; false for text of strangers
};

/// Immutable once made. Thread: all const methods from any thread at once.
class Tokenizer {
 public:
  /// Errors: kUnsupported for another model than "gpt2" and "llama", and for an unknown pre-tokenizer (the
  /// message names the known ones); kCorruptFile when the parts contradict each other.
  static Result<Tokenizer> create(const TokenizerData& data);
  Tokenizer(Tokenizer&& other) noexcept;
  Tokenizer& operator=(Tokenizer&& other) noexcept;
  ~Tokenizer();

  /// Any bytes are accepted: what is not UTF-8 becomes byte tokens. User-defined (added) tokens are always
  /// found in the text, control tokens only with parse_special; where several fit, the leftmost and then the
  /// longest. Bytes for which the vocabulary has no token are left out. Where the vocabulary asks for it,
  /// text at the beginning and behind a special token gets a space in front, which decode() does not take
  /// away. Time: O(n log n) for any text. Errors: kInternal when the regular expression engine gives up.
  Result<std::vector<TokenId>> encode(std::string_view text, const EncodeOptions& options = {}) const;

  /// The bytes that the token stands for (perhaps half a code point); empty for ids outside the vocabulary.
  /// Control tokens give their name, "<|im_end|>". Lives as long as this object.
  std::string_view token_text(TokenId id) const;
  /// The tokens' bytes in a row. skip_special: without control tokens. May be invalid UTF-8 (see Utf8Stream).
  std::string decode(std::span<const TokenId> ids, bool skip_special = false) const;

  /// The control or user-defined token with exactly this name, "<|im_end|>".
  std::optional<TokenId> find_special(std::string_view name) const;
  /// A control token: one that structures the prompt and is no text of its own.
  bool is_control(TokenId id) const;
  size_t vocab_size() const;
  std::optional<TokenId> bos() const;
  std::optional<TokenId> eos() const;
  /// Tokens that end an answer.
  std::span<const TokenId> end_of_generation() const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

}  // namespace halod
