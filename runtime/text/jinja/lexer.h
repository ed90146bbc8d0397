// Template source to tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/text/jinja/template_error.h"

namespace halod::jinja {

enum class TokenKind : uint8_t {
  kText,           ///< output as it stands; `text` holds it
  kVariableBegin,  ///< {{
  kVariableEnd,
  kBlockBegin,  ///< {%
  kBlockEnd,
  kName,
  kString,  ///< `text` is unescaped
  kInteger,
  kReal,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text = {};
  int64_t integer = 0;
  double real = 0;
  int line = 0;
};

/// The last token is kEnd. Comments and raw blocks are resolved, white space is controlled with trim_blocks
/// and lstrip_blocks on, and one newline at the very end is dropped, all as Jinja2 does. Errors: throws
/// TemplateError (kSyntax) with the line.
std::vector<Token> tokenize_template(std::string_view source);

}  // namespace halod::jinja
