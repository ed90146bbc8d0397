// Renders a parsed template.
#pragma once

#include <boost/json/object.hpp>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/text/jinja/ast.h"
#include "runtime/text/jinja/budget.h"
#include "runtime/text/jinja/call.h"

namespace halod::jinja {

/// Variables of one block. Names are borrowed from the tree.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<std::string_view, Value>> variables;
  bool is_captured = false;  ///< a macro refers to it

  void set(std::string_view name, Value value);
};

/// A macro as a value: its definition and where it was defined.
struct Macro {
  const MacroDefinition* definition = nullptr;
  Scope* closure = nullptr;
};

/// One rendering. Use once. Thread: one; the tree may be shared.
class Interpreter {
 public:
  /// `context` and `now` must outlive this object. Errors: throws TemplateError.
  Interpreter(const boost::json::object& context, const std::tm& now);

  /// Errors: throws TemplateError with the line.
  std::string render(const Block& block);

 private:
  enum class Flow { kNormal, kBreak, kContinue };

  /// A new innermost scope for its lifetime.
  class ScopeGuard {
   public:
    ScopeGuard(Interpreter& interpreter, Scope* parent);
    ~ScopeGuard();
    ScopeGuard(const ScopeGuard&) = delete;
    ScopeGuard& operator=(const ScopeGuard&) = delete;

   private:
    Interpreter& interpreter_;
    Scope* outer_;
  };

  // Statements (execute.cpp)
  Flow execute(const Block& block);
  Flow run(const Text& node);
  Flow run(const Print& node);
  Flow run(const If& node);
  Flow run(const For& node);
  Flow run(const Set& node);
  Flow run(const SetBlock& node);
  Flow run(const DefineMacro& node);
  Flow run(const CallBlock& node);
  Flow run(const FilterBlock& node);
  Flow run(const With& node);
  Flow run(const Scoped& node);
  Flow run(const Break&) { return Flow::kBreak; }
  Flow run(const Continue&) { return Flow::kContinue; }
  std::vector<Value> loop_items(const For& node);
  void assign(const Target& target, const Value& value);
  /// What the block prints, in a scope of its own.
  std::string capture(const Block& block, Scope* parent);
  const Macro* make_macro(const MacroDefinition& definition);

  // Expressions (evaluate.cpp)
  Value evaluate(const Expression& expression);
  Value value_of(const Literal& node) { return node.value; }
  Value value_of(const Variable& node) { return look_up(node.name); }
  Value value_of(const Sequence& node);
  Value value_of(const DictDisplay& node);
  Value value_of(const Unary& node);
  Value value_of(const Binary& node);
  Value value_of(const Logical& node);
  Value value_of(const Comparison& node);
  Value value_of(const Conditional& node);
  Value value_of(const Attribute& node);
  Value value_of(const Subscript& node);
  Value value_of(const Slice& node);
  Value value_of(const Call& node);
  Value value_of(const FilterCall& node);
  Value value_of(const TestCall& node);
  Value look_up(const std::string& name);
  Arguments evaluate_arguments(const CallArguments& arguments, const Value* first);
  Value call(const Value& callee, Arguments arguments);
  Value call_macro(const Macro& macro, Arguments arguments);
  void bind_parameters(const MacroDefinition& definition, Arguments arguments);

  Budget budget_;
  std::unordered_map<std::string_view, Value> context_;
  std::vector<std::unique_ptr<Scope>> scopes_;  // innermost last; captured ones stay
  std::vector<std::unique_ptr<Macro>> macros_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<std::unique_ptr<Namespace>> namespaces_;
  CallContext call_context_;
  Scope* scope_ = nullptr;
  std::string* out_ = nullptr;
  const Value* block_text_ = nullptr;  // input of the filters of the block that has just ended
  int line_ = 0;                       // where we are, for messages
};

}  // namespace halod::jinja
