// The tree of a parsed template. Immutable, shared by all renderings.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/operators.h"

namespace halod::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<const Expression>;
struct Statement;
using Block = std::vector<std::unique_ptr<const Statement>>;

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr unpacked_list;  ///< *args
  ExpressionPtr unpacked_dict;  ///< **kwargs
};

struct Literal {
  Value value;
};
struct Variable {
  std::string name;
};
struct Sequence {
  std::vector<ExpressionPtr> items;
  bool is_tuple = false;
};
struct DictDisplay {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
};
struct Unary {
  enum class Operator { kNot, kMinus, kPlus } op;
  ExpressionPtr operand;
};
struct Binary {
  BinaryOperator op;
  ExpressionPtr left;
  ExpressionPtr right;
};
/// `and`, `or`: give one of their operands.
struct Logical {
  bool is_and;
  ExpressionPtr left;
  ExpressionPtr right;
};
/// a < b <= c
struct Comparison {
  ExpressionPtr first;
  std::vector<std::pair<BinaryOperator, ExpressionPtr>> rest;
};
struct Conditional {
  ExpressionPtr condition;
  ExpressionPtr then;
  ExpressionPtr otherwise;
};  ///< otherwise may be null
struct Attribute {
  ExpressionPtr object;
  std::string name;
};
struct Subscript {
  ExpressionPtr object;
  ExpressionPtr key;
};
struct Slice {
  ExpressionPtr object;
  ExpressionPtr start;
  ExpressionPtr stop;
  ExpressionPtr step;
};  ///< bounds may be null
struct Call {
  ExpressionPtr callee;
  CallArguments arguments;
};
/// Unknown names fail only when they are reached (`filter` or `test` is null then). Null input: the block's
/// text.
struct FilterCall {
  std::string name;
  const Function* filter;
  ExpressionPtr input;
  CallArguments arguments;
};
struct TestCall {
  std::string name;
  const Function* test;
  ExpressionPtr input;
  CallArguments arguments;
  bool is_negated;
};

struct Expression {
  using Node = std::variant<Literal, Variable, Sequence, DictDisplay, Unary, Binary, Logical, Comparison,
                            Conditional, Attribute, Subscript, Slice, Call, FilterCall, TestCall>;
  Node node;
  int line = 0;
};

/// Where `set`, `for` and `with` put values: a name, a namespace's attribute, or several of these.
struct Target {
  std::string name;
  std::optional<std::string> attribute;
  std::vector<Target> parts;  ///< not empty: a tuple, and `name` means nothing
};

struct Parameter {
  std::string name;
  ExpressionPtr default_value;  ///< may be null
};
struct MacroDefinition {
  std::string name;
  std::vector<Parameter> parameters;
  Block body;
  bool takes_varargs = false;  ///< the body mentions `varargs`
  bool takes_kwargs = false;
};

struct Text {
  std::string text;
};
struct Print {
  ExpressionPtr value;
};
struct If {
  std::vector<std::pair<ExpressionPtr, Block>> branches;
  Block otherwise;
};
struct For {
  Target target;
  ExpressionPtr iterable;
  ExpressionPtr filter;
  Block body;
  Block otherwise;
};  ///< filter may be null
struct Set {
  Target target;
  ExpressionPtr value;
};
/// {% set x %}…{% endset %}; `filter` (may be null) is a chain of FilterCalls with a null input at its end.
struct SetBlock {
  Target target;
  ExpressionPtr filter;
  Block body;
};
struct DefineMacro {
  MacroDefinition macro;
};
/// {% call(a) f(b) %}…{% endcall %}
struct CallBlock {
  MacroDefinition caller;
  ExpressionPtr call;
};
struct FilterBlock {
  ExpressionPtr filter;
  Block body;
};
struct With {
  std::vector<std::pair<Target, ExpressionPtr>> values;
  Block body;
};
/// {% generation %}: a scope of its own and nothing else.
struct Scoped {
  Block body;
};
struct Break {};
struct Continue {};

struct Statement {
  using Node = std::variant<Text, Print, If, For, Set, SetBlock, DefineMacro, CallBlock, FilterBlock, With,
                            Scoped, Break, Continue>;
  Node node;
  int line = 0;
};

}  // namespace halod::jinja
