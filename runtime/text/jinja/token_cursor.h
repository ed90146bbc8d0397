// A place in a list of tokens, for the parsers.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/text/jinja/lexer.h"

namespace halod::jinja {

/// Errors: all functions throw TemplateError (kSyntax) with the line.
class TokenCursor {
 public:
  /// `tokens` ends with kEnd, which is never passed.
  explicit TokenCursor(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

 protected:
  const Token& peek() const { return tokens_[position_]; }
  const Token& peek_next() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  Token take();
  bool at_operator(std::string_view text) const;
  bool at_name(std::string_view text) const;
  bool take_operator(std::string_view text);
  bool take_name(std::string_view text);
  void expect_operator(std::string_view text);
  std::string expect_any_name(std::string_view what);
  [[noreturn]] void fail_here(const std::string& message) const;

  /// Counts nesting for its lifetime.
  class Level {
   public:
    explicit Level(TokenCursor& cursor);
    ~Level() { --cursor_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    TokenCursor& cursor_;
  };
  /// Operators in a row nest the tree without nesting calls.
  void check_chain(int n_links) const;

 private:
  std::vector<Token> tokens_;
  size_t position_ = 0;
  int depth_ = 0;
};

/// For messages: "'endif'", "the string 'x'".
std::string describe(const Token& token);

}  // namespace halod::jinja
