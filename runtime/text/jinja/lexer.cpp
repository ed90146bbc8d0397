#include "runtime/text/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "runtime/text/jinja/text.h"
#include "runtime/text/utf8.h"

namespace halod::jinja {
namespace {

constexpr std::array<std::string_view, 5> kTwoCharacterOperators = {"==", "!=", ">=", "<=", "//"};
constexpr std::string_view kOneCharacterOperators = "+-/*%~[](){}<>=.:|,;";

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// "\r\n" and "\r" become "\n", and one newline at the end goes.
std::string normalize_newlines(std::string_view source) {
  std::string result;
  result.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      result += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      result += source[i];
    }
  }
  if (!result.empty() && result.back() == '\n') result.pop_back();
  return result;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalize_newlines(source)) {}

  std::vector<Token> run() {
    while (position_ < source_.size()) lex_text_and_tag();
    add({.kind = TokenKind::kEnd, .line = line_});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail_here(const std::string& message) const {
    throw TemplateError(TemplateError::Kind::kSyntax, message, line_);
  }

  std::string_view rest() const { return std::string_view(source_).substr(position_); }
  bool at(std::string_view text) const { return rest().starts_with(text); }

  void add(Token token) { tokens_.push_back(std::move(token)); }

  void advance(size_t n) {
    const std::string_view passed = rest().substr(0, n);
    line_ += static_cast<int>(std::count(passed.begin(), passed.end(), '\n'));
    if (!passed.empty()) at_line_start_ = passed.back() == '\n';
    position_ += passed.size();
  }

  void skip_space() { advance(rest().size() - strip_left(rest()).size()); }

  /// The text up to the next "{{", "{%" or "{#", and then that.
  void lex_text_and_tag() {
    size_t n_text = 0;
    const std::string_view all = rest();
    while (true) {
      n_text = all.find('{', n_text);
      if (n_text == std::string_view::npos) n_text = all.size();
      if (n_text + 1 >= all.size()) n_text = all.size();
      if (n_text == all.size() || std::string_view("{%#").find(all[n_text + 1]) != std::string_view::npos)
        break;
      ++n_text;
    }
    const char tag = n_text < all.size() ? all[n_text + 1] : '\0';
    const char sign = n_text + 2 < all.size() ? all[n_text + 2] : '\0';
    add_text(all.substr(0, n_text), tag, sign);
    advance(n_text);
    if (tag == '\0') return;
    const bool has_sign = sign == '-' || sign == '+';
    if (tag == '#') return lex_comment();
    advance(has_sign ? 3 : 2);
    if (tag == '%' && lex_raw()) return;
    add({.kind = tag == '%' ? TokenKind::kBlockBegin : TokenKind::kVariableBegin, .line = line_});
    lex_inside(tag == '%');
  }

  /// Text before a tag, less the white space that the tag takes away.
  void add_text(std::string_view text, char tag, char sign) {
    if (tag != '\0' && sign == '-') {
      text = strip_right(text);
    } else if (tag != '\0' && tag != '{' && sign != '+') {
      // lstrip_blocks: a block that stands first on its line takes the indentation with it.
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      const bool starts_line = newline != std::string_view::npos || at_line_start_;
      if (starts_line && strip_left(text.substr(line_begin)).empty()) text = text.substr(0, line_begin);
    }
    if (!text.empty()) add({.kind = TokenKind::kText, .text = std::string(text), .line = line_});
  }

  void lex_comment() {
    const size_t end = rest().find("#}", 2);
    if (end == std::string_view::npos) fail_here("a comment '{#' is not closed");
    const char sign = end > 2 ? rest()[end - 1] : '\0';
    advance(end);
    close_tag(2, sign, true);
  }

  /// Behind the closing delimiter: "-" takes all white space away, a block without "+" one newline
  /// (trim_blocks).
  void close_tag(size_t n_delimiter, char sign, bool trims_newline) {
    advance(n_delimiter);
    if (sign == '-') {
      skip_space();
    } else if (trims_newline && sign != '+' && at("\n")) {
      advance(1);
    }
  }

  /// After "{%": the whole of a raw block, if it is one.
  bool lex_raw() {
    const std::string_view inside = strip_left(rest());
    if (!inside.starts_with("raw")) return false;
    const std::string_view after = strip_left(inside.substr(3));
    const bool strips = after.starts_with("-%}");
    if (!strips && !after.starts_with("%}")) return false;
    advance(rest().size() - after.size() + (strips ? 3 : 2));
    if (strips) skip_space();
    for (size_t from = 0;;) {
      const size_t begin = rest().find("{%", from);
      if (begin == std::string_view::npos) fail_here("'raw' is not closed by 'endraw'");
      std::string_view tag = rest().substr(begin + 2);
      const char sign = tag.empty() ? '\0' : tag.front();
      if (sign == '-' || sign == '+') tag.remove_prefix(1);
      tag = strip_left(tag);
      from = begin + 2;
      if (!tag.starts_with("endraw")) continue;
      tag = strip_left(tag.substr(6));
      const char end_sign = tag.empty() ? '\0' : tag.front();
      if (end_sign == '-' || end_sign == '+') tag.remove_prefix(1);
      if (!tag.starts_with("%}")) continue;
      add_text(rest().substr(0, begin), '%', sign);
      advance(rest().size() - tag.size());
      close_tag(2, end_sign, true);
      return true;
    }
  }

  /// Tokens up to the closing "}}" or "%}".
  void lex_inside(bool is_block) {
    std::string brackets;
    while (true) {
      while (!rest().empty() && is_blank(rest().front())) advance(1);
      if (rest().empty()) fail_here(fmt::format("'{}' is not closed", is_block ? "{%" : "{{"));
      if (brackets.empty() && lex_end(is_block)) return;
      const char c = rest().front();
      if (is_name_start(c)) {
        lex_name();
      } else if (is_digit(c)) {
        lex_number();
      } else if (c == '\'' || c == '"') {
        lex_string(c);
      } else {
        lex_operator(brackets);
      }
    }
  }

  bool lex_end(bool is_block) {
    const std::string_view delimiter = is_block ? "%}" : "}}";
    const char first = rest().front();
    const bool has_sign =
        (first == '-' || (is_block && first == '+')) && rest().substr(1).starts_with(delimiter);
    if (!has_sign && !at(delimiter)) return false;
    add({.kind = is_block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, .line = line_});
    if (has_sign) advance(1);
    close_tag(2, has_sign ? first : '\0', is_block);
    return true;
  }

  void lex_name() {
    size_t n = 1;
    while (n < rest().size() && (is_name_start(rest()[n]) || is_digit(rest()[n]))) ++n;
    add({.kind = TokenKind::kName, .text = std::string(rest().substr(0, n)), .line = line_});
    advance(n);
  }

  size_t n_digits(size_t from) const {
    size_t n = from;
    while (n < rest().size() && (is_digit(rest()[n]) || (rest()[n] == '_' && n > from))) ++n;
    return n - from;
  }

  void lex_number() {
    const bool has_base = rest().size() > 2 && rest()[0] == '0' &&
                          std::string_view("xXoObB").find(rest()[1]) != std::string_view::npos;
    if (has_base) return lex_based_integer();
    size_t n = n_digits(0);
    bool is_real = false;
    if (n + 1 < rest().size() && rest()[n] == '.' && is_digit(rest()[n + 1])) {
      is_real = true;
      n += 1 + n_digits(n + 1);
    }
    if (n + 1 < rest().size() && (rest()[n] == 'e' || rest()[n] == 'E')) {
      const size_t sign = rest()[n + 1] == '+' || rest()[n + 1] == '-' ? 1 : 0;
      const size_t exponent = n_digits(n + 1 + sign);
      if (exponent > 0) {
        is_real = true;
        n += 1 + sign + exponent;
      }
    }
    std::string digits(rest().substr(0, n));
    std::erase(digits, '_');
    Token token{.kind = is_real ? TokenKind::kReal : TokenKind::kInteger, .line = line_};
    const char* end = digits.data() + digits.size();
    const auto parsed = is_real ? std::from_chars(digits.data(), end, token.real)
                                : std::from_chars(digits.data(), end, token.integer);
    if (parsed.ec != std::errc() || parsed.ptr != end)
      fail_here(fmt::format("the number {} does not fit 64 bits", digits));
    add(std::move(token));
    advance(n);
  }

  void lex_based_integer() {
    const char letter = rest()[1];
    const int base = letter == 'x' || letter == 'X' ? 16 : letter == 'o' || letter == 'O' ? 8 : 2;
    size_t n = 2;
    while (n < rest().size() && (is_digit(rest()[n]) || is_name_start(rest()[n]))) ++n;
    std::string digits(rest().substr(2, n - 2));
    std::erase(digits, '_');
    Token token{.kind = TokenKind::kInteger, .line = line_};
    const char* end = digits.data() + digits.size();
    const auto parsed = std::from_chars(digits.data(), end, token.integer, base);
    if (parsed.ec != std::errc() || parsed.ptr != end)
      fail_here(fmt::format("'{}' is not a number", rest().substr(0, n)));
    add(std::move(token));
    advance(n);
  }

  void lex_string(char quote) {
    const int line = line_;
    size_t n = 1;
    while (n < rest().size() && rest()[n] != quote) n += rest()[n] == '\\' ? 2 : 1;
    if (n >= rest().size()) fail_here("a string is not closed");
    add({.kind = TokenKind::kString, .text = unescape(rest().substr(1, n - 1)), .line = line});
    advance(n + 1);
  }

  /// Python's escapes. Unknown ones stay as they are.
  std::string unescape(std::string_view raw) const {
    std::string text;
    while (!raw.empty()) {
      const size_t n_plain = std::min(raw.find('\\'), raw.size());
      text += raw.substr(0, n_plain);
      raw.remove_prefix(n_plain);
      if (raw.empty()) break;
      const char kind = raw[1];
      raw.remove_prefix(2);
      constexpr std::string_view kLetters = "abfnrtv\\'\"";
      constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
      if (const size_t idx = kLetters.find(kind); idx != std::string_view::npos) {
        text += kMeanings[idx];
      } else if (kind == 'x' || kind == 'u' || kind == 'U') {
        append_utf8(text, take_digits(raw, kind == 'x' ? 2 : kind == 'u' ? 4 : 8, 16, true));
      } else if (kind >= '0' && kind <= '7') {
        raw = {raw.data() - 1, raw.size() + 1};
        append_utf8(text, take_digits(raw, 3, 8, false));
      } else if (kind != '\n') {  // a backslash at a line's end joins the lines
        text += '\\';
        text += kind;
      }
    }
    return text;
  }

  char32_t take_digits(std::string_view& raw, size_t n_max, int base, bool needs_all) const {
    uint32_t code_point = 0;
    const char* end = raw.data() + std::min(n_max, raw.size());
    const auto parsed = std::from_chars(raw.data(), end, code_point, base);
    const auto n = static_cast<size_t>(parsed.ptr - raw.data());
    if (parsed.ec != std::errc() || (needs_all && n != n_max))
      fail_here("a string holds an incomplete escape");
    raw.remove_prefix(n);
    return code_point;
  }

  void lex_operator(std::string& brackets) {
    std::string_view found;
    if (at("**")) found = "**";
    for (const std::string_view candidate : kTwoCharacterOperators) {
      if (at(candidate)) found = candidate;
    }
    if (found.empty() && kOneCharacterOperators.find(rest().front()) != std::string_view::npos)
      found = rest().substr(0, 1);
    if (found.empty())
      fail_here(fmt::format("unexpected character '{}'", characters(rest().substr(0, 4)).front()));
    if (found == "(" || found == "[" || found == "{") brackets += found;
    if (found == ")" || found == "]" || found == "}") {
      constexpr std::string_view kOpening = "([{";
      constexpr std::string_view kClosing = ")]}";
      if (brackets.empty() || kOpening.find(brackets.back()) != kClosing.find(found)) {
        fail_here(fmt::format("unexpected '{}'", found));
      }
      brackets.pop_back();
    }
    add({.kind = TokenKind::kOperator, .text = std::string(found), .line = line_});
    advance(found.size());
  }

  std::string source_;
  size_t position_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize_template(std::string_view source) { return Lexer(source).run(); }

}  // namespace halod::jinja
