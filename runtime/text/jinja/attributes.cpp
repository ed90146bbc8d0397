#include "runtime/text/jinja/attributes.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "runtime/text/jinja/methods.h"
#include "runtime/text/jinja/text.h"

namespace halod::jinja {
namespace {

/// How Jinja names an object in its messages.
std::string describe(const Value& object) {
  if (object.is_none()) return "None";
  return fmt::format("{} object", object.type_name());
}

Value no_attribute(const Value& object, std::string_view name) {
  return Value::undefined(fmt::format("'{}' has no attribute '{}'", describe(object), name));
}

Value loop_attribute(Loop& loop, std::string_view name) {
  const auto idx = static_cast<int64_t>(loop.idx);
  const auto n = static_cast<int64_t>(loop.items.size());
  if (name == "index") return Value(idx + 1);
  if (name == "index0") return Value(idx);
  if (name == "revindex") return Value(n - idx);
  if (name == "revindex0") return Value(n - idx - 1);
  if (name == "first") return Value(idx == 0);
  if (name == "last") return Value(idx + 1 == n);
  if (name == "length") return Value(n);
  if (name == "depth") return Value(int64_t{loop.depth});
  if (name == "depth0") return Value(int64_t{loop.depth} - 1);
  if (name == "previtem")
    return idx > 0 ? loop.items[loop.idx - 1] : Value::undefined("there is no previous item");
  if (name == "nextitem")
    return idx + 1 < n ? loop.items[loop.idx + 1] : Value::undefined("there is no next item");
  return Value::undefined(fmt::format("'loop' has no attribute '{}'", name));
}

Value item_at(const Value& object, int64_t idx, Budget& budget) {
  const int64_t n = length(object, budget);
  const int64_t resolved = idx < 0 ? idx + n : idx;
  if (idx < -n || resolved >= n) {
    return Value::undefined(fmt::format("{} has no element {}", describe(object), idx));
  }
  if (const List* list = object.list()) return list->items[static_cast<size_t>(resolved)];
  budget.allocate(object.text()->size() * sizeof(std::string_view));
  return Value::string(std::string(characters(*object.text())[static_cast<size_t>(resolved)]));
}

Value bound_method(const Value& object, std::string_view name) {
  const Function* method = find_method(object, name);
  if (method == nullptr) return Value();
  const int depth = object.depth() + 1;
  if (depth > kMaxValueDepth) fail("a method's object is nested too deep");
  return Value(
      std::make_shared<const BoundMethod>(BoundMethod{.self = object, .method = method, .depth = depth}));
}

void check_defined(const Value& object) {
  if (const auto* undefined = object.get_if<Undefined>()) {
    fail(undefined->reason ? *undefined->reason : "a value is undefined");
  }
}

}  // namespace

Value get_attribute(const Value& object, std::string_view name, Budget& budget) {
  budget.step();
  check_defined(object);
  if (Value method = bound_method(object, name); !method.is_undefined()) return method;
  if (const Dict* dict = object.dict()) {
    const Value* value = dict->find(name);
    return value != nullptr ? *value : no_attribute(object, name);
  }
  if (Namespace* const* space = object.get_if<Namespace*>()) {
    budget.step((*space)->attributes.size());
    const Value* value = (*space)->find(name);
    return value != nullptr ? *value : no_attribute(object, name);
  }
  if (Loop* const* loop = object.get_if<Loop*>()) return loop_attribute(**loop, name);
  return no_attribute(object, name);
}

Value get_item(const Value& object, const Value& key, Budget& budget) {
  budget.step();
  check_defined(object);
  if (const Dict* dict = object.dict()) {
    if (const Value* value = dict->find(key, budget)) return *value;
  } else if ((object.list() != nullptr || object.is_string()) && (key.is<int64_t>() || key.is<bool>())) {
    return item_at(object, key.as_integer(), budget);
  }
  if (key.is_string()) return get_attribute(object, *key.text(), budget);
  std::string shown;
  append_repr(shown, key, budget);
  return Value::undefined(fmt::format("{} has no element {}", describe(object), shown));
}

Value get_path(const Value& object, std::string_view path, Budget& budget) {
  Value current = object;
  while (true) {
    const size_t dot = std::min(path.find('.'), path.size());
    const std::string_view part = path.substr(0, dot);
    int64_t idx = 0;
    const auto parsed = std::from_chars(part.data(), part.data() + part.size(), idx);
    const bool is_number =
        !part.empty() && parsed.ec == std::errc() && parsed.ptr == part.data() + part.size();
    current = get_item(current, is_number ? Value(idx) : Value::string(std::string(part)), budget);
    if (dot == path.size()) return current;
    path.remove_prefix(dot + 1);
  }
}

}  // namespace halod::jinja
