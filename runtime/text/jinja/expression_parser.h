// Tokens to expressions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "runtime/text/jinja/ast.h"
#include "runtime/text/jinja/token_cursor.h"

namespace halod::jinja {

/// Jinja's expression grammar. The statement parser builds on it.
/// Errors: all functions throw TemplateError (kSyntax) with the line.
class ExpressionParser : public TokenCursor {
 protected:
  using TokenCursor::TokenCursor;

  /// With an inline if; a comma makes it a tuple where `allows_tuple`.
  ExpressionPtr parse_expression(bool allows_tuple = false);
  /// Without an inline if, for what stands before the `if` of a loop.
  ExpressionPtr parse_loop_iterable();
  CallArguments parse_call_arguments();
  /// "| upper | trim" behind `input`; at least the name of the first must follow.
  ExpressionPtr parse_filters(ExpressionPtr input);

  MacroDefinition* current_macro_ = nullptr;  // notes which of its special variables a macro mentions

 private:
  template <class Node>
  ExpressionPtr make(Node node, int line) const;
  ExpressionPtr parse_tuple_rest(ExpressionPtr first);
  ExpressionPtr parse_conditional();
  ExpressionPtr parse_or();
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_comparison();
  std::optional<BinaryOperator> take_comparison_operator();
  ExpressionPtr parse_binary(size_t precedence);
  ExpressionPtr parse_unary(bool with_filters);
  ExpressionPtr parse_postfix(ExpressionPtr node);
  ExpressionPtr parse_filters_and_tests(ExpressionPtr node);
  ExpressionPtr parse_one_filter(ExpressionPtr input);
  ExpressionPtr parse_test(ExpressionPtr input);
  ExpressionPtr parse_subscript(ExpressionPtr object);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_name();
  ExpressionPtr parse_strings();
  ExpressionPtr parse_parentheses();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  std::string parse_dotted_name(std::string_view what);
};

}  // namespace halod::jinja
