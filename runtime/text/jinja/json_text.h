// JSON in and out of templates.
#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>

#include "runtime/text/jinja/value.h"

namespace halod::jinja {

/// null becomes None; integers past 64 bits become floats. Order is kept.
Value from_json(const boost::json::value& json, Budget& budget);

struct JsonStyle {
  std::optional<std::string> indent;  ///< what one level adds; none: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sorts_keys = false;
  bool ascii_only = false;
};

/// Python's json.dumps. Errors: fails for values that JSON cannot hold (undefined, functions).
std::string to_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace halod::jinja
