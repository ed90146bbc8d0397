// Request bodies → JSON objects.
#pragma once

#include <boost/json/object.hpp>
#include <string_view>

#include "base/error.h"

namespace halod {

/// Nesting deeper than that is no request of anybody's. Tool schemas are the deepest in practice, at about a
/// dozen.
inline constexpr size_t kMaxJsonDepth = 64;

/// Errors: kInvalidArgument for what is not JSON (with the byte), invalid UTF-8, nesting past kMaxJsonDepth,
/// a key given twice (named in `field`), anything but an object. Thread: any.
Result<boost::json::object> parse_json_body(std::string_view body);

}  // namespace halod
