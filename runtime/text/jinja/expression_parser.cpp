#include "runtime/text/jinja/expression_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "runtime/text/jinja/filters.h"
#include "runtime/text/jinja/tests.h"

namespace halod::jinja {
template <class Node>
ExpressionPtr ExpressionParser::make(Node node, int line) const {
  return std::make_unique<const Expression>(Expression{.node = std::move(node), .line = line});
}

ExpressionPtr ExpressionParser::parse_expression(bool allows_tuple) {
  ExpressionPtr first = parse_conditional();
  return allows_tuple && at_operator(",") ? parse_tuple_rest(std::move(first)) : std::move(first);
}

ExpressionPtr ExpressionParser::parse_tuple_rest(ExpressionPtr first) {
  const int line = peek().line;
  Sequence tuple{.items = {}, .is_tuple = true};
  tuple.items.push_back(std::move(first));
  while (take_operator(",")) {
    const bool ends = at_operator(")") || at_operator("=") || peek().kind == TokenKind::kVariableEnd ||
                      peek().kind == TokenKind::kBlockEnd;
    if (ends) break;
    tuple.items.push_back(parse_conditional());
  }
  return make(std::move(tuple), line);
}

ExpressionPtr ExpressionParser::parse_loop_iterable() {
  ExpressionPtr first = parse_or();
  return at_operator(",") ? parse_tuple_rest(std::move(first)) : std::move(first);
}

ExpressionPtr ExpressionParser::parse_conditional() {
  const Level level(*this);
  const int line = peek().line;
  ExpressionPtr node = parse_or();
  for (int n = 1; take_name("if"); ++n) {
    check_chain(n);
    ExpressionPtr condition = parse_or();
    ExpressionPtr otherwise = take_name("else") ? parse_conditional() : nullptr;
    node = make(Conditional{std::move(condition), std::move(node), std::move(otherwise)}, line);
  }
  return node;
}

ExpressionPtr ExpressionParser::parse_or() {
  const int line = peek().line;
  ExpressionPtr left = parse_and();
  for (int n = 1; take_name("or"); ++n) {
    check_chain(n);
    left = make(Logical{.is_and = false, .left = std::move(left), .right = parse_and()}, line);
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_and() {
  const int line = peek().line;
  ExpressionPtr left = parse_not();
  for (int n = 1; take_name("and"); ++n) {
    check_chain(n);
    left = make(Logical{.is_and = true, .left = std::move(left), .right = parse_not()}, line);
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_not() {
  const int line = peek().line;
  if (!take_name("not")) return parse_comparison();
  const Level level(*this);
  return make(Unary{Unary::Operator::kNot, parse_not()}, line);
}

std::optional<BinaryOperator> ExpressionParser::take_comparison_operator() {
  static constexpr std::array<std::pair<std::string_view, BinaryOperator>, 6> kOperators = {{
      {"==", BinaryOperator::kEqual},
      {"!=", BinaryOperator::kNotEqual},
      {"<", BinaryOperator::kLess},
      {"<=", BinaryOperator::kLessEqual},
      {">", BinaryOperator::kGreater},
      {">=", BinaryOperator::kGreaterEqual},
  }};
  for (const auto& [text, op] : kOperators) {
    if (take_operator(text)) return op;
  }
  if (take_name("in")) return BinaryOperator::kIn;
  const Token& next = peek_next();
  if (at_name("not") && next.kind == TokenKind::kName && next.text == "in") {
    take();
    take();
    return BinaryOperator::kNotIn;
  }
  return std::nullopt;
}

ExpressionPtr ExpressionParser::parse_comparison() {
  const int line = peek().line;
  ExpressionPtr first = parse_binary(0);
  std::vector<std::pair<BinaryOperator, ExpressionPtr>> rest;
  while (const auto op = take_comparison_operator()) rest.emplace_back(*op, parse_binary(0));
  if (rest.empty()) return first;
  return make(Comparison{std::move(first), std::move(rest)}, line);
}

ExpressionPtr ExpressionParser::parse_binary(size_t precedence) {
  using Row = std::vector<std::pair<std::string_view, BinaryOperator>>;
  // From loose to tight. All of them, ** too, group to the left in Jinja.
  static const std::array<Row, 4> kLevels = {{
      {{"+", BinaryOperator::kAdd}, {"-", BinaryOperator::kSubtract}},
      {{"~", BinaryOperator::kConcatenate}},
      {{"*", BinaryOperator::kMultiply},
       {"/", BinaryOperator::kDivide},
       {"//", BinaryOperator::kFloorDivide},
       {"%", BinaryOperator::kModulo}},
      {{"**", BinaryOperator::kPower}},
  }};
  if (precedence == kLevels.size()) return parse_unary(true);
  const int line = peek().line;
  ExpressionPtr left = parse_binary(precedence + 1);
  for (int n = 1;; ++n) {
    check_chain(n);
    const auto found = std::ranges::find_if(kLevels[precedence],
                                            [this](const auto& row) { return take_operator(row.first); });
    if (found == kLevels[precedence].end()) return left;
    ExpressionPtr right = parse_binary(precedence + 1);
    left = make(Binary{found->second, std::move(left), std::move(right)}, line);
  }
}

ExpressionPtr ExpressionParser::parse_unary(bool with_filters) {
  const Level level(*this);
  const int line = peek().line;
  ExpressionPtr node;
  if (take_operator("-")) {
    node = make(Unary{Unary::Operator::kMinus, parse_unary(false)}, line);
  } else if (take_operator("+")) {
    node = make(Unary{Unary::Operator::kPlus, parse_unary(false)}, line);
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  return with_filters ? parse_filters_and_tests(std::move(node)) : std::move(node);
}

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr node) {
  for (int n = 1;; ++n) {
    check_chain(n);
    const int line = peek().line;
    if (take_operator(".")) {
      if (peek().kind == TokenKind::kInteger) {
        node = make(Subscript{std::move(node), make(Literal{Value(take().integer)}, line)}, line);
      } else {
        node = make(Attribute{std::move(node), expect_any_name("the name of an attribute")}, line);
      }
    } else if (take_operator("[")) {
      node = parse_subscript(std::move(node));
    } else if (at_operator("(")) {
      node = make(Call{std::move(node), parse_call_arguments()}, line);
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::parse_filters_and_tests(ExpressionPtr node) {
  for (int n = 1;; ++n) {
    check_chain(n);
    if (take_operator("|")) {
      node = parse_one_filter(std::move(node));
    } else if (take_name("is")) {
      node = parse_test(std::move(node));
    } else if (at_operator("(")) {
      const int line = peek().line;
      node = make(Call{std::move(node), parse_call_arguments()}, line);
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::parse_filters(ExpressionPtr input) {
  input = parse_one_filter(std::move(input));
  for (int n = 1; take_operator("|"); ++n) {
    check_chain(n);
    input = parse_one_filter(std::move(input));
  }
  return input;
}

std::string ExpressionParser::parse_dotted_name(std::string_view what) {
  std::string name = expect_any_name(what);
  while (take_operator(".")) name += "." + expect_any_name(what);
  return name;
}

ExpressionPtr ExpressionParser::parse_one_filter(ExpressionPtr input) {
  const int line = peek().line;
  std::string name = parse_dotted_name("the name of a filter");
  const Function* filter = find_filter(name);
  CallArguments arguments = at_operator("(") ? parse_call_arguments() : CallArguments{};
  return make(FilterCall{std::move(name), filter, std::move(input), std::move(arguments)}, line);
}

ExpressionPtr ExpressionParser::parse_test(ExpressionPtr input) {
  const int line = peek().line;
  const bool is_negated = take_name("not");
  std::string name = parse_dotted_name("the name of a test");
  const Function* test = find_test(name);
  CallArguments arguments;
  const TokenKind kind = peek().kind;
  const bool is_keyword = at_name("else") || at_name("or") || at_name("and") || at_name("is") ||
                          at_name("if") || at_name("in") || at_name("not");
  const bool begins_operand = (kind == TokenKind::kName && !is_keyword) || kind == TokenKind::kString ||
                              kind == TokenKind::kInteger || kind == TokenKind::kReal || at_operator("[") ||
                              at_operator("{");
  if (at_operator("(")) {
    arguments = parse_call_arguments();
  } else if (begins_operand) {
    arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  return make(TestCall{std::move(name), test, std::move(input), std::move(arguments), is_negated}, line);
}

ExpressionPtr ExpressionParser::parse_subscript(ExpressionPtr object) {
  const int line = peek().line;
  std::array<ExpressionPtr, 3> parts;
  size_t n = 0;
  bool is_slice = false;
  while (!at_operator("]")) {
    if (take_operator(":")) {
      is_slice = true;
      if (++n == parts.size()) fail_here("a slice has at most three parts");
    } else if (parts[n] != nullptr) {
      fail_here(fmt::format("expected ']', found {}", describe(peek())));
    } else {
      parts[n] = parse_expression(true);
    }
  }
  expect_operator("]");
  if (is_slice)
    return make(Slice{std::move(object), std::move(parts[0]), std::move(parts[1]), std::move(parts[2])},
                line);
  if (parts[0] == nullptr) fail_here("a subscript is empty");
  return make(Subscript{std::move(object), std::move(parts[0])}, line);
}

CallArguments ExpressionParser::parse_call_arguments() {
  const Level level(*this);
  CallArguments arguments;
  expect_operator("(");
  while (!at_operator(")")) {
    const Token& next = peek_next();
    if (take_operator("**")) {
      arguments.unpacked_dict = parse_expression();
    } else if (take_operator("*")) {
      arguments.unpacked_list = parse_expression();
    } else if (peek().kind == TokenKind::kName && next.kind == TokenKind::kOperator && next.text == "=") {
      std::string name = take().text;
      take();
      arguments.named.emplace_back(std::move(name), parse_expression());
    } else {
      if (!arguments.named.empty()) fail_here("a positional argument follows a keyword argument");
      arguments.positional.push_back(parse_expression());
    }
    if (!take_operator(",")) break;
  }
  expect_operator(")");
  return arguments;
}

ExpressionPtr ExpressionParser::parse_primary() {
  const Token& token = peek();
  const int line = token.line;
  switch (token.kind) {
    case TokenKind::kName:
      return parse_name();
    case TokenKind::kString:
      return parse_strings();
    case TokenKind::kInteger:
      return make(Literal{Value(take().integer)}, line);
    case TokenKind::kReal:
      return make(Literal{Value(take().real)}, line);
    default:
      break;
  }
  if (take_operator("(")) return parse_parentheses();
  if (take_operator("[")) return parse_list();
  if (take_operator("{")) return parse_dict();
  fail_here(fmt::format("expected an expression, found {}", describe(token)));
}

ExpressionPtr ExpressionParser::parse_name() {
  const Token token = take();
  const auto literal = [&](Value value) { return make(Literal{std::move(value)}, token.line); };
  if (token.text == "true" || token.text == "True") return literal(Value(true));
  if (token.text == "false" || token.text == "False") return literal(Value(false));
  if (token.text == "none" || token.text == "None") return literal(Value::none());
  if (current_macro_ != nullptr && token.text == "varargs") current_macro_->takes_varargs = true;
  if (current_macro_ != nullptr && token.text == "kwargs") current_macro_->takes_kwargs = true;
  return make(Variable{token.text}, token.line);
}

ExpressionPtr ExpressionParser::parse_strings() {
  const int line = peek().line;
  std::string text;
  while (peek().kind == TokenKind::kString) text += take().text;  // neighbours are one string
  return make(Literal{Value::string(std::move(text))}, line);
}

ExpressionPtr ExpressionParser::parse_parentheses() {
  const int line = peek().line;
  if (take_operator(")")) return make(Sequence{.items = {}, .is_tuple = true}, line);
  ExpressionPtr inside = parse_expression(true);
  expect_operator(")");
  return inside;
}

ExpressionPtr ExpressionParser::parse_list() {
  const int line = peek().line;
  Sequence list;
  while (!at_operator("]")) {
    list.items.push_back(parse_expression());
    if (!take_operator(",")) break;
  }
  expect_operator("]");
  return make(std::move(list), line);
}

ExpressionPtr ExpressionParser::parse_dict() {
  const int line = peek().line;
  DictDisplay dict;
  while (!at_operator("}")) {
    ExpressionPtr key = parse_expression();
    expect_operator(":");
    dict.entries.emplace_back(std::move(key), parse_expression());
    if (!take_operator(",")) break;
  }
  expect_operator("}");
  return make(std::move(dict), line);
}

}  // namespace halod::jinja
