#include "runtime/text/jinja/token_cursor.h"

#include <fmt/format.h>

#include "runtime/text/jinja/budget.h"

namespace halod::jinja {

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kEnd:
      return "the end of the template";
    case TokenKind::kBlockEnd:
      return "'%}'";
    case TokenKind::kVariableEnd:
      return "'}}'";
    case TokenKind::kString:
      return fmt::format("the string '{}'", token.text);
    case TokenKind::kInteger:
    case TokenKind::kReal:
      return "a number";
    default:
      return fmt::format("'{}'", token.text);
  }
}

TokenCursor::Level::Level(TokenCursor& cursor) : cursor_(cursor) {
  ++cursor_.depth_;
  cursor_.check_chain(0);
}

void TokenCursor::check_chain(int n_links) const {
  if (depth_ + n_links > kMaxSourceDepth)
    fail_here(fmt::format("the template nests more than {} levels", kMaxSourceDepth));
}

Token TokenCursor::take() {
  Token token = tokens_[position_];
  if (position_ + 1 < tokens_.size()) ++position_;
  return token;
}

bool TokenCursor::take_operator(std::string_view text) {
  if (!at_operator(text)) return false;
  take();
  return true;
}

bool TokenCursor::take_name(std::string_view text) {
  if (!at_name(text)) return false;
  take();
  return true;
}

void TokenCursor::expect_operator(std::string_view text) {
  if (!take_operator(text)) fail_here(fmt::format("expected '{}', found {}", text, describe(peek())));
}

std::string TokenCursor::expect_any_name(std::string_view what) {
  if (peek().kind != TokenKind::kName)
    fail_here(fmt::format("expected {}, found {}", what, describe(peek())));
  return take().text;
}

void TokenCursor::fail_here(const std::string& message) const {
  throw TemplateError(TemplateError::Kind::kSyntax, message, peek().line);
}

bool TokenCursor::at_operator(std::string_view text) const {
  return peek().kind == TokenKind::kOperator && peek().text == text;
}

bool TokenCursor::at_name(std::string_view text) const {
  return peek().kind == TokenKind::kName && peek().text == text;
}

}  // namespace halod::jinja
