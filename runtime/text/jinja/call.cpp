#include "runtime/text/jinja/call.h"

#include <fmt/format.h>

#include <algorithm>

namespace halod::jinja {

std::vector<Value> Arguments::bind(std::string_view callee,
                                   std::initializer_list<std::string_view> parameters) const {
  if (positional.size() > parameters.size()) {
    fail(
        fmt::format("{} takes at most {} arguments, {} given", callee, parameters.size(), positional.size()));
  }
  std::vector<Value> values = positional;
  values.resize(parameters.size());
  for (const auto& [name, value] : named) {
    const auto found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end()) fail(fmt::format("{} takes no argument named '{}'", callee, name));
    values[static_cast<size_t>(found - parameters.begin())] = value;
  }
  return values;
}

const Function* find_function(std::span<const Function> table, std::string_view name) {
  const auto found = std::ranges::find(table, name, &Function::name);
  return found == table.end() ? nullptr : &*found;
}

int64_t integer_or(const Value& value, int64_t fallback, std::string_view what) {
  if (value.is_undefined() || value.is_none()) return fallback;
  if (!value.is<int64_t>() && !value.is<bool>()) {
    fail(fmt::format("{} must be an integer, not {}", what, value.type_name()));
  }
  return value.as_integer();
}

bool flag_or(const Value& value, bool fallback) { return value.is_undefined() ? fallback : value.truthy(); }

std::string string_or(const Value& value, std::string_view fallback, std::string_view what) {
  if (value.is_undefined() || value.is_none()) return std::string(fallback);
  if (!value.is_string()) fail(fmt::format("{} must be a string, not {}", what, value.type_name()));
  return *value.text();
}

}  // namespace halod::jinja
