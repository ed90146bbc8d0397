// `value.name` and `value[key]`.
#pragma once

#include <string_view>

#include "runtime/text/jinja/value.h"

namespace halod::jinja {

/// Methods come before dictionary keys. Undefined when there is neither. Errors: fails on undefined values.
Value get_attribute(const Value& object, std::string_view name, Budget& budget);

/// Keys and positions come before methods. Undefined when there is nothing. Errors: fails on undefined
/// values.
Value get_item(const Value& object, const Value& key, Budget& budget);

/// "message.content" or "tool.0.name": one step after the other.
Value get_path(const Value& object, std::string_view path, Budget& budget);

}  // namespace halod::jinja
