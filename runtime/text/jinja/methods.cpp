#include "runtime/text/jinja/methods.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "runtime/text/jinja/string_methods.h"

namespace halod::jinja {
namespace {

const Dict& dict_of(const Arguments& arguments) { return *arguments.positional.front().dict(); }
const List& list_of(const Arguments& arguments) { return *arguments.positional.front().list(); }

Value dict_get(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("get", {"self", "key", "default"});
  if (arguments.positional.size() < 2) fail("get expected at least 1 argument, got 0");
  const Value* found = dict_of(arguments).find(values[1], context.budget);
  if (found != nullptr) return *found;
  return values[2].is_undefined() ? Value::none() : values[2];
}

Value dict_items(const Arguments& arguments, CallContext& context) {
  arguments.bind("items", {"self"});
  std::vector<Value> items;
  context.budget.allocate(dict_of(arguments).entries().size() * 4 * sizeof(Value));
  for (const auto& [key, value] : dict_of(arguments).entries()) items.push_back(Value::tuple({key, value}));
  return Value::list(std::move(items));
}

Value dict_keys(const Arguments& arguments, CallContext& context) {
  arguments.bind("keys", {"self"});
  return Value::list(iterate(arguments.positional.front(), context.budget));
}

Value dict_values(const Arguments& arguments, CallContext& context) {
  arguments.bind("values", {"self"});
  std::vector<Value> values;
  context.budget.allocate(dict_of(arguments).entries().size() * sizeof(Value));
  for (const auto& [key, value] : dict_of(arguments).entries()) values.push_back(value);
  return Value::list(std::move(values));
}

Value copy(const Arguments& arguments, CallContext&) {
  arguments.bind("copy", {"self"});
  return arguments.positional.front();  // values never change
}

Value list_index(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("index", {"self", "value"});
  const auto& items = list_of(arguments).items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (equal(items[i], values[1], context.budget)) return Value(static_cast<int64_t>(i));
  }
  fail("index: the value is not in the list");
}

Value list_count(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("count", {"self", "value"});
  const auto& items = list_of(arguments).items;
  const auto is_same = [&](const Value& item) { return equal(item, values[1], context.budget); };
  return Value(static_cast<int64_t>(std::ranges::count_if(items, is_same)));
}

Value loop_cycle(const Arguments& arguments, CallContext&) {
  const size_t n = arguments.positional.size() - 1;
  if (n == 0) fail("loop.cycle needs at least one argument");
  const Loop& loop = **arguments.positional.front().get_if<Loop*>();
  return arguments.positional[1 + loop.idx % n];
}

Value loop_changed(const Arguments& arguments, CallContext& context) {
  Loop& loop = **arguments.positional.front().get_if<Loop*>();
  std::vector<Value> current(arguments.positional.begin() + 1, arguments.positional.end());
  const auto is_same = [&context](const Value& a, const Value& b) { return equal(a, b, context.budget); };
  const bool changed = !loop.was_asked_for_changes ||
                       !std::equal(current.begin(), current.end(), loop.changed_arguments.begin(),
                                   loop.changed_arguments.end(), is_same);
  loop.was_asked_for_changes = true;
  loop.changed_arguments = std::move(current);
  return Value(changed);
}

constexpr std::array kDictMethods = {
    Function{"get", dict_get},       Function{"items", dict_items}, Function{"keys", dict_keys},
    Function{"values", dict_values}, Function{"copy", copy},
};
constexpr std::array kListMethods = {
    Function{"index", list_index},
    Function{"count", list_count},
    Function{"copy", copy},
};
constexpr std::array kLoopMethods = {
    Function{"cycle", loop_cycle},
    Function{"changed", loop_changed},
};

}  // namespace

const Function* find_method(const Value& object, std::string_view name) {
  if (object.is_string()) return find_function(string_methods(), name);
  if (object.dict() != nullptr) return find_function(kDictMethods, name);
  if (object.list() != nullptr) return find_function(kListMethods, name);
  if (object.is<Loop*>()) return find_function(kLoopMethods, name);
  return nullptr;
}

}  // namespace halod::jinja
