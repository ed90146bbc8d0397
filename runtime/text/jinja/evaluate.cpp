#include <fmt/format.h>

#include <algorithm>

#include "runtime/text/jinja/attributes.h"
#include "runtime/text/jinja/functions.h"
#include "runtime/text/jinja/interpreter.h"
#include "runtime/text/jinja/text.h"

namespace halod::jinja {

Value Interpreter::evaluate(const Expression& expression) {
  const Budget::Level level(budget_);
  budget_.step();
  line_ = expression.line;
  return std::visit([this](const auto& node) { return value_of(node); }, expression.node);
}

Value Interpreter::look_up(const std::string& name) {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    budget_.step(1 + scope->variables.size() / 8);
    for (const auto& [key, value] : scope->variables) {
      if (key == name) return value;
    }
  }
  if (const auto found = context_.find(name); found != context_.end()) return found->second;
  if (const Function* function = find_function(global_functions(), name)) return Value(function);
  return Value::undefined(fmt::format("'{}' is undefined", name));
}

Value Interpreter::value_of(const Sequence& node) {
  budget_.allocate(node.items.size() * sizeof(Value));
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const ExpressionPtr& item : node.items) items.push_back(evaluate(*item));
  return Value::list(std::move(items), node.is_tuple);
}

Value Interpreter::value_of(const DictDisplay& node) {
  Dict dict;
  for (const auto& [key, value] : node.entries) {
    const Value key_value = evaluate(*key);
    dict.insert(key_value, evaluate(*value), budget_);
  }
  return Value::dict(std::move(dict));
}

Value Interpreter::value_of(const Unary& node) {
  const Value operand = evaluate(*node.operand);
  if (node.op == Unary::Operator::kNot) return Value(!operand.truthy());
  if (node.op == Unary::Operator::kMinus) return negate(operand);
  return negate(negate(operand));
}

Value Interpreter::value_of(const Binary& node) {
  const Value left = evaluate(*node.left);
  const Value right = evaluate(*node.right);
  return apply(node.op, left, right, budget_);
}

Value Interpreter::value_of(const Logical& node) {
  Value left = evaluate(*node.left);
  return left.truthy() == node.is_and ? evaluate(*node.right) : left;
}

Value Interpreter::value_of(const Comparison& node) {
  Value left = evaluate(*node.first);
  for (const auto& [op, operand] : node.rest) {
    Value right = evaluate(*operand);
    if (!apply(op, left, right, budget_).truthy()) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::value_of(const Conditional& node) {
  if (evaluate(*node.condition).truthy()) return evaluate(*node.then);
  if (node.otherwise != nullptr) return evaluate(*node.otherwise);
  return Value::undefined("the inline if-expression evaluated to false and no else section was defined.");
}

Value Interpreter::value_of(const Attribute& node) {
  return get_attribute(evaluate(*node.object), node.name, budget_);
}

Value Interpreter::value_of(const Subscript& node) {
  const Value object = evaluate(*node.object);
  return get_item(object, evaluate(*node.key), budget_);
}

Value Interpreter::value_of(const Slice& node) {
  const Value object = evaluate(*node.object);
  const auto bound = [this](const ExpressionPtr& part) -> std::optional<int64_t> {
    if (part == nullptr) return std::nullopt;
    const Value value = evaluate(*part);
    if (value.is_none()) return std::nullopt;
    return integer_or(value, 0, "a slice's bound");
  };
  const auto start = bound(node.start);
  const auto stop = bound(node.stop);
  const int64_t step = bound(node.step).value_or(1);
  if (step == 0) fail("slice step cannot be zero");
  if (object.is_undefined()) get_item(object, Value(int64_t{0}), budget_);  // fails with the reason
  if (object.list() == nullptr && !object.is_string()) {
    fail(fmt::format("'{}' object cannot be sliced", object.type_name()));
  }
  const SliceBounds bounds{.start = start ? &*start : nullptr, .stop = stop ? &*stop : nullptr, .step = step};
  const auto indices = slice_indices(length(object, budget_), bounds);
  budget_.allocate(indices.size() * sizeof(Value));
  if (const List* list = object.list()) {
    std::vector<Value> items;
    items.reserve(indices.size());
    for (const size_t i : indices) items.push_back(list->items[i]);
    return Value::list(std::move(items), list->is_tuple);
  }
  budget_.allocate(object.text()->size() * sizeof(std::string_view));
  const auto all = characters(*object.text());
  std::string text;
  for (const size_t i : indices) text += all[i];
  return Value::string(std::move(text));
}

Arguments Interpreter::evaluate_arguments(const CallArguments& arguments, const Value* first) {
  Arguments result;
  if (first != nullptr) result.positional.push_back(*first);
  for (const ExpressionPtr& argument : arguments.positional) result.positional.push_back(evaluate(*argument));
  if (arguments.unpacked_list != nullptr) {
    for (Value& item : iterate(evaluate(*arguments.unpacked_list), budget_))
      result.positional.push_back(std::move(item));
  }
  for (const auto& [name, argument] : arguments.named) result.named.emplace_back(name, evaluate(*argument));
  if (arguments.unpacked_dict != nullptr) {
    const Value unpacked = evaluate(*arguments.unpacked_dict);
    if (unpacked.dict() == nullptr) fail("what follows ** must be a mapping");
    for (const auto& [key, value] : unpacked.dict()->entries()) {
      budget_.allocate(sizeof(Value));
      result.named.emplace_back(to_text(key, budget_), value);
    }
  }
  return result;
}

Value Interpreter::value_of(const Call& node) {
  const Value callee = evaluate(*node.callee);
  return call(callee, evaluate_arguments(node.arguments, nullptr));
}

Value Interpreter::call(const Value& callee, Arguments arguments) {
  if (const auto* function = callee.get_if<const Function*>())
    return (*function)->call(arguments, call_context_);
  if (const auto* macro = callee.get_if<const Macro*>()) return call_macro(**macro, std::move(arguments));
  if (const auto* method = callee.get_if<MethodPtr>()) {
    arguments.positional.insert(arguments.positional.begin(), (*method)->self);
    return (*method)->method->call(arguments, call_context_);
  }
  if (callee.is_undefined()) get_attribute(callee, "", budget_);  // fails with the reason
  fail(fmt::format("'{}' object is not callable", callee.type_name()));
}

Value Interpreter::value_of(const FilterCall& node) {
  if (node.filter == nullptr) fail(fmt::format("No filter named '{}'.", node.name));
  const Value input = node.input != nullptr ? evaluate(*node.input) : *block_text_;
  return node.filter->call(evaluate_arguments(node.arguments, &input), call_context_);
}

Value Interpreter::value_of(const TestCall& node) {
  if (node.test == nullptr) fail(fmt::format("No test named '{}'.", node.name));
  const Value input = evaluate(*node.input);
  const bool passes = node.test->call(evaluate_arguments(node.arguments, &input), call_context_).truthy();
  return Value(passes != node.is_negated);
}

Value Interpreter::call_macro(const Macro& macro, Arguments arguments) {
  const Budget::Level level(budget_);
  const ScopeGuard guard(*this, macro.closure);
  bind_parameters(*macro.definition, std::move(arguments));
  return Value::string(capture(macro.definition->body, scope_));
}

void Interpreter::bind_parameters(const MacroDefinition& definition, Arguments arguments) {
  const size_t n_parameters = definition.parameters.size();
  if (arguments.positional.size() > n_parameters && !definition.takes_varargs) {
    fail(fmt::format("macro '{}' takes not more than {} argument(s)", definition.name, n_parameters));
  }
  std::vector<const Value*> given(n_parameters, nullptr);
  for (size_t i = 0; i < std::min(n_parameters, arguments.positional.size()); ++i)
    given[i] = &arguments.positional[i];
  Dict kwargs;
  Value caller = Value::undefined("No caller defined");
  for (const auto& [name, value] : arguments.named) {
    const auto parameter = std::ranges::find(definition.parameters, name, &Parameter::name);
    const auto idx = static_cast<size_t>(parameter - definition.parameters.begin());
    if (parameter == definition.parameters.end()) {
      if (name == "caller") {
        caller = value;
      } else if (!definition.takes_kwargs) {
        fail(fmt::format("macro '{}' takes no keyword argument '{}'", definition.name, name));
      } else {
        kwargs.insert(Value::string(name), value, budget_);
      }
    } else if (given[idx] != nullptr) {
      fail(fmt::format("macro '{}' got multiple values for argument '{}'", definition.name, name));
    } else {
      given[idx] = &value;
    }
  }
  for (size_t i = 0; i < n_parameters; ++i) {
    const Parameter& parameter = definition.parameters[i];
    Value value;
    if (given[i] != nullptr) {
      value = *given[i];
    } else if (parameter.default_value != nullptr) {
      value = evaluate(*parameter.default_value);
    } else {
      value = Value::undefined(fmt::format("parameter '{}' was not provided", parameter.name));
    }
    scope_->set(parameter.name, std::move(value));
  }
  scope_->set("caller", std::move(caller));
  if (definition.takes_kwargs) scope_->set("kwargs", Value::dict(std::move(kwargs)));
  if (definition.takes_varargs) {
    const size_t n_used = std::min(n_parameters, arguments.positional.size());
    arguments.positional.erase(arguments.positional.begin(),
                               arguments.positional.begin() + static_cast<std::ptrdiff_t>(n_used));
    scope_->set("varargs", Value::tuple(std::move(arguments.positional)));
  }
}

}  // namespace halod::jinja
