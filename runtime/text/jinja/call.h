// What filters, tests, methods and functions get when a template calls them.
#pragma once

#include <ctime>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/text/jinja/value.h"

namespace halod::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  /// One value per parameter name, undefined where none was given.
  /// Errors: fails for arguments that no parameter takes, saying `callee`.
  std::vector<Value> bind(std::string_view callee, std::initializer_list<std::string_view> parameters) const;
};

/// What a rendering lends to the functions that it calls.
struct CallContext {
  Budget& budget;
  const std::tm& now;
  std::vector<std::unique_ptr<Namespace>>& namespaces;  ///< owns what namespace() makes
};

/// A row of one of the tables: filters, tests, methods (those get what they work on as their first argument)
/// and functions.
struct Function {
  std::string_view name;
  Value (*call)(const Arguments& arguments, CallContext& context);
};

/// The row of that name; nullptr when there is none. REQUIRES: a table with static lifetime.
const Function* find_function(std::span<const Function> table, std::string_view name);

/// Bound arguments, as what they must be. `what` says whose argument it is, for the message.
int64_t integer_or(const Value& value, int64_t fallback, std::string_view what);
bool flag_or(const Value& value, bool fallback);
std::string string_or(const Value& value, std::string_view fallback, std::string_view what);

}  // namespace halod::jinja
