// Cuts text into the words that byte-pair merges may not cross.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace halod {

/// One family of models: a row of the table in pre_tokenizer.cpp. To add a family, add a row.
struct PreTokenizerRule {
  std::string_view name;  ///< GGUF `tokenizer.ggml.pre`
  /// Applied one after the other, each to the pieces of the one before. What no expression matches is a piece
  /// as well.
  std::vector<std::string_view> expressions;
  /// A word that is in the vocabulary as a whole is one token, whatever the merges would give.
  bool ignores_merges = false;
};

/// All rules, for error messages and tests.
std::span<const PreTokenizerRule> pre_tokenizer_rules();

/// A compiled rule. Immutable. Thread: const methods from any thread at once.
class PreTokenizer {
 public:
  /// Errors: kUnsupported naming the known ones.
  static Result<PreTokenizer> create(std::string_view name);
  PreTokenizer(PreTokenizer&& other) noexcept;
  PreTokenizer& operator=(PreTokenizer&& other) noexcept;
  ~PreTokenizer();

  /// Appends the pieces of `text` in order, borrowed from it; together they are the whole text. A run of
  /// bytes that are not UTF-8 is a piece of its own. Errors: kInternal when the regular expression engine
  /// gives up (memory).
  Result<> split(std::string_view text, std::vector<std::string_view>& pieces) const;

  bool ignores_merges() const { return rule_->ignores_merges; }

 private:
  class Expression;
  PreTokenizer();
  Result<> split_valid(std::string_view text, std::vector<std::string_view>& pieces) const;

  const PreTokenizerRule* rule_ = nullptr;
  std::vector<Expression> expressions_;
};

}  // namespace halod
