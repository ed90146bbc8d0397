#include <fmt/format.h>

#include "runtime/text/jinja/interpreter.h"
#include "runtime/text/jinja/json_text.h"

namespace halod::jinja {

void Scope::set(std::string_view name, Value value) {
  for (auto& [key, current] : variables) {
    if (key != name) continue;
    current = std::move(value);
    return;
  }
  variables.emplace_back(name, std::move(value));
}

Interpreter::ScopeGuard::ScopeGuard(Interpreter& interpreter, Scope* parent)
    : interpreter_(interpreter), outer_(interpreter.scope_) {
  interpreter_.budget_.allocate(sizeof(Scope));
  interpreter_.scopes_.push_back(std::make_unique<Scope>(Scope{.parent = parent}));
  interpreter_.scope_ = interpreter_.scopes_.back().get();
}

Interpreter::ScopeGuard::~ScopeGuard() {
  const Scope* mine = interpreter_.scope_;
  interpreter_.scope_ = outer_;
  // Scopes that a macro refers to stay until the end, and keep those below them in the vector.
  if (!mine->is_captured && interpreter_.scopes_.back().get() == mine) interpreter_.scopes_.pop_back();
}

Interpreter::Interpreter(const boost::json::object& context, const std::tm& now)
    : call_context_{.budget = budget_, .now = now, .namespaces = namespaces_} {
  for (const auto& [name, value] : context) context_.emplace(name, from_json(value, budget_));
}

std::string Interpreter::render(const Block& block) {
  try {
    return capture(block, nullptr);
  } catch (const TemplateError& error) {
    throw TemplateError(error.kind(), error.what(), error.line() != 0 ? error.line() : line_);
  }
}

std::string Interpreter::capture(const Block& block, Scope* parent) {
  struct RestoreOutput {
    std::string*& out;
    std::string* outer;
    ~RestoreOutput() { out = outer; }
  };
  std::string text;
  const ScopeGuard guard(*this, parent);
  const RestoreOutput restore{out_, std::exchange(out_, &text)};
  execute(block);
  return text;
}

Interpreter::Flow Interpreter::execute(const Block& block) {
  const Budget::Level level(budget_);
  for (const auto& statement : block) {
    budget_.step();
    line_ = statement->line;
    const Flow flow = std::visit([this](const auto& node) { return run(node); }, statement->node);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const Text& node) {
  budget_.allocate(node.text.size());
  *out_ += node.text;
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const Print& node) {
  const Value value = evaluate(*node.value);
  append_text(*out_, value, budget_);
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const If& node) {
  for (const auto& [condition, body] : node.branches) {
    if (evaluate(*condition).truthy()) return execute(body);
  }
  return execute(node.otherwise);
}

std::vector<Value> Interpreter::loop_items(const For& node) {
  std::vector<Value> items = iterate(evaluate(*node.iterable), budget_);
  if (node.filter == nullptr) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    const ScopeGuard guard(*this, scope_);
    assign(node.target, item);
    if (evaluate(*node.filter).truthy()) kept.push_back(std::move(item));
  }
  return kept;
}

Interpreter::Flow Interpreter::run(const For& node) {
  budget_.allocate(sizeof(Loop));
  loops_.push_back(std::make_unique<Loop>(Loop{.items = loop_items(node)}));
  Loop& loop = *loops_.back();
  if (loop.items.empty()) return execute(node.otherwise);
  for (; loop.idx < loop.items.size(); ++loop.idx) {
    const ScopeGuard guard(*this, scope_);
    scope_->set("loop", Value(&loop));
    assign(node.target, loop.items[loop.idx]);
    if (execute(node.body) == Flow::kBreak) break;
  }
  // A template may have kept `loop`: the object stays, what it holds does not.
  loop = Loop{};
  return Flow::kNormal;
}

void Interpreter::assign(const Target& target, const Value& value) {
  if (!target.parts.empty()) {
    const std::vector<Value> parts = iterate(value, budget_);
    if (parts.size() != target.parts.size()) {
      fail(fmt::format("cannot unpack {} values into {} variables", parts.size(), target.parts.size()));
    }
    for (size_t i = 0; i < parts.size(); ++i) assign(target.parts[i], parts[i]);
    return;
  }
  if (!target.attribute) {
    budget_.step(scope_->variables.size() / 8);
    scope_->set(target.name, value);
    return;
  }
  const Value object = look_up(target.name);
  Namespace* const* space = object.get_if<Namespace*>();
  if (space == nullptr) fail("cannot assign attribute on non-namespace object");
  budget_.step((*space)->attributes.size() / 8);
  (*space)->set(*target.attribute, value);
}

Interpreter::Flow Interpreter::run(const Set& node) {
  assign(node.target, evaluate(*node.value));
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const SetBlock& node) {
  Value text = Value::string(capture(node.body, scope_));
  if (node.filter != nullptr) {
    block_text_ = &text;
    text = evaluate(*node.filter);
  }
  assign(node.target, text);
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const FilterBlock& node) {
  const Value text = Value::string(capture(node.body, scope_));
  block_text_ = &text;
  append_text(*out_, evaluate(*node.filter), budget_);
  return Flow::kNormal;
}

const Macro* Interpreter::make_macro(const MacroDefinition& definition) {
  budget_.allocate(sizeof(Macro));
  for (Scope* scope = scope_; scope != nullptr && !scope->is_captured; scope = scope->parent)
    scope->is_captured = true;
  macros_.push_back(std::make_unique<Macro>(Macro{.definition = &definition, .closure = scope_}));
  return macros_.back().get();
}

Interpreter::Flow Interpreter::run(const DefineMacro& node) {
  scope_->set(node.macro.name, Value(make_macro(node.macro)));
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const CallBlock& node) {
  const Call& macro_call = std::get<Call>(node.call->node);
  const Value callee = evaluate(*macro_call.callee);
  Arguments arguments = evaluate_arguments(macro_call.arguments, nullptr);
  arguments.named.emplace_back("caller", Value(make_macro(node.caller)));
  append_text(*out_, call(callee, std::move(arguments)), budget_);
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const With& node) {
  // All values are computed outside.
  std::vector<Value> values;
  for (const auto& [target, value] : node.values) values.push_back(evaluate(*value));
  const ScopeGuard guard(*this, scope_);
  for (size_t i = 0; i < values.size(); ++i) assign(node.values[i].first, values[i]);
  return execute(node.body);
}

Interpreter::Flow Interpreter::run(const Scoped& node) {
  const ScopeGuard guard(*this, scope_);
  return execute(node.body);
}

}  // namespace halod::jinja
