#include "runtime/text/jinja/parser.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "runtime/text/jinja/expression_parser.h"

namespace halod::jinja {
namespace {

class Parser : public ExpressionParser {
 public:
  explicit Parser(std::vector<Token> tokens) : ExpressionParser(std::move(tokens)) {}

  Block run() {
    Block block = parse_block({});
    if (peek().kind != TokenKind::kEnd) fail_here(fmt::format("'{}' has no beginning", peek().text));
    return block;
  }

 private:
  template <class Node>
  static std::unique_ptr<const Statement> make(Node node, int line) {
    return std::make_unique<const Statement>(Statement{.node = std::move(node), .line = line});
  }

  void expect_block_end() {
    if (peek().kind != TokenKind::kBlockEnd) fail_here("expected '%}'");
    take();
  }

  /// Statements up to a tag whose name is one of `ends`; the cursor is then on that name, behind "{%".
  /// With no `ends`, up to the end of the template.
  Block parse_block(const std::vector<std::string_view>& ends) {
    const Level level(*this);
    Block block;
    while (true) {
      const int line = peek().line;
      switch (peek().kind) {
        case TokenKind::kText:
          block.push_back(make(Text{take().text}, line));
          break;
        case TokenKind::kVariableBegin: {
          take();
          ExpressionPtr value = parse_expression(true);
          if (peek().kind != TokenKind::kVariableEnd) fail_here("expected '}}'");
          take();
          block.push_back(make(Print{std::move(value)}, line));
          break;
        }
        case TokenKind::kBlockBegin:
          take();
          if (peek().kind == TokenKind::kName && std::ranges::find(ends, peek().text) != ends.end())
            return block;
          block.push_back(parse_statement());
          break;
        default:
          if (!ends.empty())
            fail_here(fmt::format("the template ends where '{}' is missing", fmt::join(ends, "' or '")));
          return block;
      }
    }
  }

  /// As parse_block, and takes the end tag, "endfor %}".
  Block parse_block_to(std::string_view end) {
    Block block = parse_block({end});
    take();
    expect_block_end();
    return block;
  }

  std::unique_ptr<const Statement> parse_statement() {
    const int line = peek().line;
    const std::string name = expect_any_name("the name of a tag");
    if (name == "if") return parse_if(line);
    if (name == "for") return parse_for(line);
    if (name == "set") return parse_set(line);
    if (name == "macro") return parse_macro(line);
    if (name == "call") return parse_call(line);
    if (name == "filter") return parse_filter_block(line);
    if (name == "with") return parse_with(line);
    if (name == "generation") {
      expect_block_end();
      return make(Scoped{parse_block_to("endgeneration")}, line);
    }
    if (name == "break" || name == "continue") {
      if (n_loops_ == 0) fail_here(fmt::format("'{}' stands outside a loop", name));
      expect_block_end();
      return name == "break" ? make(Break{}, line) : make(Continue{}, line);
    }
    if (name.starts_with("end") || name.starts_with("el"))
      fail_here(fmt::format("'{}' has no beginning", name));
    fail_here(fmt::format("the tag '{}' is not supported", name));
  }

  std::unique_ptr<const Statement> parse_if(int line) {
    If node;
    while (true) {
      ExpressionPtr condition = parse_expression(true);
      expect_block_end();
      node.branches.emplace_back(std::move(condition), parse_block({"elif", "else", "endif"}));
      if (!take_name("elif")) break;
    }
    if (take_name("else")) {
      expect_block_end();
      node.otherwise = parse_block({"endif"});
    }
    if (!take_name("endif")) fail_here("expected 'endif'");
    expect_block_end();
    return make(std::move(node), line);
  }

  std::unique_ptr<const Statement> parse_for(int line) {
    For node;
    node.target = parse_target(false);
    if (!take_name("in")) fail_here("expected 'in'");
    node.iterable = parse_loop_iterable();
    if (take_name("if")) node.filter = parse_expression();
    if (at_name("recursive")) fail_here("recursive loops are not supported");
    expect_block_end();
    ++n_loops_;
    node.body = parse_block({"else", "endfor"});
    --n_loops_;
    if (take_name("else")) {
      expect_block_end();
      node.otherwise = parse_block({"endfor"});
    }
    take();
    expect_block_end();
    return make(std::move(node), line);
  }

  Target parse_single_target(bool allows_attribute) {
    const Level level(*this);
    if (take_operator("(")) {
      Target target = parse_target(allows_attribute);
      expect_operator(")");
      return target;
    }
    Target target{.name = expect_any_name("the name of a variable")};
    if (allows_attribute && take_operator("."))
      target.attribute = expect_any_name("the name of an attribute");
    return target;
  }

  Target parse_target(bool allows_attribute) {
    Target first = parse_single_target(allows_attribute);
    if (!at_operator(",")) return first;
    Target tuple;
    tuple.parts.push_back(std::move(first));
    while (take_operator(",")) {
      if (at_name("in") || at_operator("=") || at_operator(")")) break;
      tuple.parts.push_back(parse_single_target(allows_attribute));
    }
    return tuple;
  }

  std::unique_ptr<const Statement> parse_set(int line) {
    Target target = parse_target(true);
    if (take_operator("=")) {
      ExpressionPtr value = parse_expression(true);
      expect_block_end();
      return make(Set{std::move(target), std::move(value)}, line);
    }
    ExpressionPtr filter = take_operator("|") ? parse_filters(nullptr) : nullptr;
    expect_block_end();
    return make(SetBlock{std::move(target), std::move(filter), parse_block_to("endset")}, line);
  }

  /// "(a, b=1)"
  std::vector<Parameter> parse_signature() {
    std::vector<Parameter> parameters;
    expect_operator("(");
    while (!at_operator(")")) {
      Parameter parameter{.name = expect_any_name("the name of a parameter"), .default_value = nullptr};
      if (take_operator("=")) parameter.default_value = parse_expression();
      parameters.push_back(std::move(parameter));
      if (!take_operator(",")) break;
    }
    expect_operator(")");
    return parameters;
  }

  void parse_macro_body(MacroDefinition& macro, std::string_view end) {
    expect_block_end();
    // A loop around a macro is not one that its body could break.
    const int n_outer_loops = std::exchange(n_loops_, 0);
    MacroDefinition* outer = std::exchange(current_macro_, &macro);
    macro.body = parse_block_to(end);
    current_macro_ = outer;
    n_loops_ = n_outer_loops;
  }

  std::unique_ptr<const Statement> parse_macro(int line) {
    MacroDefinition macro;
    macro.name = expect_any_name("the name of a macro");
    macro.parameters = parse_signature();
    parse_macro_body(macro, "endmacro");
    return make(DefineMacro{std::move(macro)}, line);
  }

  std::unique_ptr<const Statement> parse_call(int line) {
    CallBlock node;
    node.caller.name = "caller";
    if (at_operator("(")) node.caller.parameters = parse_signature();
    node.call = parse_expression();
    if (!std::holds_alternative<Call>(node.call->node)) fail_here("'call' needs the call of a macro");
    parse_macro_body(node.caller, "endcall");
    return make(std::move(node), line);
  }

  std::unique_ptr<const Statement> parse_filter_block(int line) {
    ExpressionPtr filter = parse_filters(nullptr);
    expect_block_end();
    return make(FilterBlock{std::move(filter), parse_block_to("endfilter")}, line);
  }

  std::unique_ptr<const Statement> parse_with(int line) {
    With node;
    while (peek().kind != TokenKind::kBlockEnd) {
      Target target = parse_single_target(false);
      expect_operator("=");
      node.values.emplace_back(std::move(target), parse_expression());
      if (!take_operator(",")) break;
    }
    expect_block_end();
    node.body = parse_block_to("endwith");
    return make(std::move(node), line);
  }

  int n_loops_ = 0;  // around the current statement, within its macro
};

}  // namespace

Block parse_template(std::string_view source) { return Parser(tokenize_template(source)).run(); }

}  // namespace halod::jinja
